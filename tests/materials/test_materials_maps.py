"""What is written into textures: a light taken out and put back, and normals from depth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from config.errors import Cancelled
from engine.camera import Camera
from engine.materials.light import Light
from engine.materials.normal_map import bake_normals, depth_normals
from engine.materials.shade import Shape, relit, shading, without
from engine.mesh import Mesh
from engine.occlusion import Occlusion
from engine.progress import Checkpoint
from engine.render import Fragments, look_at
from engine.tangents import corner_tangents
from engine.texture import atlas_fragments

PX = 64
SQUARE = Mesh(
    np.array([[-0.2, -0.2, 0], [0.2, -0.2, 0], [0.2, 0.2, 0], [-0.2, 0.2, 0]]),
    np.array([[0, 1, 2], [0, 2, 3]], np.int32),
)
UV = np.array([[0.1, 0.9], [0.9, 0.9], [0.9, 0.1], [0.1, 0.1]], np.float32)  # upright as seen from +Z
FRONT = Camera.from_fov(40.0, 128, look_at(np.array([0, 0, 1.0]), np.zeros(3), np.array([0, 1.0, 0])))


def fragments() -> Fragments:
    return atlas_fragments(UV.astype(np.float64) * PX, SQUARE.faces, PX)


def plane_depth(slope_x: float, slope_y: float) -> NDArray[np.float32]:
    """[128, 128] the depth that FRONT has of the plane z = slope_x·x + slope_y·y, world axes."""
    u, v = np.meshgrid(np.arange(128) + 0.5, np.arange(128) + 0.5)
    f = FRONT.K[0, 0]
    x, y = (u - 64) / f, -(v - 64) / f  # world, at depth 1
    return (1 / (1 + slope_x * x + slope_y * y)).astype(np.float32)


def test_looking_for_the_sky_can_be_cancelled_on_the_way() -> None:
    seen: list[float] = []

    def cancel_at(limit: float) -> Checkpoint:
        def checkpoint(fraction: float) -> None:
            seen.append(fraction)
            if fraction >= limit:
                raise Cancelled

        return checkpoint

    with pytest.raises(Cancelled):
        Occlusion(SQUARE, np.zeros(3), 0.3, 96, cancel_at(0.5))
    assert len(seen) > 4
    sky = Occlusion(SQUARE, np.zeros(3), 0.3, 96)
    up = np.tile([0, 0, 1.0], (4, 1))
    with pytest.raises(Cancelled):
        sky.openness(SQUARE.vertices, up, checkpoint=cancel_at(0.5))
    assert len(seen) > 8
    assert (sky.openness(SQUARE.vertices, up) > 0.9).all()


def test_no_light_to_take_out_changes_no_texel() -> None:
    texture = np.arange(256, dtype=np.uint8)[:, None, None].repeat(256, 1).repeat(3, 2)
    assert np.array_equal(without(texture, np.ones(texture.shape, np.float32)), texture)


def test_light_taken_out_and_put_back_gives_the_texture() -> None:
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    shade = rng.uniform(0.2, 1.5, texture.shape).astype(np.float32)
    looks = without(texture, shade)
    clear = looks < 255
    apart = np.abs(relit(looks, shade).astype(int) - texture)[clear]
    assert apart.max() <= 2
    assert (apart == 0).mean() > 0.6


def test_texels_get_the_light_of_their_normals() -> None:
    rng = np.random.default_rng(1)
    normals = rng.normal(size=(2, 3, 3)) * 0.4 + np.array([0, 0, 1.0])
    normals = (normals / np.linalg.norm(normals, axis=2, keepdims=True)).astype(np.float32)
    openness = np.array([1, 0.5, 0.8, 0.3])
    light = Light(rng.uniform(0.1, 2, (96, 3)), 0.7)
    parts = fragments()
    made = shading(light, Shape(SQUARE, normals, openness, np.ones(4, np.float32)), parts)
    where = np.argwhere(parts.face_index >= 0)[::37]
    y, x = where.T
    face, b = parts.face_index[y, x], parts.barycentric[y, x].astype(np.float64)
    weight = np.clip(np.stack([b[:, 0], b[:, 1], 1 - b.sum(1)], 1), 0, None)
    weight /= weight.sum(1, keepdims=True)
    normal = (normals[face] * weight[..., None]).sum(1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    log_open = (np.log(openness)[SQUARE.faces[face]] * weight).sum(1)
    assert np.allclose(made[y, x], light.shading(normal, np.exp(log_open)), rtol=1e-4)
    assert (made[parts.face_index < 0] == 1).all()


def test_what_no_view_shows_keeps_the_light_of_its_neighbours() -> None:
    normals = np.tile(np.array([0, 0, 1], np.float32), (2, 3, 1))
    normals[:, :, :] = np.array([0, 0, 1], np.float32)
    known = np.array([1, 1, 0, 0], np.float32)
    openness = np.array([1.0, 1.0, 0.1, 0.1])  # the hidden half is a hollow, but its colour came from outside
    made = shading(Light(np.ones((96, 3)), 1.0), Shape(SQUARE, normals, openness, known), fragments())
    assert made[8, 32] == pytest.approx(1, abs=0.1)


def test_a_tilted_plane_has_one_normal() -> None:
    found = depth_normals(plane_depth(0.3, -0.2), FRONT)
    normal = np.array([-0.3, 0.2, 1]) / np.linalg.norm([-0.3, 0.2, 1])
    assert np.allclose(found[8:-8, 8:-8], normal, atol=2e-3)


def test_a_jump_in_depth_has_no_normal_of_its_own() -> None:
    depth = plane_depth(0, 0)
    depth[:, 64:] = 1.3
    found = depth_normals(depth, FRONT)
    known = np.linalg.norm(found, axis=2) > 0
    assert not known[20:-20, 63:65].any()
    assert np.allclose(found[20:-20][known[20:-20]], [0, 0, 1], atol=1e-3)


@pytest.mark.parametrize(("slope_x", "slope_y"), [(0.2, 0.0), (-0.2, 0.0), (0.0, 0.2), (0.0, -0.2), (0.0, 0.0)])
def test_normals_lean_as_gltf_has_it(slope_x: float, slope_y: float) -> None:
    """Red grows to the image's right and green to its top, where the picture lies upright on the surface."""
    normals = np.tile(np.array([0, 0, 1], np.float32), (4, 1))
    tangents = corner_tangents(SQUARE.vertices.astype(np.float32), normals, UV, SQUARE.faces)
    made = bake_normals(
        SQUARE, normals, tangents, fragments(), {"front": FRONT}, {"front": plane_depth(slope_x, slope_y)}
    )
    middle = made[28:36, 28:36].reshape(-1, 3).astype(np.float64).mean(0) / 127.5 - 1
    wanted = np.array([-slope_x, -slope_y, 1]) / np.linalg.norm([slope_x, slope_y, 1])
    assert np.allclose(middle, wanted, atol=0.02)
    assert (made[0] == (128, 128, 255)).all()
