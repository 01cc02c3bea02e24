"""Registration on silhouettes whose true similarity is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.camera import Registration
from engine.register import (
    MAX_ROTATION_DEG,
    MAX_SCALE,
    MAX_SHIFT,
    inverse_transform,
    register_view,
    transform,
)

SIZE = 256


def blob(size: int, points_to_shape: NDArray[np.float64] | None = None, samples: int = 2) -> NDArray[np.uint8]:
    """Coverage 0..255 of an asymmetric shape: an ellipse, a bar and a notch.

    points_to_shape: [4] s - 1, radians, dx, dy in pixels of 256: the similarity that the shape has undergone.
    """
    wide = size * samples
    at = (np.arange(wide) + 0.5) / wide * SIZE
    x, y = np.meshgrid(at, at)
    if points_to_shape is not None:
        p = inverse_transform(points_to_shape, np.stack([x.ravel(), y.ravel()], 1), SIZE / 2)
        x, y = p[:, 0].reshape(x.shape), p[:, 1].reshape(y.shape)
    shape = ((x - 120) / 70) ** 2 + ((y - 130) / 45) ** 2 < 1
    shape |= (abs(x - 150) < 12) & (abs(y - 90) < 50)
    shape &= ~((abs(x - 70) < 14) & (y > 135))
    return np.asarray(shape.reshape(size, samples, size, samples).mean((1, 3)) * 255 + 0.5, np.uint8)


def corner_error(found: Registration, true: NDArray[np.float64], rgb_size: int) -> float:
    """The largest distance, in pixels of 256, between where both take the points of a square around the shape."""
    points = np.array([[50.0, 40], [190, 40], [190, 180], [50, 180]])
    factor = rgb_size / SIZE
    mine = np.array(
        [found.scale - 1, np.radians(found.rotation_deg), found.dx_px / factor, found.dy_px / factor], np.float64
    )
    return float(np.abs(transform(mine, points, SIZE / 2) - transform(true, points, SIZE / 2)).max())


@settings(max_examples=12, deadline=None)
@given(
    st.floats(-0.025, 0.025), st.floats(-1.5, 1.5), st.floats(-4.5, 4.5), st.floats(-4.5, 4.5), st.sampled_from([1, 2])
)
def test_recovers_a_known_similarity(scale: float, degrees: float, dx: float, dy: float, ratio: int) -> None:
    true = np.array([scale, np.radians(degrees), dx, dy])
    found = register_view(blob(SIZE) > 127, blob(ratio * SIZE, true))
    points = np.array([[50.0, 85], [190, 85], [120, 175]])
    moved = float(np.abs(transform(true, points, SIZE / 2) - points).mean())
    if found.is_identity:
        assert moved < 1.0
    else:
        assert corner_error(found, true, ratio * SIZE) < 0.45


@pytest.mark.parametrize("ratio", [1, 2])
def test_clean_views_stay_exactly_as_they_are(ratio: int) -> None:
    assert register_view(blob(SIZE) > 127, blob(ratio * SIZE)).is_identity


@pytest.mark.parametrize(
    "wrong", [np.array(x, np.float64) for x in ((0.2, 0, 0, 0), (0, 0.3, 0, 0), (0, 0, 40, -30), (-0.4, 0, 0, 9))]
)
def test_is_bounded_whatever_it_is_given(wrong: NDArray[np.float64]) -> None:
    found = register_view(blob(SIZE) > 127, blob(2 * SIZE, wrong))
    assert abs(found.scale - 1) <= MAX_SCALE + 1e-6
    assert abs(found.rotation_deg) <= MAX_ROTATION_DEG + 1e-4
    assert max(abs(found.dx_px), abs(found.dy_px)) <= MAX_SHIFT * 2 * SIZE + 1e-3


def test_what_a_similarity_cannot_explain_is_left_alone() -> None:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[60:200, 60:200] = True
    ragged = np.zeros((SIZE, SIZE), np.uint8)
    ragged[60:200, 60:200] = 255
    ragged[60:66, 60:200:12] = 0
    ragged[194:200, 66:200:12] = 0
    ragged[66:200:12, 60:66] = 0
    ragged[60:200:12, 194:200] = 0
    assert register_view(mask, ragged).is_identity


@pytest.mark.parametrize("alpha", [np.zeros((SIZE, SIZE), np.uint8), np.full((SIZE, SIZE), 255, np.uint8)])
def test_empty_and_full_views_give_the_identity(alpha: NDArray[np.uint8]) -> None:
    assert register_view(blob(SIZE) > 127, alpha).is_identity
    assert register_view(np.zeros((SIZE, SIZE), bool), alpha).is_identity


def test_same_input_same_result() -> None:
    true = np.array([0.01, 0.005, 2.0, -3.0])
    first, second = (register_view(blob(SIZE) > 127, blob(2 * SIZE, true)) for _ in range(2))
    assert first == second
    assert not first.is_identity


def test_transform_and_its_inverse_cancel() -> None:
    points = np.random.default_rng(0).uniform(0, SIZE, (50, 2))
    x = np.array([0.02, 0.01, -3.0, 5.0])
    np.testing.assert_allclose(inverse_transform(x, transform(x, points, 128.0), 128.0), points, atol=1e-9)
