"""The kernels of the differentiable rasteriser on CUDA: what `elements` does with a pixel, sample or pair, in threads.

What many pixels add to one vertex or texel goes there as integers, of units that are a power of two: so a sum does not
depend on the order of its terms, and two runs give the same bytes. Where no bound of the terms is known beforehand a
kernel runs twice: first for the greatest term of each sum (`totals` then holds its bits, which are ordered as the
values), then to add. Pictures are row-major, as in `engine.render.cuda_kernels`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from engine.cuda import device_function, kernel
from engine.diff.elements import (
    coordinates_backward,
    corner_inverse,
    corners_backward,
    edge_backward,
    first_is_nearer,
    halved,
    halved_share,
    silhouette_between,
    silhouette_bits,
    weight_slopes,
    weights,
    weights_backward,
)
from engine.render.elements import bilinear, mip_level, two_levels

RUN_PX = 8
"""Pixels of a row that a thread takes together, so that those of one face are one term."""
Array = NDArray[Any]


@device_function
def _put(totals: Array, units: Array, i: int, value: float, adding: bool) -> None:
    """Put a term of totals[i], int64. units: [N] float64, how many units 1 is there; 0 leaves it out."""
    if value == 0:
        return
    if not adding:
        cuda.atomic.max(totals, i, np.float64(abs(value)).view(np.int64))
    elif units[i] > 0:
        cuda.atomic.add(totals, i, np.int64(round(value * units[i])))


@kernel
def raster_pixels(
    position_clip: Array, faces: Array, height: int, width: int, face_index: Array, raster: Array, slopes: Array
) -> None:
    """As `geometry_kernels.raster_rows`: face_index [P] int32, raster and slopes [P, 4]."""
    for p in range(cuda.grid(1), face_index.shape[0], cuda.gridsize(1)):
        face = face_index[p]
        if face < 0:
            for k in range(4):
                raster[p, k] = 0
                slopes[p, k] = 0
            continue
        px, py = p % width + 0.5, p // width + 0.5
        i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
        g = corner_inverse(position_clip, i0, i1, i2, height, width)
        steps = weight_slopes(g, px, py)
        for k in range(4):
            slopes[p, k] = steps[k]
        b0, b1, b2 = weights(g, px, py)
        raster[p, 0] = b0
        raster[p, 1] = b1
        deep = b0 * position_clip[i0, 2] + b1 * position_clip[i1, 2] + b2 * position_clip[i2, 2]
        raster[p, 2] = deep / (b0 * position_clip[i0, 3] + b1 * position_clip[i1, 3] + b2 * position_clip[i2, 3])
        raster[p, 3] = face + 1


@kernel
def raster_backward(
    position_clip: Array, faces: Array, raster: Array, gradient: Array, units: Array, adding: bool, totals: Array
) -> None:
    """As `geometry_kernels.raster_backward_rows`; raster, gradient [H, W, 4], totals [V·4]: see `_put`."""
    height, width = raster.shape[0], raster.shape[1]
    hw, hh = 0.5 * width, 0.5 * height
    runs = (width + RUN_PX - 1) // RUN_PX
    for item in range(cuda.grid(1), height * runs, cuda.gridsize(1)):
        row, first = item // runs, item % runs * RUN_PX
        last = -1
        g = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        x0 = y0 = w0 = x1 = y1 = w1 = x2 = y2 = w2 = 0.0
        for column in range(first, min(first + RUN_PX, width) + 1):  # one beyond the end, to put the last face's term
            face = -1
            d0 = d1 = 0.0
            if column < first + RUN_PX and column < width:
                d0, d1 = np.float64(gradient[row, column, 0]), np.float64(gradient[row, column, 1])
                face = int(raster[row, column, 3]) - 1
            if face != last:
                if last >= 0:
                    a, b, c = faces[last, 0] * 4, faces[last, 1] * 4, faces[last, 2] * 4
                    _put(totals, units, a, x0 * hw, adding)
                    _put(totals, units, a + 1, y0 * hh, adding)
                    _put(totals, units, a + 3, w0 + x0 * hw + y0 * hh, adding)
                    _put(totals, units, b, x1 * hw, adding)
                    _put(totals, units, b + 1, y1 * hh, adding)
                    _put(totals, units, b + 3, w1 + x1 * hw + y1 * hh, adding)
                    _put(totals, units, c, x2 * hw, adding)
                    _put(totals, units, c + 1, y2 * hh, adding)
                    _put(totals, units, c + 3, w2 + x2 * hw + y2 * hh, adding)
                    x0 = y0 = w0 = x1 = y1 = w1 = x2 = y2 = w2 = 0.0
                last = face
                if face >= 0:
                    g = corner_inverse(position_clip, faces[face, 0], faces[face, 1], faces[face, 2], height, width)
            if face >= 0 and (d0 != 0 or d1 != 0):
                h = corners_backward(g, column + 0.5, row + 0.5, d0, d1)
                x0, y0, w0 = x0 + h[0], y0 + h[1], w0 + h[2]
                x1, y1, w1 = x1 + h[3], y1 + h[4], w1 + h[5]
                x2, y2, w2 = x2 + h[6], y2 + h[7], w2 + h[8]


@kernel
def interpolate_backward(
    attributes: Array,
    faces: Array,
    raster: Array,
    gradient: Array,
    wanted: bool,
    unit: Array,
    totals: Array,
    out_raster: Array,
) -> None:
    """As `geometry_kernels.interpolate_backward_rows`: unit [1], totals [A, C] (not touched unless wanted)."""
    height, width = raster.shape[0], raster.shape[1]
    for p in range(cuda.grid(1), height * width, cuda.gridsize(1)):
        row, column = p // width, p % width
        d0 = d1 = 0.0
        face = int(raster[row, column, 3]) - 1
        if face >= 0:
            i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
            d0, d1 = weights_backward(attributes, i0, i1, i2, gradient, row, column)
            if wanted and unit[0] > 0:
                b0, b1 = np.float64(raster[row, column, 0]), np.float64(raster[row, column, 1])
                for c in range(gradient.shape[2]):
                    d = np.float64(gradient[row, column, c]) * unit[0]
                    if d != 0:
                        cuda.atomic.add(totals, (i0, c), np.int64(round(d * b0)))
                        cuda.atomic.add(totals, (i1, c), np.int64(round(d * b1)))
                        cuda.atomic.add(totals, (i2, c), np.int64(round(d * (1 - b0 - b1))))
        out_raster[row, column, 0] = d0
        out_raster[row, column, 1] = d1
        out_raster[row, column, 2] = 0
        out_raster[row, column, 3] = 0


@kernel
def texture_backward(
    texels: Array,
    levels: Array,
    uv: Array,
    uv_dxy: Array,
    with_footprint: bool,
    gradient: Array,
    wanted_uv: bool,
    out: Array,
    wanted: bool,
    unit: Array,
    totals: Array,
) -> None:
    """As `texture_kernels.uv_backward` and `texel_backward`: out [N, 2], unit [1], totals [T, C]."""
    for i in range(cuda.grid(1), uv.shape[0], cuda.gridsize(1)):
        du = dv = level = 0.0
        if with_footprint:
            level = mip_level(uv_dxy[i, 0], uv_dxy[i, 1], uv_dxy[i, 2], uv_dxy[i, 3], levels[0, 1], levels[0, 2])
        low, blend = two_levels(level, len(levels))
        for k in range(2 if blend > 0 else 1):
            n, share = low + k, blend if k == 1 else 1 - blend
            if wanted_uv:
                across, along = coordinates_backward(
                    texels, levels, n, uv[i, 0], uv[i, 1], gradient, i, gradient.shape[1]
                )
                du, dv = du + share * across, dv + share * along
            if wanted and unit[0] > 0:
                top, right, below, fx, fy, _ = bilinear(levels, n, uv[i, 0], uv[i, 1])
                for c in range(gradient.shape[1]):
                    d = np.float64(gradient[i, c]) * share * unit[0]
                    if d != 0:
                        cuda.atomic.add(totals, (top, c), np.int64(round(d * (1 - fx) * (1 - fy))))
                        cuda.atomic.add(totals, (top + right, c), np.int64(round(d * fx * (1 - fy))))
                        cuda.atomic.add(totals, (top + below, c), np.int64(round(d * (1 - fx) * fy)))
                        cuda.atomic.add(totals, (top + below + right, c), np.int64(round(d * fx * fy)))
        if wanted_uv:
            out[i, 0] = du
            out[i, 1] = dv


@kernel
def halve(fine: Array, height: int, width: int, coarse: Array) -> None:
    """As `texture_kernels.halve_rows`: fine [H·W, C] to coarse [ceil(H/2)·ceil(W/2), C]."""
    across = (width + 1) // 2
    for p in range(cuda.grid(1), coarse.shape[0], cuda.gridsize(1)):
        for c in range(coarse.shape[1]):
            coarse[p, c] = halved(fine, height, width, p // across, p % across, c)


@kernel
def halve_backward(coarse: Array, height: int, width: int, fine: Array) -> None:
    """The adjoint of `halve`, added to fine [H·W, C]."""
    across = (width + 1) // 2
    for p in range(cuda.grid(1), fine.shape[0], cuda.gridsize(1)):
        row, column = p // width, p % width
        share, source = halved_share(height, width, row, column), row // 2 * across + column // 2
        for c in range(fine.shape[1]):
            fine[p, c] += share * coarse[source, c]


@kernel
def silhouette_edges(position_clip: Array, faces: Array, across: Array, out: Array) -> None:
    """`silhouette_bits` of all faces to out [F] uint8."""
    for f in range(cuda.grid(1), faces.shape[0], cuda.gridsize(1)):
        out[f] = silhouette_bits(position_clip, faces, across, f)


@kernel
def find_pairs(
    position_clip: Array,
    faces: Array,
    across: Array,
    edges: Array,
    raster: Array,
    vertex: Array,
    crossing: Array,
) -> None:
    """Each pixel with its neighbours to the right and below: vertex [P, 2, 2] int32, crossing [P, 2].

    vertex: a, b of `silhouette_between`, with a = -1 where there is no silhouette, and both as -2 - number where the
    neighbour is the nearer one. crossing: its t.
    """
    height, width = raster.shape[0], raster.shape[1]
    for item in range(cuda.grid(1), 2 * height * width, cuda.gridsize(1)):
        p, axis = item // 2, item % 2
        row, column = p // width, p % width
        y, x = row + axis, column + 1 - axis
        vertex[p, axis, 0] = -1
        if y >= height or x >= width:
            continue
        here, there = raster[row, column, 3], raster[y, x, 3]
        if here == there:
            continue
        if first_is_nearer(raster, row, column, y, x):
            a, b, t = silhouette_between(
                position_clip,
                faces,
                across,
                edges,
                int(here) - 1,
                int(there) - 1,
                row,
                column,
                axis,
                1.0,
                height,
                width,
            )
        else:
            a, b, t = silhouette_between(
                position_clip, faces, across, edges, int(there) - 1, int(here) - 1, y, x, axis, -1.0, height, width
            )
            if a >= 0:
                a, b = -2 - a, -2 - b
        vertex[p, axis, 0] = a
        vertex[p, axis, 1] = b
        crossing[p, axis] = t


@device_function
def _pair(vertex: Array, crossing: Array, width: int, p: int, n: int) -> Any:
    """The n-th of the four pairs that pixel p may be in, in the order in which the CPU goes through them: near, far, t.

    near is -1 where there is none.
    """
    first, axis = p, n % 2
    if n == 0:
        first, axis = p - width, 1
    elif n == 1:
        first, axis = p - 1, 0
    else:
        axis = n - 2
    step = width if axis == 1 else 1
    if first < 0 or (n == 1 and p % width == 0) or vertex[first, axis, 0] == -1:
        return -1, -1, 0.0
    t = np.float64(crossing[first, axis])
    return (first, first + step, t) if vertex[first, axis, 0] >= 0 else (first + step, first, t)


@kernel
def blend(vertex: Array, crossing: Array, width: int, colour: Array, out: Array) -> None:
    """As `silhouette_kernels.blend_pairs`: colour, out [P, C]; each pixel takes what falls to it."""
    for p in range(cuda.grid(1), colour.shape[0], cuda.gridsize(1)):
        for c in range(colour.shape[1]):
            out[p, c] = colour[p, c]
        for n in range(4):
            near, far, t = _pair(vertex, crossing, width, p, n)
            if near >= 0 and p == (far if t > 0.5 else near):
                for c in range(colour.shape[1]):
                    out[p, c] += (t - 0.5) * (colour[near, c] - colour[far, c])


@kernel
def blend_backward(vertex: Array, crossing: Array, width: int, gradient: Array, out: Array) -> None:
    """The way back of `blend` to the colours: gradient, out [P, C]."""
    for p in range(cuda.grid(1), gradient.shape[0], cuda.gridsize(1)):
        for c in range(gradient.shape[1]):
            out[p, c] = gradient[p, c]
        for n in range(4):
            near, far, t = _pair(vertex, crossing, width, p, n)
            if near >= 0:
                target, share = far if t > 0.5 else near, t - 0.5 if p == near else 0.5 - t
                for c in range(gradient.shape[1]):
                    out[p, c] += share * gradient[target, c]


@kernel
def edges_backward(
    position_clip: Array,
    vertex: Array,
    crossing: Array,
    height: int,
    width: int,
    colour: Array,
    gradient: Array,
    units: Array,
    adding: bool,
    totals: Array,
) -> None:
    """The way back of `blend` to the silhouettes' vertices: totals [V·4], see `_put`."""
    for item in range(cuda.grid(1), 2 * colour.shape[0], cuda.gridsize(1)):
        first, axis = item // 2, item % 2
        a, b = vertex[first, axis, 0], vertex[first, axis, 1]
        if a == -1:
            continue
        near, far = first, first + (width if axis == 1 else 1)
        sign = 1.0
        if a < 0:
            near, far, sign, a, b = far, near, -1.0, -2 - a, -2 - b
        t = np.float64(crossing[first, axis])
        if t <= 0 or t >= 1:
            continue
        target, slope = far if t > 0.5 else near, 0.0
        for c in range(colour.shape[1]):
            slope += np.float64(gradient[target, c]) * (colour[near, c] - colour[far, c])
        if slope == 0:
            continue
        row, column = near // width, near % width
        ax, ay, aw, bx, by, bw = edge_backward(position_clip, a, b, slope, row, column, axis, sign, height, width)
        _put(totals, units, a * 4, ax, adding)
        _put(totals, units, a * 4 + 1, ay, adding)
        _put(totals, units, a * 4 + 3, aw, adding)
        _put(totals, units, b * 4, bx, adding)
        _put(totals, units, b * 4 + 1, by, adding)
        _put(totals, units, b * 4 + 3, bw, adding)
