"""The studio that all pictures of a result are taken in: its light, its floor, its camera."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from engine.camera import Camera
from engine.jit import parallel_map, row_bands, thread_count
from engine.mesh import Mesh, TexturedMesh
from engine.occlusion import Occlusion
from engine.preview import kernels
from engine.render import orbit, to_clip
from engine.render.mipmap import MipChain, texture_chain
from engine.render.numba_backend import setup

ELEVATION_DEG = 18.0
FOV_DEG = 28.0
DISTANCE_RADII = 1.04 / math.sin(math.radians(FOV_DEG) / 2)
"""The camera's distance: the sphere around the object touches the frame, nearly."""
SUPERSAMPLE = 2
WIRE_FACES = 4000
"""Meshes of more faces than this show the edges of their simplification: their own would cover the picture."""
WIRE_ALPHA = 0.15
CREASE_DEG = 50.0
_GROUND_CELLS = 72
_GROUND_RADII = 2.4
_TINT = np.array([0.985, 0.99, 1.0], np.float32)
_NO_WIRE = Mesh(np.zeros((1, 3)), np.zeros((1, 3), np.int32))


@dataclass(frozen=True, eq=False)
class Stage:
    """What all pictures share. ground: [N, N] float32 openness of the floor around the centre, in world units."""

    textured: TexturedMesh
    chain: MipChain
    normals: NDArray[np.float32]
    openness: NDArray[np.float32]
    wire: Mesh
    centre: NDArray[np.float64]
    radius: float
    ground: NDArray[np.float32]
    floor: float


def prepare(textured: TexturedMesh) -> Stage:
    """Everything that does not depend on the camera: it takes longer than a picture."""
    mesh = textured.mesh
    low, high = mesh.bounds()
    centre = (low + high) / 2
    radius = max(float(np.linalg.norm(mesh.vertices - centre, axis=1).max()), 1e-9)
    occlusion = Occlusion(mesh, centre, radius)
    openness = occlusion.openness(mesh.vertices, mesh.vertex_normals())
    floor = float(low[1]) - 0.002 * radius
    span = np.linspace(-_GROUND_RADII * radius, _GROUND_RADII * radius, _GROUND_CELLS)
    x, z = np.meshgrid(span, span)
    points = np.stack([x + centre[0], np.full(x.shape, floor), z + centre[2]], -1).reshape(-1, 3)
    ground = occlusion.openness(points, np.tile([0.0, 1.0, 0.0], (len(points), 1)), 3).reshape(x.shape)
    ground = gaussian_filter(ground, 1.8, mode="nearest")
    return Stage(
        textured,
        texture_chain(textured),
        corner_normals(mesh),
        openness.astype(np.float32),
        _wire_mesh(mesh),
        centre,
        radius,
        ground.astype(np.float32),
        floor,
    )


def corner_normals(mesh: Mesh, crease_deg: float = CREASE_DEG) -> NDArray[np.float32]:
    """[F, 3, 3] normals at the faces' corners: the vertex's, or the face's own where they differ by over crease_deg."""
    smooth = mesh.vertex_normals()[mesh.faces]
    flat = mesh.face_normals()[:, None]
    sharp = (smooth * flat).sum(-1, keepdims=True) < math.cos(math.radians(crease_deg))
    return np.ascontiguousarray(np.where(sharp, flat, smooth), np.float32)


def _wire_mesh(mesh: Mesh) -> Mesh:
    if len(mesh.faces) <= WIRE_FACES:
        return mesh
    import fast_simplification

    points = mesh.vertices.astype(np.float32)
    reduction = 1 - WIRE_FACES / len(mesh.faces)
    vertices, faces = fast_simplification.simplify(points, mesh.faces, target_reduction=reduction)
    return Mesh(np.asarray(vertices, np.float64), np.ascontiguousarray(faces, np.int32))


def camera_at(stage: Stage, azimuth_deg: float, size_px: int) -> Camera:
    """The studio's camera, turned around the object."""
    return orbit(azimuth_deg, ELEVATION_DEG, DISTANCE_RADII * stage.radius, FOV_DEG, size_px, stage.centre)


def draw(stage: Stage, azimuth_deg: float, size_px: int, *, edges: bool = True) -> NDArray[np.uint8]:
    """[S, S, 3] uint8: the object on its floor. edges: with its wireframe."""
    camera = camera_at(stage, azimuth_deg, size_px)
    rgb, coverage = _light(stage, camera, stage.wire if edges else _NO_WIRE)
    backdrop = _backdrop(stage, camera.scaled_to(size_px // 2 if edges else size_px // 4), size_px)
    picture = rgb + ((1 - coverage) * backdrop)[..., None] * _TINT
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def draw_cut_out(stage: Stage, azimuth_deg: float, size_px: int) -> NDArray[np.uint8]:
    """[S, S, 4] uint8, straight alpha: the object on nothing, without its wireframe."""
    rgb, coverage = _light(stage, camera_at(stage, azimuth_deg, size_px), _NO_WIRE)
    straight = rgb / np.maximum(coverage, 1e-6)[..., None]
    cut_out: NDArray[np.uint8] = (np.clip(np.dstack([straight, coverage]), 0, 1) * 255 + 0.5).astype(np.uint8)
    return cut_out


def _light(stage: Stage, camera: Camera, wire_mesh: Mesh) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """[S, S, 3] float32 colours, premultiplied, and [S, S] float32 coverage."""
    size_px = camera.size_px
    wide = size_px * SUPERSAMPLE
    mesh, textured = stage.textured.mesh, stage.textured
    drawing = setup(to_clip(mesh.vertices, camera), mesh.faces, (wide, wide))
    wire = setup(to_clip(wire_mesh.vertices, camera), wire_mesh.faces, (wide, wide))
    axes = np.ascontiguousarray(camera.world_from_camera[:3, :3].T)
    uv = np.ascontiguousarray(textured.uv, np.float32)
    faces_uv = np.ascontiguousarray(textured.faces_uv, np.int32)
    position = np.ascontiguousarray(camera.position)
    vertices = np.ascontiguousarray(mesh.vertices, np.float64)
    rgb, coverage = np.zeros((size_px, size_px, 3), np.float32), np.zeros((size_px, size_px), np.float32)

    def band(rows: tuple[int, int]) -> None:
        a, b = rows
        fragments = drawing.draw(a * SUPERSAMPLE, b * SUPERSAMPLE)
        edges = wire.draw(a * SUPERSAMPLE, b * SUPERSAMPLE)
        kernels.light_rows(
            drawing.position_clip,
            drawing.faces,
            uv,
            faces_uv,
            stage.chain.texels,
            stage.chain.levels,
            stage.normals,
            stage.openness,
            axes,
            position,
            vertices,
            SUPERSAMPLE,
            wide,
            fragments.face_index,
            fragments.barycentric,
            fragments.depth,
            wire.position_clip,
            wire.faces,
            edges.face_index,
            edges.barycentric,
            edges.depth,
            WIRE_ALPHA,
            0.03 * stage.radius,
            np.empty((1, 3), np.float32),
            rgb[a:b],
            coverage[a:b],
        )

    parallel_map(band, row_bands(size_px, 4 * thread_count()))
    return rgb, coverage


def _backdrop(stage: Stage, camera: Camera, size_px: int) -> NDArray[np.float32]:
    """[size_px, size_px] float32: a grey, lighter towards the middle, with the object's shadow on the floor.

    It is smooth, so it is computed at the camera's size and enlarged.
    """
    size = camera.size_px
    centres = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(centres, centres)
    away = np.sqrt((x - 0.5) ** 2 + (y - 0.52) ** 2)
    grey = 0.93 - 0.30 * away**2 - 0.03 * y
    f, c = float(camera.K[0, 0]), float(camera.K[0, 2])
    rays = np.stack([(x * size - c) / f, (y * size - c) / f, np.ones_like(x)], -1) @ camera.world_from_camera[:3, :3].T
    position = camera.position
    down = np.minimum(rays[..., 1], -1e-6)
    hit = position + rays * ((stage.floor - position[1]) / down)[..., None]
    reach = _GROUND_RADII * stage.radius
    gx = (hit[..., 0] - stage.centre[0] + reach) / (2 * reach) * (_GROUND_CELLS - 1)
    gz = (hit[..., 2] - stage.centre[2] + reach) / (2 * reach) * (_GROUND_CELLS - 1)
    inside = (gx > 0) & (gx < _GROUND_CELLS - 1) & (gz > 0) & (gz < _GROUND_CELLS - 1) & (rays[..., 1] < 0)
    gx, gz = np.where(inside, gx, 0), np.where(inside, gz, 0)
    ix = np.minimum(gx.astype(np.int64), _GROUND_CELLS - 2)
    iz = np.minimum(gz.astype(np.int64), _GROUND_CELLS - 2)
    fx, fz = gx - ix, gz - iz
    g = stage.ground
    top = g[iz, ix] * (1 - fx) + g[iz, ix + 1] * fx
    below = g[iz + 1, ix] * (1 - fx) + g[iz + 1, ix + 1] * fx
    openness = top * (1 - fz) + below * fz
    radial = np.sqrt((gx / (_GROUND_CELLS - 1) * 2 - 1) ** 2 + (gz / (_GROUND_CELLS - 1) * 2 - 1) ** 2)
    strength = 0.72 * np.clip((1 - radial) / 0.45, 0, 1) * inside
    shaded = Image.fromarray((grey * (1 - strength * (1 - openness))).astype(np.float32))
    return np.asarray(shaded.resize((size_px, size_px), Image.Resampling.BILINEAR), np.float32)
