"""A normal map: what the depth renders show of the shape that the simplified mesh leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.camera import Camera
from engine.jit import parallel_map, row_bands
from engine.materials.kernels import add_detail, encode_normals
from engine.mesh import Mesh
from engine.render import Fragments
from engine.texture.texels import texel_points

Float32 = NDArray[np.float32]

FLAT: Final = (128, 128, 255)
"""The surface's own normal."""
SMOOTH_PX: Final = 1.5
"""Normals are averaged over about so many pixels of a depth render: its steps leave ripples."""
LEAST_COSINE: Final = 0.5
ENOUGH: Final = 0.3
_JUMP: Final = 4.0
_ROWS: Final = 64


def depth_normals(depth: Float32, camera: Camera, smooth_px: float = SMOOTH_PX) -> Float32:
    """[h, w, 3] float32: unit normals in the world of a depth map [h, w] (planar z, 0 = none); zero at its edges.

    By central differences of the points, averaged over the same surface: across a jump in depth nothing is mixed.
    """
    h, w = depth.shape
    u, v = np.meshgrid(np.arange(w) + 0.5, np.arange(h) + 0.5)
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(camera.K).T
    points = (rays * depth[..., None]).astype(np.float32)
    there = depth > 0
    # Neighbours on one surface differ by the slope; an edge by more pixels' width than any slope that is seen well.
    limit = _JUMP * depth / np.float32(camera.K[0, 0])
    inner = np.zeros_like(there)
    inner[1:-1, 1:-1] = there[1:-1, 1:-1]
    for axis in (0, 1):
        for step in (1, -1):
            other = np.roll(depth, step, axis)
            inner &= (other > 0) & (np.abs(other - depth) < limit)
    across, down = np.zeros_like(points), np.zeros_like(points)
    across[:, 1:-1] = points[:, 2:] - points[:, :-2]
    down[1:-1] = points[2:] - points[:-2]
    normal = np.cross(down, across)  # towards the camera: x right, y down, z forward
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-20)
    normal[~inner] = 0
    if smooth_px > 0:
        normal = np.stack([gaussian_filter(normal[..., c], smooth_px, truncate=2.5) for c in range(3)], -1)
        length = np.linalg.norm(normal, axis=-1, keepdims=True)
        normal = np.where((length > 0.3) & inner[..., None], normal / np.maximum(length, 1e-6), 0)
    return np.ascontiguousarray(normal @ camera.world_from_camera[:3, :3].T, np.float32)


def bake_normals(
    mesh: Mesh,
    normals: Float32,
    tangents: Float32,
    fragments: Fragments,
    cameras: Mapping[ViewName, Camera],
    depth: Mapping[ViewName, Float32],
) -> NDArray[np.uint8]:
    """[S, S, 3] uint8: the normal map, +X right, +Y up in the image, +Z out; flat where no depth render shows more.

    normals: [V, 3] float32 and tangents: [F, 3, 4] float32 as exported. cameras, depth: of the depth renders, planar z.
    """
    names = [v for v in VIEW_NAMES if v in depth]
    details = dict(zip(names, parallel_map(lambda v: depth_normals(depth[v], cameras[v]), names), strict=True))
    projections = {v: np.ascontiguousarray(cameras[v].K @ cameras[v].camera_from_world[:3]) for v in names}
    out = np.empty((*fragments.face_index.shape, 3), np.uint8)
    out[:] = FLAT
    faces = np.ascontiguousarray(mesh.faces, np.int32)
    vertices = np.ascontiguousarray(mesh.vertices, np.float32)

    def band(rows: tuple[int, int]) -> None:
        part = slice(*rows)
        face_index, barycentric = fragments.face_index[part], fragments.barycentric[part]
        most = int((face_index >= 0).sum())
        texel = np.empty(most, np.int32)
        points, directions = np.empty((most, 3), np.float32), np.empty((most, 3), np.float32)
        n = texel_points(face_index, barycentric, faces, vertices, normals, texel, points, directions)
        total = np.zeros((n, 4), np.float32)
        for v in names:
            add_detail(
                points[:n], directions[:n], projections[v], np.ascontiguousarray(cameras[v].position),
                1 / float(cameras[v].K[0, 0]), depth[v], details[v], total,
            )  # fmt: skip
        encode_normals(
            face_index, barycentric, faces, normals, tangents, texel, n, total, ENOUGH, LEAST_COSINE, out[part]
        )

    parallel_map(band, row_bands(len(out), max(1, len(out) // _ROWS)))
    return out
