"""Kernels that read colours from a view: edge distances, rim repair, samples at surface points."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit

Array = NDArray[Any]

FULL_DISTANCE = 6.0
"""Distances in pixels from an edge are told apart up to this."""
RIM = 2.5
"""Pixels nearer to an edge than this take their colour from the nearest safe one of the same surface."""
_REACH = 4
_JUMP_PIXELS = 6.0
"""A step in depth between neighbours of more than so many pixels' width is an edge."""


@jit
def edge_distance(alpha: Array, depth: Array, pixel_angle: float, distance: Array) -> None:
    """Distance in pixels to the nearest edge, up to about FULL_DISTANCE.

    alpha: [h, w] uint8, depth: [h, w] float32 (0 = none). An edge is a pixel that the object does not fill
    (alpha < 250) and either side of a jump in depth. distance: [h, w] float32, out; by a two-pass chamfer transform
    (Borgefors, "Distance transformations in digital images", 1986), weights 1 and sqrt(2).
    """
    h, w = alpha.shape
    far = np.float32(2 * FULL_DISTANCE)
    diagonal = np.float32(math.sqrt(2.0))
    one = np.float32(1.0)
    for y in range(h):
        for x in range(w):
            distance[y, x] = far
            if alpha[y, x] < 250:
                distance[y, x] = 0
                continue
            z = depth[y, x]
            if z <= 0:
                continue
            limit = _JUMP_PIXELS * pixel_angle * z
            for k in range(4):
                u, v = x + (k == 0) - (k == 1), y + (k == 2) - (k == 3)
                if 0 <= u < w and 0 <= v < h and depth[v, u] > 0 and abs(depth[v, u] - z) > limit:
                    distance[y, x] = 0.5
    for y in range(h):
        for x in range(w):
            d = distance[y, x]
            if x > 0:
                d = min(d, distance[y, x - 1] + one)
            if y > 0:
                d = min(d, distance[y - 1, x] + one)
                if x > 0:
                    d = min(d, distance[y - 1, x - 1] + diagonal)
                if x + 1 < w:
                    d = min(d, distance[y - 1, x + 1] + diagonal)
            distance[y, x] = d
    for y in range(h - 1, -1, -1):
        for x in range(w - 1, -1, -1):
            d = distance[y, x]
            if x + 1 < w:
                d = min(d, distance[y, x + 1] + one)
            if y + 1 < h:
                d = min(d, distance[y + 1, x] + one)
                if x + 1 < w:
                    d = min(d, distance[y + 1, x + 1] + diagonal)
                if x > 0:
                    d = min(d, distance[y + 1, x - 1] + diagonal)
            distance[y, x] = d


@jit
def repair_rim(
    rgb: Array, alpha: Array, depth: Array, distance: Array, background: Array, pixel_angle: float, out: Array
) -> None:
    """Give pixels near an edge the colour of the nearest safe pixel of the same surface.

    At an edge a pixel holds both sides' colours. One whose distance is below RIM takes the colour of the nearest
    pixel within a few that is RIM or more from any edge and at about the same depth. On parts too thin to have one,
    the best of the neighbours does, and what it holds of the background is taken out: C = (I - (1 - a)·B)/a.
    rgb, out: [h, w, 3] uint8. background: [3] float64. The other arguments as in `edge_distance`.
    """
    h, w = alpha.shape
    for y in range(h):
        for x in range(w):
            a = alpha[y, x]
            if distance[y, x] >= RIM or a == 0:
                for c in range(3):
                    out[y, x, c] = rgb[y, x, c]
                continue
            z = depth[y, x]
            limit = (1 + _REACH) * _JUMP_PIXELS * pixel_angle * z
            best = -1e9
            bx, by = x, y
            for v in range(max(0, y - _REACH), min(h, y + _REACH + 1)):
                for u in range(max(0, x - _REACH), min(w, x + _REACH + 1)):
                    if alpha[v, u] < a:
                        continue
                    if z > 0 and (depth[v, u] <= 0 or abs(depth[v, u] - z) > limit):
                        continue
                    away = math.sqrt((u - x) ** 2.0 + (v - y) ** 2.0)
                    score = 4 * min(distance[v, u], RIM) - away
                    if score > best:
                        best, bx, by = score, u, v
            share = alpha[by, bx] / 255.0
            for c in range(3):
                value = float(rgb[by, bx, c])
                if share < 0.98:
                    value = (value - (1 - share) * background[c]) / max(share, 0.2)
                out[y, x, c] = np.uint8(min(max(value + 0.5, 0.0), 255.0))


@jit
def sample_points(
    points: Array,
    normals: Array,
    projection: Array,
    centre: Array,
    pixel_angle: float,
    depth: Array,
    rgb: Array,
    trust: Array,
    out: Array,
) -> None:
    """What one view says of surface points.

    points, normals: [N, 3] float32, world. projection: [3, 4] float64, world to pixels of the crop. centre: [3], the
    camera's. depth: [h, w] float32 of the surface. rgb: [h, w, 3] uint8, trust: [h, w] uint8 (0 = not the object).
    out: [N, 4] float32: colour 0..255 and weight cos(angle)/z² · trust, 0 where the point is not seen. Of the four
    pixels around a point only those count that show the surface at the point's own depth: not what lies in front of it
    (occlusion), nor what lies behind.
    """
    h, w = depth.shape
    for i in range(len(points)):
        out[i, 0] = out[i, 1] = out[i, 2] = out[i, 3] = 0
        x, y, z = float(points[i, 0]), float(points[i, 1]), float(points[i, 2])
        pz = projection[2, 0] * x + projection[2, 1] * y + projection[2, 2] * z + projection[2, 3]
        if pz <= 0:
            continue
        u = (projection[0, 0] * x + projection[0, 1] * y + projection[0, 2] * z + projection[0, 3]) / pz - 0.5
        v = (projection[1, 0] * x + projection[1, 1] * y + projection[1, 2] * z + projection[1, 3]) / pz - 0.5
        if not (u > -1 and v > -1 and u < w and v < h):
            continue
        dx, dy, dz = centre[0] - x, centre[1] - y, centre[2] - z
        cosine = (normals[i, 0] * dx + normals[i, 1] * dy + normals[i, 2] * dz) / math.sqrt(dx * dx + dy * dy + dz * dz)
        if cosine < 0.03:
            continue
        tangent = math.sqrt(max(1 - cosine * cosine, 0.0)) / cosine
        tolerance = pixel_angle * pz * (2.0 + 1.5 * min(tangent, 10.0))
        x0, y0 = math.floor(u), math.floor(v)
        fx, fy = u - x0, v - y0
        total = seen = trusted = 0.0
        r = g = b = 0.0
        for k in range(4):
            xx, yy = x0 + (k & 1), y0 + (k >> 1)
            share = (fx if k & 1 else 1 - fx) * (fy if k >> 1 else 1 - fy)
            if xx < 0 or yy < 0 or xx >= w or yy >= h or depth[yy, xx] <= 0:
                continue
            if abs(depth[yy, xx] - pz) > tolerance:
                continue
            seen += share
            q = float(trust[yy, xx])
            if q > 0:
                total += share
                trusted += share * q
                r += share * rgb[yy, xx, 0]
                g += share * rgb[yy, xx, 1]
                b += share * rgb[yy, xx, 2]
        if total <= 0.05 or seen <= 0.2:
            continue
        out[i, 0] = r / total
        out[i, 1] = g / total
        out[i, 2] = b / total
        out[i, 3] = trusted / 255 * cosine / (pz * pz)
