"""The last step of calibration: from a start that is off, it comes back to the truth and knows how well."""

from __future__ import annotations

import math

import numpy as np
import pytest
from calibrate_scenes import masks, scene

from config.bundle_layout import VIEW_NAMES
from engine.calibrate.model import Family, fov_deg, log_focal
from engine.calibrate.observe import Observation, observe
from engine.calibrate.settle import Rims, gather_fans, outline_system, settle
from engine.sample import Scene

CASES = [
    ("teapot", 60.0, "shared", "subject"),
    ("locomotive", 55.0, "near_bright", "subject"),
    ("robot", 50.0, "disparity", "canonical"),
    ("locomotive", 65.0, "view_max_ray", "subject"),
    ("robot", 30.0, "view_max_16bit", "canonical"),
]


def truth_of(sample: Scene) -> tuple[Family, np.ndarray, np.ndarray]:
    """The family, the parameters and the poses that a sample was made with."""
    codings = [sample.calibration.depth[view] for view in VIEW_NAMES]
    first = codings[0]
    ends = np.array([[c.at_code_0, c.at_code_max] for c in codings])
    if first.kind == "disparity":
        ends = 1 / ends
    shared = len({tuple(row) for row in ends.tolist()}) == 1
    structure = "shared" if shared else "view_max" if not ends[:, 0].any() else "view_minmax"
    family = Family(
        first.kind, first.measure, first.at_code_max > first.at_code_0, structure, first.rounding,  # type: ignore[arg-type]
    )  # fmt: skip
    full = np.concatenate([[log_focal(sample.calibration.fov_deg)], ends[:, 0], ends[:, 1] - ends[:, 0]])
    poses = np.stack([sample.calibration.cameras[view].world_from_camera for view in VIEW_NAMES])
    return family, full, poses


def look(sample: Scene) -> Observation:
    return observe(sample.bundle, masks(sample.bundle))


@pytest.mark.parametrize(("name", "fov", "encoding", "layout"), CASES)
def test_comes_back_to_the_truth(name: str, fov: float, encoding: str, layout: str) -> None:
    sample = scene(name, fov, encoding, layout)
    family, truth, poses = truth_of(sample)
    observation = look(sample)
    start = truth.copy()
    start[0] += 0.03
    start[1:] *= 1.008
    settled = settle(observation, family, start, poses, free_fov=True)
    error = abs(fov_deg(settled.full[0]) - fov)
    assert error < 0.35
    assert abs(settled.full[0] - truth[0]) < 4 * settled.sigma_log_f
    assert settled.rms_px < 0.6
    for code in observation.spread.mean(0):
        found = settled.full[1:7] + settled.full[7:13] * code
        real = truth[1:7] + truth[7:13] * code
        assert np.abs(found / real - 1).max() < 0.004


def test_a_held_angle_stays_and_has_no_error() -> None:
    sample = scene("robot", 50.0, "disparity", "canonical")
    family, truth, poses = truth_of(sample)
    settled = settle(look(sample), family, truth, poses)
    assert settled.full[0] == truth[0]
    assert math.isinf(settled.sigma_log_f)


def test_a_wrong_layout_leaves_large_residuals() -> None:
    sample = scene("locomotive", 55.0, "near_bright", "subject")
    family, truth, poses = truth_of(sample)
    turned = poses.copy()
    turned[5, :3, :2] *= -1  # the bottom view by half a turn
    observation = look(sample)
    assert settle(observation, family, truth, turned).rms_px > 3 * settle(observation, family, truth, poses).rms_px


@pytest.mark.parametrize("measure", ["planar", "ray"])
@pytest.mark.parametrize("kind", ["linear", "disparity"])
def test_jacobian_is_that_of_differences(kind: str, measure: str) -> None:
    sample = scene("robot", 50.0, "disparity", "canonical")
    _, full, poses = truth_of(sample)
    family = Family(kind, measure, kind == "linear", "view_minmax", "nearest")  # type: ignore[arg-type]
    if kind == "linear":
        full[1:7], full[7:13] = 0.55, 0.6
    observation = look(sample)
    half = observation.fine.shape[1] / 2
    fans = gather_fans(Rims.of(observation), family, full, poses, 0.0, half)
    residuals, J = outline_system(fans, full, family, poses, 0.0, half)
    for k in range(13):
        step = np.zeros(13)
        step[k] = 1e-7
        ahead, _ = outline_system(fans, full + step, family, poses, 0.0, half)
        behind, _ = outline_system(fans, full - step, family, poses, 0.0, half)
        difference = (ahead - behind) / 2e-7
        # where two points are outermost alike the derivative jumps from one to the other
        close = np.abs(difference - J[:, k]) < 1e-3 * (1 + np.abs(J[:, k]))
        assert close.mean() > 0.97
    assert np.isfinite(residuals).all()
