from __future__ import annotations

import numpy as np
import pytest
from surface_shapes import box, fusion, sphere, torus

from config.errors import Cancelled, ModelFailed
from engine.mesh import Mesh
from engine.surface import extract_surface
from engine.surface.components import label_components
from engine.surface.smooth import taubin
from engine.surface.verify import defects

CUBE = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)
_SQUARES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
CUBE_FACES = np.array([t for a, b, c, d in _SQUARES for t in ((a, b, c), (a, c, d))], np.int32)


def surface(distance, target=3000, samples=64) -> Mesh:
    return extract_surface(fusion(distance, samples), target, lambda _: None)


def test_torus():
    mesh = surface(torus)
    assert len(mesh.faces) == 3000
    assert not defects(mesh)
    assert np.abs(torus(mesh.vertices)).max() < 0.3 * 2.2 / 63


def test_two_real_parts_stay():
    mesh = surface(lambda p: np.minimum(sphere(p - [0.55, 0, 0], 0.4), sphere(p - [-0.55, 0, 0], 0.3)))
    assert label_components(mesh)[0] == 2


def test_a_floater_goes():
    mesh = surface(lambda p: np.minimum(sphere(p, 0.7), sphere(p - [0.95, 0.95, 0.95], 0.025)), samples=96)
    assert label_components(mesh)[0] == 1
    assert mesh.vertices.max() < 0.75


def test_a_cavity_is_filled():
    mesh = surface(lambda p: np.maximum(sphere(p, 0.8), -sphere(p, 0.5)))
    assert label_components(mesh)[0] == 1
    assert np.linalg.norm(mesh.vertices, axis=1).min() > 0.75


def test_positions_are_float32():
    mesh = surface(box)
    assert np.array_equal(mesh.vertices, mesh.vertices.astype(np.float32))


def test_nothing_inside_is_an_error():
    with pytest.raises(ModelFailed):
        surface(lambda p: np.ones(p.shape[:-1]))


def test_cancel_is_heard():
    def checkpoint(_: float) -> None:
        raise Cancelled()

    with pytest.raises(Cancelled):
        extract_surface(fusion(sphere, 24), 100, checkpoint)


def test_smoothing_flattens_noise_and_keeps_the_size():
    mesh = surface(sphere, target=6000)
    rng = np.random.default_rng(1)
    rough = Mesh(mesh.vertices + rng.normal(scale=0.003, size=mesh.vertices.shape), mesh.faces)
    smooth = taubin(rough, 10)
    radius = [np.linalg.norm(m.vertices, axis=1) for m in (mesh, rough, smooth)]
    assert radius[2].std() < 0.5 * radius[1].std()
    assert radius[2].mean() == pytest.approx(radius[0].mean(), rel=2e-3)


def test_a_sound_cube_has_no_defects():
    assert defects(Mesh(CUBE, CUBE_FACES)) == []


@pytest.mark.parametrize(
    ("mesh", "words"),
    [
        (Mesh(CUBE, CUBE_FACES[:-1]), "one side"),
        (Mesh(CUBE, np.concatenate([CUBE_FACES[:-1], CUBE_FACES[-1:, ::-1]])), "twice"),
        (Mesh(np.concatenate([CUBE, CUBE[:1]]), CUBE_FACES), "share a position"),
        (Mesh(np.where(CUBE == 1, [1, 1, 0], CUBE), CUBE_FACES), "no area"),
        (Mesh(np.where(CUBE == 1, np.nan, CUBE), CUBE_FACES), "not finite"),
        (Mesh(CUBE, CUBE_FACES[:0]), "no faces"),
        (Mesh(np.concatenate([CUBE, CUBE + np.array([2, 0, 0])]), CUBE_FACES), "belongs to no face"),
    ],
)
def test_defects_are_told(mesh, words):
    assert any(words in found for found in defects(mesh))


def test_two_fans_at_a_vertex_are_told():
    """Two cubes that touch in one corner, which they share."""
    other = CUBE_FACES + 8
    other[other == 8] = 7
    positions = np.concatenate([CUBE, CUBE + 1])
    used = np.unique(np.concatenate([CUBE_FACES, other]))
    index = np.searchsorted(used, np.concatenate([CUBE_FACES, other])).astype(np.int32)
    assert "a vertex has more than one fan of faces" in defects(Mesh(positions[used], index))
