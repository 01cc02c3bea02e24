"""Kernels of the differentiable rasteriser: weights at pixels, and the way back from weights to vertices.

All of them go over rows first_row..end_row of one picture. What the way back adds up goes into a buffer of the caller's
band, so that the order of a sum never depends on threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit
from engine.render.kernels import weight_gradients

Array = NDArray[Any]


@jit
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


@jit
def raster_rows(
    position_clip: Array, faces: Array, height: int, first_row: int, face_index: Array, raster: Array, slopes: Array
) -> None:
    """Weights at the pixel centres, from the vertices as they are: the forward rasteriser's come from snapped ones.

    face_index: [h, W] int32 of rows first_row.. of a picture of `height` rows. Out: raster [h, W, 4] (weight of corner
    0, of corner 1, z/w, face + 1), slopes [h, W, 4] (d weight 0/dx, /dy, d weight 1/dx, /dy) or [0, 0, 4]. Weights are
    clamped to the face, which a pixel's centre may miss by the snapping.
    """
    rows, width = face_index.shape
    with_slopes = slopes.shape[0] > 0
    last = -1
    g = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    i0 = i1 = i2 = 0
    for line in range(rows):
        py = first_row + line + 0.5
        for column in range(width):
            face = face_index[line, column]
            if face < 0:
                for k in range(4):
                    raster[line, column, k] = 0
                if with_slopes:
                    for k in range(4):
                        slopes[line, column, k] = 0
                continue
            if face != last:
                last = face
                i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
                g = corner_inverse(position_clip, i0, i1, i2, height, width)
            px = column + 0.5
            q0 = g[0] * px + g[1] * py + g[2]
            q1 = g[3] * px + g[4] * py + g[5]
            q2 = g[6] * px + g[7] * py + g[8]
            if with_slopes:
                z = 1 / (q0 + q1 + q2)
                sx, sy = (g[0] + g[3] + g[6]) * z, (g[1] + g[4] + g[7]) * z
                slopes[line, column, 0] = (g[0] - q0 * sx) * z
                slopes[line, column, 1] = (g[1] - q0 * sy) * z
                slopes[line, column, 2] = (g[3] - q1 * sx) * z
                slopes[line, column, 3] = (g[4] - q1 * sy) * z
            q0, q1, q2 = max(q0, 0.0), max(q1, 0.0), max(q2, 0.0)
            z = 1 / max(q0 + q1 + q2, 1e-300)
            b0, b1, b2 = q0 * z, q1 * z, q2 * z
            raster[line, column, 0] = b0
            raster[line, column, 1] = b1
            deep = b0 * position_clip[i0, 2] + b1 * position_clip[i1, 2] + b2 * position_clip[i2, 2]
            raster[line, column, 2] = deep / (
                b0 * position_clip[i0, 3] + b1 * position_clip[i1, 3] + b2 * position_clip[i2, 3]
            )
            raster[line, column, 3] = face + 1


@jit
def raster_backward_rows(
    position_clip: Array, faces: Array, raster: Array, gradient: Array, first_row: int, end_row: int, out: Array
) -> None:
    """From d loss/d weights to d loss/d position_clip, added to out [V, 4] float64.

    With q = M^-1 p and b = q/sum(q): dq = -M^-1 dM q. raster, gradient: [H, W, 4]; of the gradient the first two count.
    A clamped weight has no gradient.
    """
    height, width = raster.shape[:2]
    hw, hh = 0.5 * width, 0.5 * height
    last = -1
    g = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    x0 = y0 = w0 = x1 = y1 = w1 = x2 = y2 = w2 = 0.0
    for row in range(first_row, end_row):
        py = row + 0.5
        for column in range(width):
            face = int(raster[row, column, 3]) - 1
            if face < 0:
                continue
            d0, d1 = np.float64(gradient[row, column, 0]), np.float64(gradient[row, column, 1])
            if d0 == 0 and d1 == 0:
                continue
            if face != last:
                if last >= 0:
                    _flush(faces, last, hw, hh, x0, y0, w0, x1, y1, w1, x2, y2, w2, out)
                    x0 = y0 = w0 = x1 = y1 = w1 = x2 = y2 = w2 = 0.0
                last = face
                g = corner_inverse(position_clip, faces[face, 0], faces[face, 1], faces[face, 2], height, width)
            px = column + 0.5
            q0 = g[0] * px + g[1] * py + g[2]
            q1 = g[3] * px + g[4] * py + g[5]
            q2 = g[6] * px + g[7] * py + g[8]
            if q0 < 0 or q1 < 0 or q2 < 0:
                continue
            z = 1 / (q0 + q1 + q2)
            mean = (d0 * q0 + d1 * q1) * z
            e0, e1, e2 = (d0 - mean) * z, (d1 - mean) * z, -mean * z
            hx = e0 * g[0] + e1 * g[3] + e2 * g[6]
            hy = e0 * g[1] + e1 * g[4] + e2 * g[7]
            h1 = e0 * g[2] + e1 * g[5] + e2 * g[8]
            x0 -= hx * q0
            y0 -= hy * q0
            w0 -= h1 * q0
            x1 -= hx * q1
            y1 -= hy * q1
            w1 -= h1 * q1
            x2 -= hx * q2
            y2 -= hy * q2
            w2 -= h1 * q2
    if last >= 0:
        _flush(faces, last, hw, hh, x0, y0, w0, x1, y1, w1, x2, y2, w2, out)


@jit
def _flush(
    faces: Array,
    face: int,
    hw: float,
    hh: float,
    x0: float,
    y0: float,
    w0: float,
    x1: float,
    y1: float,
    w1: float,
    x2: float,
    y2: float,
    w2: float,
    out: Array,
) -> None:
    """Add a face's gradients in homogeneous pixel positions, (x + w)·W/2, (y + w)·H/2, w, to the clip coordinates'."""
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    out[a, 0] += x0 * hw
    out[a, 1] += y0 * hh
    out[a, 3] += w0 + x0 * hw + y0 * hh
    out[b, 0] += x1 * hw
    out[b, 1] += y1 * hh
    out[b, 3] += w1 + x1 * hw + y1 * hh
    out[c, 0] += x2 * hw
    out[c, 1] += y2 * hh
    out[c, 3] += w2 + x2 * hw + y2 * hh


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
                b0, b1 = np.float64(raster[row, column, 0]), np.float64(raster[row, column, 1])
                for c in range(channels):
                    d = np.float64(gradient[row, column, c])
                    d0 += d * (attributes[i0, c] - attributes[i2, c])
                    d1 += d * (attributes[i1, c] - attributes[i2, c])
                    if wanted and d != 0:
                        out[i0, c] += d * b0
                        out[i1, c] += d * b1
                        out[i2, c] += d * (1 - b0 - b1)
            out_raster[row, column, 0] = d0
            out_raster[row, column, 1] = d1
            out_raster[row, column, 2] = 0
            out_raster[row, column, 3] = 0
