"""Registration of views whose true similarity is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from register_scenes import SIZE, ball, blob, one_view

from engine.camera import Registration
from engine.register import MAX_ROTATION_DEG, MAX_SCALE, MAX_SHIFT, register
from engine.register.similarity import along, along_inverse, bilinear, inverse_transform, transform, with_gradient


def by_outline(mask: NDArray[np.bool_], alpha: NDArray[np.uint8]) -> Registration:
    scene, depth = one_view(mask, alpha)
    return register(*scene, depth)["front"]


def corner_error(found: Registration, true: NDArray[np.float64], rgb_size: int) -> float:
    """The largest distance, in pixels of 256, between where both take the points of a square around the shape."""
    points = np.array([[50.0, 40], [190, 40], [190, 180], [50, 180]])
    factor = rgb_size / SIZE
    mine = np.array(
        [found.scale - 1, np.radians(found.rotation_deg), found.dx_px / factor, found.dy_px / factor], np.float64
    )
    return float(np.abs(transform(mine, points, SIZE / 2) - transform(true, points, SIZE / 2)).max())


@settings(max_examples=10, deadline=None)
@given(
    st.floats(-0.025, 0.025), st.floats(-1.5, 1.5), st.floats(-4.5, 4.5), st.floats(-4.5, 4.5), st.sampled_from([1, 2])
)
def test_recovers_a_known_similarity(scale: float, degrees: float, dx: float, dy: float, ratio: int) -> None:
    true = np.array([scale, np.radians(degrees), dx, dy])
    found = by_outline(blob(SIZE) > 127, blob(ratio * SIZE, true))
    points = np.array([[50.0, 85], [190, 85], [120, 175]])
    moved = float(np.abs(transform(true, points, SIZE / 2) - points).mean())
    if found.is_identity:
        assert moved < 1.0
    else:
        assert corner_error(found, true, ratio * SIZE) < 0.7, "measured: up to 0.55 in 700"


def test_colours_decide_what_outlines_leave_open() -> None:
    """A ball's outline says nothing of its rotation."""
    true = Registration(scale=1.01, dx_px=5.0, dy_px=-4.0, rotation_deg=1.2)
    scene, depth = ball({"front": true})
    found = register(*scene, depth)
    assert all(found[v].is_identity for v in found if v != "front")
    front = found["front"]
    assert front.rotation_deg == pytest.approx(true.rotation_deg, abs=0.2)
    assert front.scale == pytest.approx(true.scale, abs=0.002)
    assert (front.dx_px, front.dy_px) == pytest.approx((true.dx_px, true.dy_px), abs=0.5)


def test_views_that_agree_stay_exactly_as_they_are() -> None:
    scene, depth = ball({})
    assert all(r.is_identity for r in register(*scene, depth).values())


@pytest.mark.parametrize("ratio", [1, 2])
def test_a_clean_view_stays_exactly_as_it_is(ratio: int) -> None:
    assert by_outline(blob(SIZE) > 127, blob(ratio * SIZE)).is_identity


@pytest.mark.parametrize(
    "wrong", [np.array(x, np.float64) for x in ((0.2, 0, 0, 0), (0, 0.3, 0, 0), (0, 0, 40, -30), (-0.4, 0, 0, 9))]
)
def test_is_bounded_whatever_it_is_given(wrong: NDArray[np.float64]) -> None:
    found = by_outline(blob(SIZE) > 127, blob(2 * SIZE, wrong))
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
    assert by_outline(mask, ragged).is_identity


@pytest.mark.parametrize("alpha", [np.zeros((SIZE, SIZE), np.uint8), np.full((SIZE, SIZE), 255, np.uint8)])
def test_empty_and_full_views_give_the_identity(alpha: NDArray[np.uint8]) -> None:
    assert by_outline(blob(SIZE) > 127, alpha).is_identity
    assert by_outline(np.zeros((SIZE, SIZE), bool), alpha).is_identity


def test_same_input_same_result() -> None:
    scene, depth = ball({"front": Registration(1.01, 5.0, -4.0, 1.2), "top": Registration(0.99, 3.0, 6.0, 0.0)}, SIZE)
    first, second = (register(*scene, depth) for _ in range(2))
    assert first == second
    assert not first["front"].is_identity


def test_transform_and_its_inverse_cancel() -> None:
    points = np.random.default_rng(0).uniform(0, SIZE, (50, 2))
    x = np.array([0.02, 0.01, -3.0, 5.0])
    np.testing.assert_allclose(inverse_transform(x, transform(x, points, 128.0), 128.0), points, atol=1e-9)


def test_derivatives_are_those_of_finite_differences() -> None:
    rng = np.random.default_rng(1)
    points, gradient = rng.uniform(0, SIZE, (40, 2)), rng.normal(size=(40, 2))
    x, centre = np.array([0.02, 0.03, -3.0, 5.0]), 128.0
    moved = transform(x, points, centre)
    (forth,), back = along(x, points, centre, gradient), along_inverse(x, points, centre, gradient)
    for k in range(4):
        h = np.zeros(4)
        h[k] = 1e-6
        step = transform(x + h, points, centre) - transform(x - h, points, centre)
        np.testing.assert_allclose(forth[:, k], (gradient * step).sum(1) / 2e-6, rtol=1e-5, atol=1e-5)
        step = inverse_transform(x + h, moved, centre) - inverse_transform(x - h, moved, centre)
        np.testing.assert_allclose(back[:, k], (gradient * step).sum(1) / 2e-6, rtol=1e-5, atol=1e-5)


def test_bilinear_is_exact_on_a_plane_and_ends_at_the_border() -> None:
    v, u = np.mgrid[0:8, 0:9] + 0.5
    image = with_gradient((2 * u - 3 * v)[..., None].astype(np.float32))
    inner = np.array([[2.3, 4.1], [5.0, 5.9]])
    np.testing.assert_allclose(bilinear(image, inner)[:, 0], 2 * inner[:, 0] - 3 * inner[:, 1], atol=1e-5)
    np.testing.assert_allclose(bilinear(image, inner)[:, 1:], [[2, -3]] * 2, atol=1e-5)
    assert bilinear(image, np.array([[-5.0, -5.0]]))[0, 0] == image[0, 0, 0]
    assert bilinear(image, np.array([[90.0, 3.5]]))[0, 0] == image[3, 8, 0]
    assert bilinear(image, np.array([[2.5, 80.0]]))[0, 0] == image[7, 2, 0]
    assert bilinear(image, np.array([[np.nan, np.nan]]))[0, 0] == image[0, 0, 0]


def test_bilinear_is_the_mean_of_four_pixels_for_many_points() -> None:
    rng = np.random.default_rng(0)
    image, uv = rng.normal(size=(7, 9, 3)).astype(np.float32), rng.uniform([-2, -2], [11, 9], (30000, 2))
    u, v = np.clip(uv - 0.5, 0, [8, 6]).T
    expected = np.zeros((len(uv), 3))
    for row in range(7):
        for column in range(9):
            weight = np.maximum(1 - np.abs(u - column), 0) * np.maximum(1 - np.abs(v - row), 0)
            expected += weight[:, None] * image[row, column]
    np.testing.assert_allclose(bilinear(image, uv), expected, atol=1e-5)
