"""The numba back end's compiled kernels: loops over vertices, rows, samples. What they do with each: `elements`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit, jit_element
from engine.render.elements import (
    SUBPIXELS,
    add_trilinear,
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

Array = NDArray[Any]


@jit
def setup_vertices(position_clip: Array, height: int, width: int, xy: Array, inverse_w: Array, usable: Array) -> None:
    """Clip coordinates [V, 4] float32 to snapped positions xy [V, 2] int64 and 1/w [V] float64.

    usable: [V] bool, whether the vertex is in front of the near plane and within the guard band.
    """
    for i in range(len(position_clip)):
        usable[i], xy[i, 0], xy[i, 1], inverse_w[i] = snap(position_clip, i, height, width)


@jit
def find_spans(xy: Array, usable: Array, triangles: Array, height: int, width: int, spans: Array) -> None:
    """The first and last row of a picture that each triangle may cover: spans [T, 2] int32, 0 and -1 where none.

    triangles: [T, 3] int32 into the vertices. Every band of rows looks at every triangle: at these two numbers alone.
    """
    for t in range(len(triangles)):
        i0, i1, i2 = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        spans[t, 0], spans[t, 1] = 0, -1
        if not (usable[i0] and usable[i1] and usable[i2]):
            continue
        x0, x1, x2, y0, y1, y2 = xy[i0, 0], xy[i1, 0], xy[i2, 0], xy[i0, 1], xy[i1, 1], xy[i2, 1]
        row0, row1 = max(first_centre(y0, y1, y2), 0), min(last_centre(y0, y1, y2), height - 1)
        column0, column1 = max(first_centre(x0, x1, x2), 0), min(last_centre(x0, x1, x2), width - 1)
        if row0 <= row1 and column0 <= column1:
            spans[t, 0], spans[t, 1] = row0, row1


@jit
def rasterize_rows(
    xy: Array,
    inverse_w: Array,
    spans: Array,
    triangles: Array,
    face_count: int,
    clipped_face: Array,
    clipped_weights: Array,
    first_row: int,
    face_index: Array,
    barycentric: Array,
    depth: Array,
) -> None:
    """Draw rows first_row.. of the image.

    spans: [T, 2] int32 from `find_spans`. triangles: [T, 3] int32 into the vertices; from `face_count` on they are
    parts of clipped faces: clipped_face [C] int32 says of which, clipped_weights [C, 3, 2] float64 with which weights
    at their corners. Out: face_index [h, W] int32, barycentric [h, W, 2] float32, depth [h, W] float32. Where
    barycentric has no rows only the faces are wanted, and depth is left as 1/z.
    """
    rows, width = face_index.shape
    weighed = len(barycentric) > 0
    for line in range(rows):
        for column in range(width):
            face_index[line, column] = -1
            depth[line, column] = 0  # holds 1/z until the end
            if weighed:
                barycentric[line, column, 0] = 0
                barycentric[line, column, 1] = 0
    for t in range(len(triangles)):
        row0, row1 = max(int(spans[t, 0]), first_row), min(int(spans[t, 1]), first_row + rows - 1)
        if row0 > row1:
            continue
        i0, i1, i2 = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, x1, x2, y0, y1, y2 = xy[i0, 0], xy[i1, 0], xy[i2, 0], xy[i0, 1], xy[i1, 1], xy[i2, 1]
        column0 = max(first_centre(x0, x1, x2), 0)
        column1 = min(last_centre(x0, x1, x2), width - 1)
        area, dx0, dy0, dx1, dy1, dx2, dy2 = edge_functions(x0, y0, x1, y1, x2, y2)
        if area == 0:
            continue
        bias0, bias1, bias2 = edge_bias(dx0, dy0), edge_bias(dx1, dy1), edge_bias(dx2, dy2)
        step0, step1, step2 = -dy0 * SUBPIXELS, -dy1 * SUBPIXELS, -dy2 * SUBPIXELS
        scale = 1.0 / area
        w0, w1, w2 = inverse_w[i0] * scale, inverse_w[i1] * scale, inverse_w[i2] * scale
        face = t if t < face_count else clipped_face[t - face_count]
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
            line = row - first_row
            for column in range(left, right + 1):
                q0 = (c0 + step0 * column) * w0
                q1 = (c1 + step1 * column) * w1
                q2 = (c2 + step2 * column) * w2
                total = q0 + q1 + q2
                near = np.float32(total)
                seen = depth[line, column]
                if near < seen or (near == seen and face >= face_index[line, column] >= 0):
                    continue
                depth[line, column] = near
                face_index[line, column] = face
                if not weighed:
                    continue
                b0, b1 = q0 / total, q1 / total
                if t >= face_count:
                    part = t - face_count
                    b2 = 1 - b0 - b1
                    a0, a1 = b0, b1
                    b0 = a0 * clipped_weights[part, 0, 0] + a1 * clipped_weights[part, 1, 0]
                    b0 += b2 * clipped_weights[part, 2, 0]
                    b1 = a0 * clipped_weights[part, 0, 1] + a1 * clipped_weights[part, 1, 1]
                    b1 += b2 * clipped_weights[part, 2, 1]
                barycentric[line, column, 0] = b0
                barycentric[line, column, 1] = b1
    if not weighed:
        return
    for line in range(rows):
        for column in range(width):
            if face_index[line, column] >= 0:
                depth[line, column] = 1 / depth[line, column]


@jit
def barycentric_derivatives(
    position_clip: Array,
    faces: Array,
    height: int,
    width: int,
    first_row: int,
    end_row: int,
    face_index: Array,
    barycentric: Array,
    depth: Array,
    out: Array,
) -> None:
    """d(weight of corner 0, 1)/d(x, y) per pixel: out [H, W, 2, 2] float32, rows first_row..end_row."""
    for row in range(first_row, end_row):
        for column in range(width):
            face = face_index[row, column]
            if face < 0:
                for k in range(4):
                    out[row, column, k // 2, k % 2] = 0
                continue
            g = weight_gradients(position_clip, faces[face, 0], faces[face, 1], faces[face, 2], height, width)
            z = np.float64(depth[row, column])
            sx, sy = g[0] + g[2] + g[4], g[1] + g[3] + g[5]
            b0, b1 = barycentric[row, column, 0], barycentric[row, column, 1]
            out[row, column, 0, 0] = (g[0] - b0 * sx) * z
            out[row, column, 0, 1] = (g[1] - b0 * sy) * z
            out[row, column, 1, 0] = (g[2] - b1 * sx) * z
            out[row, column, 1, 1] = (g[3] - b1 * sy) * z


@jit
def interpolate_rows(
    attributes: Array, faces: Array, face_index: Array, barycentric: Array, first_row: int, end_row: int, out: Array
) -> None:
    """Attributes [A, C] float32 to out [H, W, C] float32, rows first_row..end_row; 0 where nothing is."""
    for row in range(first_row, end_row):
        for column in range(face_index.shape[1]):
            face = face_index[row, column]
            if face < 0:
                for c in range(attributes.shape[1]):
                    out[row, column, c] = 0
                continue
            i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
            b0, b1 = barycentric[row, column, 0], barycentric[row, column, 1]
            for c in range(attributes.shape[1]):
                out[row, column, c] = blended(attributes, c, i0, i1, i2, b0, b1)


@jit
def interpolate_derivative_rows(
    attributes: Array,
    faces: Array,
    face_index: Array,
    barycentric_dxy: Array,
    first_row: int,
    end_row: int,
    out: Array,
) -> None:
    """d(attribute)/d(x, y) per pixel by the chain rule: out [H, W, C, 2] float32, rows first_row..end_row."""
    for row in range(first_row, end_row):
        for column in range(face_index.shape[1]):
            face = face_index[row, column]
            if face < 0:
                for c in range(attributes.shape[1]):
                    out[row, column, c, 0] = 0
                    out[row, column, c, 1] = 0
                continue
            i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
            for axis in range(2):
                s0, s1 = barycentric_dxy[row, column, 0, axis], barycentric_dxy[row, column, 1, axis]
                for c in range(attributes.shape[1]):
                    out[row, column, c, axis] = attribute_slope(attributes, c, i0, i1, i2, s0, s1)


@jit_element
def _sample_channels(
    texels: Array,
    levels: Array,
    scale: float,
    uv: Array,
    uv_dxy: Array,
    first: int,
    end: int,
    out: Array,
    channels: int,
) -> None:
    for i in range(first, end):
        level = 0.0
        if len(uv_dxy) > 0:
            level = mip_level(
                uv_dxy[i, 0, 0], uv_dxy[i, 0, 1], uv_dxy[i, 1, 0], uv_dxy[i, 1, 1], levels[0, 1], levels[0, 2]
            )
        trilinear(texels, levels, uv[i, 0], uv[i, 1], level, scale, out, i, channels)


@jit
def sample_points(
    texels: Array, levels: Array, scale: float, uv: Array, uv_dxy: Array, first: int, end: int, out: Array
) -> None:
    """Points first..end: uv [N, 2] float32, uv_dxy [N, 2, 2] float32 (or [0, 2, 2]: bilinear), out [N, C] float32."""
    if out.shape[1] == 3:  # a literal, so that loops over channels are unrolled
        _sample_channels(texels, levels, scale, uv, uv_dxy, first, end, out, 3)
    else:
        _sample_channels(texels, levels, scale, uv, uv_dxy, first, end, out, out.shape[1])


@jit
def shade_rows(
    position_clip: Array,
    faces: Array,
    uv: Array,
    faces_uv: Array,
    texels: Array,
    levels: Array,
    supersample: int,
    height: int,
    face_index: Array,
    barycentric: Array,
    depth: Array,
    rgb: Array,
    coverage: Array,
) -> None:
    """Texture a supersampled band [h·s, W·s] of a picture that is `height` samples high, and average it.

    texels: [N, 3] uint8. Out, zero before: rgb [h, W, 3] and coverage [h, W] float32.
    """
    rows, width = face_index.shape
    last = -1
    u0 = u1 = u2 = v0 = v1 = v2 = 0.0
    ux = uy = vx = vy = sx = sy = 0.0
    share = 1.0 / (supersample * supersample)
    for line in range(rows):
        out = rgb[line // supersample]
        for column in range(width):
            face = face_index[line, column]
            if face < 0:
                continue
            if face != last:
                last = face
                g = weight_gradients(position_clip, faces[face, 0], faces[face, 1], faces[face, 2], height, width)
                t0, t1, t2 = faces_uv[face, 0], faces_uv[face, 1], faces_uv[face, 2]
                u0, u1, u2 = np.float64(uv[t0, 0]), np.float64(uv[t1, 0]), np.float64(uv[t2, 0])
                v0, v1, v2 = np.float64(uv[t0, 1]), np.float64(uv[t1, 1]), np.float64(uv[t2, 1])
                ux, uy = g[0] * u0 + g[2] * u1 + g[4] * u2, g[1] * u0 + g[3] * u1 + g[5] * u2
                vx, vy = g[0] * v0 + g[2] * v1 + g[4] * v2, g[1] * v0 + g[3] * v1 + g[5] * v2
                sx, sy = g[0] + g[2] + g[4], g[1] + g[3] + g[5]
            b0, b1 = np.float64(barycentric[line, column, 0]), np.float64(barycentric[line, column, 1])
            b2 = 1 - b0 - b1
            u, v = b0 * u0 + b1 * u1 + b2 * u2, b0 * v0 + b1 * v1 + b2 * v2
            z = np.float64(depth[line, column])
            level = mip_level(
                (ux - u * sx) * z, (uy - u * sy) * z, (vx - v * sx) * z, (vy - v * sy) * z, levels[0, 1], levels[0, 2]
            )
            x = column // supersample
            add_trilinear(texels, levels, u, v, level, share / 255, out, x)
            coverage[line // supersample, x] += np.float32(share)
