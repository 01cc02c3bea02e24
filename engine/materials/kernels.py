"""Kernels over the texels of an atlas: the light on them, and the shape that the depth renders show there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit

Array = NDArray[Any]


@jit
def shade_texels(
    face_index: Array,
    barycentric: Array,
    faces: Array,
    normals: Array,
    log_open: Array,
    known: Array,
    fill: Array,
    directions: Array,
    reach: Array,
    radiance: Array,
    shading: Array,
) -> None:
    """What the light makes of white at a band's texels: shading [h, S, 3] float32, 1 where no chart is.

    face_index: [h, S] int32, barycentric: [h, S, 2] float32. faces: [F, 3] int32. normals: [F, 3, 3] float32 at the
    faces' corners. log_open: [V] float32, the logarithm of what openness dims. known: [V] float32 0..1, how far a
    vertex's colour comes from a view; where it does not, it came from its neighbours with their light, whose logarithm
    is fill [V, 3] float32. directions: [L, 3], reach: [L], solid angles, and radiance: [L, 3] of the light's patches.
    """
    h, w = face_index.shape
    for y in range(h):
        for x in range(w):
            f = face_index[y, x]
            if f < 0:
                for c in range(3):
                    shading[y, x, c] = 1.0
                continue
            p, q = max(barycentric[y, x, 0], 0.0), max(barycentric[y, x, 1], 0.0)
            r = max(1 - barycentric[y, x, 0] - barycentric[y, x, 1], 0.0)
            total = p + q + r
            p, q, r = p / total, q / total, r / total
            a, b, c2 = faces[f, 0], faces[f, 1], faces[f, 2]
            nx = p * normals[f, 0, 0] + q * normals[f, 1, 0] + r * normals[f, 2, 0]
            ny = p * normals[f, 0, 1] + q * normals[f, 1, 1] + r * normals[f, 2, 1]
            nz = p * normals[f, 0, 2] + q * normals[f, 1, 2] + r * normals[f, 2, 2]
            length = math.sqrt(max(nx * nx + ny * ny + nz * nz, 1e-20))
            nx, ny, nz = nx / length, ny / length, nz / length
            dim = p * log_open[a] + q * log_open[b] + r * log_open[c2]
            sure = p * known[a] + q * known[b] + r * known[c2]
            red = green = blue = whole = np.float32(0)
            for k in range(len(directions)):
                share = nx * directions[k, 0] + ny * directions[k, 1] + nz * directions[k, 2]
                if share > 0:
                    share *= reach[k]
                    whole += share
                    red += share * radiance[k, 0]
                    green += share * radiance[k, 1]
                    blue += share * radiance[k, 2]
            for c in range(3):
                e = red if c == 0 else (green if c == 1 else blue)
                log_shade = math.log(e / whole) + dim
                if sure < 1:
                    rest = p * fill[a, c] + q * fill[b, c] + r * fill[c2, c]
                    log_shade = sure * log_shade + (1 - sure) * rest
                shading[y, x, c] = math.exp(log_shade)


@jit
def divide_texels(texture: Array, shading: Array, decoded: Array, encoded: Array, out: Array) -> None:
    """out [h, S, 3] uint8 = texture / shading in linear light; the same texel where the shading is 1.

    texture: [h, S, 3] uint8 sRGB; shading: [h, S, 3] float32. decoded: [256] float32, light of an sRGB step; encoded:
    [4097] float32, the step of light k/4096 under a square root, which keeps dark steps apart.
    """
    h, w = texture.shape[:2]
    for y in range(h):
        for x in range(w):
            for c in range(3):
                light = min(max(decoded[texture[y, x, c]] / shading[y, x, c], 0.0), 1.0)
                at = math.sqrt(light) * 4096
                low = min(int(at), 4095)
                step = encoded[low] + (at - low) * (encoded[low + 1] - encoded[low])
                out[y, x, c] = int(min(max(step + 0.5, 0.0), 255.0))


@jit
def reflect_patches(
    normals: Array, towards: Array, directions: Array, angles: Array, patch: Array, roughness: float, f0: float,
    out: Array,
) -> None:  # fmt: skip
    """Add to out [N, K] how much of each patch's radiance a varnish reflects towards the camera.

    The microfacet model of glTF 2.0: GGX (Walter et al., 2007) with alpha = roughness squared, Smith's
    height-correlated shadowing (Heitz, 2014), Schlick's Fresnel term. normals, towards: [N, 3] float64, unit, the
    latter to the camera. directions: [M, 3], angles: [M] float64 solid angles, patch: [M] int64, of the parts that are
    summed. f0: reflected from the front.
    """
    a2 = roughness**4
    for i in range(len(normals)):
        nv = normals[i, 0] * towards[i, 0] + normals[i, 1] * towards[i, 1] + normals[i, 2] * towards[i, 2]
        if nv <= 0:
            continue
        nv = max(nv, 1e-3)
        shadow_v = math.sqrt(nv * nv * (1 - a2) + a2)
        for k in range(len(directions)):
            nl = normals[i, 0] * directions[k, 0] + normals[i, 1] * directions[k, 1] + normals[i, 2] * directions[k, 2]
            if nl <= 0:
                continue
            hx = towards[i, 0] + directions[k, 0]
            hy = towards[i, 1] + directions[k, 1]
            hz = towards[i, 2] + directions[k, 2]
            length = math.sqrt(max(hx * hx + hy * hy + hz * hz, 1e-12))
            nh = (nl + nv) / length
            grazing = 1 - length / 2  # 1 - v·h: |v + l| = 2 cos of half the angle between
            spread = nh * nh * (a2 - 1) + 1
            fresnel = f0 + (1 - f0) * grazing * grazing * grazing * grazing * grazing
            shadow = nl * shadow_v + nv * math.sqrt(nl * nl * (1 - a2) + a2)
            out[i, patch[k]] += a2 * fresnel * nl * angles[k] / (2 * math.pi * spread * spread * shadow)


@jit
def add_detail(
    points: Array,
    normals: Array,
    projection: Array,
    centre: Array,
    pixel_angle: float,
    depth: Array,
    detail: Array,
    total: Array,
) -> None:
    """Add the normals that one depth render shows at surface points to total [N, 4]: sum of weighted normals, weights.

    points, normals: [N, 3] float32, world; projection: [3, 4] float64, world to pixels; centre: [3], the camera's.
    depth: [h, w] float32, 0 = none; detail: [h, w, 3] float32 unit normals, zero where the render tells none. Of the
    four pixels around a point those count that lie at its own depth; a view counts by the square of its cosine.
    """
    h, w = depth.shape
    for i in range(len(points)):
        x, y, z = float(points[i, 0]), float(points[i, 1]), float(points[i, 2])
        pz = projection[2, 0] * x + projection[2, 1] * y + projection[2, 2] * z + projection[2, 3]
        if pz <= 0:
            continue
        u = (projection[0, 0] * x + projection[0, 1] * y + projection[0, 2] * z + projection[0, 3]) / pz - 0.5
        v = (projection[1, 0] * x + projection[1, 1] * y + projection[1, 2] * z + projection[1, 3]) / pz - 0.5
        if not (u > -1 and v > -1 and u < w and v < h):
            continue
        dx, dy, dz = centre[0] - x, centre[1] - y, centre[2] - z
        length = math.sqrt(dx * dx + dy * dy + dz * dz)
        cosine = (normals[i, 0] * dx + normals[i, 1] * dy + normals[i, 2] * dz) / length
        if cosine < 0.2:
            continue
        tangent = math.sqrt(max(1 - cosine * cosine, 0.0)) / cosine
        tolerance = pixel_angle * pz * (2.0 + 1.5 * tangent)
        x0, y0 = math.floor(u), math.floor(v)
        fx, fy = u - x0, v - y0
        for k in range(4):
            xx, yy = x0 + (k & 1), y0 + (k >> 1)
            if xx < 0 or yy < 0 or xx >= w or yy >= h or depth[yy, xx] <= 0:
                continue
            if abs(depth[yy, xx] - pz) > tolerance:
                continue
            nx, ny, nz = detail[yy, xx, 0], detail[yy, xx, 1], detail[yy, xx, 2]
            if nx * nx + ny * ny + nz * nz < 0.5:
                continue
            weight = (fx if k & 1 else 1 - fx) * (fy if k >> 1 else 1 - fy) * cosine * cosine
            total[i, 0] += weight * nx
            total[i, 1] += weight * ny
            total[i, 2] += weight * nz
            total[i, 3] += weight


@jit
def encode_normals(
    face_index: Array,
    barycentric: Array,
    faces: Array,
    normals: Array,
    tangents: Array,
    texel: Array,
    count: int,
    total: Array,
    enough: float,
    least_cosine: float,
    out: Array,
) -> None:
    """Write a band's normals in tangent space into out [h, S, 3] uint8, flat before.

    normals: [V, 3] float32, tangents: [F, 3, 4] float32, both as exported. texel: [N] int32 places in the band, the
    first `count` of them; total: [N, 4] of `add_detail`. What has less weight than `enough` is drawn towards the
    surface's own normal, what turns away from it by more than acos(least_cosine) is not believed. The frame is the one
    that viewers make: normal and tangent interpolated and normalised, the bitangent square to both.
    """
    w = face_index.shape[1]
    for i in range(count):
        y, x = texel[i] // w, texel[i] % w
        f = face_index[y, x]
        p, q = max(barycentric[y, x, 0], 0.0), max(barycentric[y, x, 1], 0.0)
        r = max(1 - barycentric[y, x, 0] - barycentric[y, x, 1], 0.0)
        whole = p + q + r
        p, q, r = p / whole, q / whole, r / whole
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        nx = p * normals[a, 0] + q * normals[b, 0] + r * normals[c, 0]
        ny = p * normals[a, 1] + q * normals[b, 1] + r * normals[c, 1]
        nz = p * normals[a, 2] + q * normals[b, 2] + r * normals[c, 2]
        tx = p * tangents[f, 0, 0] + q * tangents[f, 1, 0] + r * tangents[f, 2, 0]
        ty = p * tangents[f, 0, 1] + q * tangents[f, 1, 1] + r * tangents[f, 2, 1]
        tz = p * tangents[f, 0, 2] + q * tangents[f, 1, 2] + r * tangents[f, 2, 2]
        ln, lt = math.sqrt(nx * nx + ny * ny + nz * nz), math.sqrt(tx * tx + ty * ty + tz * tz)
        weight = total[i, 3]
        if ln < 1e-6 or lt < 1e-6 or weight <= 0:
            continue
        nx, ny, nz, tx, ty, tz = nx / ln, ny / ln, nz / ln, tx / lt, ty / lt, tz / lt
        bx, by, bz = ny * tz - nz * ty, nz * tx - nx * tz, nx * ty - ny * tx
        lb = math.sqrt(bx * bx + by * by + bz * bz)
        if lb < 1e-3:
            continue
        sign = tangents[f, 0, 3] / lb
        bx, by, bz = bx * sign, by * sign, bz * sign
        dx, dy, dz = total[i, 0], total[i, 1], total[i, 2]
        ld = math.sqrt(dx * dx + dy * dy + dz * dz)
        if ld < 1e-6:
            continue
        share = min(weight / enough, 1.0) * ld / weight  # views that contradict each other count for less
        dx, dy, dz = dx / ld, dy / ld, dz / ld
        if dx * nx + dy * ny + dz * nz < least_cosine:
            continue
        dx, dy, dz = nx + share * (dx - nx), ny + share * (dy - ny), nz + share * (dz - nz)
        skew = tx * nx + ty * ny + tz * nz
        along, up = dx * tx + dy * ty + dz * tz, dx * nx + dy * ny + dz * nz
        square = 1 - skew * skew
        u, v, n = (along - skew * up) / square, dx * bx + dy * by + dz * bz, (up - skew * along) / square
        length = math.sqrt(u * u + v * v + n * n)
        out[y, x, 0] = int(127.5 + 127.5 * u / length + 0.5)
        out[y, x, 1] = int(127.5 + 127.5 * v / length + 0.5)
        out[y, x, 2] = int(127.5 + 127.5 * n / length + 0.5)
