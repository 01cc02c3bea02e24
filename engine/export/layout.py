"""Vertices as the formats want them: float32, and split only where the texture has a seam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.mesh import Mesh, TexturedMesh


@dataclass(frozen=True, eq=False)
class SplitMesh:
    """One index per corner, for formats that know no other.

    position [N, 3], normal [N, 3] (unit) and uv [N, 2] float32; faces [F, 3] int32 into all three.
    Both sides of a seam have the same position and normal, bit by bit.
    """

    position: NDArray[np.float32]
    normal: NDArray[np.float32]
    uv: NDArray[np.float32]
    faces: NDArray[np.int32]


def position_float32(mesh: Mesh) -> NDArray[np.float32]:
    """[V, 3] the vertices as every format writes them; -0 becomes 0, so equal positions have equal bytes."""
    return np.ascontiguousarray(mesh.vertices, np.float32) + np.float32(0)


def normal_float32(mesh: Mesh) -> NDArray[np.float32]:
    """[V, 3] unit normals for display; a vertex whose faces cancel out gets one of its faces' normals, or +Y."""
    normal = mesh.vertex_normals()
    length = np.linalg.norm(normal, axis=1)
    if (bad := length < 0.5).any():
        normal[bad] = (0, 1, 0)
        face_normal = mesh.face_normals()
        usable = np.linalg.norm(face_normal, axis=1) > 0.5
        for corner in range(3):
            at = mesh.faces[:, corner]
            pick = usable & bad[at]
            normal[at[pick]] = face_normal[pick]
    rounded = normal.astype(np.float32)
    rounded /= np.linalg.norm(rounded, axis=1, keepdims=True)
    return rounded + np.float32(0)


def unique_rows(rows: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Merge rows [N, C] that are equal bit by bit.

    Returns first [U], the first row of each kind in the order of first appearance, and inverse [N] with
    rows[first][inverse] == rows.
    """
    bits = np.ascontiguousarray(rows, np.float32).view(np.uint32).astype(np.uint64)
    key = np.zeros(len(rows), np.uint64)
    for column in bits.T:  # fold column by column, so the key always fits into 64 bits
        _, rank = np.unique(column, return_inverse=True)
        _, folded = np.unique(key * np.uint64(len(rows) + 1) + rank.astype(np.uint64), return_inverse=True)
        key = folded.astype(np.uint64)
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank_of = np.empty(len(order), np.int64)
    rank_of[order] = np.arange(len(order))
    return first[order].astype(np.int64), rank_of[inverse]


def split_at_seams(textured: TexturedMesh) -> SplitMesh:
    """Duplicate each vertex once for every different texture coordinate it has, no more."""
    mesh = textured.mesh
    first_uv, uv_of = unique_rows(textured.uv + np.float32(0))
    key = mesh.faces.astype(np.int64) * max(1, len(first_uv)) + uv_of[textured.faces_uv]
    corners, faces = np.unique(key.reshape(-1), return_inverse=True)
    vertex, uv = np.divmod(corners, max(1, len(first_uv)))
    return SplitMesh(
        position_float32(mesh)[vertex],
        normal_float32(mesh)[vertex],
        np.ascontiguousarray(textured.uv[first_uv[uv]] + np.float32(0)),
        faces.reshape(-1, 3).astype(np.int32),
    )


def split_at_frames(split: SplitMesh, tangents: NDArray[np.float32]) -> tuple[SplitMesh, NDArray[np.float32]]:
    """Duplicate each vertex once more for every different tangent that its corners have.

    tangents: [F, 3, 4]. Returns the mesh and its vertices' tangents [N, 4].
    """
    first, kind = unique_rows(tangents.reshape(-1, 4))
    key = split.faces.astype(np.int64).reshape(-1) * max(1, len(first)) + kind
    corners, faces = np.unique(key, return_inverse=True)
    vertex, frame = np.divmod(corners, max(1, len(first)))
    parted = SplitMesh(
        split.position[vertex], split.normal[vertex], split.uv[vertex], faces.reshape(-1, 3).astype(np.int32)
    )
    return parted, np.ascontiguousarray(tangents.reshape(-1, 4)[first[frame]])
