from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.export.layout import normal_float32, position_float32, split_at_seams, unique_rows
from engine.mesh import Mesh, TexturedMesh


def test_vertices_are_split_only_at_seams(box: TexturedMesh) -> None:
    split = split_at_seams(box)
    pairs = np.stack([box.mesh.faces.ravel(), box.faces_uv.ravel()], 1)
    assert len(split.position) == len(np.unique(pairs, axis=0))
    assert len(split.position) > len(box.mesh.vertices)


def test_a_mesh_without_seams_is_not_split() -> None:
    mesh = Mesh(np.eye(4, 3), np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    split = split_at_seams(TexturedMesh(mesh, uv, mesh.faces, np.zeros((4, 4, 3), np.uint8)))
    assert len(split.position) == 4


def test_equal_texture_coordinates_do_not_split_a_vertex(box: TexturedMesh) -> None:
    """uv rows that repeat a value are no seam."""
    corners = np.arange(box.faces_uv.size, dtype=np.int32).reshape(-1, 3)
    repeated = TexturedMesh(box.mesh, box.uv[box.faces_uv].reshape(-1, 2), corners, box.texture_kd)
    assert len(split_at_seams(repeated).position) == len(split_at_seams(box).position)


def test_both_sides_of_a_seam_agree_bit_by_bit(box: TexturedMesh) -> None:
    split = split_at_seams(box)
    assert np.array_equal(split.position[split.faces], position_float32(box.mesh)[box.mesh.faces])
    assert np.array_equal(split.normal[split.faces], normal_float32(box.mesh)[box.mesh.faces])
    assert np.array_equal(split.uv[split.faces], box.uv[box.faces_uv])


def test_negative_zero_does_not_make_two_positions() -> None:
    mesh = Mesh(np.array([[0.0, -0.0, 1], [-0.0, 0.0, 1]]), np.zeros((0, 3), np.int32))
    assert len(unique_rows(position_float32(mesh))[0]) == 1


def test_normals_are_unit_even_where_faces_cancel_out() -> None:
    """Two faces back to back: their area normals sum to zero."""
    mesh = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]]), np.array([[0, 1, 2], [0, 2, 1]], np.int32))
    assert np.allclose(np.linalg.norm(normal_float32(mesh), axis=1), 1, atol=1e-6)


@given(arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 3)), elements=st.sampled_from([0, 1, -2, 0.5])))
def test_unique_rows_is_unique_in_order_of_appearance(rows: np.ndarray) -> None:
    first, inverse = unique_rows(rows)
    assert np.array_equal(rows[first][inverse], rows)
    assert len(first) == len(np.unique(rows, axis=0))
    assert np.array_equal(first, np.sort(first))
