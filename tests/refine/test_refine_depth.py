"""What the depth renders ask of the vertices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from config.bundle_layout import VIEW_NAMES
from engine.mesh import Mesh
from engine.refine import depth
from engine.refine.depth import depth_pull
from engine.refine.guard import DepthRender, agreement
from engine.refine.shape import displaced, fit_offset, laplacian
from engine.render import render_depth
from tests.refine import shape_scenes
from tests.refine.shape_scenes import RADIUS, radii
from tests.texture.conftest import view_camera

SIZE = 256
PIXEL = 1 / view_camera("front", SIZE).K[0, 0]


def ball(radius: float = RADIUS) -> Mesh:
    return shape_scenes.ball(radius, subdivisions=3)


def renders_of(mesh: Mesh) -> list[DepthRender]:
    """What six cameras see, to all digits; any code is allowed."""
    out = []
    for view in VIEW_NAMES:
        camera = view_camera(view, SIZE)
        z = render_depth(mesh, camera)
        out.append(DepthRender(camera, z > 0, np.zeros_like(z), np.full_like(z, 9), z))
    return out


def fitted(mesh: Mesh, renders: list[DepthRender], rounds: int = 4) -> Mesh:
    """Moved by depth alone."""
    normals, nothing = mesh.vertex_normals(), np.zeros(len(mesh.vertices))
    bending, offset, moved = laplacian(mesh), nothing, mesh
    for _ in range(rounds):
        asked = depth_pull(moved, normals, renders)
        offset = fit_offset([], asked, offset, (bending.T @ bending).tocsr(), 1.0, 1e4)
        moved = displaced(mesh, normals, offset)
    return moved


@pytest.mark.parametrize("scale", [0.99, 1.01])
def test_depth_leads_back_to_the_surface_from_either_side(scale: float) -> None:
    found = fitted(ball(scale * RADIUS), renders_of(ball()))
    assert np.abs(radii(found) - RADIUS).max() < 0.1 * 0.01 * RADIUS


def test_what_lies_right_is_asked_for_nothing() -> None:
    mesh = ball()
    asked = depth_pull(mesh, mesh.vertex_normals(), renders_of(mesh))
    assert np.abs(asked.right).max() < 1e-6 * RADIUS
    assert np.abs(depth_pull(ball(0.99 * RADIUS), mesh.vertex_normals(), renders_of(mesh)).right).max() > 1e-4 * RADIUS


def test_the_system_says_how_a_displacement_changes_what_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against finite differences: small ones, near the surface, where Gauss and Newton leave nothing out."""
    monkeypatch.setattr(depth, "PRECISE_PX", 1e9)
    mesh = ball()
    normals, renders = mesh.vertex_normals(), renders_of(ball(1.0005 * RADIUS))
    offset = 0.02 * PIXEL * np.sin(9 * mesh.vertices[:, 0] / RADIUS + 1)
    before, after = (depth_pull(m, normals, renders) for m in (mesh, displaced(mesh, normals, offset)))
    expected = -(before.system @ offset)
    change = after.right - before.right
    assert np.linalg.norm(change - expected) < 0.01 * np.linalg.norm(expected)


def triangle(*, behind: bool = False) -> tuple[Mesh, DepthRender, NDArray[np.float64]]:
    """A scalene one, tilted, off the axis, a hundredth of its depth too near; and directions for its corners."""
    camera = view_camera("front", SIZE)
    R = camera.camera_from_world[:3, :3]
    vertices = camera.position + np.array([[-0.02, 0.05, 0.5], [0.12, 0.01, 0.56], [0.03, -0.09, 0.47]]) @ R
    upright = np.cross(vertices[1] - vertices[0], vertices[2] - vertices[0])
    turned = bool(upright @ (vertices[0] - camera.position) > 0) != behind
    mesh = Mesh(vertices, np.array([[0, 2, 1] if turned else [0, 1, 2]], np.int32))
    z = render_depth(mesh, camera)
    delivered = np.where(z > 0, z * np.float32(1.01), np.float32(0))
    render = DepthRender(camera, z > 0, np.zeros_like(z), np.full_like(z, 9), delivered)
    return mesh, render, np.array([[0.6, 0, -0.8], [0, 0.28, -0.96], [-0.48, 0.6, -0.64]]) @ R


@pytest.mark.parametrize("first_column", [0, SIZE // 2 + 10], ids=["all of it", "with a hole"])
def test_the_system_is_that_of_the_pixels(first_column: int) -> None:
    """The sums by hand, from rays, planes and dense arrays."""
    mesh, render, directions = triangle()
    render.depth[:, :first_column] = 0
    camera, K, R = render.camera, render.camera.K, render.camera.camera_from_world[:3, :3]
    rows, columns = np.nonzero(render.depth)
    z = render.depth[rows, columns]
    rays = np.stack([(columns + 0.5 - K[0, 2]) / K[0, 0], (rows + 0.5 - K[1, 2]) / K[1, 1], np.ones(len(rows))], 1)
    corners, normal = (mesh.vertices - camera.position) @ R.T, R @ mesh.face_normals()[0]
    points = rays * ((corners[0] @ normal) / (rays @ normal))[:, None]
    weights = np.linalg.solve(corners.T, points.T).T  # the plane misses the camera, so that these add up to 1
    change = weights * (directions @ mesh.face_normals()[0])
    residual = (points - rays * z[:, None]) @ normal
    counts = -(rays @ normal) / np.linalg.norm(rays, axis=1)
    counts /= np.maximum(1, np.abs(residual) / z * K[0, 0] / depth.PRECISE_PX) * len(rows) / 3
    asked = depth_pull(mesh, directions, [render])
    system = (change[:, :, None] * change[:, None] * counts[:, None, None]).sum(0)
    right = -(change * (counts * residual)[:, None]).sum(0)
    np.testing.assert_allclose(asked.system.toarray(), system, rtol=1e-3, atol=1e-6 * np.abs(system).max())
    np.testing.assert_allclose(asked.right, right, rtol=1e-3, atol=1e-6 * np.abs(right).max())


def test_a_face_that_is_seen_from_behind_is_asked_for_nothing() -> None:
    mesh, render, directions = triangle(behind=True)
    assert render.mask.any()
    asked = depth_pull(mesh, directions, [render])
    assert not asked.right.any()
    assert not asked.system.toarray().any()


@pytest.mark.parametrize("broken", [np.nan, np.inf, 0.2], ids=["no number", "infinite", "another surface"])
def test_a_pixel_that_makes_no_sense_does_not_count(broken: float) -> None:
    mesh, render, directions = triangle()
    rows, columns = np.nonzero(render.depth)
    at = rows[len(rows) // 2], columns[len(rows) // 2]
    asked = []
    for value in (0.0, broken):
        render.depth[at] = value
        asked.append(depth_pull(mesh, directions, [render]))
    assert np.isfinite(asked[1].right).all()
    ratio = asked[1].right / asked[0].right  # of the numbers of pixels, by which both are divided
    assert ratio == pytest.approx(ratio[0], rel=1e-9)
    assert ratio[0] == pytest.approx(1, rel=1e-3)


def test_it_is_symmetric_and_never_negative() -> None:
    mesh = ball(0.99 * RADIUS)
    asked = depth_pull(mesh, mesh.vertex_normals(), renders_of(ball()))
    dense = asked.system.toarray()
    assert (dense == dense.T).all()
    assert np.linalg.eigvalsh(dense).min() > -1e-9


def test_pixels_that_are_far_off_pull_no_harder_than_near_ones() -> None:
    """A patch of depth that is wrong by ten or by a hundred times the precise distance."""
    mesh, normals = ball(), ball().vertex_normals()
    pulls = []
    for wrong in (10, 100):
        renders = renders_of(mesh)
        z = renders[0].depth.copy()
        z[110:140, 110:140] += np.float32(wrong * depth.PRECISE_PX * PIXEL)
        renders[0] = DepthRender(renders[0].camera, renders[0].mask, renders[0].near, renders[0].far, z)
        pulls.append(depth_pull(mesh, normals, renders).right.sum())
    assert pulls[0] < 0, "back, away from the camera"
    assert pulls[1] == pytest.approx(pulls[0], rel=0.05)


def test_what_no_view_shows_is_asked_for_nothing() -> None:
    outer, inner = ball(), ball(0.3 * RADIUS)
    count = len(outer.vertices)
    both = Mesh(np.concatenate([outer.vertices, inner.vertices]), np.concatenate([outer.faces, inner.faces + count]))
    asked = depth_pull(both, both.vertex_normals(), renders_of(ball(1.01 * RADIUS)))
    assert (asked.right[count:] == 0).all()
    assert sparse.csr_matrix(asked.system)[count:].nnz == 0 or np.abs(asked.system[count:]).max() == 0
    assert (asked.right[:count] != 0).mean() > 0.9
    empty = [DepthRender(r.camera, r.mask & False, r.near, r.far, 0 * r.depth) for r in renders_of(outer)]
    assert not depth_pull(outer, outer.vertex_normals(), empty).right.any()


def test_the_guards_depth_error_is_the_mean_of_the_views_over_the_diagonal() -> None:
    renders = renders_of(ball())
    away = replace(renders[0], depth=renders[0].depth + np.float32(0.05) * renders[0].mask)
    unseen = replace(renders[1], depth=0 * renders[1].depth)
    diagonal = 2 * 3**0.5 * RADIUS
    assert agreement(ball(), renders).depth_error == 0
    assert agreement(ball(), [away, *renders[1:]]).depth_error == pytest.approx(0.05 / 6 / diagonal, rel=0.01)
    assert agreement(ball(), [away, unseen]).depth_error == pytest.approx(0.05 / diagonal, rel=0.01)
    assert agreement(ball(), [unseen]).depth_error == 1
