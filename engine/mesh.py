"""Meshes as the stages hand them on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh in the world frame.

    vertices: [V, 3] float64. faces: [F, 3] int32, counter-clockwise seen from outside.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]

    def __post_init__(self) -> None:
        """Check the shapes."""
        v, f = np.shape(self.vertices), np.shape(self.faces)
        if len(v) != 2 or v[1] != 3 or len(f) != 2 or f[1] != 3:
            raise ValueError(f"vertices are {v}, faces {f}; expected [V, 3] and [F, 3]")

    def face_normals(self) -> NDArray[np.float64]:
        """[F, 3] unit normals (zero for a face without area)."""
        a, b, c = (self.vertices[self.faces[:, k]] for k in range(3))
        n = np.cross(b - a, c - a)
        return np.asarray(n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-300))

    def vertex_normals(self) -> NDArray[np.float64]:
        """[V, 3] unit normals: the faces' normals weighted by their areas."""
        a, b, c = (self.vertices[self.faces[:, k]] for k in range(3))
        n = np.cross(b - a, c - a)
        out = np.zeros_like(self.vertices)
        for axis in range(3):
            for corner in range(3):
                out[:, axis] += np.bincount(self.faces[:, corner], n[:, axis], minlength=len(self.vertices))
        return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-300))

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest corner [3] of the box around the vertices."""
        return self.vertices.min(0), self.vertices.max(0)


@dataclass(frozen=True, eq=False)
class MaterialMaps:
    """What a material has beside its colour, in the same atlas.

    texture_ks: [S, S, 3] uint8, linear: occlusion, roughness, metallic in R, G, B. texture_normal: [S, S, 3] uint8, +X
    right, +Y up in the image, +Z out. tangents: [F, 3, 4] float32, the frames that it is in at the faces' corners, as
    glTF has them.
    """

    texture_ks: NDArray[np.uint8]
    texture_normal: NDArray[np.uint8]
    tangents: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TexturedMesh:
    """A mesh with a texture atlas.

    uv: [T, 2] float32 in 0..1, glTF's convention: (0, 0) is the top left corner of the image's first pixel, v down.
    faces_uv: [F, 3] int32 into uv, one triple for each of mesh.faces. texture_kd: [S, S, 3] uint8, sRGB. maps: what the
    material has beside it; None: matt, and its light is in the texture.
    """

    mesh: Mesh
    uv: NDArray[np.float32]
    faces_uv: NDArray[np.int32]
    texture_kd: NDArray[np.uint8]
    maps: MaterialMaps | None = None
