from __future__ import annotations

import numpy as np
import pytest
from fuse_scenes import box, camera, scene, sphere

from config.bundle_layout import VIEW_NAMES
from engine.calibrate.result import DepthCoding
from engine.fuse import dequantise, fuse
from engine.fuse.dequantise import Bounds, disparity_bounds, smooth_within, surface_links


def bounds_of(solid, view="front", **how):
    bundle, _, calibration, exact = scene(solid, **how)
    bounds = disparity_bounds(bundle.depth[view], calibration.depth[view], calibration.cameras[view])
    return bounds, bounds.jump(float(calibration.cameras[view].K[0, 0])), exact[view]


@pytest.mark.parametrize("rounding", ["floor", "nearest"])
@pytest.mark.parametrize("measure", ["planar", "ray"])
@pytest.mark.parametrize("kind", ["linear", "disparity"])
def test_bounds_hold_the_truth(rounding, measure, kind):
    bounds, _, exact = bounds_of(sphere, rounding=rounding, measure=measure, kind=kind)
    inside = exact > 0
    truth = 1 / exact[inside]
    assert (bounds.low[inside] <= truth * (1 + 1e-5)).all()
    assert (bounds.high[inside] >= truth * (1 - 1e-5)).all()
    assert not bounds.middle[~inside].any()


def test_a_sphere_loses_its_terraces():
    bounds, jump, exact = bounds_of(sphere)
    inside = exact > 0
    error = {
        name: np.abs(1 / u[inside] - exact[inside]).mean()
        for name, u in (("raw", bounds.middle), ("smooth", smooth_within(bounds, jump)))
    }
    assert error["smooth"] < 0.35 * error["raw"]


def test_the_result_obeys_the_codes():
    bounds, jump, _ = bounds_of(sphere)
    smooth = smooth_within(bounds, jump)
    assert (smooth >= bounds.low).all()
    assert (smooth <= bounds.high).all()


def test_pixels_in_the_middle_of_a_surface_are_treated_as_all_others(monkeypatch):
    bounds, jump, _ = bounds_of(sphere)
    fast = smooth_within(bounds, jump)
    monkeypatch.setattr(dequantise, "_surrounded", lambda right, down: np.zeros(right.shape, np.bool_))
    level = float(np.median((bounds.high - bounds.low)[bounds.middle > 0]))
    assert np.abs(smooth_within(bounds, jump) - fast).max() < 0.02 * level  # the sums are rounded otherwise
    assert np.abs(fast - bounds.middle).max() > 0.2 * level


def test_sixteen_bits_are_left_as_they_are():
    bounds, jump, exact = bounds_of(sphere, code_max=65535)
    inside = exact > 0
    assert np.abs(1 / smooth_within(bounds, jump)[inside] - exact[inside]).max() < 3e-5


def test_a_slanted_plane_becomes_a_plane():
    """1/z is linear in the pixel: quantised, then smoothed, its second differences all but vanish."""
    v, u = np.mgrid[:64, :96]
    truth = (1.0 + 0.002 * u + 0.0007 * v).astype(np.float32)
    coding = DepthCoding("linear", "planar", 0.0, 1.2, "nearest", 255)
    codes = np.round(1 / truth / 1.2 * 255).astype(np.uint16)
    bounds = disparity_bounds(codes, coding, camera("front"))
    smooth = smooth_within(bounds, bounds.jump(350.0))
    assert np.abs(smooth - truth).mean() < 0.3 * np.abs(bounds.middle - truth).mean()


def test_nothing_diffuses_across_a_jump():
    middle = np.full((20, 20), 1.0, np.float32)
    middle[:, 10:] = 1.2
    bounds = Bounds(middle - np.float32(0.002), middle, middle + np.float32(0.002))
    smooth = smooth_within(bounds, bounds.jump(350.0))
    assert np.abs(smooth - middle).max() < 1e-4


def test_links_join_one_surface_only():
    middle = np.array([[1.0, 1.001, 1.2], [0.0, 1.0, 1.2]], np.float32)
    right, down = surface_links(middle, np.full(middle.shape, 0.01, np.float32))
    assert right.tolist() == [[True, False, False], [False, False, False]]
    assert down.tolist() == [[False, True, True], [False, False, False]]


def test_surrounded_pixels_have_eight_links():
    right, down = np.ones((2, 9, 12), np.bool_)
    right[:, -1], down[-1] = False, False
    right[4, 6] = False
    expected = np.zeros((9, 12), np.bool_)
    expected[2:-2, 2:-2] = True
    expected[4, 5:9] = False
    assert np.array_equal(dequantise._surrounded(right, down), expected)


def test_outlines_place_a_flat_face():
    """A face square to its camera lies on one level; the cameras beside it see where it ends."""
    bundle, segmentation, calibration, exact = scene(box, far=1.37, size=384)
    fused = fuse(bundle, segmentation, calibration, 32, lambda _: None)
    raw, smooth = [], []
    for view in VIEW_NAMES:
        inside = exact[view] > 0
        bounds = disparity_bounds(bundle.depth[view], calibration.depth[view], calibration.cameras[view])
        raw.append(np.abs(1 / bounds.middle[inside] - exact[view][inside]).mean())
        smooth.append(np.abs(fused.depth[view][inside] - exact[view][inside]).mean())
    assert np.mean(smooth) < 0.75 * np.mean(raw)
