"""Moving the fused surface to where the views' outlines are."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import grey_dilation

from config.bundle_layout import VIEW_NAMES, ViewName
from config.errors import Cancelled
from engine.bundle import Bundle
from engine.calibrate.result import Calibration, DepthCoding
from engine.camera import Registration
from engine.mesh import Mesh
from engine.progress import Checkpoint
from engine.refine import Refinement, refine_shape, shape, stage
from engine.refine.depth import DepthPull
from engine.refine.guard import Agreement, DepthRender, agreement, depth_renders, worsened
from engine.refine.outlines import signed_distance, target_of
from engine.refine.shape import HOLD, SMOOTHNESS, Pull, displaced, fit_offset, laplacian, pulls_of
from engine.refine.stage import LEAST_RAISE, MOST_RAISE, _untangled, outlines_of_views
from engine.render import render_depth
from engine.segment import Segmentation
from engine.surface.verify import defects
from tests.texture.conftest import Scene, draw, view_camera
from tests.texture.conftest import scene as plain_scene  # noqa: F401 - a fixture

RGB = 512
CODES = 255
RADIUS = 0.17


def ball(radius: float) -> Mesh:
    """A closed ball about the middle of the world."""
    from trimesh.creation import icosphere

    made = icosphere(subdivisions=4, radius=radius)
    return Mesh(np.asarray(made.vertices, np.float64), np.asarray(made.faces, np.int32))


def scene_of(mesh: Mesh) -> tuple[Bundle, Segmentation, Calibration]:
    """What six cameras see of a mesh: antialiased RGB, depth of 8 bits at half the size."""
    rgb, alpha, depth, mask = {}, {}, {}, {}
    coding = DepthCoding("linear", "planar", 0.0, 1.3, "floor", CODES)
    for view in VIEW_NAMES:
        rgb[view], alpha[view] = draw(mesh, view_camera(view, RGB), 255.0)
        z = render_depth(mesh, view_camera(view, RGB // 2))
        mask[view] = z > 0
        depth[view] = np.floor(z / 1.3 * CODES).astype(np.uint16)
    return _scene(rgb, alpha, depth, mask, coding)


def _scene(rgb, alpha, depth, mask, coding):  # type: ignore[no-untyped-def]
    from pathlib import Path

    from config.job import JobOptions
    from engine.calibrate.result import ViewAxes

    cameras = {v: view_camera(v, RGB // 2) for v in VIEW_NAMES}
    axes = {v: ViewAxes("+Z", "+Y") for v in VIEW_NAMES}
    codings = dict.fromkeys(VIEW_NAMES, coding)
    calibration = Calibration(cameras, codings, 40.0, "shared", axes, 1.0, "given", ambiguous=False)
    bundle = Bundle(Path("ball"), rgb, dict.fromkeys(VIEW_NAMES), depth, CODES, JobOptions())
    return bundle, Segmentation(alpha, mask, dict.fromkeys(VIEW_NAMES, 1.0)), calibration


@pytest.fixture(scope="module")
def seen() -> tuple[Bundle, Segmentation, Calibration]:
    return scene_of(ball(RADIUS))


def delivered(mesh: Mesh) -> dict[ViewName, NDArray[np.float32]]:
    """The depth of a mesh, to all digits."""
    return {view: render_depth(mesh, view_camera(view, RGB // 2)) for view in VIEW_NAMES}


def renders_of(seen: tuple[Bundle, Segmentation, Calibration], mesh: Mesh | None = None) -> list[DepthRender]:
    return depth_renders(*seen, delivered(mesh or ball(RADIUS)))


def nothing_asked(count: int) -> DepthPull:
    return DepthPull(sparse.csr_matrix((count, count)), np.zeros(count))


def refine(
    seen: tuple[Bundle, Segmentation, Calibration],
    mesh: Mesh,
    steps: int = 4,
    budget_s: float = 1e9,
    checkpoint: Callable[[float], None] = lambda fraction: None,
    registrations: dict[str, Registration] | None = None,
    clock: Callable[[], float] = lambda: 0.0,
    depth: dict[ViewName, NDArray[np.float32]] | None = None,
) -> Refinement:
    """depth: as delivered; the ball's where none is given."""
    depth = depth or delivered(ball(RADIUS))
    return refine_shape(mesh, *seen, registrations or {}, depth, steps, budget_s, checkpoint, clock)  # type: ignore[arg-type]


def radii(mesh: Mesh) -> NDArray[np.float64]:
    return np.linalg.norm(mesh.vertices, axis=1)


@pytest.mark.parametrize("radius_px", [20.0, 60.25])
def test_a_distance_is_exact_to_a_twentieth_of_a_pixel(radius_px: float) -> None:
    n, fine = 160, 8
    at = (np.arange(n * fine) + 0.5) / fine
    disk = np.hypot(at[:, None] - 80.3, at[None, :] - 79.6) < radius_px
    coverage = disk.reshape(n, fine, n, fine).mean((1, 3)).astype(np.float32)
    distance = signed_distance(coverage)
    centre = np.arange(n) + 0.5
    true = np.hypot(centre[:, None] - 80.3, centre[None, :] - 79.6) - radius_px
    near = np.abs(true) < 1
    assert np.abs(distance - true)[near].mean() < 0.05
    assert abs(float((distance - true)[near].mean())) < 0.005 + 0.55 / radius_px, "a blur of 1 px shortens a curve"
    far = np.abs(true) < 15
    assert np.abs(distance - true)[far].max() < 0.9


def test_pulls_say_how_a_displacement_changes_the_outline(seen: tuple[Bundle, Segmentation, Calibration]) -> None:
    _, segmentation, calibration = seen
    camera = calibration.cameras["front"].scaled_to(RGB)
    target = target_of(camera, segmentation.rgb_alpha["front"].astype(np.float32) / 255)
    assert target is not None
    small = ball(0.99 * RADIUS)
    (pull,) = pulls_of(small, small.vertex_normals(), [target])
    assert len(pull.vertex) > 40
    short_px = 0.01 * RADIUS * camera.K[0, 0]
    assert float(pull.residual.mean()) == pytest.approx(-short_px, rel=0.15)
    (larger,) = pulls_of(ball(RADIUS), small.vertex_normals(), [target])
    assert abs(float(larger.residual.mean())) < 0.15 * short_px
    # a ball's outline moves with its radius about as the projection says
    assert float(np.median(pull.slope)) == pytest.approx(camera.K[0, 0], rel=0.1)


def test_the_system_is_solved() -> None:
    mesh = ball(1.0)
    bending = laplacian(mesh)
    bending = (bending.T @ bending).tocsr()
    rng = np.random.default_rng(1)
    vertex = rng.choice(len(mesh.vertices), 50, replace=False)
    pull = Pull(vertex, rng.normal(0, 0.1, 50), np.full(50, 800.0))
    half = sparse.random(len(mesh.vertices), len(mesh.vertices), 0.001, random_state=2)
    depth = DepthPull((half @ half.T).tocsr(), rng.normal(0, 0.1, len(mesh.vertices)))
    before = rng.normal(0, 0.1, len(mesh.vertices))
    offset = fit_offset([pull], depth, before, bending, 800.0, 3.0)
    gradient = SMOOTHNESS * (bending @ offset) + HOLD * offset
    gradient += 3 * (depth.system @ (offset - before) - depth.right)
    np.add.at(gradient, vertex, offset[vertex] - before[vertex] + pull.residual / 800.0)
    assert np.abs(gradient).max() < 1e-9
    assert (laplacian(mesh) @ np.ones(len(mesh.vertices))) == pytest.approx(0, abs=1e-12)


def limb_and_corner(mesh: Mesh) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """A ball's vertices that the front view's outline shows, from 1 away, and those where no view has an outline."""
    radius = float(radii(mesh).mean())
    limb = np.abs(mesh.vertices[:, 2] - radius**2) < 0.01 * radius
    return limb, np.abs(np.abs(mesh.vertices) / radius - 3**-0.5).max(1) < 0.08


def test_a_ball_fused_too_small_meets_its_outlines_and_its_depth(
    seen: tuple[Bundle, Segmentation, Calibration],
) -> None:
    small = ball(0.99 * RADIUS)
    found = refine(seen, small, steps=6)
    before_px, after_px = found.outline_px
    assert found.steps >= 2
    assert after_px < 0.3 * before_px
    assert found.after.depth_iou > found.before.depth_iou
    assert found.after.depth_error < 0.1 * found.before.depth_error
    assert found.after.no_worse_than(found.before)
    assert set(found.sources.values()) == {"rgb"}
    assert not defects(found.mesh)
    for part in limb_and_corner(small):
        assert abs(radii(found.mesh)[part].mean() - RADIUS) < 0.1 * 0.01 * RADIUS


def test_where_outlines_and_depth_contradict_each_other_only_the_rim_gives_way(
    seen: tuple[Bundle, Segmentation, Calibration],
) -> None:
    """All depth says 0.993 of the radius that all outlines say: the start lies below both."""
    small, shallow = ball(0.99 * RADIUS), delivered(ball(0.993 * RADIUS))
    found = refine(seen, small, steps=6, depth=shallow)
    assert found.steps >= 1
    assert found.after.depth_error <= found.before.depth_error
    assert found.outline_px[1] < 0.5 * found.outline_px[0]
    limb, corner = limb_and_corner(small)
    assert radii(found.mesh)[limb].mean() > 0.996 * RADIUS
    assert radii(found.mesh)[corner].mean() == pytest.approx(0.993 * RADIUS, abs=0.001 * RADIUS)


def test_a_step_that_makes_the_depth_error_worse_is_tried_with_more_say_for_the_depth(
    seen: tuple[Bundle, Segmentation, Calibration], monkeypatch: pytest.MonkeyPatch
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


def test_what_fits_already_stays(seen: tuple[Bundle, Segmentation, Calibration]) -> None:
    right = ball(RADIUS)
    found = refine(seen, right)
    assert np.abs(radii(found.mesh) - RADIUS).max() < 0.002 * RADIUS
    assert found.after.no_worse_than(found.before)


def test_it_is_never_worse_than_the_start(
    seen: tuple[Bundle, Segmentation, Calibration], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outlines that contradict the depth renders, and are believed: only these hold it back."""
    bundle, segmentation, calibration = seen
    _, larger, _ = scene_of(ball(1.01 * RADIUS))
    fooled = bundle, replace(segmentation, rgb_alpha=larger.rgb_alpha), calibration
    monkeypatch.setattr(stage, "same_outline", lambda coverage, coarse: True)
    right, renders = ball(RADIUS), renders_of(fooled)
    found = refine(fooled, right)
    assert set(found.sources.values()) == {"rgb"}
    before, after = agreement(right, renders), agreement(found.mesh, renders)
    assert (found.before, found.after) == (before, after)
    assert after.depth_iou >= before.depth_iou
    assert after.worst_depth_iou >= before.worst_depth_iou
    assert after.outside <= before.outside
    assert after.depth_error <= before.depth_error
    monkeypatch.setattr(Agreement, "no_worse_than", lambda self, other: True)
    led_astray = refine(fooled, right).after
    assert led_astray.depth_iou < before.depth_iou - 0.002


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (Agreement(0.9, 0.8, 0.1, 0.01), True),
        (Agreement(0.95, 0.85, 0.05, 0.005), True),
        (Agreement(0.89, 0.85, 0.05, 0.005), False),
        (Agreement(0.95, 0.79, 0.05, 0.005), False),
        (Agreement(0.95, 0.85, 0.11, 0.005), False),
        (Agreement(0.95, 0.85, 0.05, 0.011), False),
    ],
)
def test_nothing_may_be_worse(after: Agreement, expected: bool) -> None:
    assert after.no_worse_than(Agreement(0.9, 0.8, 0.1, 0.01)) is expected


def test_a_repainted_view_is_taken_from_its_depth_render(seen: tuple[Bundle, Segmentation, Calibration]) -> None:
    bundle, segmentation, calibration = seen
    shifted = dict(segmentation.rgb_alpha) | {"left": np.roll(segmentation.rgb_alpha["left"], 12, 1)}
    painted = replace(segmentation, rgb_alpha=shifted)
    _, sources, named = outlines_of_views(bundle, painted, calibration, {})
    assert sources == {v: "depth" if v == "left" else "rgb" for v in VIEW_NAMES}
    assert named == ["left"]
    moved: dict[ViewName, Registration] = {"top": Registration(dx_px=3.0)}
    _, sources, named = outlines_of_views(bundle, segmentation, calibration, moved)
    assert sources == {v: "depth" if v == "top" else "rgb" for v in VIEW_NAMES}
    assert named == ["top"]
    found = refine((bundle, painted, calibration), ball(RADIUS))
    assert found.contradicting == ("left",)
    assert "left" in found.notes()[0]
    assert refine(seen, ball(RADIUS)).notes() == ()


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.5, 0.7])
def test_straight_edges_between_pixels_are_taken_from_the_rgb(phase: float) -> None:
    """Seen from above and below, edges of a box run along the pixels: a mask of whole ones has them up to half off."""
    from trimesh.creation import box

    pixel = 1 / view_camera("front", RGB // 2).K[0, 0]
    sides = np.array([61.0, 61.0, 61.0]) * pixel + 2 * phase * pixel
    made = box(sides).subdivide().subdivide().subdivide().subdivide()
    seen = scene_of(Mesh(np.asarray(made.vertices, np.float64), np.asarray(made.faces, np.int32)))
    assert set(outlines_of_views(*seen, {})[1].values()) == {"rgb"}
    bundle, segmentation, calibration = seen
    larger = {view: grey_dilation(alpha, 5) for view, alpha in segmentation.rgb_alpha.items()}
    _, sources, named = outlines_of_views(bundle, replace(segmentation, rgb_alpha=larger), calibration, {})
    assert set(sources.values()) == {"depth"}, "a depth render's pixel larger all round"
    assert named == list(VIEW_NAMES)


def test_time_steps_and_cancelling_are_kept_to(seen: tuple[Bundle, Segmentation, Calibration]) -> None:
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
    creases: Callable[[Mesh], tuple[Mesh, float]], tried: bool, seen: tuple[Bundle, Segmentation, Calibration]
) -> None:
    start, renders = ball(0.999 * RADIUS), renders_of(seen)
    sharpest = creases(start)
    found = stage._with_creases(start, sharpest, renders, agreement(start, renders))
    assert any(mesh is sharpest[0] for mesh, *_ in found) is tried


@pytest.mark.parametrize("creases", [swollen, bumped])
def test_creases_that_the_depth_contradicts_are_given_up(
    seen: tuple[Bundle, Segmentation, Calibration],
    creases: Callable[[Mesh], tuple[Mesh, float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = ball(RADIUS)
    monkeypatch.setattr(stage, "sharpened", creases)
    found = refine(seen, right)
    assert found.creases == 0
    assert np.abs(radii(found.mesh) - RADIUS).max() < 0.002 * RADIUS


def test_creases_that_are_given_up_leave_time_for_the_outlines(
    seen: tuple[Bundle, Segmentation, Calibration], monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_step_that_tears_the_mesh_is_not_taken(
    seen: tuple[Bundle, Segmentation, Calibration], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ball(0.99 * RADIUS)
    monkeypatch.setattr(stage, "defects", lambda mesh: ["two vertices share a position"])
    found = refine(seen, small)
    assert found.mesh is small
    assert found.steps == 0


@pytest.mark.parametrize("times", [2.2, 3, 6])
def test_a_step_that_goes_too_far_is_halved(
    times: float, seen: tuple[Bundle, Segmentation, Calibration], monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_step_away_from_the_outlines_is_not_taken(
    seen: tuple[Bundle, Segmentation, Calibration], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "fit_offset", lambda *given: -0.3 * fit_offset(*given))
    monkeypatch.setattr(Agreement, "no_worse_than", lambda self, other: True)
    small = ball(0.99 * RADIUS)
    found = refine(seen, small)
    assert found.mesh is small
    assert (found.steps, found.stopped) == (0, "the outlines came no nearer")


def test_two_runs_are_alike(seen: tuple[Bundle, Segmentation, Calibration]) -> None:
    small = ball(0.99 * RADIUS)
    first, second = refine(seen, small), refine(seen, small)
    assert first.mesh.vertices.tobytes() == second.mesh.vertices.tobytes()
    assert (first.mesh.vertices == first.mesh.vertices.astype(np.float32)).all(), "files hold it exactly"


def test_thin_parts_stay(plain_scene: Scene) -> None:  # noqa: F811
    """The scene has a rod of a few pixels: it keeps its width."""
    seen = scene_of(plain_scene.mesh)
    found = refine(seen, plain_scene.mesh)
    assert not defects(found.mesh)
    rod = plain_scene.mesh.vertices[:, 1] > 0.16
    centre = np.array([-0.05, 0.03])
    before, after = (
        np.linalg.norm(m.vertices[rod][:, [0, 2]] - centre, axis=1) for m in (plain_scene.mesh, found.mesh)
    )
    assert np.abs(after - before).mean() < 0.15 * 0.016
    assert found.after.no_worse_than(found.before)


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
    seen: tuple[Bundle, Segmentation, Calibration], broken: slice, monkeypatch: pytest.MonkeyPatch
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


def test_a_system_that_is_not_a_number_has_no_solution() -> None:
    mesh = ball(1.0)
    bending = laplacian(mesh)
    pull = Pull(np.array([3]), np.array([np.nan]), np.array([800.0]))
    nothing = np.zeros(len(mesh.vertices))
    bending = (bending.T @ bending).tocsr()
    assert np.isnan(fit_offset([pull], nothing_asked(len(nothing)), nothing, bending, 800.0, 1.0)).all()
    assert np.isnan(shape._solution(bending, np.where(nothing == 0, np.inf, 0.0))).all()


def test_what_a_change_makes_worse_is_told_to_the_vertices_there(
    seen: tuple[Bundle, Segmentation, Calibration],
) -> None:
    renders = renders_of(seen)
    start = ball(RADIUS)
    assert not worsened(start, start, renders).any()
    bumped = start.vertices.copy()
    bump = bumped[:, 0] > 0.8 * RADIUS
    bumped[bump] *= 1.05
    mesh = Mesh(bumped, start.faces)
    worse = worsened(start, mesh, renders)
    assert worse[bump].sum() > 0.9 * worse.sum() > 100
    before, after = agreement(start, renders), agreement(mesh, renders)
    assert after.outside > before.outside
    assert after.depth_iou < before.depth_iou
    assert worsened(mesh, start, renders).sum() == pytest.approx(-worse.sum()), "and what it puts right"
