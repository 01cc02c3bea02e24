"""Kernels of the differentiable rasteriser: weights at pixels, and the way back from weights to vertices.

All of them go over rows first_row..end_row of one picture. What the way back adds up goes into a buffer of the caller's
band, so that the order of a sum never depends on threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.diff.elements import corner_inverse, corners_backward, weight_slopes, weights, weights_backward
from engine.jit import jit

Array = NDArray[Any]


@jit
def raster_rows(
    position_clip: Array, faces: Array, height: int, first_row: int, face_index: Array, raster: Array, slopes: Array
) -> None:
    """Weights at the pixel centres, from the vertices as they are: the forward rasteriser's come from snapped ones.

    face_index: [h, W] int32 of rows first_row.. of a picture of `height` rows. Out: raster [h, W, 4] (weight of corner
    0, of corner 1, z/w, face + 1), slopes [h, W, 4] (d weight 0/dx, /dy, d weight 1/dx, /dy) or [0, 0, 4].
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
            if with_slopes:
                steps = weight_slopes(g, column + 0.5, py)
                for k in range(4):
                    slopes[line, column, k] = steps[k]
            b0, b1, b2 = weights(g, column + 0.5, py)
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

    raster, gradient: [H, W, 4]; of the gradient the first two count.
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
            h = corners_backward(g, column + 0.5, py, d0, d1)
            x0, y0, w0 = x0 + h[0], y0 + h[1], w0 + h[2]
            x1, y1, w1 = x1 + h[3], y1 + h[4], w1 + h[5]
            x2, y2, w2 = x2 + h[6], y2 + h[7], w2 + h[8]
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
