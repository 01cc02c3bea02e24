"""Depth maps and textured pictures of meshes, in bands of rows so that memory stays bounded."""

from __future__ import annotations

import numpy as np

from engine.camera import Camera
from engine.jit import parallel_map, row_bands, thread_count
from engine.mesh import Mesh, TexturedMesh
from engine.render import kernels
from engine.render.backends import default_rasterizer
from engine.render.mipmap import texture_chain
from engine.render.numba_backend import setup
from engine.render.projection import to_clip
from engine.render.types import Float32, Rasterizer, Render

_BAND_PIXELS = 1 << 19


def render_depth(mesh: Mesh, camera: Camera) -> Float32:
    """[H, W] float32 camera z at the pixel centres, 0 where nothing is."""
    size = camera.size_px
    drawing = setup(to_clip(mesh.vertices, camera), mesh.faces, (size, size))
    out = np.zeros((size, size), np.float32)
    first, end = drawing.rows()

    def band(rows: tuple[int, int]) -> None:
        a, b = rows[0] + first, rows[1] + first
        out[a:b] = drawing.draw(a, b).depth

    if end > first:
        parallel_map(band, row_bands(end - first, max(2 * thread_count(), (end - first) * size // _BAND_PIXELS)))
    return out


def render_textured(
    textured: TexturedMesh,
    camera: Camera,
    supersample: int = 2,
    rasterizer: Rasterizer | None = None,
    *,
    with_depth: bool = True,
) -> Render:
    """The mesh as `camera` sees it, unlit, with the texture's sRGB values as they are.

    supersample: samples a pixel and axis, averaged in sRGB values, as image editors composite. Each sample is
    trilinear with the mip level of its own footprint. rasterizer: `default_rasterizer()` where none is given.
    with_depth: False leaves the depth 0, where nobody asks for it.
    """
    rasterizer = rasterizer or default_rasterizer()
    if rasterizer.name != "numba":
        return _render_with(rasterizer, textured, camera, supersample, with_depth=with_depth)
    size = camera.size_px
    wide = size * supersample
    position_clip = to_clip(textured.mesh.vertices, camera)
    fine = setup(position_clip, textured.mesh.faces, (wide, wide))
    own_depth = with_depth and supersample > 1
    coarse = setup(position_clip, textured.mesh.faces, (size, size)) if own_depth else fine
    chain = texture_chain(textured)
    uv = np.ascontiguousarray(textured.uv, np.float32)
    faces_uv = np.ascontiguousarray(textured.faces_uv, np.int32)
    rgb = np.zeros((size, size, 3), np.float32)
    coverage, depth = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    first, end = fine.rows()
    first, end = first // supersample, -(-end // supersample)

    def band(rows: tuple[int, int]) -> None:
        a, b = rows[0] + first, rows[1] + first
        fragments = fine.draw(a * supersample, b * supersample)
        kernels.shade_rows(
            fine.position_clip,
            fine.faces,
            uv,
            faces_uv,
            chain.texels,
            chain.levels,
            supersample,
            wide,
            fragments.face_index,
            fragments.barycentric,
            fragments.depth,
            rgb[a:b],
            coverage[a:b],
        )
        if with_depth:
            depth[a:b] = (coarse.draw(a, b) if own_depth else fragments).depth

    if end > first:
        count = (end - first) * supersample * wide // _BAND_PIXELS
        parallel_map(band, row_bands(end - first, max(4 * thread_count(), count)))
    return Render(rgb, coverage, depth)


def _render_with(
    rasterizer: Rasterizer, textured: TexturedMesh, camera: Camera, supersample: int, *, with_depth: bool
) -> Render:
    """The same from the three operations alone."""
    size, s = camera.size_px, supersample
    position_clip = to_clip(textured.mesh.vertices, camera)
    faces = textured.mesh.faces
    fragments = rasterizer.rasterize(position_clip, faces, (size * s, size * s), derivatives=True)
    uv, uv_dxy = rasterizer.interpolate(textured.uv, fragments, textured.faces_uv, derivatives=True)
    covered = fragments.covered.astype(np.float32)
    rgb = rasterizer.sample_texture(textured.texture_kd, uv, uv_dxy) * covered[..., None]
    depth = np.zeros((size, size), np.float32)
    if with_depth:
        depth = fragments.depth if s == 1 else rasterizer.rasterize(position_clip, faces, (size, size)).depth
    return Render(rgb.reshape(size, s, size, s, 3).mean((1, 3)), covered.reshape(size, s, size, s).mean((1, 3)), depth)
