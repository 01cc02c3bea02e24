"""The CUDA back ends' kernels that draw: what `elements` does with one vertex, triangle, pixel or sample, in threads.

A thread goes through the items from its own number on, in steps of the number of threads: any number of them will do.
Whatever several threads write to one place they write as integers, by atomic maxima: the order does not matter.
Pictures are row-major; a pixel's number is row·W + column.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from engine.cuda import kernel
from engine.render.elements import (
    SUBPIXELS,
    attribute_slope,
    blended,
    edge_bias,
    edge_functions,
    first_centre,
    first_inside,
    last_centre,
    last_inside,
    mip_level,
    row_start,
    snap,
    trilinear,
    weight_gradients,
)

TILE_PX = 16
"""Triangles are drawn by tiles of the picture, a thread for each triangle and tile that its bounding box touches."""
_LAST = 0x7FFFFFFF
Array = NDArray[Any]


@kernel
def snap_vertices(position_clip: Array, height: int, width: int, xy: Array, inverse_w: Array, usable: Array) -> None:
    """As `kernels.setup_vertices`; usable: [V] uint8."""
    for i in range(cuda.grid(1), position_clip.shape[0], cuda.gridsize(1)):
        there, x, y, w = snap(position_clip, i, height, width)
        xy[i, 0] = x
        xy[i, 1] = y
        inverse_w[i] = w
        usable[i] = 1 if there else 0


@kernel
def count_tiles(xy: Array, usable: Array, triangles: Array, height: int, width: int, tiles: Array) -> None:
    """How many tiles each triangle's bounding box touches: tiles [T] int64, 0 where there is nothing to draw."""
    for t in range(cuda.grid(1), triangles.shape[0], cuda.gridsize(1)):
        i0, i1, i2 = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        count = 0
        known = min(i0, i1, i2) >= 0 and max(i0, i1, i2) < xy.shape[0]  # others are refused, once that is known
        if known and usable[i0] != 0 and usable[i1] != 0 and usable[i2] != 0:
            row0 = max(first_centre(xy[i0, 1], xy[i1, 1], xy[i2, 1]), 0)
            row1 = min(last_centre(xy[i0, 1], xy[i1, 1], xy[i2, 1]), height - 1)
            column0 = max(first_centre(xy[i0, 0], xy[i1, 0], xy[i2, 0]), 0)
            column1 = min(last_centre(xy[i0, 0], xy[i1, 0], xy[i2, 0]), width - 1)
            if row0 <= row1 and column0 <= column1:
                down = row1 // TILE_PX - row0 // TILE_PX + 1
                count = down * (column1 // TILE_PX - column0 // TILE_PX + 1)
        tiles[t] = count


@kernel
def draw_tiles(
    xy: Array, inverse_w: Array, triangles: Array, ends: Array, count: int, height: int, width: int, keys: Array
) -> None:
    """Leave the nearest triangle at each pixel in keys [H·W] int64, 0 before.

    ends: [T] int64, the running sum of `count_tiles`; count: the last of them. A key holds 1/z as float32, whose bits
    are ordered as its values, before 2^31 - 1 - triangle: the greatest is the nearest, and of equals the lowest number.
    """
    for item in range(cuda.grid(1), count, cuda.gridsize(1)):
        t, beyond = 0, ends.shape[0]  # the first triangle whose end is greater than item
        while t < beyond:
            middle = (t + beyond) // 2
            if ends[middle] > item:
                beyond = middle
            else:
                t = middle + 1
        i0, i1, i2 = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, x1, x2 = xy[i0, 0], xy[i1, 0], xy[i2, 0]
        y0, y1, y2 = xy[i0, 1], xy[i1, 1], xy[i2, 1]
        area, dx0, dy0, dx1, dy1, dx2, dy2 = edge_functions(x0, y0, x1, y1, x2, y2)
        if area == 0:
            continue
        column0 = max(first_centre(x0, x1, x2), 0)
        column1 = min(last_centre(x0, x1, x2), width - 1)
        row0 = max(first_centre(y0, y1, y2), 0)
        row1 = min(last_centre(y0, y1, y2), height - 1)
        across = column1 // TILE_PX - column0 // TILE_PX + 1
        number = item - (ends[t - 1] if t > 0 else 0)
        top = (row0 // TILE_PX + number // across) * TILE_PX
        first = (column0 // TILE_PX + number % across) * TILE_PX
        row0, row1 = max(row0, top), min(row1, top + TILE_PX - 1)
        column0, column1 = max(column0, first), min(column1, first + TILE_PX - 1)
        bias0, bias1, bias2 = edge_bias(dx0, dy0), edge_bias(dx1, dy1), edge_bias(dx2, dy2)
        step0, step1, step2 = -dy0 * SUBPIXELS, -dy1 * SUBPIXELS, -dy2 * SUBPIXELS
        scale = 1.0 / area
        w0, w1, w2 = inverse_w[i0] * scale, inverse_w[i1] * scale, inverse_w[i2] * scale
        for row in range(row0, row1 + 1):
            c0 = row_start(dx0, dy0, x1, y1, row)
            c1 = row_start(dx1, dy1, x2, y2, row)
            c2 = row_start(dx2, dy2, x0, y0, row)
            left = first_inside(c0 - bias0, step0, column0)
            left = first_inside(c1 - bias1, step1, left)
            left = first_inside(c2 - bias2, step2, left)
            right = last_inside(c0 - bias0, step0, column1)
            right = last_inside(c1 - bias1, step1, right)
            right = last_inside(c2 - bias2, step2, right)
            for column in range(left, right + 1):
                near = (c0 + step0 * column) * w0 + (c1 + step1 * column) * w1 + (c2 + step2 * column) * w2
                key = (np.int64(np.float32(near).view(np.int32)) << 32) | (_LAST - t)
                cuda.atomic.max(keys, row * width + column, key)


@kernel
def name_faces(keys: Array, face_of: Array, face_index: Array) -> None:
    """The face at each pixel of keys [P]: face_index [P] int32, -1 = none. face_of: [T] int32 of the triangles."""
    for p in range(cuda.grid(1), keys.shape[0], cuda.gridsize(1)):
        face_index[p] = face_of[_LAST - (keys[p] & _LAST)] if keys[p] != 0 else -1


@kernel
def weigh_snapped(
    xy: Array,
    inverse_w: Array,
    triangles: Array,
    corner_weights: Array,
    keys: Array,
    width: int,
    barycentric: Array,
    depth: Array,
) -> None:
    """Weights and depths from snapped vertices, as `kernels.rasterize_rows`: barycentric [P, 2], depth [P] float32.

    corner_weights: [T, 3, 2] float64, the weights that a triangle's corners have in its face.
    """
    for p in range(cuda.grid(1), keys.shape[0], cuda.gridsize(1)):
        b0 = b1 = z = 0.0
        if keys[p] != 0:
            t = _LAST - (keys[p] & _LAST)
            row, column = p // width, p % width
            i0, i1, i2 = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            x0, x1, x2 = xy[i0, 0], xy[i1, 0], xy[i2, 0]
            y0, y1, y2 = xy[i0, 1], xy[i1, 1], xy[i2, 1]
            area, dx0, dy0, dx1, dy1, dx2, dy2 = edge_functions(x0, y0, x1, y1, x2, y2)
            scale = 1.0 / area
            q0 = (row_start(dx0, dy0, x1, y1, row) - dy0 * SUBPIXELS * column) * (inverse_w[i0] * scale)
            q1 = (row_start(dx1, dy1, x2, y2, row) - dy1 * SUBPIXELS * column) * (inverse_w[i1] * scale)
            q2 = (row_start(dx2, dy2, x0, y0, row) - dy2 * SUBPIXELS * column) * (inverse_w[i2] * scale)
            total = q0 + q1 + q2
            a0, a1, a2 = q0 / total, q1 / total, q2 / total
            b0 = a0 * corner_weights[t, 0, 0] + a1 * corner_weights[t, 1, 0] + a2 * corner_weights[t, 2, 0]
            b1 = a0 * corner_weights[t, 0, 1] + a1 * corner_weights[t, 1, 1] + a2 * corner_weights[t, 2, 1]
            z = 1.0 / total
        barycentric[p, 0] = b0
        barycentric[p, 1] = b1
        depth[p] = z


@kernel
def weigh_slopes(
    position_clip: Array,
    faces: Array,
    height: int,
    width: int,
    face_index: Array,
    barycentric: Array,
    depth: Array,
    out: Array,
) -> None:
    """d(weight of corner 0, 1)/d(x, y) per pixel: out [P, 4], as `kernels.barycentric_derivatives`."""
    for p in range(cuda.grid(1), face_index.shape[0], cuda.gridsize(1)):
        face = face_index[p]
        if face < 0:
            for k in range(4):
                out[p, k] = 0
            continue
        g = weight_gradients(position_clip, faces[face, 0], faces[face, 1], faces[face, 2], height, width)
        z = np.float64(depth[p])
        sx, sy = g[0] + g[2] + g[4], g[1] + g[3] + g[5]
        b0, b1 = np.float64(barycentric[p, 0]), np.float64(barycentric[p, 1])
        out[p, 0] = (g[0] - b0 * sx) * z
        out[p, 1] = (g[1] - b0 * sy) * z
        out[p, 2] = (g[2] - b1 * sx) * z
        out[p, 3] = (g[3] - b1 * sy) * z


@kernel
def interpolate(attributes: Array, faces: Array, face_index: Array, weights: Array, out: Array) -> None:
    """Attributes [A, C] to out [P, C]; weights: [P, 2 or more], of corners 0 and 1."""
    for p in range(cuda.grid(1), face_index.shape[0], cuda.gridsize(1)):
        face = face_index[p]
        for c in range(out.shape[1]):
            if face < 0:
                out[p, c] = 0
            else:
                i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
                out[p, c] = blended(attributes, c, i0, i1, i2, weights[p, 0], weights[p, 1])


@kernel
def interpolate_slopes(attributes: Array, faces: Array, face_index: Array, slopes: Array, out: Array) -> None:
    """d(attribute)/d(x, y) per pixel: out [P, 2·C], attribute by attribute; slopes: [P, 4], as `weigh_slopes`."""
    for p in range(cuda.grid(1), face_index.shape[0], cuda.gridsize(1)):
        face = face_index[p]
        for c in range(out.shape[1] // 2):
            for axis in range(2):
                if face < 0:
                    out[p, 2 * c + axis] = 0
                else:
                    i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
                    s0, s1 = slopes[p, axis], slopes[p, 2 + axis]
                    out[p, 2 * c + axis] = attribute_slope(attributes, c, i0, i1, i2, s0, s1)


@kernel
def sample(
    texels: Array, levels: Array, scale: float, uv: Array, uv_dxy: Array, with_footprint: bool, out: Array
) -> None:
    """As `kernels.sample_points`: uv [N, 2], uv_dxy [N, 4] (not read without footprint), out [N, C]."""
    for i in range(cuda.grid(1), uv.shape[0], cuda.gridsize(1)):
        level = 0.0
        if with_footprint:
            level = mip_level(uv_dxy[i, 0], uv_dxy[i, 1], uv_dxy[i, 2], uv_dxy[i, 3], levels[0, 1], levels[0, 2])
        trilinear(texels, levels, uv[i, 0], uv[i, 1], level, scale, out, i, out.shape[1])
