"""Moving the fused surface to where the views' outlines are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import grey_dilation

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.camera import Registration
from engine.mesh import Mesh
from engine.refine import shape, stage
from engine.refine.depth import DepthPull
from engine.refine.guard import Agreement, agreement, worsened
from engine.refine.outlines import signed_distance, target_of
from engine.refine.shape import HOLD, SMOOTHNESS, Pull, fit_offset, laplacian, pulls_of
from engine.refine.stage import outlines_of_views
from engine.surface.verify import defects
from tests.refine.shape_scenes import (
    RADIUS,
    RGB,
    Seen,
    ball,
    delivered,
    nothing_asked,
    radii,
    refine,
    renders_of,
    scene_of,
)
from tests.texture.conftest import Scene, view_camera
from tests.texture.conftest import scene as plain_scene  # noqa: F401 - a fixture


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


def test_pulls_say_how_a_displacement_changes_the_outline(seen: Seen) -> None:
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
    seen: Seen,
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
    seen: Seen,
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


def test_what_fits_already_stays(seen: Seen) -> None:
    right = ball(RADIUS)
    found = refine(seen, right)
    assert np.abs(radii(found.mesh) - RADIUS).max() < 0.002 * RADIUS
    assert found.after.no_worse_than(found.before)


def test_it_is_never_worse_than_the_start(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_repainted_view_is_taken_from_its_depth_render(seen: Seen) -> None:
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


def test_two_runs_are_alike(seen: Seen) -> None:
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


def test_a_system_that_is_not_a_number_has_no_solution() -> None:
    mesh = ball(1.0)
    bending = laplacian(mesh)
    pull = Pull(np.array([3]), np.array([np.nan]), np.array([800.0]))
    nothing = np.zeros(len(mesh.vertices))
    bending = (bending.T @ bending).tocsr()
    assert np.isnan(fit_offset([pull], nothing_asked(len(nothing)), nothing, bending, 800.0, 1.0)).all()
    assert np.isnan(shape._solution(bending, np.where(nothing == 0, np.inf, 0.0))).all()


def test_what_a_change_makes_worse_is_told_to_the_vertices_there(
    seen: Seen,
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
