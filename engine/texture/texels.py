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
def mix_views(
    face_index: Array,
    barycentric: Array,
    faces: Array,
    texel: Array,
    count: int,
    samples: Array,
    favour: Array,
    shift: Array,
    least: float,
    rest: float,
    agreement: float,
    colour: Array,
    total: Array,
) -> None:
    """Mix the views' colours at a band's texels.

    samples: [K, N, 4] float32 from `sample_points`. favour: [K, V] float32 0..1, how much a view is the chosen one;
    shift: [K, V, 3] float32, what levels its colours with the other views'. The chosen view sets the colour; the
    others count for `rest` times their weight as far as they agree with it, exp(-(difference/agreement)²), so that they
    take away noise but leave no ghosts, and for `least` in any case, so that they serve where the chosen one fails.
    total: [N, 4] float32, out: colour and the sum of the samples' own weights. colour: [K, 4] float32, to work in: the
    levelled colours and how much each view counts.
    """
    w = face_index.shape[1]
    K = len(samples)
    for n in range(count):
        y, x = texel[n] // w, texel[n] % w
        f = face_index[y, x]
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        p, q = max(barycentric[y, x, 0], 0.0), max(barycentric[y, x, 1], 0.0)
        r = max(1 - barycentric[y, x, 0] - barycentric[y, x, 1], 0.0)
        # Just outside a chart the weights are extrapolated: there the nearest point of the face counts.
        p, q, r = p / (p + q + r), q / (p + q + r), r / (p + q + r)
        red = green = blue = whole = plain = 0.0
        for k in range(K):
            if samples[k, n, 3] <= 0:
                continue
            for j in range(3):
                colour[k, j] = samples[k, n, j] + p * shift[k, a, j] + q * shift[k, b, j] + r * shift[k, c, j]
            colour[k, 3] = p * favour[k, a] + q * favour[k, b] + r * favour[k, c] + least
            weight = samples[k, n, 3] * colour[k, 3]
            red += weight * colour[k, 0]
            green += weight * colour[k, 1]
            blue += weight * colour[k, 2]
            whole += weight
            plain += samples[k, n, 3]
        total[n, 3] = plain
        if whole <= 0:
            continue
        red, green, blue = red / whole, green / whole, blue / whole
        sums = (0.0, 0.0, 0.0)
        whole = 0.0
        for k in range(K):
            if samples[k, n, 3] <= 0:
                continue
            apart = (colour[k, 0] - red) ** 2 + (colour[k, 1] - green) ** 2 + (colour[k, 2] - blue) ** 2
            weight = samples[k, n, 3] * (colour[k, 3] + rest * math.exp(-apart / (3 * agreement * agreement)))
            sums = (
                sums[0] + weight * colour[k, 0],
                sums[1] + weight * colour[k, 1],
                sums[2] + weight * colour[k, 2],
            )
            whole += weight
        for j in range(3):
            total[n, j] = sums[j] / whole


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
        share = min(max((total[n, 3] - low) / (high - low), 0.0), 1.0)
        if share < 0.5:
            filled += 1
        for k in range(3):
            value = p * fill[a, k] + q * fill[b, k] + r * fill[c, k]
            if share > 0:
                value = share * total[n, k] + (1 - share) * value
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
