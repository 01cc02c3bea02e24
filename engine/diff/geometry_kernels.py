"""Kernels of the differentiable rasteriser: weights at pixels, and the way back from weights to vertices.

What is the same all over a face, `corner_inverse`, is computed once for each face that is seen. On the way back a band
of rows adds up what each of its faces needs of its pixels; that goes to the vertices face by face, band after band, so
the order of a sum never depends on threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.diff.elements import corner_inverse, weights, weights_backward
from engine.jit import jit, jit_element
from engine.render.elements import attribute_slope, blended

Array = NDArray[Any]


@jit
def mark_seen(face_index: Array, seen: Array) -> None:
    """1 into seen [F] uint8 of the faces of face_index [h, W] int32. Threads may do so at once: all write the same."""
    last = -1
    for line in range(face_index.shape[0]):
        for column in range(face_index.shape[1]):
            face = face_index[line, column]
            if face != last:
                last = face
                if face >= 0:
                    seen[face] = 1


@jit
def invert_corners(
    position_clip: Array, faces: Array, seen: Array, first: int, end: int, height: int, width: int, out: Array
) -> None:
    """`corner_inverse` of those of faces first..end that are seen: out [F, 9] float64."""
    for f in range(first, end):
        if seen[f] != 0:
            g = corner_inverse(position_clip, faces[f, 0], faces[f, 1], faces[f, 2], height, width)
            for k in range(9):
                out[f, k] = g[k]


@jit
def raster_rows(
    position_clip: Array, faces: Array, inverse: Array, first_row: int, face_index: Array, raster: Array, slopes: Array
) -> None:
    """Weights at the pixel centres, from the vertices as they are: the forward rasteriser's come from snapped ones.

    inverse: from `invert_corners`. face_index: [h, W] int32 of rows first_row.. of a picture. Out: raster [h, W, 4]
    (weight of corner 0, of corner 1, z/w, face + 1), slopes [h, W, 4] (d weight 0/dx, /dy, d weight 1/dx, /dy).
    """
    rows, width = face_index.shape
    for line in range(rows):
        py = first_row + line + 0.5
        last = -1
        i0 = i1 = i2 = 0
        g = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        r0 = r1 = r2 = sx = sy = z0 = z1 = z2 = 0.0
        for column in range(width):
            face = face_index[line, column]
            if face < 0:
                for k in range(4):
                    raster[line, column, k] = 0
                    slopes[line, column, k] = 0
                continue
            if face != last:
                last = face
                h = inverse[face]
                g = (h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8])
                i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
                r0, r1, r2 = g[1] * py + g[2], g[4] * py + g[5], g[7] * py + g[8]
                sx, sy = g[0] + g[3] + g[6], g[1] + g[4] + g[7]
                z0, z1 = np.float64(position_clip[i0, 2]), np.float64(position_clip[i1, 2])
                z2 = np.float64(position_clip[i2, 2])
            px = column + 0.5
            q0, q1, q2 = g[0] * px + r0, g[3] * px + r1, g[6] * px + r2
            z = 1 / (q0 + q1 + q2)
            b0, b1 = q0 * z, q1 * z
            slopes[line, column, 0] = (g[0] - b0 * sx) * z
            slopes[line, column, 1] = (g[1] - b0 * sy) * z
            slopes[line, column, 2] = (g[3] - b1 * sx) * z
            slopes[line, column, 3] = (g[4] - b1 * sy) * z
            deep = (
                q0 * z0 + q1 * z1 + q2 * z2
            )  # of the sum of b·z and that of b·w, by which it is divided, z is 1/(q0+q1+q2)
            if q0 < 0 or q1 < 0 or q2 < 0:
                b0, b1, b2 = weights(g, px, py)
                w = b0 * position_clip[i0, 3] + b1 * position_clip[i1, 3] + b2 * position_clip[i2, 3]
                deep = (b0 * z0 + b1 * z1 + b2 * z2) / w
            raster[line, column, 0] = b0
            raster[line, column, 1] = b1
            raster[line, column, 2] = deep
            raster[line, column, 3] = face + 1


@jit
def gather_rows(
    inverse: Array,
    face_index: Array,
    gradient: Array,
    first_row: int,
    end_row: int,
    slot: Array,
    found: Array,
    sums: Array,
) -> int:
    """What the faces of rows first_row..end_row need of their pixels, for `sum_to_corners`; returns how many those are.

    With q = M^-1 p and b = q/sum(q), dq = -M^-1 dM q: of each face the sums of e_k·(x, y, 1), e = d loss/dq. A clamped
    weight has no gradient. gradient: [H, W, 4], of which the first two count, those of the weights of corners 0 and 1.
    slot: [F] int32, -1 before, the face's place in the out: found [S] int32, the faces, and sums [S, 9] float64.
    """
    width = face_index.shape[1]
    count = 0
    for row in range(first_row, end_row):
        py = row + 0.5
        column = 0
        while column < width:
            face = face_index[row, column]
            if face < 0:
                column += 1
                continue
            h = inverse[face]
            g0, g3, g6 = h[0], h[3], h[6]
            r0, r1, r2 = h[1] * py + h[2], h[4] * py + h[5], h[7] * py + h[8]
            e0 = e1 = e2 = x0 = x1 = x2 = 0.0
            some = False
            while column < width and face_index[row, column] == face:
                d0, d1 = np.float64(gradient[row, column, 0]), np.float64(gradient[row, column, 1])
                px = column + 0.5
                q0, q1, q2 = g0 * px + r0, g3 * px + r1, g6 * px + r2
                column += 1
                if (d0 == 0 and d1 == 0) or q0 < 0 or q1 < 0 or q2 < 0:
                    continue
                some = True
                z = 1 / (q0 + q1 + q2)
                mean = (d0 * q0 + d1 * q1) * z
                f0, f1, f2 = (d0 - mean) * z, (d1 - mean) * z, -mean * z
                e0, e1, e2 = e0 + f0, e1 + f1, e2 + f2
                x0, x1, x2 = x0 + f0 * px, x1 + f1 * px, x2 + f2 * px
            if not some:
                continue
            s = slot[face]
            if s < 0:
                s = count
                slot[face] = s
                found[s] = face
                for k in range(9):
                    sums[s, k] = 0
                count += 1
            sums[s, 0] += x0
            sums[s, 1] += e0 * py
            sums[s, 2] += e0
            sums[s, 3] += x1
            sums[s, 4] += e1 * py
            sums[s, 5] += e1
            sums[s, 6] += x2
            sums[s, 7] += e2 * py
            sums[s, 8] += e2
    return count


@jit
def sum_to_corners(inverse: Array, found: Array, sums: Array, count: int, height: int, width: int) -> None:
    """Turn `gather_rows`' sums [S, 9], in place, into d loss/d (x, y, w), in clip space, of the three corners."""
    hw, hh = 0.5 * width, 0.5 * height
    for s in range(count):
        g, e = inverse[found[s]], sums[s]
        e0, e1, e2, e3, e4, e5, e6, e7, e8 = e[0], e[1], e[2], e[3], e[4], e[5], e[6], e[7], e[8]
        for j in range(3):
            t = g[3 * j] * e0 + g[3 * j + 1] * e1 + g[3 * j + 2] * e2
            x, y, w = 0.0 - t * g[0], 0.0 - t * g[1], 0.0 - t * g[2]
            t = g[3 * j] * e3 + g[3 * j + 1] * e4 + g[3 * j + 2] * e5
            x, y, w = x - t * g[3], y - t * g[4], w - t * g[5]
            t = g[3 * j] * e6 + g[3 * j + 1] * e7 + g[3 * j + 2] * e8
            x, y, w = x - t * g[6], y - t * g[7], w - t * g[8]
            # homogeneous pixel positions are (x + w)·W/2, (y + w)·H/2, w
            e[3 * j] = x * hw
            e[3 * j + 1] = y * hh
            e[3 * j + 2] = w + x * hw + y * hh


@jit
def scatter_faces(faces: Array, found: Array, sums: Array, count: int, out: Array) -> None:
    """Add what `sum_to_corners` made of `count` faces to out [V, 4] float64, d loss/d position_clip."""
    for s in range(count):
        face = found[s]
        for j in range(3):
            v = faces[face, j]
            out[v, 0] += sums[s, 3 * j]
            out[v, 1] += sums[s, 3 * j + 1]
            out[v, 3] += sums[s, 3 * j + 2]


@jit_element
def _interpolate_channels(
    attributes: Array,
    faces: Array,
    raster: Array,
    slopes: Array,
    first_row: int,
    end_row: int,
    out: Array,
    out_dxy: Array,
    channels: int,
) -> None:
    for row in range(first_row, end_row):
        last = -1
        i0 = i1 = i2 = 0
        for column in range(raster.shape[1]):
            face = int(raster[row, column, 3]) - 1
            if face < 0:
                for c in range(channels):
                    out[row, column, c] = 0
                if len(slopes) > 0:
                    for c in range(2 * channels):
                        out_dxy[row, column, c] = 0
                continue
            if face != last:
                last = face
                i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
            b0, b1 = raster[row, column, 0], raster[row, column, 1]
            for c in range(channels):
                out[row, column, c] = blended(attributes, c, i0, i1, i2, b0, b1)
            if len(slopes) > 0:
                for c in range(channels):
                    for axis in range(2):
                        s0, s1 = slopes[row, column, axis], slopes[row, column, 2 + axis]
                        out_dxy[row, column, 2 * c + axis] = attribute_slope(attributes, c, i0, i1, i2, s0, s1)


@jit
def interpolate_rows(
    attributes: Array,
    faces: Array,
    raster: Array,
    slopes: Array,
    first_row: int,
    end_row: int,
    out: Array,
    out_dxy: Array,
) -> None:
    """Attributes [A, C] to out [H, W, C], rows first_row..end_row; 0 where nothing is.

    raster, slopes: [H, W, 4] from `raster_rows`. out_dxy: [H, W, 2·C], d/dx, d/dy attribute by attribute; or both have
    no rows.
    """
    if out.shape[2] == 2:  # a literal, so that loops over channels are unrolled: texture coordinates are two
        _interpolate_channels(attributes, faces, raster, slopes, first_row, end_row, out, out_dxy, 2)
    else:
        _interpolate_channels(attributes, faces, raster, slopes, first_row, end_row, out, out_dxy, out.shape[2])


@jit
def interpolate_backward_rows(
    attributes: Array,
    faces: Array,
    raster: Array,
    gradient: Array,
    first_row: int,
    end_row: int,
    out: Array,
    out_raster: Array,
) -> None:
    """d loss/d attributes, added to out [A, C] float64, and d loss/d raster, written to out_raster [H, W, 4].

    attributes: [A, C]. gradient: [H, W, C]. out may have no rows: then only the weights' gradients are wanted.
    """
    width, channels = gradient.shape[1], gradient.shape[2]
    wanted = len(out) > 0
    for row in range(first_row, end_row):
        for column in range(width):
            d0 = d1 = 0.0
            face = int(raster[row, column, 3]) - 1
            if face >= 0:
                i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
                d0, d1 = weights_backward(attributes, i0, i1, i2, gradient, row, column)
                if wanted:
                    b0, b1 = np.float64(raster[row, column, 0]), np.float64(raster[row, column, 1])
                    for c in range(channels):
                        d = np.float64(gradient[row, column, c])
                        if d != 0:
                            out[i0, c] += d * b0
                            out[i1, c] += d * b1
                            out[i2, c] += d * (1 - b0 - b1)
            out_raster[row, column, 0] = d0
            out_raster[row, column, 1] = d1
            out_raster[row, column, 2] = 0
            out_raster[row, column, 3] = 0
