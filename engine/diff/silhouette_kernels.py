"""Kernels of analytic antialiasing: which edges are silhouettes, where they pass between pixels, what that blends.

Laine et al., "Modular Primitives for High-Performance Differentiable Rendering", ACM TOG 39(6), 2020, section 3.6.
Where two neighbouring pixels show different faces and a silhouette edge of the nearer one passes between their centres,
the pixel whose half it ends in takes over a share of the other's colour. One thing is added: at the limb of a finely
tessellated body the edge seldom belongs to a face that covers a pixel's centre. So the search walks from face to face
along the line between the centres until it meets a silhouette edge.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit

Array = NDArray[Any]
RINGS = 24
"""How many faces a walk may cross."""
_SLACK = 1.0 / 16
"""How far beyond a pixel's centre an edge may pass, in pixels: the rasteriser snaps its vertices."""


@jit
def _orientation(position_clip: Array, a: int, b: int, c: int) -> float:
    """Twice the area on the screen times w_a·w_b·w_c, signed."""
    xa, ya, wa = np.float64(position_clip[a, 0]), np.float64(position_clip[a, 1]), np.float64(position_clip[a, 3])
    xb, yb, wb = np.float64(position_clip[b, 0]), np.float64(position_clip[b, 1]), np.float64(position_clip[b, 3])
    xc, yc, wc = np.float64(position_clip[c, 0]), np.float64(position_clip[c, 1]), np.float64(position_clip[c, 3])
    return xa * (yb * wc - wb * yc) - ya * (xb * wc - wb * xc) + wa * (xb * yc - yb * xc)


@jit
def silhouette_edges(position_clip: Array, faces: Array, across: Array, first: int, end: int, out: Array) -> None:
    """Bit k of out [F] uint8: the edge opposite corner k is a border, or the face beyond lies on the same side of it.

    across: [F, 3] int32, the face beyond each edge, -1 = none. Faces first..end.
    """
    for f in range(first, end):
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
        out[f] = bits


@jit
def near_silhouettes(edges: Array, across: Array, near: Array, queue: Array) -> None:
    """near [F] uint8: 0 where no silhouette edge is within RINGS faces. queue: [F] int32, to work in."""
    count = 0
    for f in range(len(edges)):
        near[f] = 0
        if edges[f] != 0:
            near[f] = RINGS
            queue[count] = f
            count += 1
    done = 0
    while done < count:
        f = queue[done]
        done += 1
        if near[f] <= 1:
            continue
        for k in range(3):
            g = across[f, k]
            if g >= 0 and near[g] == 0:
                near[g] = near[f] - 1
                queue[count] = g
                count += 1


@jit
def find_pairs(
    position_clip: Array,
    faces: Array,
    across: Array,
    edges: Array,
    near: Array,
    raster: Array,
    first_row: int,
    end_row: int,
    pixel: Array,
    vertex: Array,
    crossing: Array,
) -> int:
    """Pairs of neighbouring pixels, of which the first is in rows first_row..end_row, with a silhouette between them.

    Out, of as many rows as are returned: pixel [P, 2] int32 (the nearer face's pixel, the other's; row-major), vertex
    [P, 2] int32 (the edge's), crossing [P] (where it passes, 0 = the first pixel's centre, 1 = the other's).
    """
    height, width = raster.shape[:2]
    count = 0
    for row in range(first_row, end_row):
        for column in range(width):
            here = raster[row, column, 3]
            for axis in range(2):
                y, x = row + axis, column + 1 - axis
                if y >= height or x >= width:
                    continue
                there = raster[y, x, 3]
                if here == there:
                    continue
                # The nearer one's edge is the one that is seen.
                if there == 0 or (here != 0 and raster[row, column, 2] <= raster[y, x, 2]):
                    face, other, sign = int(here) - 1, int(there) - 1, 1.0
                    cx, cy = column + 0.5, row + 0.5
                    mine, its = row * width + column, y * width + x
                else:
                    face, other, sign = int(there) - 1, int(here) - 1, -1.0
                    cx, cy = x + 0.5, y + 0.5
                    mine, its = y * width + x, row * width + column
                if near[face] == 0:
                    continue
                came = -1
                for _ in range(RINGS):
                    best, leave = -1e30, -1
                    for k in range(3):
                        if across[face, k] == came and came >= 0:
                            continue
                        a, b = faces[face, (k + 1) % 3], faces[face, (k + 2) % 3]
                        wa, wb = position_clip[a, 3], position_clip[b, 3]
                        if wa <= 0 or wb <= 0:
                            continue
                        ta, tb, ra, rb = _along(position_clip, a, b, cx, cy, width, height, axis, sign)
                        if (ra > 0) == (rb > 0):
                            continue
                        t = (ta * rb - tb * ra) / (rb - ra)
                        if t > best:
                            best, leave = t, k
                    if leave < 0 or best > 1 + _SLACK or best < -_SLACK:
                        break
                    if (edges[face] >> leave) & 1:
                        a, b = faces[face, (leave + 1) % 3], faces[face, (leave + 2) % 3]
                        ta, tb, ra, rb = _along(position_clip, a, b, cx, cy, width, height, axis, sign)
                        if abs(rb - ra) >= abs(tb - ta):  # a flatter edge is the other axis' affair
                            pixel[count, 0], pixel[count, 1] = mine, its
                            vertex[count, 0], vertex[count, 1] = a, b
                            crossing[count] = min(max(best, 0.0), 1.0)
                            count += 1
                        break
                    came, face = face, across[face, leave]
                    if face == other:
                        break
    return count


@jit
def _along(
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


@jit
def blend_pairs(pixel: Array, crossing: Array, colour: Array, out: Array) -> None:
    """Add what the silhouettes blend. colour, out: [H·W, C]; out holds the colours before."""
    for p in range(len(pixel)):
        near, far = pixel[p, 0], pixel[p, 1]
        share = crossing[p] - 0.5
        target = far if share > 0 else near
        for c in range(colour.shape[1]):
            out[target, c] += share * (colour[near, c] - colour[far, c])


@jit
def blend_backward(
    position_clip: Array,
    pixel: Array,
    vertex: Array,
    crossing: Array,
    colour: Array,
    gradient: Array,
    height: int,
    width: int,
    out_colour: Array,
    out_position: Array,
) -> None:
    """The way back of `blend_pairs`: added to out_colour [H·W, C] and to out_position [V, 4] float64."""
    for p in range(len(pixel)):
        near, far = pixel[p, 0], pixel[p, 1]
        t = np.float64(crossing[p])
        share = t - 0.5
        target = far if share > 0 else near
        slope = 0.0
        for c in range(colour.shape[1]):
            d = np.float64(gradient[target, c])
            slope += d * (colour[near, c] - colour[far, c])
            out_colour[near, c] += share * d
            out_colour[far, c] -= share * d
        if slope == 0 or t <= 0 or t >= 1:
            continue
        axis = 0 if near // width == far // width else 1
        sign = 1.0 if far > near else -1.0
        cx, cy = near % width + 0.5, near // width + 0.5
        a, b = vertex[p, 0], vertex[p, 1]
        ta, tb, ra, rb = _along(position_clip, a, b, cx, cy, width, height, axis, sign)
        # t = (ta·rb - tb·ra) / (rb - ra)
        s = slope / (rb - ra)
        _to_clip(position_clip, a, s * rb * sign, s * rb * (ta - tb) / (rb - ra), axis, width, height, out_position)
        _to_clip(position_clip, b, -s * ra * sign, s * ra * (tb - ta) / (rb - ra), axis, width, height, out_position)


@jit
def _to_clip(
    position_clip: Array, v: int, along: float, beside: float, axis: int, width: int, height: int, out: Array
) -> None:
    """Add a gradient in pixels to that of a vertex in clip coordinates."""
    dx, dy = (along, beside) if axis == 0 else (beside, along)
    x, y, w = np.float64(position_clip[v, 0]), np.float64(position_clip[v, 1]), np.float64(position_clip[v, 3])
    dx *= 0.5 * width / w
    dy *= 0.5 * height / w
    out[v, 0] += dx
    out[v, 1] += dy
    out[v, 3] -= (dx * x + dy * y) / w
