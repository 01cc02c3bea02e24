"""A light laid over an atlas: taken out of a texture, and put back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.jit import parallel_map, row_bands
from engine.materials.environment import patches
from engine.materials.kernels import divide_texels, shade_texels
from engine.materials.light import Light
from engine.mesh import Mesh
from engine.render import Fragments
from engine.srgb import decode_srgb, encode_srgb
from engine.texture.fill import harmonic_fill, vertex_graph

Float32 = NDArray[np.float32]
_ROWS = 64
_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class Shape:
    """What a light meets. normals: [F, 3, 3] float32 at the faces' corners. openness: [V] float64 0..1. known: [V]
    float32 0..1, how far a vertex's colour comes from a view, not from its neighbours.
    """

    mesh: Mesh
    normals: Float32
    openness: NDArray[np.float64]
    known: Float32

    @cached_property
    def spots(self) -> tuple[NDArray[np.int64], Float32, NDArray[np.int32]]:
        """Corners that are the same place and face the same way, once: vertex [K], normal [K, 3], and faces [F, 3]."""
        corner = np.concatenate(
            [self.mesh.faces.reshape(-1, 1).astype(np.int32), self.normals.reshape(-1, 3).view(np.int32)], 1
        )
        whole = np.ascontiguousarray(corner).view(np.dtype((np.void, corner.itemsize * 4))).reshape(-1)
        _, first, at = np.unique(whole, return_index=True, return_inverse=True)
        vertex, normal = self.mesh.faces.reshape(-1)[first].astype(np.int64), self.normals.reshape(-1, 3)[first]
        return vertex, normal, np.ascontiguousarray(at.reshape(-1, 3), np.int32)


def vertices_known(mesh: Mesh, face_confidence: Float32, least: float) -> Float32:
    """[V] float32: the share of faces around a vertex that a view shows under at least the cosine `least`."""
    seen = (face_confidence >= least).astype(np.float64)
    count = np.bincount(mesh.faces.ravel(), minlength=len(mesh.vertices))
    total = np.bincount(mesh.faces.ravel(), np.repeat(seen, 3), minlength=len(mesh.vertices))
    return (total / np.maximum(count, 1)).astype(np.float32)


def shading(light: Light, shape: Shape, fragments: Fragments) -> Float32:
    """[S, S, 3] float32: what `light` makes of white at every texel; 1 where no chart is."""
    mesh = shape.mesh
    at_vertex = np.log(light.shading(mesh.vertex_normals(), np.clip(shape.openness, 0.02, 1)))
    # What no view shows took its colour over the surface from what one does, and with it that place's light.
    fill = harmonic_fill(
        vertex_graph(mesh.faces, len(mesh.vertices)), mesh.vertices, at_vertex.astype(np.float32), shape.known > 0.5
    )
    log_open = (light.occlusion * np.log(np.clip(shape.openness, 0.02, 1))).astype(np.float32)
    directions, angles = patches()
    directions32 = np.ascontiguousarray(directions, np.float32)
    reach = angles.astype(np.float32)
    radiance = np.ascontiguousarray(light.radiance, np.float32)
    out = np.empty((*fragments.face_index.shape, 3), np.float32)
    faces = np.ascontiguousarray(mesh.faces, np.int32)

    def band(rows: tuple[int, int]) -> None:
        part = slice(*rows)
        shade_texels(
            fragments.face_index[part], fragments.barycentric[part], faces, shape.normals, log_open, shape.known, fill,
            directions32, reach, radiance, out[part],
        )  # fmt: skip

    parallel_map(band, row_bands(len(out), max(1, len(out) // _ROWS)))
    return out


def without(texture: NDArray[np.uint8], shade: Float32) -> NDArray[np.uint8]:
    """[S, S, 3] uint8 sRGB: the texture divided by the shading, in linear light."""
    decoded = decode_srgb(np.arange(256) / 255).astype(np.float32)
    encoded = (255 * encode_srgb((np.arange(4097) / 4096) ** 2)).astype(np.float32)
    out = np.empty_like(texture)

    def band(rows: tuple[int, int]) -> None:
        part = slice(*rows)
        divide_texels(texture[part], shade[part], decoded, encoded, out[part])

    parallel_map(band, row_bands(len(out), max(1, len(out) // _ROWS)))
    return out


def relit(texture_kd: NDArray[np.uint8], shade: Float32) -> NDArray[np.uint8]:
    """[S, S, 3] uint8 sRGB: looks under a light again; the inverse of `without`, but for rounding and burning out."""
    return without(texture_kd, np.asarray(1 / np.maximum(shade, np.float32(_LEAST)), np.float32))
