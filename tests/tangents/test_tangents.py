"""MikkTSpace's rules: known cases, and what the reference implementation makes of two meshes.

mikktspace.json was written with the npm package mikktspace 1.1.1 (Mikkelsen's own code compiled to WebAssembly), w
negated as its documentation asks for glTF.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.tangents import corner_tangents

REFERENCE: list[dict[str, Any]] = json.loads(Path(__file__).with_name("mikktspace.json").read_text())
SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
TOWARDS = np.tile(np.array([0, 0, 1], np.float32), (4, 1))
FACES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
# as an image lies on the square seen from +Z: u to the right, v down
UPRIGHT = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)


@pytest.mark.parametrize("case", REFERENCE, ids=lambda case: case["name"])
def test_the_reference_gives_the_same(case: dict[str, Any]) -> None:
    arrays = [np.array(case[name], np.float32) for name in ("position", "normal", "uv")]
    own = corner_tangents(*arrays, np.array(case["faces"], np.int32))
    assert np.abs(own - np.array(case["tangents"])).max() < 5e-4  # the file has rounded normals


def test_an_upright_picture_has_its_tangent_to_the_right_and_its_bitangent_up() -> None:
    tangent = corner_tangents(SQUARE, TOWARDS, UPRIGHT, FACES).reshape(-1, 4)
    assert np.allclose(tangent, [1, 0, 0, 1])
    bitangent = tangent[0, 3] * np.cross(TOWARDS[0], tangent[0, :3])
    assert np.allclose(bitangent, [0, 1, 0])


def test_a_mirrored_picture_changes_the_sign() -> None:
    mirrored = UPRIGHT * np.array([-1, 1], np.float32) + np.array([1, 0], np.float32)
    tangent = corner_tangents(SQUARE, TOWARDS, mirrored, FACES).reshape(-1, 4)
    assert np.allclose(tangent, [-1, 0, 0, -1])


def test_a_seam_parts_what_is_the_other_way_round() -> None:
    """The second triangle is mirrored along the diagonal that both share."""
    uv = UPRIGHT.copy()
    uv[3] = [1, 1]  # (0, 1, 0) folded onto (1, 0, 0)'s place
    tangent = corner_tangents(SQUARE, TOWARDS, uv, FACES)
    assert (tangent[0, :, 3] == 1).all()
    assert (tangent[1, :, 3] == -1).all()


def test_faces_without_area_take_a_neighbours_frame() -> None:
    position, normal = np.concatenate([SQUARE, SQUARE[:1]]), np.concatenate([TOWARDS, TOWARDS[:1]])
    uv = np.concatenate([UPRIGHT, UPRIGHT[:1]])
    faces = np.concatenate([FACES, [[0, 4, 2]]]).astype(np.int32)  # a sliver between two equal corners
    tangent = corner_tangents(position, normal, uv, faces)
    assert np.allclose(tangent, [1, 0, 0, 1])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_any_soup_gets_unit_tangents_square_to_the_normals(seed: int) -> None:
    rng = np.random.default_rng(seed)
    position = rng.integers(0, 3, (9, 3)).astype(np.float32)  # coarse: many degenerate faces
    normal = rng.normal(size=(9, 3))
    normal = (normal / np.linalg.norm(normal, axis=1, keepdims=True)).astype(np.float32)
    uv = (rng.integers(0, 3, (9, 2)) / 2).astype(np.float32)
    faces = rng.integers(0, 9, (12, 3)).astype(np.int32)
    tangent = corner_tangents(position, normal, uv, faces).astype(np.float64)
    assert np.allclose(np.linalg.norm(tangent[..., :3], axis=-1), 1, atol=1e-5)
    assert np.abs((tangent[..., :3] * normal[faces]).sum(-1)).max() < 1e-5
    assert set(np.unique(tangent[..., 3])) <= {-1, 1}
