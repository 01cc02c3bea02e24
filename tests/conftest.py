from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logs_as_at_the_start() -> Iterator[None]:
    """A command that a test calls in this process sets up the logs: not for the tests that follow."""
    yield
    structlog.reset_defaults()
