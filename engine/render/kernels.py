"""The compiled kernels of the numba back end.

Triangles are drawn by integer edge functions (Pineda, "A Parallel Algorithm for Polygon Rasterization", SIGGRAPH 1988)
on vertices snapped to 1/4096 pixel. All of it is exact in int64 as long as a vertex is within 2^17 pixels: so pixels on
a shared edge belong to exactly one face, by the top-left rule. What reaches further is clipped before (`clipping`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit

SUBPIXELS = 4096
GUARD_PX = 131072.0
Array = NDArray[Any]


@jit
def setup_vertices(position_clip: Array, height: int, width: int, xy: Array, inverse_w: Array, usable: Array) -> None:
    """Clip coordinates [V, 4] float32 to snapped positions xy [V, 2] int64 and 1/w [V] float64.

    usable: [V] bool, whether the vertex is in front of the near plane and within the guard band.
    """
    for i in range(len(position_clip)):
        w = np.float64(position_clip[i, 3])
        usable[i] = False
        if w > 0 and position_clip[i, 2] >= -position_clip[i, 3]:
            x = (position_clip[i, 0] / w * 0.5 + 0.5) * width
            y = (position_clip[i, 1] / w * 0.5 + 0.5) * height
            if abs(x) <= GUARD_PX and abs(y) <= GUARD_PX:
                xy[i, 0] = np.int64(np.rint(x * SUBPIXELS))
                xy[i, 1] = np.int64(np.rint(y * SUBPIXELS))
                inverse_w[i] = 1 / w
                usable[i] = True


@jit
def rasterize_rows(
    xy: Array,
    inverse_w: Array,
    usable: Array,
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

    triangles: [T, 3] int32 into the vertices; from `face_count` on they are parts of clipped faces: clipped_face [C]
    int32 says of which, clipped_weights [C, 3, 2] float64 with which weights at their corners.
    Out: face_index [h, W] int32, barycentric [h, W, 2] float32, depth [h, W] float32.
    """
    rows, width = face_index.shape
    half = SUBPIXELS // 2
    for line in range(rows):
        for column in range(width):
            face_index[line, column] = -1
            barycentric[line, column, 0] = 0
            barycentric[line, column, 1] = 0
            depth[line, column] = 0  # holds 1/z until the end
    for t in range(len(triangles)):
        i0, i1, i2 = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if not (usable[i0] and usable[i1] and usable[i2]):
            continue
        y0, y1, y2 = xy[i0, 1], xy[i1, 1], xy[i2, 1]
        row0 = max((min(y0, y1, y2) + half - 1) // SUBPIXELS, first_row)
        row1 = min((max(y0, y1, y2) - half) // SUBPIXELS, first_row + rows - 1)
        if row0 > row1:
            continue
        x0, x1, x2 = xy[i0, 0], xy[i1, 0], xy[i2, 0]
        column0 = max((min(x0, x1, x2) + half - 1) // SUBPIXELS, 0)
        column1 = min((max(x0, x1, x2) - half) // SUBPIXELS, width - 1)
        if column0 > column1:
            continue
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area == 0:
            continue
        # Edge functions, positive inside: e_k = c_k + step_k·column, for the edge opposite corner k.
        sign = 1 if area > 0 else -1
        dx0, dy0 = sign * (x2 - x1), sign * (y2 - y1)
        dx1, dy1 = sign * (x0 - x2), sign * (y0 - y2)
        dx2, dy2 = sign * (x1 - x0), sign * (y1 - y0)
        # The top-left rule: a pixel exactly on an edge is inside of left edges and of top edges only.
        bias0 = 0 if dy0 < 0 or (dy0 == 0 and dx0 > 0) else 1
        bias1 = 0 if dy1 < 0 or (dy1 == 0 and dx1 > 0) else 1
        bias2 = 0 if dy2 < 0 or (dy2 == 0 and dx2 > 0) else 1
        step0, step1, step2 = -dy0 * SUBPIXELS, -dy1 * SUBPIXELS, -dy2 * SUBPIXELS
        scale = 1.0 / abs(area)
        w0, w1, w2 = inverse_w[i0] * scale, inverse_w[i1] * scale, inverse_w[i2] * scale
        face = t if t < face_count else clipped_face[t - face_count]
        for row in range(row0, row1 + 1):
            py = row * SUBPIXELS + half
            c0 = dx0 * (py - y1) - dy0 * (half - x1)
            c1 = dx1 * (py - y2) - dy1 * (half - x2)
            c2 = dx2 * (py - y0) - dy2 * (half - x0)
            left, right = column0, column1
            for k in range(3):  # narrow the span to e_k >= bias_k
                if k == 0:
                    c, step = c0 - bias0, step0
                elif k == 1:
                    c, step = c1 - bias1, step1
                else:
                    c, step = c2 - bias2, step2
                if step > 0:
                    left = max(left, -(c // step))
                elif step < 0:
                    right = min(right, c // -step)
                elif c < 0:
                    right = -1
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
    for line in range(rows):
        for column in range(width):
            if face_index[line, column] >= 0:
                depth[line, column] = 1 / depth[line, column]


@jit
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
            b2 = 1 - b0 - b1
            for c in range(attributes.shape[1]):
                out[row, column, c] = attributes[i0, c] * b0 + attributes[i1, c] * b1 + attributes[i2, c] * b2


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
            for c in range(attributes.shape[1]):
                d0, d1 = attributes[i0, c] - attributes[i2, c], attributes[i1, c] - attributes[i2, c]
                for axis in range(2):
                    out[row, column, c, axis] = (
                        d0 * barycentric_dxy[row, column, 0, axis] + d1 * barycentric_dxy[row, column, 1, axis]
                    )


@jit
def mip_level(ux: float, uy: float, vx: float, vy: float, height: int, width: int) -> float:
    """log2 of the footprint's major axis in texels: the ellipse that (x, y) steps of a pixel span, as nvdiffrast."""
    ux, uy, vx, vy = ux * width, uy * width, vx * height, vy * height
    a, b, c = ux * ux + uy * uy, vx * vx + vy * vy, ux * vx + uy * vy
    squared = 0.5 * (a + b) + np.sqrt(0.25 * (a - b) * (a - b) + c * c)
    return 0.5 * np.log2(squared) if squared > 1 else 0.0


@jit
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
    low = min(int(level), len(levels) - 1)
    blend = level - low if low + 1 < len(levels) else 0.0
    share = weight * (1 - blend)
    for n in range(low, low + (2 if blend > 0 else 1)):
        height, width = levels[n, 1], levels[n, 2]
        x = min(max(u * width - 0.5, 0.0), width - 1.0)
        y = min(max(v * height - 0.5, 0.0), height - 1.0)
        x0, y0 = int(x), int(y)
        fx, fy = x - x0, y - y0
        top = levels[n, 0] + y0 * width + x0
        right = 1 if x0 + 1 < width else 0
        below = top + (width if y0 + 1 < height else 0)
        w00, w01 = (1 - fx) * (1 - fy) * share, fx * (1 - fy) * share
        w10, w11 = (1 - fx) * fy * share, fx * fy * share
        for c in range(channels):
            out[i, c] += (
                w00 * texels[top, c]
                + w01 * texels[top + right, c]
                + w10 * texels[below, c]
                + w11 * texels[below + right, c]
            )
        share = weight * blend


@jit
def sample_points(
    texels: Array, levels: Array, scale: float, uv: Array, uv_dxy: Array, first: int, end: int, out: Array
) -> None:
    """Points first..end: uv [N, 2] float32, uv_dxy [N, 2, 2] float32 (or [0, 2, 2]: bilinear), out [N, C] float32."""
    for i in range(first, end):
        for c in range(out.shape[1]):
            out[i, c] = 0
        level = 0.0
        if len(uv_dxy) > 0:
            level = mip_level(
                uv_dxy[i, 0, 0], uv_dxy[i, 0, 1], uv_dxy[i, 1, 0], uv_dxy[i, 1, 1], levels[0, 1], levels[0, 2]
            )
        add_trilinear(texels, levels, uv[i, 0], uv[i, 1], level, scale, out, i, out.shape[1])


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
