"""A box with a chart for each side, small enough to reason about, and asymmetric in shape, uv and colour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.export.layout import split_at_seams
from engine.mesh import MaterialMaps, Mesh, TexturedMesh
from engine.tangents import corner_tangents

EXTENT = np.array([0.3, 0.2, 0.1])
OFFSET = np.array([0.05, -0.02, 0.01])
CELLS = 4
TEXTURE_PX = 128


def make_box() -> TexturedMesh:
    """Six sides of CELLS x CELLS quads over shared vertices; each side is a chart in a 3 x 2 atlas."""
    index: dict[tuple[int, int, int], int] = {}
    faces, faces_uv, uv = [], [], []
    for side in range(6):
        axis, sign = side // 2, 1 if side % 2 else -1
        chart = np.array([side % 3 / 3, side // 3 / 2])
        corner_uv = {}
        for i in range(CELLS + 1):
            for j in range(CELLS + 1):
                lattice = np.zeros(3, int)
                lattice[axis] = CELLS if sign > 0 else 0
                lattice[(axis + 1) % 3], lattice[(axis + 2) % 3] = i, j
                corner_uv[i, j] = (index.setdefault(tuple(lattice.tolist()), len(index)), len(uv))
                uv.append(chart + np.array([0.02 + 0.3 * i / CELLS, 0.03 + 0.4 * j / CELLS]))
        for i in range(CELLS):
            for j in range(CELLS):
                quad = [corner_uv[i, j], corner_uv[i + 1, j], corner_uv[i + 1, j + 1], corner_uv[i, j + 1]]
                if sign < 0:
                    quad.reverse()
                for triangle in ((0, 1, 2), (0, 2, 3)):
                    faces.append([quad[k][0] for k in triangle])
                    faces_uv.append([quad[k][1] for k in triangle])
    vertices = (np.array(list(index)) / CELLS - 0.5) * EXTENT * 2 + OFFSET
    y, x = np.mgrid[:TEXTURE_PX, :TEXTURE_PX]
    texture = np.stack([255 * x // TEXTURE_PX, 255 * y // TEXTURE_PX, (x // 8 + y // 8) % 2 * 200], -1).astype(np.uint8)
    return TexturedMesh(
        Mesh(vertices, np.array(faces, np.int32)),
        np.array(uv, np.float32),
        np.array(faces_uv, np.int32),
        texture,
    )


@pytest.fixture
def box() -> TexturedMesh:
    return make_box()


@pytest.fixture
def shaded_box() -> TexturedMesh:
    """The same with all maps of a material."""
    box = make_box()
    split = split_at_seams(box)
    tangents = corner_tangents(split.position, split.normal, split.uv, split.faces)
    ks, normal = np.full((2, TEXTURE_PX, TEXTURE_PX, 3), 200, np.uint8)
    normal[:] = (128, 128, 255)
    return replace(box, maps=MaterialMaps(ks, normal, tangents))
