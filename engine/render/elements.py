"""What every compiled back end shares: functions of one vertex, one triangle, one pixel, one sample.

The CPU's kernels call them in loops over rows, those of CUDA from a thread each: the same Python functions, compiled
for both. So they make no arrays, name no target, and use of NumPy what both know: no ufuncs. numba's files on disk do
not see that they have changed: after an edit here, touch the modules of kernels.

Triangles are drawn by integer edge functions (Pineda, "A Parallel Algorithm for Polygon Rasterization", SIGGRAPH 1988)
on vertices snapped to 1/4096 pixel. All of it is exact in int64 as long as a vertex is within 2^17 pixels: so pixels on
a shared edge belong to exactly one face, by the top-left rule. What reaches further is clipped before (`clipping`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit_element

SUBPIXELS = 4096
GUARD_PX = 131072.0
Array = NDArray[Any]


@jit_element
def snap(position_clip: Array, i: int, height: int, width: int) -> Any:
    """Vertex i of [V, 4] float32: whether it is in front of the near plane and within the guard band, x, y, 1/w.

    x, y: int64, in 1/4096 pixel.
    """
    w = np.float64(position_clip[i, 3])
    if w > 0 and position_clip[i, 2] >= -position_clip[i, 3]:
        x = (position_clip[i, 0] / w * 0.5 + 0.5) * width
        y = (position_clip[i, 1] / w * 0.5 + 0.5) * height
        if abs(x) <= GUARD_PX and abs(y) <= GUARD_PX:
            return True, np.int64(round(x * SUBPIXELS)), np.int64(round(y * SUBPIXELS)), 1 / w
    return False, np.int64(0), np.int64(0), 0.0


@jit_element
def first_centre(a: int, b: int, c: int) -> int:
    """The first row or column whose pixels' centres lie beyond the least of three positions in 1/4096 pixel."""
    return (min(a, b, c) + SUBPIXELS // 2 - 1) // SUBPIXELS


@jit_element
def last_centre(a: int, b: int, c: int) -> int:
    """The last row or column whose pixels' centres lie before the greatest of them."""
    return (max(a, b, c) - SUBPIXELS // 2) // SUBPIXELS


@jit_element
def edge_functions(x0: int, y0: int, x1: int, y1: int, x2: int, y2: int) -> Any:
    """Twice the area, and dx, dy of the edges opposite corners 0, 1, 2, turned so that inside is positive.

    The edge function opposite corner k at pixel (row, column) is `row_start` + `-dy_k·4096`·column.
    """
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    sign = 1 if area > 0 else -1
    return (
        abs(area),
        sign * (x2 - x1),
        sign * (y2 - y1),
        sign * (x0 - x2),
        sign * (y0 - y2),
        sign * (x1 - x0),
        sign * (y1 - y0),
    )


@jit_element
def edge_bias(dx: int, dy: int) -> int:
    """The least value of an edge function inside: a pixel exactly on an edge is inside of left and top edges only."""
    return 0 if dy < 0 or (dy == 0 and dx > 0) else 1


@jit_element
def row_start(dx: int, dy: int, x: int, y: int, row: int) -> int:
    """An edge function at column 0 of a row; (x, y) is a vertex on the edge."""
    half = SUBPIXELS // 2
    return dx * (row * SUBPIXELS + half - y) - dy * (half - x)


@jit_element
def first_inside(c: int, step: int, left: int) -> int:
    """`left`, or the first column from which c + step·column >= 0, if that is further."""
    return max(left, -(c // step)) if step > 0 else left


@jit_element
def last_inside(c: int, step: int, right: int) -> int:
    """`right`, or the last column up to which c + step·column >= 0, if that is nearer; -1 where none is."""
    if step < 0:
        return min(right, c // -step)
    return -1 if step == 0 and c < 0 else right


@jit_element
def weight_gradients(position_clip: Array, i0: int, i1: int, i2: int, height: int, width: int) -> Any:
    """d(b_k/z)/d(x, y) per pixel for the three corners: six float64, constant over a face.

    With the corners' homogeneous pixel positions as the columns of M, q = M^-1 (x, y, 1) is b/z (Olano and Greer,
    "Triangle Scan Conversion using 2D Homogeneous Coordinates", Graphics Hardware 1997).
    """
    w0 = np.float64(position_clip[i0, 3])
    w1 = np.float64(position_clip[i1, 3])
    w2 = np.float64(position_clip[i2, 3])
    x0 = (position_clip[i0, 0] + w0) * (0.5 * width)
    x1 = (position_clip[i1, 0] + w1) * (0.5 * width)
    x2 = (position_clip[i2, 0] + w2) * (0.5 * width)
    y0 = (position_clip[i0, 1] + w0) * (0.5 * height)
    y1 = (position_clip[i1, 1] + w1) * (0.5 * height)
    y2 = (position_clip[i2, 1] + w2) * (0.5 * height)
    ax, ay, az = y1 * w2 - w1 * y2, w1 * x2 - x1 * w2, x1 * y2 - y1 * x2
    determinant = x0 * ax + y0 * ay + w0 * az
    s = 1 / determinant if determinant != 0 else 0.0
    return (
        ax * s,
        ay * s,
        (y2 * w0 - w2 * y0) * s,
        (w2 * x0 - x2 * w0) * s,
        (y0 * w1 - w0 * y1) * s,
        (w0 * x1 - x0 * w1) * s,
    )


@jit_element
def blended(attributes: Array, c: int, i0: int, i1: int, i2: int, b0: float, b1: float) -> Any:
    """Attribute c of [A, C] where corners i0, i1 have the weights b0, b1."""
    return attributes[i0, c] * b0 + attributes[i1, c] * b1 + attributes[i2, c] * (1 - b0 - b1)


@jit_element
def attribute_slope(attributes: Array, c: int, i0: int, i1: int, i2: int, s0: float, s1: float) -> Any:
    """Its slope where the weights have the slopes s0, s1."""
    last = attributes[i2, c]
    return (attributes[i0, c] - last) * s0 + (attributes[i1, c] - last) * s1


@jit_element
def mip_level(ux: float, uy: float, vx: float, vy: float, height: int, width: int) -> float:
    """log2 of the footprint's major axis in texels: the ellipse that (x, y) steps of a pixel span, as nvdiffrast."""
    ux, uy, vx, vy = ux * width, uy * width, vx * height, vy * height
    a, b, c = ux * ux + uy * uy, vx * vx + vy * vy, ux * vx + uy * vy
    squared = 0.5 * (a + b) + math.sqrt(0.25 * (a - b) * (a - b) + c * c)
    return 0.5 * math.log2(squared) if squared > 1 else 0.0


@jit_element
def two_levels(level: float, count: int) -> Any:
    """The finer of the two mip levels that a sample mixes, of `count`, and the coarser one's share."""
    low = int(level) if level < count - 1 else count - 1
    return low, level - low if low + 1 < count else 0.0


@jit_element
def bilinear(levels: Array, n: int, u: float, v: float) -> Any:
    """Where (u, v) lies in mip level n of [L, 3]: first texel, steps to the right and below, their shares, the row.

    Clamped at the edges, where a step is 0. What is not a number lies in the first texel.
    """
    height, width = levels[n, 1], levels[n, 2]
    x, y = u * width - 0.5, v * height - 0.5
    x = min(x, width - 1.0) if x > 0 else 0.0
    y = min(y, height - 1.0) if y > 0 else 0.0
    x0, y0 = int(x), int(y)
    right = 1 if x0 + 1 < width else 0
    below = width if y0 + 1 < height else 0
    return levels[n, 0] + y0 * width + x0, right, below, x - x0, y - y0, y0


@jit_element
def add_trilinear(
    texels: Array,
    levels: Array,
    u: float,
    v: float,
    level: float,
    weight: float,
    out: Array,
    i: int,
    channels: int = 3,
) -> None:
    """out[i, :] += weight·(the mip chain's value at (u, v)), clamped at the edges.

    texels: [N, C], row-major. levels: [L, 3] int64: first texel, height, width. channels: C, by a literal where it is
    known: such a loop is unrolled.
    """
    low, blend = two_levels(level, len(levels))
    share = weight * (1 - blend)
    for n in range(low, low + (2 if blend > 0 else 1)):
        top, right, below, fx, fy, _ = bilinear(levels, n, u, v)
        w00, w01 = (1 - fx) * (1 - fy) * share, fx * (1 - fy) * share
        w10, w11 = (1 - fx) * fy * share, fx * fy * share
        for c in range(channels):
            out[i, c] += (
                w00 * texels[top, c]
                + w01 * texels[top + right, c]
                + w10 * texels[top + below, c]
                + w11 * texels[top + below + right, c]
            )
        share = weight * blend


@jit_element
def mixed(
    texels: Array, c: int, top: int, right: int, below: int, w00: float, w01: float, w10: float, w11: float
) -> Any:
    """Channel c of four texels in these shares."""
    return (
        w00 * texels[top, c]
        + w01 * texels[top + right, c]
        + w10 * texels[top + below, c]
        + w11 * texels[top + below + right, c]
    )


@jit_element
def trilinear(
    texels: Array,
    levels: Array,
    u: float,
    v: float,
    level: float,
    scale: float,
    out: Array,
    i: int,
    channels: int,
) -> None:
    """out[i, :] = scale·(the mip chain's value at (u, v)); as `add_trilinear`."""
    low, blend = two_levels(level, len(levels))
    top, right, below, fx, fy, _ = bilinear(levels, low, u, v)
    share = scale * (1 - blend)
    w00, w01, w10, w11 = (1 - fx) * (1 - fy) * share, fx * (1 - fy) * share, (1 - fx) * fy * share, fx * fy * share
    if blend > 0:
        top2, right2, below2, gx, gy, _ = bilinear(levels, low + 1, u, v)
        share = scale * blend
        v00, v01, v10, v11 = (1 - gx) * (1 - gy) * share, gx * (1 - gy) * share, (1 - gx) * gy * share, gx * gy * share
        for c in range(channels):
            fine = mixed(texels, c, top, right, below, w00, w01, w10, w11)
            out[i, c] = fine + mixed(texels, c, top2, right2, below2, v00, v01, v10, v11)
    else:
        for c in range(channels):
            out[i, c] = mixed(texels, c, top, right, below, w00, w01, w10, w11)
