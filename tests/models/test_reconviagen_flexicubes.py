"""The surface extraction against shapes that are known."""

from __future__ import annotations

import itertools

import numpy as np
import torch
import trimesh
from torch import Tensor

from engine.models.reconviagen.dual_tables import CORNERS, EDGES, dual_tables
from engine.models.reconviagen.flexicubes import extract


def _ball_cells(resolution: int, radius: float) -> tuple[Tensor, Tensor]:
    """A ball's cells, with its signed distance at their corners; all weights are zero."""
    axis = torch.arange(resolution)
    cells = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    corners = (cells[:, None] + torch.tensor(CORNERS)).float() / resolution - 0.5
    distance = corners.norm(dim=2) - radius
    near = distance.amin(dim=1) < 2.0 / resolution
    features = torch.zeros(int(near.sum()), 101)
    features[:, :8] = distance[near] + 1.0 / resolution  # the decoder's distances are this much too large
    return cells[near], features


def test_a_ball_is_closed_oriented_and_where_it_should_be() -> None:
    mesh = extract(*_ball_cells(32, 0.3), 32)
    ball = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    assert ball.is_watertight
    assert ball.is_winding_consistent
    assert ball.volume > 0  # normals towards the outside
    radii = np.linalg.norm(ball.vertices, axis=1)
    np.testing.assert_allclose(radii, 0.3, atol=0.1 / 32)
    assert mesh.colors.shape == (len(mesh.vertices), 6)


def test_a_shell_has_a_second_surface_inside() -> None:
    # Corners that no cell speaks of count as outside: what is thrown away afterwards is the surface of the hollow.
    cells, features = _ball_cells(32, 0.3)
    shell = features[:, :8].abs().amin(dim=1) < 2.0 / 32
    mesh = extract(cells[shell], features[shell], 32)
    parts = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False).split()
    assert sorted(np.sign(part.volume) for part in parts) == [-1, 1]


def test_the_order_of_the_cells_does_not_matter() -> None:
    cells, features = _ball_cells(16, 0.3)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(cells)))
    a, b = extract(cells, features, 16), extract(cells[order], features[order], 16)
    assert torch.equal(a.faces, b.faces)
    torch.testing.assert_close(a.vertices, b.vertices)


def test_nothing_inside_is_no_mesh() -> None:
    mesh = extract(torch.tensor([[1, 1, 1]]), torch.ones(1, 101), 4)
    assert (len(mesh.vertices), len(mesh.faces)) == (0, 0)


def test_the_tables_know_every_crossing_once() -> None:
    tables = dual_tables()
    for case in range(256):
        inside = [bool(case >> corner & 1) for corner in range(8)]
        crossed = [edge for edge, (a, b) in enumerate(EDGES) if inside[a] != inside[b]]
        patches = [list(patch[patch >= 0]) for patch in tables.edges[case]]
        assert sorted(itertools.chain(*patches)) == crossed
        assert sum(map(bool, patches)) == tables.patches[case]
        assert all(len(patch) >= 3 for patch in patches if patch)


def test_patches_keep_diagonal_corners_apart() -> None:
    tables = dual_tables()
    assert tables.patches[0b00000011] == 1  # two neighbours
    assert tables.patches[0b00001001] == 2  # two across a face
    assert tables.patches[0b10000001] == 2  # two across the cube
    assert tables.patches[0b01101001] == 4  # every other corner
    # Two or three outside corners around a face that one patch crosses four times: 12 and 24 ways to lie.
    assert int((tables.ambiguous != 0).any(axis=1).sum()) == 36


def test_two_cells_that_share_an_ambiguous_face_stay_manifold() -> None:
    # All corners of 2x1x1 cells lie inside, but for two across the face between the cells, on one side each.
    distance = dict.fromkeys(itertools.product(range(3), range(2), range(2)), -1.0)
    distance[1, 0, 0] = distance[1, 1, 1] = 1.0
    axis = torch.arange(6)
    cells = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    features = torch.zeros(len(cells), 101)
    for row, cell in enumerate(cells.tolist()):
        for corner, offset in enumerate(CORNERS):
            place = tuple(c + o - 2 for c, o in zip(cell, offset, strict=True))
            features[row, corner] = distance.get(place, 1.0) + 1.0 / 6
    mesh = extract(cells, features, 6)
    found = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    assert found.is_watertight
    assert np.bincount(found.edges_unique_inverse).max() == 2
