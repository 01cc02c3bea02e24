"""The ball, seen once for all tests."""

from __future__ import annotations

import pytest

from tests.refine.shape_scenes import RADIUS, Seen, ball, scene_of


@pytest.fixture(scope="session")
def seen() -> Seen:
    return scene_of(ball(RADIUS))
