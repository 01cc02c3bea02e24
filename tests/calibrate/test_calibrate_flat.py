"""Views of a flat face whose codes are floating point's last bits: told from relief, and put at one depth."""

from __future__ import annotations

import numpy as np
import pytest
from calibrate_scenes import masks, scene, with_depth

from config.bundle_layout import VIEW_NAMES
from engine.calibrate.flat import BARELY, flat_code, levelled
from engine.calibrate.model import Family
from engine.calibrate.observe import observe
from engine.calibrate.problem import initial

N = 256
MASK = np.zeros((N, N), bool)
MASK[40:200, 30:220] = True


def streaks(levels: list[int], seed: int = 0) -> np.ndarray:
    """[N, N] a face of the second of `levels`, with streaks of the others one pixel wide."""
    rng = np.random.default_rng(seed)
    codes = np.full((N, N), levels[len(levels) // 2])
    for level in levels:
        for _ in range(300):
            x, y = rng.integers(0, N, 2)
            codes[y : y + rng.integers(3, 12), x] = level
    return np.where(MASK, codes, 0).astype(np.uint16)


@pytest.mark.parametrize("levels", [[1, 128, 255], [1, 86, 170, 255], [1, 255], [0, 64, 127, 191, 255]])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_streaks_of_few_even_steps_are_noise(levels: list[int], seed: int) -> None:
    codes = streaks([max(level, 1) for level in levels], seed)
    assert flat_code(codes, MASK, 255) == max(levels[len(levels) // 2], 1)


def test_sixteen_bits_are_no_different() -> None:
    codes = streaks([1, 32768, 65535])
    assert flat_code(codes, MASK, 65535) == 32768


def stairs(levels: list[int]) -> np.ndarray:
    codes = np.zeros((N, N), np.uint16)
    for band, level in zip(np.array_split(np.arange(40, 200), len(levels)), levels, strict=True):
        codes[band] = level
    return np.where(MASK, codes, 0)


def studs() -> np.ndarray:
    ys, xs = np.mgrid[:N, :N]
    return np.where(MASK, np.where(((xs % 24) - 12) ** 2 + ((ys % 24) - 12) ** 2 < 64, 1, 255), 0).astype(np.uint16)


@pytest.mark.parametrize(
    "codes",
    [
        stairs([1, 86, 170, 255]),
        stairs([1, 255]),
        studs(),
        streaks([1, 40, 255]),  # no even steps
        streaks([100, 178, 255]),  # not stretched
        np.where(MASK, np.linspace(1, 255, N).astype(np.uint16)[None], 0),
        np.where(MASK, 255, 0),
    ],
    ids=["stairs", "one step", "studs", "uneven", "not stretched", "slope", "one code"],
)
def test_relief_is_not_noise(codes: np.ndarray) -> None:
    assert flat_code(codes.astype(np.uint16), MASK, 255) is None


def test_a_narrow_view_is_left_alone() -> None:
    narrow = np.zeros_like(MASK)
    narrow[40:42] = True
    assert flat_code(np.where(narrow, streaks([1, 128, 255]), 0).astype(np.uint16), narrow, 255) is None


@pytest.mark.parametrize(("kind", "far_bright"), [("linear", True), ("linear", False), ("disparity", True)])
def test_a_level_view_keeps_the_depth_of_its_code_and_the_sense_of_the_others(kind: str, far_bright: bool) -> None:
    family = Family(kind, "planar", far_bright, "view_minmax")  # type: ignore[arg-type]
    full = np.concatenate([[0.5], np.linspace(0.6, 0.8, 6), np.full(6, 0.4)])
    out = levelled(full, family, {1: 0.5})
    assert out[2] + 0.5 * out[8] == pytest.approx(full[2] + 0.2)
    assert abs(out[8]) == BARELY
    assert (out[8] > 0) == (far_bright == (kind == "linear"))
    np.testing.assert_array_equal(np.delete(out, [2, 8]), np.delete(full, [2, 8]))


def test_a_noisy_face_is_seen_as_one_code_and_starts_without_depth() -> None:
    sample = scene("cube", 40.0, "view_max", "canonical")
    noisy = {}
    for seed, view in enumerate(VIEW_NAMES):
        mask = sample.bundle.depth[view] > 0
        rng = np.random.default_rng(seed)
        codes = np.where(rng.random(mask.shape) < 0.1, 1, 128)
        codes[rng.random(mask.shape) < 0.05] = 255
        noisy[view] = np.where(mask, codes, 0).astype(np.uint16)
    spoilt = with_depth(sample.bundle, **noisy)
    observation = observe(spoilt, masks(spoilt))
    assert observation.flat == pytest.approx(dict.fromkeys(range(6), 128 / 255))
    assert all(np.ptp(points[:, 2]) < 1e-6 for points in observation.points)
    assert observation.fingerprint.all_reach_top
    assert observation.fingerprint.all_reach_bottom
    poses = np.stack([sample.calibration.cameras[view].world_from_camera for view in VIEW_NAMES])
    for far_bright in (True, False):
        family = Family("linear", "planar", far_bright, "view_minmax")
        start = initial(observation, family, poses, 40.0)
        assert np.abs(start[7:13] * np.diff(observation.spread)[:, 0]).max() < 0.003
        # half a code's width, as under the other rounding, moves the face by next to nothing
        assert np.abs(start[7:13] / 255 / 2).max() < 0.002
