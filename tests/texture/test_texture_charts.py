"""Charts cover the whole mesh, stay within the atlas and apart from each other."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.measure import marching_cubes

from engine.mesh import Mesh
from engine.texture.charts import AXES, Atlas, build_atlas, flatten

SIZE = 512


def implicit(values: NDArray[np.float64]) -> Mesh:
    vertices, faces, _, _ = marching_cubes(values, 0.0)
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    if np.einsum("ij,ij->", a, np.cross(b, c)) < 0:
        faces = faces[:, ::-1]
    return Mesh(vertices.astype(np.float64) / len(values), np.ascontiguousarray(faces, np.int32))


def sphere() -> Mesh:
    x, y, z = np.indices((30, 30, 30)) - 14.5
    return implicit(np.sqrt(x**2 + y**2 + z**2) - 12)


def torus() -> Mesh:
    x, y, z = np.indices((48, 30, 48)) - np.array([23.5, 14.5, 23.5])[:, None, None, None]
    tilted = 0.8 * y + 0.6 * z
    flat = -0.6 * y + 0.8 * z
    return implicit(np.hypot(np.hypot(x, flat) - 13, tilted) - 4.3)


def shelves() -> Mesh:
    """Many layers above each other: what one axis sees overlaps again and again."""
    x, y, z = (np.indices((28, 28, 28)) - 13.5) * 1.45
    plates = np.maximum(np.abs(((y + 20) % 8) - 4) - 1.5, np.maximum(np.abs(x) - 15, np.abs(z) - 15))
    post = np.maximum(np.hypot(x - 4, z + 3) - 3, np.abs(y) - 17)
    # Off the grid a little: no vertex of the grid lies on the surface, and no face is degenerate.
    return implicit(np.minimum(np.maximum(plates, np.abs(y) - 17), post) + 0.0137)


MESHES = {"sphere": sphere, "torus": torus, "shelves": shelves}


@pytest.fixture(scope="module", params=list(MESHES))
def built(request: pytest.FixtureRequest) -> tuple[Mesh, Atlas]:
    mesh = MESHES[request.param]()
    return mesh, build_atlas(mesh, np.zeros(len(mesh.faces), bool), SIZE)


def cover(atlas: Atlas) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """How many faces cover each texel's centre [S, S], and the chart of the last; a plain loop over the faces."""
    count, chart = np.zeros((SIZE, SIZE), np.int32), np.full((SIZE, SIZE), -1, np.int32)
    for f, (a, b, c) in enumerate(atlas.uv_px[atlas.faces_uv]):
        low, high = np.floor(np.minimum(np.minimum(a, b), c)), np.ceil(np.maximum(np.maximum(a, b), c))
        x, y = np.meshgrid(np.arange(low[0], high[0] + 1) + 0.5, np.arange(low[1], high[1] + 1) + 0.5)
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if area == 0:
            continue
        u = ((b[0] - x) * (c[1] - y) - (b[1] - y) * (c[0] - x)) / area
        v = ((c[0] - x) * (a[1] - y) - (c[1] - y) * (a[0] - x)) / area
        inside = (u > 1e-7) & (v > 1e-7) & (1 - u - v > 1e-7)
        rows, columns = y[inside].astype(int), x[inside].astype(int)
        count[rows, columns] += 1
        chart[rows, columns] = atlas.chart[f]
    return count, chart


def test_every_face_has_its_place_in_the_atlas(built: tuple[Mesh, Atlas]) -> None:
    mesh, atlas = built
    assert atlas.faces_uv.shape == mesh.faces.shape
    assert atlas.uv_px.min() >= 1
    assert atlas.uv_px.max() <= SIZE - 1
    a, b, c = (atlas.uv_px[atlas.faces_uv[:, k]] for k in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    # Seen from outside, counter-clockwise; with v down the sign turns.
    assert (area < 0).all()


def test_no_texel_belongs_to_two_faces(built: tuple[Mesh, Atlas]) -> None:
    assert cover(built[1])[0].max() == 1


def test_charts_keep_their_distance(built: tuple[Mesh, Atlas]) -> None:
    _, atlas = built
    chart = cover(atlas)[1]
    ids = np.unique(chart[chart >= 0])
    assert atlas.gutter_px == 4 * SIZE // 512
    for c in ids[:15]:
        other = (chart >= 0) & (chart != c)
        if other.any():
            assert distance_transform_edt(~other)[chart == c].min() > atlas.gutter_px


def test_the_atlas_is_well_used(built: tuple[Mesh, Atlas]) -> None:
    assert cover(built[1])[0].mean() > 0.35


def test_texel_density_is_even(built: tuple[Mesh, Atlas]) -> None:
    mesh, atlas = built
    texel_area = np.abs(np.linalg.det(np.diff(atlas.uv_px[atlas.faces_uv], axis=1)))
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    share = np.sqrt(texel_area / np.maximum(area, 1e-18)) / atlas.texels_per_unit
    big = area > 0.1 * np.median(area)
    assert share[big].min() > 0.4
    assert share[big].max() < 1.001


def test_unseen_charts_take_less_room() -> None:
    mesh = sphere()
    below = mesh.vertices[mesh.faces].mean(1)[:, 1] < mesh.vertices[:, 1].mean()
    atlas = build_atlas(mesh, below, SIZE)
    even = build_atlas(mesh, np.zeros(len(mesh.faces), bool), SIZE)
    assert atlas.texels_per_unit > even.texels_per_unit


def test_flattening_looks_along_the_axis() -> None:
    triangle = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]])
    for axis in range(6):
        n = AXES[axis]
        side = np.roll(np.abs(n), 1)
        up = np.cross(n, side)
        vertices = triangle[:, :1] * side + triangle[:, 1:2] * up
        flat = flatten(Mesh(vertices, np.array([[0, 1, 2]], np.int32)), np.array([axis], np.int32))[0]
        assert np.linalg.det(np.stack([flat[1] - flat[0], flat[2] - flat[0]])) == pytest.approx(-1)
