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

from engine.diff.elements import RINGS, edge_backward, first_is_nearer, silhouette_between, silhouette_bits
from engine.jit import jit

Array = NDArray[Any]


@jit
def silhouette_edges(position_clip: Array, faces: Array, across: Array, first: int, end: int, out: Array) -> None:
    """`silhouette_bits` of faces first..end to out [F] uint8."""
    for f in range(first, end):
        out[f] = silhouette_bits(position_clip, faces, across, f)


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
                if first_is_nearer(raster, row, column, y, x):
                    face, other, sign, at_row, at_column = int(here) - 1, int(there) - 1, 1.0, row, column
                    mine, its = row * width + column, y * width + x
                else:
                    face, other, sign, at_row, at_column = int(there) - 1, int(here) - 1, -1.0, y, x
                    mine, its = y * width + x, row * width + column
                if near[face] == 0:
                    continue
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
