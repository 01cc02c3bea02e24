"""The compiled Jacobian against finite differences, on smooth images where the cost is differentiable."""

from __future__ import annotations

import numpy as np
import pytest

from engine.calibrate.kernels import PARAMETERS, accumulate
from engine.calibrate.model import fov_deg, log_focal, make_layout, relative_poses

SIZE = 128


def smooth_case(disparity: bool, seed: int = 0):
    """Bilinear fields are smooth inside a cell only: planes of code and distance make them smooth everywhere."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[:SIZE, :SIZE].astype(np.float64) / SIZE
    fields = np.empty((6, SIZE, SIZE, 3), np.float32)
    for view in range(6):
        a, b = rng.uniform(-0.1, 0.1, 2)
        fields[view, ..., 0] = 0.5 + a * (u - 0.5) + b * (v - 0.5)
        fields[view, ..., 1] = 3.0 + 4 * u + 2 * v
        fields[view, ..., 2] = 1.0
    points = np.concatenate([rng.uniform(-0.25, 0.25, (60, 2)), rng.uniform(0.4, 0.6, (60, 1))], 1)
    starts = np.arange(7, dtype=np.int64) * 10
    full = np.zeros(PARAMETERS)
    full[0] = log_focal(50.0)
    full[1:7] = 0.9 + rng.normal(0, 0.01, 6)
    full[7:13] = 0.2 + rng.normal(0, 0.01, 6)
    if disparity:
        full[7:13] *= -1
        full[1:7] = 1.15
    return full, points, starts, fields


@pytest.mark.parametrize("disparity", [False, True])
@pytest.mark.parametrize("ray", [False, True])
@pytest.mark.parametrize("behind", [0.0, 30.0])
def test_gradient_equals_finite_differences(disparity: bool, ray: bool, behind: float) -> None:
    full, points, starts, fields = smooth_case(disparity)
    rotation, translation = relative_poses(make_layout().poses())
    pairs = 1.0 - np.eye(6)
    hessian, gradient, stats = np.zeros((13, 13)), np.zeros(13), np.zeros((6, 6, 6))
    scales = np.array([8.0, 12.0, behind, 0.004])

    def cost(at: np.ndarray) -> float:
        return accumulate(
            at, points, starts, fields, rotation, translation, pairs, 0.0, disparity, ray, scales, hessian, gradient,
            stats, np.zeros((2, 3)), np.zeros(5), np.zeros(5, np.int64),
        )  # fmt: skip

    cost(full)
    analytic = 2 * gradient.copy()
    step = 1e-6
    numeric = np.array([(cost(full + step * e) - cost(full - step * e)) / (2 * step) for e in np.eye(13)])
    # Of the depth residual, the scale across the slope is held constant by design; it is small here.
    np.testing.assert_allclose(analytic, numeric, rtol=0.05, atol=0.02 * np.abs(numeric).max())


def test_hessian_is_symmetric_and_positive() -> None:
    full, points, starts, fields = smooth_case(False)
    rotation, translation = relative_poses(make_layout().poses())
    hessian, gradient, stats = np.zeros((13, 13)), np.zeros(13), np.zeros((6, 6, 6))
    accumulate(
        full, points, starts, fields, rotation, translation, 1.0 - np.eye(6), 0.0, False, False,
        np.array([5.0, 8.0, 6.0, 0.004]), hessian, gradient, stats, np.zeros((2, 3)), np.zeros(5),
        np.zeros(5, np.int64),
    )  # fmt: skip
    np.testing.assert_array_equal(hessian, hessian.T)
    assert np.linalg.eigvalsh(hessian).min() > -1e-6 * np.abs(hessian).max()


def test_relative_poses_carry_points_between_cameras() -> None:
    poses = make_layout("+X", "+Z", "+Z").poses()
    rotation, translation = relative_poses(poses)
    point = np.array([0.1, -0.2, 0.3])
    in_camera = [(point - p[:3, 3]) @ p[:3, :3] for p in poses]
    for a in range(6):
        for b in range(6):
            np.testing.assert_allclose(rotation[a, b] @ in_camera[a] + translation[a, b], in_camera[b], atol=1e-12)


def test_angle_of_view_and_focal_length_are_inverse() -> None:
    assert fov_deg(log_focal(37.0)) == pytest.approx(37.0)
