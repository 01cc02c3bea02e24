from __future__ import annotations

import numpy as np
import pytest
import trimesh
from surface_shapes import box, sphere, torus, volume

from engine.mesh import Mesh
from engine.surface.marching import marching_cubes
from engine.surface.marching_table import EDGES, triangle_table
from engine.surface.verify import defects


def extract(distance, samples=64) -> Mesh:
    v = volume(distance, samples)
    return marching_cubes(v.values, v.origin, v.voxel_size)


def euler(mesh: Mesh) -> int:
    return len(mesh.vertices) - len(mesh.faces) // 2


def test_sphere_lies_on_the_sphere():
    mesh = extract(sphere)
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - 0.8).max() < 0.05 * 2.2 / 63
    assert not defects(mesh)
    assert euler(mesh) == 2


def test_faces_look_outwards():
    mesh = extract(sphere)
    middles = mesh.vertices[mesh.faces].mean(1)
    assert (np.einsum("ij,ij->i", mesh.face_normals(), middles) > 0).all()


def test_torus_has_one_handle():
    mesh = extract(torus)
    assert not defects(mesh)
    assert euler(mesh) == 0


def test_box_has_its_volume():
    mesh = extract(box, 96)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).volume == pytest.approx(
        8 * 0.7 * 0.4 * 0.5, rel=0.01
    )


@pytest.mark.parametrize("seed", range(4))
def test_noise_still_gives_a_manifold(seed):
    """Every one of the 256 cases and every ambiguous face occurs in noise."""
    values = np.ones((14, 14, 14), np.float32)
    values[1:-1, 1:-1, 1:-1] = np.random.default_rng(seed).normal(size=(12, 12, 12))
    mesh = marching_cubes(values, np.zeros(3), 1.0)
    assert not defects(mesh)
    assert trimesh.Trimesh(mesh.vertices.astype(np.float32), mesh.faces, process=False).is_watertight


def test_surface_separates_inside_from_outside_samples():
    """Reference: the signed volume of a lattice of single inside samples is one small octahedron each."""
    values = np.ones((9, 9, 9), np.float32)
    values[1:-1:2, 1:-1:2, 1:-1:2] = -1
    mesh = marching_cubes(values, np.zeros(3), 1.0)
    octahedron = 4 / 3 * 0.5**3
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).volume == pytest.approx(64 * octahedron)


def test_table_cuts_exactly_the_edges_whose_ends_differ():
    counts, table = triangle_table()
    for case in range(256):
        cut = {e for e, (a, b) in enumerate(EDGES) if (case >> a & 1) != (case >> b & 1)}
        assert set(table[case, : counts[case]].ravel().tolist()) == cut


def test_an_open_surface_is_refused():
    values = np.ones((5, 5, 5), np.float32)
    values[0, 2, 2] = -1
    with pytest.raises(ValueError, match="border"):
        marching_cubes(values, np.zeros(3), 1.0)
