"""Six views into one truncated signed distance (after Curless & Levoy 1996), with free space and the hull built in.

For each voxel every view tells a signed distance to the border of what it sees as free space: to the local plane of
its depth (not along the ray: distances from all views are then in one measure), to the silhouette, or to the depth edge
that the voxel hides behind, whichever bounds the free space there. The object is the intersection of all that is not
free, so the largest distance rules: no view can fill what another sees through, and the two sides of a thin part do not
eat each other, as they do in a plain average. Surfaces that agree with the largest to within a tolerance
are averaged, those seen face-on most; outlines only bound, for the surface may lie well within them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.fuse.view_maps import ViewMaps
from engine.jit import jit, parallel_map, row_bands
from engine.progress import Checkpoint

TRUNCATION_VOXELS = 4.0
TOLERANCE_VOXELS = 1.5
EDGE_REACH_PX = 20.0


@jit
def _integrate(
    phi: Any,
    x0: Any,
    x1: Any,
    origin: Any,
    voxel: Any,
    pixels: Any,
    views: Any,
    truncation: Any,
    tolerance: Any,
    distances: Any,
    weights: Any,
    lines: Any,
) -> Any:  # pragma: no cover
    """Fill phi[x0:x1]. pixels [N, h, w, 8] and views [N, 18]: see `ViewMaps`.

    To work in: distances, weights [N]; lines [N, 6] float64, where a row of voxels lies in each view: u·z, v·z and z of
    its first one, and what is added from one to the next.
    """
    _, Y, Z = phi.shape
    n = len(views)
    for i in range(x0, x1):
        for j in range(Y):
            wx, wy, wz = origin[0] + i * voxel, origin[1] + j * voxel, origin[2]
            for m in range(n):
                q, line = views[m], lines[m]
                z = q[8] * wx + q[9] * wy + q[10] * wz + q[11]
                line[0] = (q[0] * wx + q[1] * wy + q[2] * wz + q[3]) * q[12] + q[14] * z
                line[1] = (q[4] * wx + q[5] * wy + q[6] * wz + q[7]) * q[13] + q[15] * z
                line[2] = z
                line[3] = voxel * (q[2] * q[12] + q[14] * q[10])
                line[4] = voxel * (q[6] * q[13] + q[15] * q[10])
                line[5] = voxel * q[10]
            for k in range(Z):
                largest, nearest = -truncation, -truncation
                for m in range(n):
                    q, line = views[m], lines[m]
                    z = line[2] + k * line[5]
                    nearness = 1 / z
                    u, v = (line[0] + k * line[3]) * nearness, (line[1] + k * line[4]) * nearness
                    if not (z > 0 and u >= 0 and v >= 0 and u < q[17] - 1 and v < q[16] - 1):
                        largest = truncation
                        break
                    width = z / q[12]  # of a pixel, at the voxel
                    x, y = int(u), int(v)
                    s, t = u - x, v - y
                    silhouette = width * (
                        (pixels[m, y, x, 3] * (1 - s) + pixels[m, y, x + 1, 3] * s) * (1 - t)
                        + (pixels[m, y + 1, x, 3] * (1 - s) + pixels[m, y + 1, x + 1, 3] * s) * t
                    )
                    d, weight = silhouette, 0.0
                    nx, ny = int(u + 0.5), int(v + 0.5)
                    g = pixels[m, ny, nx, 0]
                    if d < truncation and g > 0:
                        gu, gv, edge = pixels[m, ny, nx, 1], pixels[m, ny, nx, 2], pixels[m, ny, nx, 4]
                        g0, g1 = pixels[m, y, x, 0], pixels[m, y, x + 1, 0]
                        g2, g3 = pixels[m, y + 1, x, 0], pixels[m, y + 1, x + 1, 0]
                        least = min(g0, g1, g2, g3)
                        if least > 0 and max(g0, g1, g2, g3) - least <= pixels[m, ny, nx, 7]:
                            g = (g0 * (1 - s) + g1 * s) * (1 - t) + (g2 * (1 - s) + g3 * s) * t
                        else:
                            g += gu * (u - nx) + gv * (v - ny)
                        # the plane that is 1 = z·(disparity, linear in the pixel), as a plane in space
                        px, py = gu * q[12], gv * q[13]
                        pz = g - gu * (u - q[14]) - gv * (v - q[15])
                        scale = 1 / np.sqrt(px * px + py * py + pz * pz)
                        plane = (1 - z * g) * scale
                        if plane >= d:
                            d = plane
                            weight = (g * scale) ** 2  # squared cosine to the ray, about
                        bounded = abs(edge) < EDGE_REACH_PX and pixels[m, ny, nx, 5] < z < pixels[m, ny, nx, 6]
                        edge *= width
                        if bounded and ((edge > 0 and d > edge) or (edge < 0 and d < edge)):
                            d, weight = edge, 0.0
                    distances[m] = d
                    weights[m] = weight
                    largest = max(largest, d)
                    if weight > 0:
                        nearest = max(nearest, d)
                    if d >= truncation:
                        break
                if largest >= truncation:
                    phi[i, j, k] = truncation
                elif largest <= -truncation:
                    phi[i, j, k] = -truncation
                else:
                    total, weight = 0.0, 0.0
                    for m in range(n):
                        a = weights[m] * (1 - (nearest - distances[m]) / tolerance)
                        if a > 0:
                            total += a * distances[m]
                            weight += a
                    if weight > 0 and nearest >= largest:
                        largest = total / weight
                        for m in range(n):
                            if weights[m] == 0:
                                largest = max(largest, distances[m])
                    phi[i, j, k] = largest


def integrate(
    maps: ViewMaps, origin: NDArray[np.float64], voxel_size: float, shape: tuple[int, int, int], checkpoint: Checkpoint
) -> NDArray[np.float32]:
    """[X, Y, Z] float32 truncated signed distance in world units, positive outside and on the volume's own faces."""
    phi = np.empty(shape, np.float32)
    truncation, tolerance = TRUNCATION_VOXELS * voxel_size, TOLERANCE_VOXELS * voxel_size

    def fill(band: tuple[int, int]) -> None:
        distances, weights = np.zeros((2, len(maps.table)))
        _integrate(
            phi,
            band[0],
            band[1],
            origin,
            voxel_size,
            maps.pixels,
            maps.table,
            truncation,
            tolerance,
            distances,
            weights,
            np.empty((len(maps.table), 6)),
        )

    bands = row_bands(shape[0], 32)
    for first in range(0, len(bands), 8):
        checkpoint(first / len(bands))
        parallel_map(fill, bands[first : first + 8])
    for axis in range(3):
        faces = np.moveaxis(phi, axis, 0)
        faces[0] = faces[-1] = truncation
    return phi
