"""A texture atlas without charts: each face has a small triangle of its own, two of them a square.

It needs no unwrapping and has no distortion to speak of, but neighbours bleed into each other in its mip levels.
"""

from __future__ import annotations

import math

import numpy as np

from engine.mesh import Mesh, TexturedMesh
from engine.sample.shading import SolidTexture, bake_colours


def bake_atlas(mesh: Mesh, texture: SolidTexture, size_px: int) -> TexturedMesh:
    """Evaluate the solid texture at every texel. Raises ValueError where a face would have too few."""
    count = len(mesh.faces)
    columns = math.ceil(math.sqrt((count + 1) // 2))
    cell = size_px // columns
    if cell < 5:
        raise ValueError(f"{count} faces need an atlas of {5 * columns} px at least, not {size_px}")
    # Within its cell a face has its corners half a texel inside, with room for the other face's beyond the diagonal.
    inset, side = 0.5, cell - 3.0
    face = np.arange(count)
    origin = np.stack([(face // 2) % columns, (face // 2) // columns], 1) * float(cell)
    lower = (face % 2 == 1)[:, None]
    upper_corners = np.array([[inset, inset], [inset + side, inset], [inset, inset + side]])
    corners_px = np.where(lower[..., None], cell - upper_corners, upper_corners) + origin[:, None]

    rows, cols = np.mgrid[0:cell, 0:cell]
    centres = np.stack([cols, rows], -1).reshape(-1, 2) + 0.5
    image = np.zeros((size_px, size_px, 3), np.uint8)
    for half in (0, 1):
        members = np.flatnonzero(face % 2 == half)
        if len(members) == 0:
            continue
        local = centres if half == 0 else cell - centres
        own = (local.sum(1) < cell) if half == 0 else (local.sum(1) <= cell)
        b1, b2 = (local[own] - inset).T / side
        weights = np.stack([1 - b1 - b2, b1], 1)
        corners = np.repeat(mesh.faces[members], len(weights), 0)
        colours = bake_colours(texture, corners, np.tile(weights, (len(members), 1)), 1 / 700)
        at = origin[members][:, None] + (centres[own] - 0.5)[None]
        x, y = at.reshape(-1, 2).astype(np.int64).T
        image[y, x] = np.clip(colours, 0, 1) * 255 + 0.5
    uv = (corners_px / size_px).reshape(-1, 2).astype(np.float32)
    return TexturedMesh(mesh, uv, np.arange(3 * count, dtype=np.int32).reshape(-1, 3), image)
