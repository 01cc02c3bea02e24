from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from engine.quality.clean_plate import grow, paint_out
from engine.quality.kernels import reference_pictures
from engine.quality.metrics import (
    PSNR_CAP_DB,
    Box,
    Known,
    bounding_box,
    intersection_over_union,
    psnr_db,
    squared_error,
    ssim_map,
)
from engine.quality.score import _pictures
from engine.render import Render


def full_frame(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return structural_similarity(a, b, data_range=1.0, channel_axis=-1, full=True)[1].mean(-1)


def pictures(seed: int, size: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((size, size, 3), np.float32), rng.random((size, size, 3), np.float32)


# --- SSIM on parts of the frame


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 230), st.integers(0, 230), st.integers(1, 240), st.integers(1, 240))
def test_ssim_of_the_differing_part_is_that_of_the_whole(seed: int, y: int, x: int, h: int, w: int) -> None:
    a, other = pictures(seed, 240)
    b = a.copy()
    b[y : y + h, x : x + w] = other[y : y + h, x : x + w]
    got = ssim_map(b, a)
    assert np.allclose(got, full_frame(b, a), atol=2e-4)
    assert got.mean(dtype=np.float64) == pytest.approx(full_frame(b, a).mean(dtype=np.float64), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 190), st.integers(1, 200))
def test_a_known_map_is_taken_only_where_the_pictures_are_the_same(seed: int, x: int, w: int) -> None:
    a, b = pictures(seed)
    c, d = a.copy(), b.copy()
    c[:, x : x + w], d[20:30] = 0.5, 0.25
    known = Known(a, b, ssim_map(a, b))
    before = known.ssim.copy()
    assert np.allclose(ssim_map(c, d, known), full_frame(c, d), atol=2e-4)
    assert np.array_equal(known.ssim, before)


def test_equal_pictures_have_ssim_one_everywhere() -> None:
    a, _ = pictures(0)
    assert (ssim_map(a, a.copy()) == 1).all()


# --- PSNR


def test_psnr_is_scikit_images() -> None:
    a, b = pictures(3)
    error = squared_error(a, b)
    assert psnr_db(error.sum(dtype=np.float64), error.size) == pytest.approx(
        peak_signal_noise_ratio(a, b, data_range=1.0), abs=1e-4
    )


@pytest.mark.parametrize(("offset", "expected"), [(0.1, 20.0), (0.01, 40.0), (1.0, 0.0), (0.0, PSNR_CAP_DB)])
def test_psnr_of_a_constant_error(offset: float, expected: float) -> None:
    error = squared_error(np.full((8, 8, 3), offset, np.float32), np.zeros((8, 8, 3), np.float32))
    assert psnr_db(float(error.sum(dtype=np.float64)), error.size) == pytest.approx(expected, abs=1e-4)


def test_nothing_to_compare_scores_nothing() -> None:
    assert psnr_db(0.0, 0) == 0.0


@given(st.floats(0, 1e9), st.integers(0, 10**9))
def test_psnr_is_finite_and_bounded(total: float, count: int) -> None:
    assert 0 <= psnr_db(total, count) <= PSNR_CAP_DB


# --- masks


def test_iou_of_a_shifted_square() -> None:
    a, b = np.zeros((2, 100, 100), bool)
    a[20:60, 20:60] = True
    b[20:60, 30:70] = True
    assert intersection_over_union(a, b) == pytest.approx(30 / 50)
    assert intersection_over_union(a, a) == 1
    assert intersection_over_union(a, ~a) == 0
    assert intersection_over_union(a & ~a, a & ~a) == 1


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 9))
def test_growing_is_repeated_dilation_by_a_cross(seed: int, radius: int) -> None:
    from scipy import ndimage

    mask = np.random.default_rng(seed).random((40, 50)) > 0.99
    expected = ndimage.binary_dilation(mask, iterations=radius) if radius else mask
    assert np.array_equal(grow(mask, radius), expected)


def test_bounding_box() -> None:
    mask = np.zeros((9, 9), bool)
    assert bounding_box(mask) is None
    mask[2:5, 3:8] = True
    assert bounding_box(mask) == Box(2, 5, 3, 8)
    assert Box(2, 5, 3, 8).grown(3, (9, 9)) == Box(0, 8, 0, 9)


# --- the clean plate


def push_pull(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The readable form: whole frames of even size, each level filled from the next."""
    height, width = hole.shape
    if min(height, width) <= 2 or not hole.any():
        known = ~hole
        return np.where(hole[..., None], image[known].mean(0) if known.any() else 1.0, image)
    weight = (~hole).astype(float)[..., None]
    blocks = (height // 2, 2, width // 2, 2, -1)
    count = weight.reshape(blocks).sum((1, 3))
    small = (image * weight).reshape(blocks).sum((1, 3)) / np.maximum(count, 1)
    small = push_pull(small, count[..., 0] == 0)
    out = image.copy()
    for y, x in zip(*np.nonzero(hole), strict=True):
        cy, cx = np.clip((y + 0.5) / 2 - 0.5, 0, height // 2 - 1), np.clip((x + 0.5) / 2 - 0.5, 0, width // 2 - 1)
        y0, x0 = int(cy), int(cx)
        y1, x1 = min(y0 + 1, height // 2 - 1), min(x0 + 1, width // 2 - 1)
        fy, fx = cy - y0, cx - x0
        out[y, x] = (small[y0, x0] * (1 - fx) + small[y0, x1] * fx) * (1 - fy)
        out[y, x] += (small[y1, x0] * (1 - fx) + small[y1, x1] * fx) * fy
    return out


@pytest.mark.parametrize("hole", [(30, 90, 40, 100), (0, 50, 0, 20), (60, 128, 1, 128), (64, 65, 64, 65)])
def test_painting_out_is_push_pull(hole: tuple[int, int, int, int]) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    mask = np.zeros((128, 128), bool)
    mask[Box(*hole).slices] = True
    mask[5, 7] = True
    assert np.allclose(paint_out(rgb, mask), push_pull(rgb / 255.0, mask), atol=1e-5)


@pytest.mark.parametrize("size", [256, 257, 301])
def test_a_plain_background_is_restored_exactly(size: int) -> None:
    rgb = np.full((size, size, 3), (250, 120, 3), np.uint8)
    hole = np.zeros((size, size), bool)
    hole[10:200, 40:] = True
    painted = rgb.copy()
    painted[hole] = 0  # what is under the hole has no say
    got = paint_out(painted, hole)
    assert np.allclose(got, rgb / 255.0, atol=1e-6)


@pytest.mark.parametrize("size", [200, 257])
def test_the_compiled_pictures_are_the_readable_ones(size: int) -> None:
    rng = np.random.default_rng(2)
    rgb = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    alpha = rng.integers(0, 256, (size, size), dtype=np.uint8)
    coverage = rng.choice(np.float32([0, 0.25, 0.5, 1]), (size, size))
    drawn = rng.random((size, size, 3), np.float32) * coverage[..., None]
    near = np.zeros((size, size), bool)
    near[50:120, 60:] = True
    near[:9, :30] = True
    expected = reference_pictures(rgb, alpha, drawn, coverage, paint_out(rgb, near), near)
    for box in (Box(0, size, 0, size), Box(40, 131, 45, 150)):
        got = _pictures(Render(drawn, coverage, coverage), rgb, alpha, near, box)
        for mine, reference in zip(got, expected, strict=True):
            assert np.allclose(mine, reference[box.slices], atol=1e-6)


def test_a_frame_that_is_all_hole_is_white() -> None:
    hole = np.ones((64, 64), bool)
    assert (paint_out(np.zeros((64, 64, 3), np.uint8), hole) == 1).all()
