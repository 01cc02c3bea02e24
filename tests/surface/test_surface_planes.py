"""Planes that the views see at the vertices of a mesh."""

from __future__ import annotations

import numpy as np
import pytest

from engine.camera import Camera
from engine.fuse.view_maps import ViewMaps, edge_maps, put_surface, stack
from engine.mesh import Mesh
from engine.surface.planes import vertex_planes

SIZE, FOV = 128, 40.0
NORMAL = np.array([0.3, 0.2, 1.0]) / np.linalg.norm([0.3, 0.2, 1.0])


def camera() -> Camera:
    """At (0, 0, 1), looking at the origin, up is +y."""
    pose = np.eye(4)
    pose[:3, :3] = np.diag([1.0, -1.0, -1.0])
    pose[2, 3] = 1
    return Camera.from_fov(FOV, SIZE, pose)


@pytest.fixture(scope="module")
def maps() -> ViewMaps:
    """A tilted square through the origin, seen by one camera."""
    cam = camera()
    v, u = np.mgrid[:SIZE, :SIZE] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(cam.K).T
    normal = cam.camera_from_world[:3, :3] @ NORMAL
    depth = normal[2] / (rays @ normal)
    inside = (np.abs(u - SIZE / 2) < 40) & (np.abs(v - SIZE / 2) < 40)
    disparity = np.where(inside, 1 / depth, 0).astype(np.float32)
    pixels = edge_maps(disparity, np.full((SIZE, SIZE), 0.2, np.float32))
    put_surface(pixels, disparity)
    return stack([pixels], [(0, 0)], [cam])


def flat_mesh(normal: np.ndarray, off: float) -> Mesh:
    """A small fan round the origin, moved by `off` along NORMAL, that looks along `normal`."""
    side = np.cross(normal, [0.0, 1.0, 0.0])
    side /= np.linalg.norm(side)
    ring = [0.02 * (np.cos(a) * side + np.sin(a) * np.cross(normal, side)) for a in np.arange(6) * np.pi / 3]
    vertices = np.array([np.zeros(3), *ring]) + off * NORMAL
    faces = np.array([[0, 1 + k, 1 + (k + 1) % 6] for k in range(6)], np.int32)
    return Mesh(vertices, faces)


def test_a_chamfered_face_gets_the_slope_that_the_view_sees(maps: ViewMaps) -> None:
    chamfer = NORMAL + np.array([0.5, 0, 0])
    mesh = flat_mesh(chamfer / np.linalg.norm(chamfer), 0.0)
    planes = vertex_planes(mesh, maps, 0.05)
    assert planes[:, :3] @ NORMAL == pytest.approx(1, abs=1e-5)
    assert (planes[:, :3] * mesh.vertices).sum(1) + planes[:, 3] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("off", [-0.1, 0.1])
def test_what_no_view_shows_keeps_its_own_slope(maps: ViewMaps, off: float) -> None:
    other = np.array([0.6, 0.0, 0.8])
    planes = vertex_planes(flat_mesh(other, off), maps, 0.05)
    assert planes[:, :3] @ other == pytest.approx(1, abs=1e-6)


def test_the_back_of_what_is_seen_keeps_its_own_slope(maps: ViewMaps) -> None:
    planes = vertex_planes(flat_mesh(-NORMAL, 0.0), maps, 0.05)
    assert planes[:, :3] @ -NORMAL == pytest.approx(1, abs=1e-6)
