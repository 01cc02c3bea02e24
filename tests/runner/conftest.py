"""A house with a scripted worker; suites that need another have their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runner.runner_house import FakeClock, House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, clock=FakeClock(), fake=True)
    yield made
    made.close()
