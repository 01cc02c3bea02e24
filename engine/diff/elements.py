"""What the differentiable back ends share: functions of one face, one pixel, one sample, one pair of pixels.

As `engine.render.elements`: the CPU's kernels call them in loops, those of CUDA from a thread each.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit_element
from engine.render.elements import bilinear, weight_gradients

Array = NDArray[Any]
RINGS = 24
"""How many faces a walk to a silhouette may cross."""
_SLACK = 1.0 / 16
"""How far beyond a pixel's centre an edge may pass, in pixels: the rasteriser snaps its vertices."""


@jit_element
def corner_inverse(position_clip: Array, i0: int, i1: int, i2: int, height: int, width: int) -> Any:
    """The rows of M^-1, nine float64: b_k/z = row_k · (x, y, 1) in pixels. M: see `weight_gradients`.

    The last element of a row follows from row_k · (corner k's homogeneous position) = 1.
    """
    g0x, g0y, g1x, g1y, g2x, g2y = weight_gradients(position_clip, i0, i1, i2, height, width)
    w0 = np.float64(position_clip[i0, 3])
    w1 = np.float64(position_clip[i1, 3])
    w2 = np.float64(position_clip[i2, 3])
    hw, hh = 0.5 * width, 0.5 * height
    c0 = (1 - g0x * (position_clip[i0, 0] + w0) * hw - g0y * (position_clip[i0, 1] + w0) * hh) / w0
    c1 = (1 - g1x * (position_clip[i1, 0] + w1) * hw - g1y * (position_clip[i1, 1] + w1) * hh) / w1
    c2 = (1 - g2x * (position_clip[i2, 0] + w2) * hw - g2y * (position_clip[i2, 1] + w2) * hh) / w2
    return g0x, g0y, c0, g1x, g1y, c1, g2x, g2y, c2


@jit_element
def weights(g: Any, px: float, py: float) -> Any:
    """The three corners' weights at a point; g: `corner_inverse`.

    Clamped to the face, which a pixel's centre may miss by the snapping.
    """
    q0 = max(g[0] * px + g[1] * py + g[2], 0.0)
    q1 = max(g[3] * px + g[4] * py + g[5], 0.0)
    q2 = max(g[6] * px + g[7] * py + g[8], 0.0)
    z = 1 / max(q0 + q1 + q2, 1e-300)
    return q0 * z, q1 * z, q2 * z


@jit_element
def weight_slopes(g: Any, px: float, py: float) -> Any:
    """d weight 0/dx, /dy, d weight 1/dx, /dy at a point."""
    q0, q1 = g[0] * px + g[1] * py + g[2], g[3] * px + g[4] * py + g[5]
    z = 1 / (q0 + q1 + (g[6] * px + g[7] * py + g[8]))
    sx, sy = (g[0] + g[3] + g[6]) * z, (g[1] + g[4] + g[7]) * z
    return (g[0] - q0 * sx) * z, (g[1] - q0 * sy) * z, (g[3] - q1 * sx) * z, (g[4] - q1 * sy) * z


@jit_element
def corners_backward(g: Any, px: float, py: float, d0: float, d1: float) -> Any:
    """From d loss/d(weight 0, 1) at a point to d loss/d(x, y, w) of corners 0, 1, 2: homogeneous pixel positions.

    With q = M^-1 p and b = q/sum(q): dq = -M^-1 dM q. A clamped weight has no gradient.
    """
    q0 = g[0] * px + g[1] * py + g[2]
    q1 = g[3] * px + g[4] * py + g[5]
    q2 = g[6] * px + g[7] * py + g[8]
    if q0 < 0 or q1 < 0 or q2 < 0:
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    z = 1 / (q0 + q1 + q2)
    mean = (d0 * q0 + d1 * q1) * z
    e0, e1, e2 = (d0 - mean) * z, (d1 - mean) * z, -mean * z
    hx = e0 * g[0] + e1 * g[3] + e2 * g[6]
    hy = e0 * g[1] + e1 * g[4] + e2 * g[7]
    h1 = e0 * g[2] + e1 * g[5] + e2 * g[8]
    return -hx * q0, -hy * q0, -h1 * q0, -hx * q1, -hy * q1, -h1 * q1, -hx * q2, -hy * q2, -h1 * q2


@jit_element
def weights_backward(attributes: Array, i0: int, i1: int, i2: int, gradient: Array, row: int, column: int) -> Any:
    """d loss/d(weight 0, 1) at a pixel, from that of its attributes; gradient: [H, W, C]."""
    d0 = d1 = 0.0
    for c in range(gradient.shape[2]):
        d, last = np.float64(gradient[row, column, c]), attributes[i2, c]
        d0 += d * (attributes[i0, c] - last)
        d1 += d * (attributes[i1, c] - last)
    return d0, d1


@jit_element
def coordinates_backward(
    texels: Array, levels: Array, n: int, u: float, v: float, gradient: Array, i: int, channels: int
) -> Any:
    """d loss/d(u, v) through mip level n, from that of sample i; gradient: [N, C]."""
    height, width = levels[n, 1], levels[n, 2]
    x, y = u * width - 0.5, v * height - 0.5
    top, right, below, fx, fy, _ = bilinear(levels, n, u, v)
    across = along = 0.0
    for c in range(channels):
        a, b = np.float64(texels[top, c]), np.float64(texels[top + right, c])
        d, e = np.float64(texels[top + below, c]), np.float64(texels[top + below + right, c])
        across += gradient[i, c] * ((1 - fy) * (b - a) + fy * (e - d))
        along += gradient[i, c] * ((1 - fx) * (d - a) + fx * (e - b))
    free_x, free_y = 0 <= x < width - 1, 0 <= y < height - 1  # at the edges the coordinate is clamped
    return across * width if free_x else 0.0, along * height if free_y else 0.0


@jit_element
def halved(fine: Array, height: int, width: int, row: int, column: int, c: int) -> Any:
    """Texel (row, column) of an image [H·W, C] at half its size; edges repeat."""
    y0, x0 = 2 * row * width, 2 * column
    y1 = y0 + width if 2 * row + 1 < height else y0
    x1 = x0 + 1 if x0 + 1 < width else x0
    return (fine[y0 + x0, c] + fine[y0 + x1, c] + fine[y1 + x0, c] + fine[y1 + x1, c]) * np.float32(0.25)


@jit_element
def halved_share(height: int, width: int, row: int, column: int) -> Any:
    """How much of a fine texel is in its coarse one."""
    tall = 2 if row == height - 1 and height % 2 else 1
    wide = 2 if column == width - 1 and width % 2 else 1
    return np.float32(0.25 * tall * wide)


@jit_element
def _orientation(position_clip: Array, a: int, b: int, c: int) -> float:
    """Twice the area on the screen times w_a·w_b·w_c, signed."""
    xa, ya, wa = np.float64(position_clip[a, 0]), np.float64(position_clip[a, 1]), np.float64(position_clip[a, 3])
    xb, yb, wb = np.float64(position_clip[b, 0]), np.float64(position_clip[b, 1]), np.float64(position_clip[b, 3])
    xc, yc, wc = np.float64(position_clip[c, 0]), np.float64(position_clip[c, 1]), np.float64(position_clip[c, 3])
    return xa * (yb * wc - wb * yc) - ya * (xb * wc - wb * xc) + wa * (xb * yc - yb * xc)


@jit_element
def silhouette_bits(position_clip: Array, faces: Array, across: Array, f: int) -> int:
    """Bit k: face f's edge opposite corner k is a border, or the face beyond lies on the same side of it.

    across: [F, 3] int32, the face beyond each edge, -1 = none.
    """
    bits = 0
    for k in range(3):
        a, b, c = faces[f, (k + 1) % 3], faces[f, (k + 2) % 3], faces[f, k]
        beyond = across[f, k]
        if beyond < 0:
            bits |= 1 << k
            continue
        o = faces[beyond, 0]
        for j in range(3):
            v = faces[beyond, j]
            if v not in (a, b):
                o = v
        if _orientation(position_clip, a, b, c) * _orientation(position_clip, a, b, o) > 0:
            bits |= 1 << k
    return bits


@jit_element
def first_is_nearer(raster: Array, row: int, column: int, y: int, x: int) -> Any:
    """Whether of two pixels that show different faces the first one's is nearer: the nearer one's edge is seen."""
    here, there = raster[row, column, 3], raster[y, x, 3]
    return there == 0 or (here != 0 and raster[row, column, 2] <= raster[y, x, 2])


@jit_element
def silhouette_between(
    position_clip: Array,
    faces: Array,
    across: Array,
    edges: Array,
    face: int,
    other: int,
    row: int,
    column: int,
    axis: int,
    sign: float,
    height: int,
    width: int,
) -> Any:
    """The silhouette edge met on the way from pixel (row, column), which shows `face`, to its neighbour: a, b, t.

    axis: 0 = to the left or right, 1 = up or down; sign: which of both. edges: `silhouette_bits` [F]. t: 0 = the first
    pixel's centre, 1 = the other's. other: the face that the neighbour shows, where the walk ends. a is -1 if none is
    met, or one that is rather the other axis' affair.
    """
    cx, cy = column + 0.5, row + 0.5
    came = -1
    for _ in range(RINGS):
        best, leave = -1e30, -1
        for k in range(3):
            if across[face, k] == came and came >= 0:
                continue
            a, b = faces[face, (k + 1) % 3], faces[face, (k + 2) % 3]
            if position_clip[a, 3] <= 0 or position_clip[b, 3] <= 0:
                continue
            ta, tb, ra, rb = along_and_beside(position_clip, a, b, cx, cy, width, height, axis, sign)
            if (ra > 0) == (rb > 0):
                continue
            t = (ta * rb - tb * ra) / (rb - ra)
            if t > best:
                best, leave = t, k
        if leave < 0 or best > 1 + _SLACK or best < -_SLACK:
            return -1, -1, 0.0
        if (edges[face] >> leave) & 1:
            a, b = faces[face, (leave + 1) % 3], faces[face, (leave + 2) % 3]
            ta, tb, ra, rb = along_and_beside(position_clip, a, b, cx, cy, width, height, axis, sign)
            if abs(rb - ra) >= abs(tb - ta):  # a flatter edge is the other axis' affair
                return a, b, min(max(best, 0.0), 1.0)
            return -1, -1, 0.0
        came, face = face, across[face, leave]
        if face == other:
            return -1, -1, 0.0
    return -1, -1, 0.0


@jit_element
def along_and_beside(
    position_clip: Array, a: int, b: int, cx: float, cy: float, width: int, height: int, axis: int, sign: float
) -> Any:
    """Two vertices' positions in pixels along the line from a pixel's centre to its neighbour, and beside it."""
    xa = (position_clip[a, 0] / np.float64(position_clip[a, 3]) + 1) * (0.5 * width) - cx
    ya = (position_clip[a, 1] / np.float64(position_clip[a, 3]) + 1) * (0.5 * height) - cy
    xb = (position_clip[b, 0] / np.float64(position_clip[b, 3]) + 1) * (0.5 * width) - cx
    yb = (position_clip[b, 1] / np.float64(position_clip[b, 3]) + 1) * (0.5 * height) - cy
    if axis == 0:
        return xa * sign, xb * sign, ya, yb
    return ya * sign, yb * sign, xa, xb


@jit_element
def edge_backward(
    position_clip: Array,
    a: int,
    b: int,
    slope: float,
    row: int,
    column: int,
    axis: int,
    sign: float,
    height: int,
    width: int,
) -> Any:
    """From d loss/dt of `silhouette_between` to d loss/d(x, y, w) in clip coordinates of vertices a and b."""
    ta, tb, ra, rb = along_and_beside(position_clip, a, b, column + 0.5, row + 0.5, width, height, axis, sign)
    # t = (ta·rb - tb·ra) / (rb - ra)
    s = slope / (rb - ra)
    ax, ay, aw = _to_clip(position_clip, a, s * rb * sign, s * rb * (ta - tb) / (rb - ra), axis, width, height)
    bx, by, bw = _to_clip(position_clip, b, -s * ra * sign, s * ra * (tb - ta) / (rb - ra), axis, width, height)
    return ax, ay, aw, bx, by, bw


@jit_element
def _to_clip(position_clip: Array, v: int, along: float, beside: float, axis: int, width: int, height: int) -> Any:
    """A gradient in pixels as that of a vertex in clip coordinates x, y, w."""
    dx, dy = (along, beside) if axis == 0 else (beside, along)
    x, y, w = np.float64(position_clip[v, 0]), np.float64(position_clip[v, 1]), np.float64(position_clip[v, 3])
    dx *= 0.5 * width / w
    dy *= 0.5 * height / w
    return dx, dy, -(dx * x + dy * y) / w
