"""Meeting surfaces bring depth ranges to where the sample was made, and tell how codes were rounded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from calibrate_scenes import scene
from test_calibrate_settle import look, truth_of

from engine.calibrate.finish import finish
from engine.calibrate.overlap import Slopes, distances, meeting_system

CASES = [
    ("locomotive", 40.0, "view_max", "canonical"),
    ("robot", 30.0, "view_max_16bit", "canonical"),
    ("locomotive", 55.0, "near_bright", "subject"),
    ("locomotive", 65.0, "view_max_ray", "subject"),
]


@pytest.mark.parametrize(("name", "fov", "encoding", "layout"), CASES)
def test_ranges_come_back_to_the_truth(name: str, fov: float, encoding: str, layout: str) -> None:
    sample = scene(name, fov, encoding, layout)
    family, truth, poses = truth_of(sample)
    observation = look(sample)
    start = truth.copy()
    start[1:] *= 1.006
    found = finish(observation, family, start, poses)
    code = observation.spread.mean(1)
    depth, real = (full[1:7] + full[7:13] * code for full in (found.full, truth))
    error = np.abs(depth / real - 1)
    assert np.median(error) < (0.001 if found.meeting > 500 else 0.0015)  # few points: the outlines have the say
    assert error.max() < 0.002
    assert found.meeting > 100
    assert found.apart < 0.35


@pytest.mark.parametrize(
    ("name", "fov", "encoding", "layout"),
    [
        ("teapot", 45.0, "view_max", "canonical"),
        ("robot", 50.0, "disparity", "canonical"),
        ("locomotive", 65.0, "view_max_ray", "subject"),
    ],
)
def test_derivatives_are_those_of_differences(name: str, fov: float, encoding: str, layout: str) -> None:
    sample = scene(name, fov, encoding, layout)
    family, full, poses = truth_of(sample)
    slopes = Slopes.of(look(sample))
    rows = {(a, b): r for a, b, r in distances(slopes, full, family, poses, 0.0, 40.0)}
    real, ours = [], []
    for k in range(1, 13):
        step = np.zeros(13)
        step[k] = 1e-7
        ahead, behind = (
            {(a, b): r for a, b, r in distances(slopes, full + s, family, poses, 0.0, 40.0)} for s in (step, -step)
        )
        view = (k - 1) % 6
        for (a, b), r in rows.items():
            if len(r) < 15 or view not in (a, b) or not len(r) == len(ahead[a, b]) == len(behind[a, b]):
                continue
            real.append((ahead[a, b][:, 0] - behind[a, b][:, 0]) / 2e-7)
            ours.append(r[:, 1 if view == a else 2] * (r[:, 3 if view == a else 4] if k > 6 else 1))
    assert len(real) >= 8
    one, other = np.concatenate(real), np.concatenate(ours)
    # the step takes the surface to be as steep as around it; from pixel to pixel that differs
    assert np.median(np.abs(one - other)) < 0.15 * np.median(np.abs(one))
    assert np.median(one / other) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("told", ["floor", "nearest"])
def test_the_rounding_is_told_by_how_surfaces_meet(told: str) -> None:
    sample = scene("teapot", 45.0, "view_max", "canonical")
    family, truth, poses = truth_of(sample)
    start = truth.copy()
    start[7:13] *= 1.002
    found = finish(look(sample), replace(family, rounding=told), start, poses)  # type: ignore[arg-type]
    assert found.family.rounding == family.rounding


@pytest.mark.parametrize("off_px", [0.0, 0.8])
def test_many_points_weigh_more_than_few_however_far_the_ranges_are_off(off_px: float) -> None:
    def pair(a: int, b: int, count: int) -> tuple[int, int, np.ndarray]:
        noise = np.random.default_rng(count).normal(0, 0.2, count)
        return (
            a,
            b,
            np.column_stack([off_px + noise, np.ones((count, 1)), -np.ones((count, 1)), np.full((count, 2), 0.8)]),
        )

    A, gradient = meeting_system([pair(0, 2, 2000), pair(1, 3, 20)], 4.0)
    assert A[7, 7] / A[8, 8] == pytest.approx(100, rel=0.15)
    assert np.allclose(A, A.T)
    # the step that brings each pair together is the error itself
    for view in (7, 8):
        assert gradient[view] / A[view, view] * 0.8 == pytest.approx(off_px, abs=0.12)
    # a tenth of the points in all weighs less than a tenth: they share their errors, and the outlines have a say
    fewer, _ = meeting_system([pair(0, 2, 200), pair(1, 3, 2)], 4.0)
    assert fewer[7, 7] < 0.05 * A[7, 7]


@pytest.mark.parametrize(
    ("name", "structure", "unchecked"),
    [("cube", "view_max", True), ("cube", "shared", False), ("teapot", "view_max", False)],
)
def test_flat_faces_leave_ranges_unchecked(name: str, structure: str, unchecked: bool) -> None:
    sample = scene(name, 45.0, "view_max", "canonical")
    family, truth, poses = truth_of(sample)
    found = finish(look(sample), replace(family, structure=structure), truth, poses)  # type: ignore[arg-type]
    assert found.unchecked is unchecked
