"""The solid texture: what colour a point of a solid has, and pictures of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.camera import Camera
from engine.jit import jit, jit_allocating, jit_inline, parallel_map, row_bands, thread_count
from engine.mesh import Mesh
from engine.render import Render, render_depth, to_clip
from engine.render.mipmap import mip_chain
from engine.render.numba_backend import setup
from engine.sample.solid import PATTERNS, Solid

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class SolidTexture:
    """A solid's looks as arrays for the kernel.

    attributes: [V, 7 + M] float32 for each vertex: position and normal in object units, light, material fields.
    materials: [M, 12] float64: two colours 0..255, pattern, scale, axis, 0. decals: [D, 13] float64: centre, right,
    up, width, height over width, reach, squared radius about the centre. The pictures' RGBA lie in texels [N, 4] uint8
    one after the other, levels [L, 3] int64 as in MipChain; decal d's are levels decal_levels[d]..decal_levels[d + 1].
    """

    attributes: NDArray[np.float32]
    materials: NDArray[np.float64]
    decals: NDArray[np.float64]
    texels: NDArray[np.uint8]
    levels: NDArray[np.int64]
    decal_levels: NDArray[np.int64]


def solid_texture(solid: Solid, vertices: NDArray[np.float64], *, painted: bool = True) -> SolidTexture:
    """Evaluate a solid's fields at the vertices [V, 3] of its surface. painted: with a soft shade from above."""
    p = vertices.astype(np.float32)
    normals = solid.normals(p, 0.002)
    openness = solid.openness(p, normals)
    key = np.array([0.35, 0.80, 0.50])
    towards_key = np.clip((normals @ (key / np.linalg.norm(key)) + 0.4) / 1.4, 0, 1)
    light = (0.68 + 0.14 * (0.5 + 0.5 * normals[:, 1]) + 0.22 * towards_key) * (0.45 + 0.55 * openness)
    if not painted:
        light = np.ones_like(light)
    attributes = np.concatenate([p, normals, light[:, None], solid.material_fields(p)], 1)
    materials = np.zeros((len(solid.materials), 12))
    for row, m in zip(materials, solid.materials, strict=True):
        row[:11] = (*m.colour, *m.second, PATTERNS.index(m.pattern), m.scale, *m.axis)
    decals = np.zeros((len(solid.decals), 13))
    texels, levels, decal_levels = [np.zeros((1, 4), np.uint8)], [], [0]
    first = 1
    for row, d in zip(decals, solid.decals, strict=True):
        image = np.asarray(d.picture.convert("RGBA"))
        aspect = image.shape[0] / image.shape[1]
        radius2 = (d.width / 2) ** 2 * (1 + aspect**2) + d.reach**2
        row[:] = (*d.centre, *d.right, *d.up, d.width, aspect, d.reach, radius2)
        chain = mip_chain(image)
        texels.append(chain.texels)
        levels.append(chain.levels + np.array([first, 0, 0]))
        first += len(chain.texels)
        decal_levels.append(decal_levels[-1] + len(chain.levels))
    return SolidTexture(
        np.ascontiguousarray(attributes, np.float32),
        materials,
        decals,
        np.concatenate(texels),
        np.ascontiguousarray(np.concatenate(levels) if levels else np.zeros((0, 3)), np.int64),
        np.array(decal_levels, np.int64),
    )


@jit_inline
def _smoothstep(low: Any, high: Any, x: Any) -> Any:
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


@jit
def _hash(x: int, y: int, z: int) -> Any:
    """A value 0..1 for a cell."""
    h = (x * 374761393 + y * 668265263 + z * 2147483647) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFF) / 65535.0


@jit
def _noise(x: float, y: float, z: float) -> Any:
    """Value noise -1..1 with one cell a unit."""
    ix, iy, iz = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    fx, fy, fz = x - ix, y - iy, z - iz
    fx, fy, fz = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy), fz * fz * (3 - 2 * fz)
    out = 0.0
    for c in range(8):
        dx, dy, dz = c & 1, (c >> 1) & 1, c >> 2
        weight = (fx if dx else 1 - fx) * (fy if dy else 1 - fy) * (fz if dz else 1 - fz)
        out += weight * _hash(ix + dx, iy + dy, iz + dz)
    return 2 * out - 1


@jit
def _pattern(material: Array, x: float, y: float, z: float, width: float) -> Any:
    """How much of the second colour, 0..1. width: the pixel's, in object units."""
    kind, scale = int(material[6]), material[7]
    soft = max(width * scale * 1.5, 0.03)
    fade = 1 / (1 + (2.0 * width * scale) ** 2)  # a pattern finer than the pixels is their mean
    along = x * material[8] + y * material[9] + z * material[10]
    if kind == 1:
        t = along * scale
        t = abs(t - np.floor(t) - 0.5)
        return 0.5 + (_smoothstep(0.25 - 0.5 * soft, 0.25 + 0.5 * soft, t) - 0.5) * fade
    if kind == 2:
        sign = np.sin(np.pi * scale * x) * np.sin(np.pi * scale * y) * np.sin(np.pi * scale * z)
        return 0.5 + (_smoothstep(-soft, soft, sign) - 0.5) * fade
    if kind == 3:
        wobble = 0.35 * _noise(3 * x + 11, 3 * y, 3 * z) + 0.08 * _noise(16 * x, 16 * y + 5, 16 * z)
        across = np.sqrt(max(x * x + y * y + z * z - along * along, 0.0))
        ring = (across + 0.12 * along + 0.25 * wobble) * scale
        ring -= np.floor(ring)
        return 0.5 + (ring * ring * (1 - _smoothstep(0.9, 1.0, ring)) - 0.5) * fade
    if kind == 4:
        return _smoothstep(0.25, 0.6, _noise(scale * x, scale * y, scale * z)) * fade
    return 0.0


@jit
def _decal_over(
    decal: Array, texels: Array, levels: Array, first: int, count: int, point: Array, width: float, rgb: Array
) -> None:
    """Lay a decal over rgb [3] 0..255. point: [6] position and normal."""
    dx, dy, dz = point[0] - decal[0], point[1] - decal[1], point[2] - decal[2]
    rx, ry, rz, ux, uy, uz = decal[3], decal[4], decal[5], decal[6], decal[7], decal[8]
    nx, ny, nz = ry * uz - rz * uy, rz * ux - rx * uz, rx * uy - ry * ux
    if abs(dx * nx + dy * ny + dz * nz) > decal[11] or point[3] * nx + point[4] * ny + point[5] * nz < 0.25:
        return
    u = (dx * rx + dy * ry + dz * rz) / decal[9] + 0.5
    v = 0.5 - (dx * ux + dy * uy + dz * uz) / (decal[9] * decal[10])
    if u < 0 or u > 1 or v < 0 or v > 1:
        return
    level = min(max(np.log2(max(width / decal[9] * levels[first, 2], 1e-9)), 0.0), count - 1.0)
    low = int(level)
    blend = level - low
    red = green = blue = alpha = 0.0
    for k in range(2):
        weight = blend if k else 1 - blend
        if weight == 0:
            continue
        start, height, columns = levels[first + low + k, 0], levels[first + low + k, 1], levels[first + low + k, 2]
        px = min(max(u * columns - 0.5, 0.0), columns - 1.0)
        py = min(max(v * height - 0.5, 0.0), height - 1.0)
        x0, y0 = int(px), int(py)
        fx, fy = px - x0, py - y0
        for c in range(4):
            x, y = min(x0 + (c & 1), columns - 1), min(y0 + (c >> 1), height - 1)
            share = weight * (fx if c & 1 else 1 - fx) * (fy if c >> 1 else 1 - fy)
            texel = texels[start + y * columns + x]
            opaque = share * texel[3] / 255
            red += opaque * texel[0]
            green += opaque * texel[1]
            blue += opaque * texel[2]
            alpha += opaque
    rgb[0] += red - alpha * rgb[0]
    rgb[1] += green - alpha * rgb[1]
    rgb[2] += blue - alpha * rgb[2]


@jit
def _colour(
    attributes: Array, materials: Array, decals: Array, texels: Array, levels: Array, decal_levels: Array,
    i0: int, i1: int, i2: int, b0: float, b1: float, width: float, point: Array, rgb: Array,
) -> None:  # fmt: skip
    """The colour at a point of a face: rgb [3] 0..255; point: [7] scratch. width: the pixel's, in object units."""
    b2 = 1 - b0 - b1
    for c in range(7):
        point[c] = b0 * attributes[i0, c] + b1 * attributes[i1, c] + b2 * attributes[i2, c]
    best, second = 0, 0
    lowest, next_lowest = 1e9, 1e9
    for m in range(len(materials)):
        field = b0 * attributes[i0, 7 + m] + b1 * attributes[i1, 7 + m] + b2 * attributes[i2, 7 + m]
        if field < lowest:
            second, next_lowest = best, lowest
            best, lowest = m, field
        elif field < next_lowest:
            second, next_lowest = m, field
    x, y, z = point[0], point[1], point[2]
    # Half a pixel of blending on the border between two materials.
    mix = 0.5 * max(0.0, 1 - (next_lowest - lowest) / max(width, 1e-9))
    for c in range(3):
        rgb[c] = 0
    for k in range(2):
        weight = mix if k else 1 - mix
        if weight > 0:
            material = materials[second if k else best]
            t = _pattern(material, x, y, z, width)
            for c in range(3):
                rgb[c] += weight * (material[c] + (material[3 + c] - material[c]) * t)
    for d in range(len(decals)):
        apart = (x - decals[d, 0]) ** 2 + (y - decals[d, 1]) ** 2 + (z - decals[d, 2]) ** 2
        if apart > decals[d, 12]:
            continue
        first = decal_levels[d]
        _decal_over(decals[d], texels, levels, first, decal_levels[d + 1] - first, point, width, rgb)
    grain = 1 + 0.035 * _noise(21 * x, 21 * y + 7, 21 * z)
    for c in range(3):
        rgb[c] *= point[6] * grain


@jit_allocating
def _shade_rows(
    attributes: Array, materials: Array, decals: Array, texels: Array, levels: Array, decal_levels: Array,
    faces: Array, supersample: int, pixel_over_depth: float,
    face_index: Array, barycentric: Array, depth: Array, rgb: Array, coverage: Array,
) -> None:  # fmt: skip
    """Colour a supersampled band [h·s, W·s] and average it; out, zero before: rgb [h, W, 3], coverage [h, W]."""
    point, colour = np.zeros(7), np.zeros(3)
    share = 1.0 / (supersample * supersample)
    for y in range(coverage.shape[0]):
        for x in range(coverage.shape[1]):
            covered, near, far = 0, 1e30, 0.0
            for k in range(supersample * supersample):
                line, column = y * supersample + k // supersample, x * supersample + k % supersample
                if face_index[line, column] >= 0:
                    z = np.float64(depth[line, column])
                    covered, near, far = covered + 1, min(near, z), max(far, z)
            if covered == 0:
                continue
            coverage[y, x] = covered * share
            # The pattern is smoothed over a pixel anyway: away from outlines the diagonal's samples are enough.
            diagonal = covered == supersample * supersample and far < 1.01 * near
            for k in range(supersample * supersample):
                line, column = y * supersample + k // supersample, x * supersample + k % supersample
                face = face_index[line, column]
                if face < 0 or (diagonal and k % supersample != k // supersample):
                    continue
                b0, b1 = np.float64(barycentric[line, column, 0]), np.float64(barycentric[line, column, 1])
                width = pixel_over_depth * np.float64(depth[line, column])
                i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
                _colour(
                    attributes, materials, decals, texels, levels, decal_levels, i0, i1, i2, b0, b1, width, point,
                    colour,
                )  # fmt: skip
                weight = share * supersample if diagonal else share
                for c in range(3):
                    rgb[y, x, c] += np.float32(min(colour[c], 255.0) * weight / 255)


@jit_allocating
def _bake_points(
    attributes: Array, materials: Array, decals: Array, texels: Array, levels: Array, decal_levels: Array,
    corners: Array, weights: Array, width: float, out: Array,
) -> None:  # fmt: skip
    """Colours out [N, 3] float32 0..1 at points with corners [N, 3] int32 and weights [N, 2] float64."""
    point, colour = np.zeros(7), np.zeros(3)
    for i in range(len(corners)):
        _colour(
            attributes, materials, decals, texels, levels, decal_levels,
            corners[i, 0], corners[i, 1], corners[i, 2], weights[i, 0], weights[i, 1], width, point, colour,
        )  # fmt: skip
        for c in range(3):
            out[i, c] = min(colour[c], 255.0) / 255


def bake_colours(
    texture: SolidTexture, corners: NDArray[np.int32], weights: NDArray[np.float64], width: float
) -> NDArray[np.float32]:
    """[N, 3] float32 sRGB 0..1 at points of faces: corners [N, 3] vertex indices, weights [N, 2] of corners 0 and 1.

    width: the size of what is averaged, in object units.
    """
    out = np.empty((len(corners), 3), np.float32)
    corners = np.ascontiguousarray(corners, np.int32)
    weights = np.ascontiguousarray(weights, np.float64)
    t = texture

    def band(rows: tuple[int, int]) -> None:
        part = slice(*rows)
        _bake_points(
            t.attributes, t.materials, t.decals, t.texels, t.levels, t.decal_levels,
            corners[part], weights[part], width, out[part],
        )  # fmt: skip

    if len(corners):
        parallel_map(band, row_bands(len(corners)))
    return out


def render_solid(
    texture: SolidTexture, mesh: Mesh, camera: Camera, units_per_world: float, supersample: int = 2
) -> Render:
    """A picture of a solid's mesh, in the world; as `render_textured`, with the solid texture evaluated at each sample.

    units_per_world: object units in a world unit.
    """
    size, wide = camera.size_px, camera.size_px * supersample
    drawing = setup(to_clip(mesh.vertices, camera), mesh.faces, (wide, wide))
    rgb, coverage = np.zeros((size, size, 3), np.float32), np.zeros((size, size), np.float32)
    first, end = drawing.rows()
    first, end = first // supersample, -(-end // supersample)
    pixel_over_depth = units_per_world / float(camera.K[0, 0])
    t = texture

    def band(rows: tuple[int, int]) -> None:
        a, b = rows[0] + first, rows[1] + first
        fragments = drawing.draw(a * supersample, b * supersample)
        _shade_rows(
            t.attributes, t.materials, t.decals, t.texels, t.levels, t.decal_levels, drawing.faces, supersample,
            pixel_over_depth, fragments.face_index, fragments.barycentric, fragments.depth, rgb[a:b], coverage[a:b],
        )  # fmt: skip

    if end > first:
        parallel_map(band, row_bands(end - first, max(4 * thread_count(), (end - first) * wide * supersample >> 19)))
    return Render(rgb, coverage, render_depth(mesh, camera))
