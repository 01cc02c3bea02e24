"""What the views say of a texture: pixels, where they look it up, and how far they can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.camera import Camera
from engine.jit import parallel_map, row_bands
from engine.mesh import TexturedMesh
from engine.refine.kernels import trust_rows
from engine.render import Fragments, interpolate, rasterize, to_clip
from engine.texture.sampling import edge_distance

RIM_PX = 2.5
"""Pixels nearer to an outline or a depth edge than this may show the other side, by what the mesh is off there."""
EDGE_FACTOR = 4.0
"""Steps in depth that count as edges are so many times those of the bake: what is seen at a flat angle only is
better than what neighbours suggest."""
_MARGIN = 8


@dataclass(frozen=True, eq=False)
class Observations:
    """The trusted pixels of one view.

    uv: [N, 2], uv_dxy: [N, 2, 2], footprint per pixel, float32. rgb: [N, 3] uint8. trust: [N] float32 0..1.
    row, column: [N] int32 in the window of size_px (h, w) round the object.
    """

    uv: NDArray[np.float32]
    uv_dxy: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    trust: NDArray[np.float32]
    row: NDArray[np.int32]
    column: NDArray[np.int32]
    size_px: tuple[int, int]


def observe(
    textured: TexturedMesh, camera: Camera, rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]
) -> Observations | None:
    """Where each pixel of a view looks the texture up; None where it shows nothing of the mesh.

    camera: registered, at the view's size. rgb: [S, S, 3], alpha: [S, S] uint8, the object's coverage.
    """
    faces = textured.mesh.faces
    rows, columns = (np.flatnonzero((alpha > 0).any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    y0, x0 = max(0, int(rows[0]) - _MARGIN), max(0, int(columns[0]) - _MARGIN)
    y1, x1 = min(len(alpha), int(rows[-1]) + _MARGIN), min(len(alpha), int(columns[-1]) + _MARGIN)
    clip = _windowed(to_clip(textured.mesh.vertices, camera), camera.size_px, (y0, x0, y1, x1))
    size = (y1 - y0, x1 - x0)
    fragments: Fragments = rasterize(clip, faces, size, derivatives=True)
    uv, uv_dxy = interpolate(np.ascontiguousarray(textured.uv), fragments, textured.faces_uv, derivatives=True)
    window = np.s_[y0:y1, x0:x1]
    coverage = np.ascontiguousarray(alpha[window])
    distance = np.empty(size, np.float32)
    edge_distance(coverage, fragments.depth, EDGE_FACTOR / float(camera.K[0, 0]), distance)
    trust = np.empty(size, np.float32)

    def band(part: tuple[int, int]) -> None:
        trust_rows(distance, fragments.depth, RIM_PX, *part, trust)

    parallel_map(band, row_bands(size[0]))
    pixel = np.flatnonzero(trust)
    if not len(pixel):
        return None
    row, column = np.divmod(pixel.astype(np.int32), np.int32(size[1]))
    return Observations(
        uv.reshape(-1, 2)[pixel],
        uv_dxy.reshape(-1, 2, 2)[pixel],
        rgb[window][row, column],
        trust.ravel()[pixel],
        row,
        column,
        size,
    )


def _windowed(clip: NDArray[np.float32], size_px: int, window: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """Clip coordinates [V, 4] of a part (top, left, bottom, right) of a picture of size_px."""
    y0, x0, y1, x1 = window
    out = clip.astype(np.float64)
    w = out[:, 3].copy()
    out[:, 0] = (out[:, 0] * size_px + w * (size_px - 2 * x0)) / (x1 - x0) - w
    out[:, 1] = (out[:, 1] * size_px + w * (size_px - 2 * y0)) / (y1 - y0) - w
    return out.astype(np.float32)
