"""Kernels over the texels of an atlas: where they lie, what they become, what surrounds them."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from engine.jit import jit

Array = NDArray[Any]


@jit
def grow_charts(face_index: Array, barycentric: Array, uv_px: Array, faces_uv: Array, first: int, last: int) -> None:
    """Extend the faces at a chart's border over the texels just outside, in rows first..last - 1 of a copy.

    face_index: [H, S] int32, -1 = none, of which -2 marks what is not to be extended into further; barycentric:
    [H, S, 2] float32, extrapolated. A new texel gets face -3 - f, so that it is not grown from in the same pass.
    """
    h, w = face_index.shape
    for y in range(first, last):
        for x in range(w):
            if face_index[y, x] != -1:
                continue
            best = 2e9
            found = -1
            for k in range(9):
                v, u = y + k // 3 - 1, x + k % 3 - 1
                if v < 0 or u < 0 or v >= h or u >= w or face_index[v, u] < 0:
                    continue
                away = (v - y) ** 2 + (u - x) ** 2
                if away < best:
                    best, found = away, face_index[v, u]
            if found < 0:
                continue
            a, b, c = faces_uv[found, 0], faces_uv[found, 1], faces_uv[found, 2]
            ax, ay = uv_px[a, 0], uv_px[a, 1]
            bx, by = uv_px[b, 0], uv_px[b, 1]
            cx, cy = uv_px[c, 0], uv_px[c, 1]
            area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
            if abs(area) < 1e-3:
                continue
            px, py = x + 0.5, y + 0.5
            p = ((bx - px) * (cy - py) - (by - py) * (cx - px)) / area
            q = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) / area
            # Far beyond a sliver its plane says nothing.
            if max(abs(p), abs(q), abs(1 - p - q)) > 6:
                continue
            face_index[y, x] = -3 - found
            barycentric[y, x, 0] = p
            barycentric[y, x, 1] = q


@jit
def texel_points(
    face_index: Array,
    barycentric: Array,
    faces: Array,
    vertices: Array,
    normals: Array,
    texel: Array,
    points: Array,
    directions: Array,
) -> int:
    """The surface points of a band's texels; returns how many there are.

    face_index: [h, S] int32, barycentric: [h, S, 2]. vertices, normals: [V, 3] float32. Out: texel [N] int32, the flat
    index within the band; points, directions (unit normals) [N, 3] float32.
    """
    h, w = face_index.shape
    n = 0
    for y in range(h):
        for x in range(w):
            f = face_index[y, x]
            if f < 0:
                continue
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            p, q = barycentric[y, x, 0], barycentric[y, x, 1]
            r = 1 - p - q
            length = 0.0
            for k in range(3):
                points[n, k] = p * vertices[a, k] + q * vertices[b, k] + r * vertices[c, k]
                directions[n, k] = p * normals[a, k] + q * normals[b, k] + r * normals[c, k]
                length += directions[n, k] ** 2
            length = math.sqrt(max(length, 1e-20))
            for k in range(3):
                directions[n, k] /= length
            texel[n] = y * w + x
            n += 1
    return n


@jit
def add_view(
    face_index: Array,
    barycentric: Array,
    faces: Array,
    texel: Array,
    count: int,
    sample: Array,
    favour: Array,
    shift: Array,
    rest: float,
    total: Array,
) -> None:
    """Add one view's colours to a band's texels.

    sample: [N, 4] float32 from `sample_points`. favour: [V] float32 0..1, how much this view is the chosen one there;
    shift: [V, 3] float32, what levels its colours with the other views'. rest: what views that were not chosen count
    for, so that they serve where the chosen one fails. total: [N, 5] float32: weighted colour, weight, plain weight.
    """
    w = face_index.shape[1]
    for n in range(count):
        if sample[n, 3] <= 0:
            continue
        y, x = texel[n] // w, texel[n] % w
        f = face_index[y, x]
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        p, q = max(barycentric[y, x, 0], 0.0), max(barycentric[y, x, 1], 0.0)
        r = max(1 - barycentric[y, x, 0] - barycentric[y, x, 1], 0.0)
        # Just outside a chart the weights are extrapolated: there the nearest point of the face counts.
        p, q, r = p / (p + q + r), q / (p + q + r), r / (p + q + r)
        weight = sample[n, 3] * (p * favour[a] + q * favour[b] + r * favour[c] + rest)
        for k in range(3):
            total[n, k] += weight * (sample[n, k] + p * shift[a, k] + q * shift[b, k] + r * shift[c, k])
        total[n, 3] += weight
        total[n, 4] += sample[n, 3]


@jit
def write_texels(
    face_index: Array,
    barycentric: Array,
    faces: Array,
    texel: Array,
    count: int,
    total: Array,
    fill: Array,
    low: float,
    high: float,
    texture: Array,
) -> int:
    """Write a band's texels [h, S, 3] uint8; returns how many hold mostly filled-in colour.

    fill: [V, 3] float32, the colours for what no view sees well: all of it where the plain weight is below `low`, none
    where it is above `high`.
    """
    w = face_index.shape[1]
    filled = 0
    for n in range(count):
        y, x = texel[n] // w, texel[n] % w
        f = face_index[y, x]
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        p, q = max(barycentric[y, x, 0], 0.0), max(barycentric[y, x, 1], 0.0)
        r = max(1 - barycentric[y, x, 0] - barycentric[y, x, 1], 0.0)
        # Just outside a chart the weights are extrapolated: there the nearest point of the face counts.
        p, q, r = p / (p + q + r), q / (p + q + r), r / (p + q + r)
        share = min(max((total[n, 4] - low) / (high - low), 0.0), 1.0)
        if share < 0.5:
            filled += 1
        for k in range(3):
            value = p * fill[a, k] + q * fill[b, k] + r * fill[c, k]
            if share > 0:
                value = share * total[n, k] / total[n, 3] + (1 - share) * value
            texture[y, x, k] = min(max(value + 0.5, 0.0), 255.0)
    return filled


@jit
def dilate(texture: Array, ring: Array, step: int, first: int, last: int) -> None:
    """Extend the texture by one texel, in rows first..last - 1: the mean of the neighbours that are known.

    texture: [S, S, 3] uint8. ring: [S, S] uint8: 0 = unknown, 1 = a chart's, n = known since step n - 1. Reads rings
    up to `step` only and writes ring step + 1, so bands may run at once.
    """
    h, w = ring.shape
    for y in range(first, last):
        for x in range(w):
            if ring[y, x] != 0:
                continue
            r = g = b = count = 0
            for k in range(9):
                v, u = y + k // 3 - 1, x + k % 3 - 1
                if 0 <= v < h and 0 <= u < w and 0 < ring[v, u] <= step:
                    r += texture[v, u, 0]
                    g += texture[v, u, 1]
                    b += texture[v, u, 2]
                    count += 1
            if count > 0:
                texture[y, x, 0] = (r + count // 2) // count
                texture[y, x, 1] = (g + count // 2) // count
                texture[y, x, 2] = (b + count // 2) // count
                ring[y, x] = step + 1
