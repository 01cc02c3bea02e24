"""Kernels of analytic antialiasing: which edges are silhouettes, where they pass between pixels, what that blends.

Laine et al., "Modular Primitives for High-Performance Differentiable Rendering", ACM TOG 39(6), 2020, section 3.6.
Where two neighbouring pixels show different faces and a silhouette edge of the nearer one passes between their centres,
the pixel whose half it ends in takes over a share of the other's colour. One thing is added: at the limb of a finely
tessellated body the edge seldom belongs to a face that covers a pixel's centre. So the search walks from face to face
along the line between the centres until it meets a silhouette edge.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.diff.elements import along_and_beside, edge_backward, first_is_nearer, silhouette_between, silhouette_bits
from engine.jit import jit, jit_element

Array = NDArray[Any]
_SLACK = 1.0 / 8
"""How far from a pair of centres an edge is marked, in pixels: more than `silhouette_between` allows."""
_STEEP = 0.999
"""So many times as steep as flat, an edge is the affair of pairs along x."""


@jit
def silhouette_edges(position_clip: Array, faces: Array, across: Array, first: int, end: int, out: Array) -> None:
    """`silhouette_bits` of faces first..end to out [F] uint8."""
    for f in range(first, end):
        out[f] = silhouette_bits(position_clip, faces, across, f)


@jit
def mark_crossed(
    position_clip: Array, faces: Array, across: Array, edges: Array, first: int, end: int, crossed: Array
) -> None:
    """1 into crossed [2, H, W] uint8 where a silhouette edge of faces first..end may pass between two pixels.

    The first of them is meant, and by the first index whether the other is on its right or below it. More may be marked
    than `silhouette_between` finds, none less, so that it need not look elsewhere. Threads may do so at once: all write
    the same.
    """
    height, width = crossed.shape[1:]
    for f in range(first, end):
        if edges[f] == 0:
            continue
        for k in range(3):
            if (edges[f] >> k) & 1 == 0:
                continue
            a, b = faces[f, (k + 1) % 3], faces[f, (k + 2) % 3]
            if position_clip[a, 3] <= 0 or position_clip[b, 3] <= 0:
                continue
            xa, xb, ya, yb = along_and_beside(position_clip, a, b, 0.5, 0.5, width, height, 0, 1.0)
            if abs(yb - ya) >= _STEEP * abs(xb - xa):
                _mark_along(xa, xb, ya, yb, crossed[0])
            if abs(xb - xa) >= _STEEP * abs(yb - ya):
                _mark_along(ya, yb, xa, xb, crossed[1].T)


@jit_element
def _mark_along(xa: float, xb: float, ya: float, yb: float, crossed: Array) -> None:
    """Where an edge meets the lines through the pixels' centres along x: crossed [H, W], or transposed.

    x, y: from the first pixel's centre.
    """
    height, width = crossed.shape
    low, high = max(min(ya, yb), 0.0), min(max(ya, yb), height - 1.0)
    if ya == yb or not low <= high:  # along no line
        return
    slope = (xb - xa) / (yb - ya)
    for row in range(int(low), min(int(high) + 2, height)):
        x = min(max(xa + (row - ya) * slope, -2.0), width + 1.0)
        for column in range(max(math.ceil(x - 1 - _SLACK), 0), min(math.floor(x + _SLACK), width - 1) + 1):
            crossed[row, column] = 1


@jit
def find_pairs(
    position_clip: Array,
    faces: Array,
    across: Array,
    edges: Array,
    crossed: Array,
    raster: Array,
    first_row: int,
    end_row: int,
    pixel: Array,
    vertex: Array,
    crossing: Array,
) -> int:
    """Pairs of pixels, the first in rows first_row..end_row, with a silhouette between them.

    crossed: from `mark_crossed`. Out, of as many rows as are returned: pixel [P, 2] int32 (the nearer face's pixel, the
    other's; row-major), vertex [P, 2] int32 (the edge's), crossing [P] (where it passes, 0 = the first pixel's centre,
    1 = the other's).
    """
    height, width = raster.shape[:2]
    count = 0
    for row in range(first_row, end_row):
        for column in range(width):
            for axis in range(2):
                if crossed[axis, row, column] == 0:
                    continue
                y, x = row + axis, column + 1 - axis
                if y >= height or x >= width:
                    continue
                here = raster[row, column, 3]
                there = raster[y, x, 3]
                if here == there:
                    continue
                if first_is_nearer(raster, row, column, y, x):
                    face, other, sign, at_row, at_column = int(here) - 1, int(there) - 1, 1.0, row, column
                    mine, its = row * width + column, y * width + x
                else:
                    face, other, sign, at_row, at_column = int(there) - 1, int(here) - 1, -1.0, y, x
                    mine, its = y * width + x, row * width + column
                a, b, t = silhouette_between(
                    position_clip, faces, across, edges, face, other, at_row, at_column, axis, sign, height, width
                )
                if a >= 0:
                    pixel[count, 0], pixel[count, 1] = mine, its
                    vertex[count, 0], vertex[count, 1] = a, b
                    crossing[count] = t
                    count += 1
    return count


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
        a, b = vertex[p, 0], vertex[p, 1]
        ax, ay, aw, bx, by, bw = edge_backward(
            position_clip, a, b, slope, near // width, near % width, axis, sign, height, width
        )
        out_position[a, 0] += ax
        out_position[a, 1] += ay
        out_position[a, 3] += aw
        out_position[b, 0] += bx
        out_position[b, 1] += by
        out_position[b, 3] += bw
