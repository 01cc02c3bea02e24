"""Creases and steps: which are taken, tried otherwise, or given up."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from config.errors import Cancelled
from engine.mesh import Mesh
from engine.progress import Checkpoint
from engine.refine import shape, stage
from engine.refine.guard import Agreement, DepthRender, agreement
from engine.refine.shape import displaced, fit_offset
from engine.refine.stage import LEAST_RAISE, MOST_RAISE, _untangled
from tests.refine.shape_scenes import (
    RADIUS,
    Seen,
    ball,
    delivered,
    radii,
    refine,
    renders_of,
    scene_of,
)


def test_a_step_that_makes_the_depth_error_worse_is_tried_with_more_say_for_the_depth(
    seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one step would inflate all over, were the depth not given its say while it is sought."""
    small, shallow, weights = ball(0.99 * RADIUS), delivered(ball(0.992 * RADIUS)), list[float]()

    def fit(*given: Any) -> NDArray[np.float64]:
        weights.append(given[-1])
        return fit_offset(*given)

    monkeypatch.setattr(shape, "SMOOTHNESS", 1000.0)
    monkeypatch.setattr(stage, "DEPTH", 1e-3)
    monkeypatch.setattr(stage, "fit_offset", fit)
    found = refine(seen, small, steps=1, depth=shallow)
    assert found.steps == 1
    assert len(weights) > 1
    assert all(LEAST_RAISE - 1e-9 <= b / a <= MOST_RAISE + 1e-9 for a, b in itertools.pairwise(weights))
    assert found.after.depth_error <= found.before.depth_error
    assert found.outline_px[1] < found.outline_px[0]
    weights.clear()
    refine(seen, small, steps=2, depth=shallow)
    assert weights.count(1e-3) == 1, "the next step begins with what this one took"


def test_time_steps_and_cancelling_are_kept_to(seen: Seen) -> None:
    small = ball(0.99 * RADIUS)
    assert refine(seen, small, steps=1).steps == 1
    assert refine(seen, small, steps=0).mesh is small
    ticks = iter(np.arange(100.0))
    late = refine(seen, small, budget_s=0.5, clock=lambda: float(next(ticks)))
    assert (late.steps, late.stopped) == (0, "the time was over")
    assert late.mesh is small

    def cancel(fraction: float) -> None:
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        refine(seen, small, checkpoint=cancel)


def cubes() -> tuple[Mesh, Mesh]:
    """A cube of side 0.3, and the same with its edges rounded as fusing does."""
    from trimesh.creation import box
    from trimesh.smoothing import filter_laplacian

    made = box((0.3, 0.3, 0.3))
    for _ in range(5):
        made = made.subdivide()
    faces, sharp = np.asarray(made.faces, np.int32), np.array(made.vertices, np.float64)
    filter_laplacian(made, iterations=1)
    return Mesh(sharp, faces), Mesh(np.array(made.vertices, np.float64), faces)


def test_rounded_creases_are_made_sharp_again() -> None:
    cube, rounded = cubes()
    found = refine(scene_of(cube), rounded, steps=2, depth=delivered(cube))
    apart = np.linalg.norm(rounded.vertices - cube.vertices, axis=1)
    edges = apart > 0.3 * apart.max()
    assert found.creases > 0.1
    assert np.linalg.norm(found.mesh.vertices - cube.vertices, axis=1)[edges].mean() < 0.7 * apart[edges].mean()
    assert found.after.no_worse_than(found.before)


def swollen(mesh: Mesh) -> tuple[Mesh, float]:
    return Mesh(1.1 * mesh.vertices, mesh.faces), 0.5


def bumped(mesh: Mesh) -> tuple[Mesh, float]:
    """Too few vertices for the depth error, a median, to notice."""
    return Mesh(np.where(mesh.vertices[:, :1] > 0.9 * RADIUS, 1.1, 1.0) * mesh.vertices, mesh.faces), 0.05


@pytest.mark.parametrize(("creases", "tried"), [(swollen, False), (bumped, True)])
def test_creases_that_cost_much_of_the_depth_are_spared_at_once(
    creases: Callable[[Mesh], tuple[Mesh, float]], tried: bool, seen: Seen
) -> None:
    start, renders = ball(0.999 * RADIUS), renders_of(seen)
    sharpest = creases(start)
    found = stage._with_creases(start, sharpest, renders, agreement(start, renders))
    assert any(mesh is sharpest[0] for mesh, *_ in found) is tried


@pytest.mark.parametrize("creases", [swollen, bumped])
def test_creases_that_the_depth_contradicts_are_given_up(
    seen: Seen,
    creases: Callable[[Mesh], tuple[Mesh, float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = ball(RADIUS)
    monkeypatch.setattr(stage, "sharpened", creases)
    found = refine(seen, right)
    assert found.creases == 0
    assert np.abs(radii(found.mesh) - RADIUS).max() < 0.002 * RADIUS


def test_creases_that_are_given_up_leave_time_for_the_outlines(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    small, now_s, over = ball(0.99 * RADIUS), [0.0], list[bool]()
    fitted = stage._fitted

    def watched(start: Mesh, now: Agreement, held: stage._Held, checkpoint: Checkpoint) -> stage._Fitted | None:
        now_s[0] = 8.0
        over.append(held.over())
        return fitted(start, now, held, checkpoint)

    monkeypatch.setattr(stage, "sharpened", bumped)
    monkeypatch.setattr(stage, "_fitted", watched)
    found = refine(seen, small, budget_s=10.0, clock=lambda: now_s[0])
    assert (over[0], over[-1]) == (True, False)
    assert found.creases == 0
    assert found.steps > 0


def test_a_step_that_tears_the_mesh_is_not_taken(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    small = ball(0.99 * RADIUS)
    monkeypatch.setattr(stage, "defects", lambda mesh: ["two vertices share a position"])
    found = refine(seen, small)
    assert found.mesh is small
    assert found.steps == 0


@pytest.mark.parametrize("times", [2.2, 3, 6])
def test_a_step_that_goes_too_far_is_halved(times: float, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever weight the depth is given."""
    monkeypatch.setattr(stage, "fit_offset", lambda *given: times * fit_offset(*given))
    found = refine(seen, ball(0.99 * RADIUS), steps=1)
    assert found.steps == 1
    assert found.after.depth_iou > found.before.depth_iou
    assert found.after.depth_error < found.before.depth_error


GOOD, FLAT, CUT = Agreement(0.9, 0.9, 0.1, 0.01), Agreement(0.9, 0.9, 0.1, 0.011), Agreement(0.8, 0.8, 0.1, 0.01)
FLATTER = Agreement(0.9, 0.9, 0.1, 0.012)


@pytest.mark.parametrize(
    ("tried", "shares", "weights"),
    [
        ([GOOD], [1], [1.0]),
        ([FLAT, GOOD], [1, 1], [1.0, 1.1**4]),
        ([FLATTER, FLAT, GOOD], [1, 1, 1], [1.0, 1.2**4, 1.32**4]),
        ([FLAT, FLAT, GOOD], [1, 1, 0.5], [1.0, 1.1**4]),  # more weight did not help
        ([FLAT, FLATTER, GOOD], [1, 1, 0.5], [1.0, 1.1**4]),
        ([CUT, GOOD], [1, 0.5], [1.0]),
        ([CUT, FLAT, GOOD], [1, 0.5, 0.5], [1.0, 1.1**4]),  # what is halved stays so
        ([CUT, CUT, GOOD], [1, 0.5, 0.25], [1.0]),
        ([CUT, CUT, CUT], [1, 0.5, 0.25], [1.0]),
        ([CUT, FLATTER, FLAT, CUT, FLATTER, FLAT, FLAT], [1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25], None),
    ],
)
def test_a_step_is_raised_and_halved_as_it_should(
    tried: list[Agreement], shares: list[float], weights: list[float] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, step = ball(RADIUS), 1e-3 * RADIUS
    normals, nothing = start.vertex_normals(), np.zeros(len(start.vertices))
    answers, asked, seen_shares, told = iter(tried), list[float](), list[float](), list[int]()

    def agree(mesh: Mesh, renders: list[DepthRender]) -> Agreement:
        seen_shares.append(float((radii(mesh) - RADIUS).mean() / step))
        return next(answers)

    def fit(weight: float) -> NDArray[np.float64]:
        asked.append(weight)
        return np.full(len(nothing), step)

    monkeypatch.setattr(stage, "agreement", agree)
    held = stage._Held([], [], GOOD, 1, lambda: False)
    last = stage._Step(nothing, start, GOOD, 1.0)
    found = stage._step(start, normals, last, fit, held, lambda: told.append(1))
    assert isinstance(found, str) is (tried[-1] is not GOOD)
    assert seen_shares == pytest.approx(shares, rel=1e-3)
    assert len(told) >= len(tried), "so that it can be cancelled"
    if weights is not None:
        assert asked == pytest.approx(weights)


def test_a_weight_that_can_not_be_solved_leaves_the_step_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    start = ball(RADIUS)
    nothing, answers = np.zeros(len(start.vertices)), iter([FLAT, GOOD])
    monkeypatch.setattr(stage, "agreement", lambda mesh, renders: next(answers))
    last = stage._Step(nothing, start, GOOD, 1.0)
    fits = {1.0: np.full(len(nothing), 1e-3 * RADIUS)}
    held = stage._Held([], [], GOOD, 1, lambda: False)
    give = (start, start.vertex_normals(), last, lambda weight: fits.get(weight, np.nan * nothing), held)
    found = stage._step(*give, lambda: None)
    assert isinstance(found, stage._Step)
    assert (found.depth_weight, float(found.offset.mean())) == (1.0, pytest.approx(0.5e-3 * RADIUS))
    over = replace(held, over=lambda: True)
    assert stage._step(*give[:-1], over, lambda: None) == "the time was over"


def test_a_step_away_from_the_outlines_is_not_taken(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "fit_offset", lambda *given: -0.3 * fit_offset(*given))
    monkeypatch.setattr(Agreement, "no_worse_than", lambda self, other: True)
    small = ball(0.99 * RADIUS)
    found = refine(seen, small)
    assert found.mesh is small
    assert (found.steps, found.stopped) == (0, "the outlines came no nearer")


def test_faces_that_would_turn_stay_where_they_were() -> None:
    mesh = ball(RADIUS)
    normals = mesh.vertex_normals()
    wanted = np.full(len(mesh.vertices), 0.001 * RADIUS)
    wanted[7] = -1.5 * RADIUS  # through the ball and out on the other side
    nothing = np.zeros(len(wanted))
    tried = _untangled(mesh, normals, nothing, wanted)
    assert tried is not None
    assert ((mesh.face_normals() * displaced(mesh, normals, tried).face_normals()).sum(1) > 0).all()
    assert tried[7] == 0
    assert (tried == 0.001 * RADIUS).mean() > 0.99


@pytest.mark.parametrize("broken", [slice(None), slice(7, 8)], ids=["all of it", "one vertex"])
def test_a_step_that_is_not_a_number_leaves_the_last_good_one(
    seen: Seen, broken: slice, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, calls = ball(0.99 * RADIUS), list[int]()
    good = refine(seen, small, steps=1)

    def fit(*given: Any) -> NDArray[np.float64]:
        calls.append(len(calls))
        out = fit_offset(*given)
        if len(calls) == 2:
            out[broken] = np.nan
        return out

    monkeypatch.setattr(stage, "fit_offset", fit)
    found = refine(seen, small, steps=4)
    assert (found.steps, found.stopped) == (1, "a step was not a number")
    np.testing.assert_array_equal(found.mesh.vertices, good.mesh.vertices)
