"""Marching cubes on a signed distance volume, in slabs on threads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit, parallel_map, row_bands
from engine.mesh import Mesh
from engine.surface.marching_table import EDGES, triangle_table

SNAP = 0.03
"""Vertices keep this share of an edge away from its ends: no two of them coincide, no triangle is degenerate."""


@jit
def _count(values: Any, counts: Any, x0: Any, x1: Any, vertices: Any, triangles: Any) -> Any:  # pragma: no cover
    """Vertices on the edges that start in, and triangles of the cubes that start in, each layer x0 <= x < x1."""
    X, Y, Z = values.shape
    for x in range(x0, x1):
        nv, nt = 0, 0
        for y in range(Y):
            case = 0
            for z in range(Z):
                here = values[x, y, z] < 0
                nv += x + 1 < X and (values[x + 1, y, z] < 0) != here
                nv += y + 1 < Y and (values[x, y + 1, z] < 0) != here
                nv += z + 1 < Z and (values[x, y, z + 1] < 0) != here
                if x + 1 == X or y + 1 == Y:
                    continue
                case >>= 4
                case |= (
                    here << 4
                    | (values[x + 1, y, z] < 0) << 5
                    | (values[x, y + 1, z] < 0) << 6
                    | (values[x + 1, y + 1, z] < 0) << 7
                )
                if z > 0:
                    nt += counts[case]
        vertices[x] = nv
        triangles[x] = nt


@jit
def _number(values: Any, x: Any, first: Any, ids: Any, out: Any, write: Any) -> Any:  # pragma: no cover
    """Number the vertices of layer x from `first` on into ids [3, Y, Z]; if `write`, put their positions into out."""
    X, Y, Z = values.shape
    n = first
    for y in range(Y):
        for z in range(Z):
            v = values[x, y, z]
            here = v < 0
            for axis in range(3):
                xx, yy, zz = x + (axis == 0), y + (axis == 1), z + (axis == 2)
                if xx == X or yy == Y or zz == Z:
                    continue
                w = values[xx, yy, zz]
                if (w < 0) == here:
                    continue
                ids[axis, y, z] = n
                if write:
                    t = min(max(v / (v - w), SNAP), 1 - SNAP)
                    out[n, 0] = x + t * (axis == 0)
                    out[n, 1] = y + t * (axis == 1)
                    out[n, 2] = z + t * (axis == 2)
                n += 1


@jit
def _emit(
    values: Any,
    counts: Any,
    table: Any,
    edges: Any,
    x0: Any,
    x1: Any,
    first_vertex: Any,
    first_triangle: Any,
    ids: Any,
    positions: Any,
    faces: Any,
) -> Any:  # pragma: no cover
    """Vertices and triangles of the layers x0 <= x < x1.

    edges [12, 4] int64: each edge's axis and start. ids [2, 3, Y, Z] int32, to work in: the numbers of the vertices of
    two layers.
    """
    X, Y, Z = values.shape
    for layer in range(x0, min(x1 + 1, X)):
        _number(values, layer, first_vertex[layer], ids[layer & 1], positions, layer < x1)
        if layer == x0:
            continue
        x = layer - 1
        n = first_triangle[x]
        for y in range(Y - 1):
            case = 0
            for z in range(Z):
                case >>= 4
                case |= (
                    (values[x, y, z] < 0) << 4
                    | (values[x + 1, y, z] < 0) << 5
                    | (values[x, y + 1, z] < 0) << 6
                    | (values[x + 1, y + 1, z] < 0) << 7
                )
                if z == 0 or case in (0, 255):
                    continue
                for k in range(counts[case]):
                    for corner in range(3):
                        edge = table[case, k, corner]
                        axis, dx, dy, dz = edges[edge, 0], edges[edge, 1], edges[edge, 2], edges[edge, 3]
                        faces[n, corner] = ids[(x + dx) & 1, axis, y + dy, z - 1 + dz]
                    n += 1


def marching_cubes(values: NDArray[np.float32], origin: NDArray[np.float64], voxel_size: float) -> Mesh:
    """The zero surface of a sampled signed distance, positive outside.

    values: [X, Y, Z] float32, positive all over the volume's own faces, so that the surface is closed. origin: [3] the
    world position of sample (0, 0, 0). The mesh is a closed oriented 2-manifold (see `marching_table`); a volume
    without inside gives an empty one. Raises ValueError where the surface would be open.
    """
    if min(values.shape) < 2 or any(np.take(values, k, axis).min() < 0 for axis in range(3) for k in (0, -1)):
        raise ValueError("the inside touches the volume's border")
    values = np.ascontiguousarray(values, np.float32)
    counts, table = triangle_table()
    edges = np.array([[int(np.log2(b - a)), a & 1, a >> 1 & 1, a >> 2] for a, b in EDGES], np.int64)
    layers = values.shape[0]
    vertices, triangles = np.zeros(layers, np.int64), np.zeros(layers, np.int64)
    bands = row_bands(layers)
    parallel_map(lambda band: _count(values, counts, band[0], band[1], vertices, triangles), bands)
    first_vertex, first_triangle = np.cumsum(vertices) - vertices, np.cumsum(triangles) - triangles
    positions = np.empty((int(vertices.sum()), 3), np.float64)
    faces = np.empty((int(triangles.sum()), 3), np.int32)
    parallel_map(
        lambda band: _emit(
            values,
            counts,
            table,
            edges,
            band[0],
            band[1],
            first_vertex,
            first_triangle,
            np.empty((2, 3, *values.shape[1:]), np.int32),
            positions,
            faces,
        ),
        bands,
    )
    return Mesh(positions * voxel_size + origin, faces)
