"""The surface's own planes at the vertices of a mesh, read from the views.

Marching cubes cuts off what lies between the lines of the grid: each edge of the object is chamfered, each bulge cut,
always inwards. The views know the surface's slope to a pixel, several of which make a voxel. So each vertex is given
the plane that the views see there, and simplification, which puts vertices where planes meet, restores the edges (as
Kobbelt et al., "Feature sensitive surface extraction from volume data", SIGGRAPH 2001, do within a cell).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.fuse.view_maps import ViewMaps
from engine.jit import jit, parallel_map, row_bands
from engine.mesh import Mesh

REACH_VOXELS = 0.75
"""A plane farther from a vertex than this is another surface's."""
AGREEMENT_VOXELS = 0.4
"""Planes that bound the object less than the outermost one by this or more do not count: they meet it at an edge."""
RIM_PX = 0.75
"""Nearer to a silhouette or a depth edge than this a slope is one-sided, and not trusted."""
LEAST_COSINE = 0.5
"""Of a plane's normal and the mesh's."""


@jit
def _planes(
    points: Any, normals: Any, pixels: Any, views: Any, reach: Any, agreement: Any, found: Any, out: Any
) -> None:  # pragma: no cover
    """Fill out [V, 4]: unit normal and offset of each point's plane. pixels, views: see `ViewMaps`.

    To work in: found [N, 5] float64.
    """
    n = len(views)
    for i in range(len(points)):
        wx, wy, wz = points[i, 0], points[i, 1], points[i, 2]
        outermost = -1e30
        for m in range(n):
            found[m, 4] = 0
            q = views[m]
            z = q[8] * wx + q[9] * wy + q[10] * wz + q[11]
            u = (q[0] * wx + q[1] * wy + q[2] * wz + q[3]) / z * q[12] + q[14]
            v = (q[4] * wx + q[5] * wy + q[6] * wz + q[7]) / z * q[13] + q[15]
            if not (z > 0 and u >= 0 and v >= 0 and u < q[17] - 1 and v < q[16] - 1):
                continue
            x, y = int(u + 0.5), int(v + 0.5)
            g, gu, gv = pixels[m, y, x, 0], pixels[m, y, x, 1], pixels[m, y, x, 2]
            if g <= 0 or pixels[m, y, x, 3] > -RIM_PX or abs(pixels[m, y, x, 4]) < RIM_PX:
                continue
            g += gu * (u - x) + gv * (v - y)
            px, py = gu * q[12], gv * q[13]
            pz = g - gu * (u - q[14]) - gv * (v - q[15])
            scale = 1 / np.sqrt(px * px + py * py + pz * pz)
            d = (1 - z * g) * scale
            if abs(d) > reach:
                continue
            # towards the camera: out of the object
            nx = -scale * (q[0] * px + q[4] * py + q[8] * pz)
            ny = -scale * (q[1] * px + q[5] * py + q[9] * pz)
            nz = -scale * (q[2] * px + q[6] * py + q[10] * pz)
            if nx * normals[i, 0] + ny * normals[i, 1] + nz * normals[i, 2] < LEAST_COSINE:
                continue
            found[m, 0], found[m, 1], found[m, 2], found[m, 3] = nx, ny, nz, d
            found[m, 4] = (g * scale) ** 2
            outermost = max(outermost, d)
        nx, ny, nz, weight = 0.0, 0.0, 0.0, 0.0
        for m in range(n):
            if found[m, 4] > 0:
                a = found[m, 4] * (1 - (outermost - found[m, 3]) / agreement)
                if a > 0:
                    nx += a * found[m, 0]
                    ny += a * found[m, 1]
                    nz += a * found[m, 2]
                    weight += a
        if weight == 0:
            nx, ny, nz = normals[i, 0], normals[i, 1], normals[i, 2]
        length = max(np.sqrt(nx * nx + ny * ny + nz * nz), 1e-300)
        nx, ny, nz = nx / length, ny / length, nz / length
        out[i, 0], out[i, 1], out[i, 2] = nx, ny, nz
        out[i, 3] = -(nx * wx + ny * wy + nz * wz)


def vertex_planes(mesh: Mesh, maps: ViewMaps, voxel_size: float) -> NDArray[np.float64]:
    """[V, 4] float64, the plane n·x + c = 0 of the surface at each vertex, n a unit normal outwards.

    Where no view shows the surface: through the vertex, square to the mesh's normal there.
    """
    out = np.empty((len(mesh.vertices), 4))
    points = np.ascontiguousarray(mesh.vertices, np.float64)
    normals = np.ascontiguousarray(mesh.vertex_normals(), np.float64)
    reach, agreement = REACH_VOXELS * voxel_size, AGREEMENT_VOXELS * voxel_size

    def fill(rows: tuple[int, int]) -> None:
        part, found = slice(*rows), np.empty((len(maps.table), 5))
        _planes(points[part], normals[part], maps.pixels, maps.table, reach, agreement, found, out[part])

    parallel_map(fill, row_bands(len(points)))
    return out
