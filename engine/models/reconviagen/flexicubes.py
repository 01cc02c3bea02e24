"""FlexiCubes on the cells that are there.

Source: Shen et al. 2023, "Flexible Isosurface Extraction for Gradient-Based Mesh Optimization", arXiv:2308.05371:
dual marching cubes whose vertices are weighted means of the edges' crossings (equations 2 to 5), and whose quads are
split by a weight of each cell (section 4.4). TRELLIS (Xiang et al. 2024) runs it on a 256^3 grid; nothing dense is
kept here: corners and cells are numbers in sorted lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from engine.models.reconviagen.decoders import MESH_CHANNELS
from engine.models.reconviagen.dual_tables import CORNERS, EDGES, dual_tables

_WEIGHT_RANGE: Final = 0.99
_OUTSIDE: Final = 1.0
"""The signed distance at corners of which no cell says anything."""


@dataclass(frozen=True)
class RawMesh:
    """vertices [V, 3] float32 in [-0.5, 0.5]; faces [F, 3] int64, normals towards the outside; colors [V, 6] float32 in
    0..1: the surface's colour and the normal that the network thinks it has.
    """

    vertices: Tensor
    faces: Tensor
    colors: Tensor


@dataclass(frozen=True)
class _Corners:
    """Corners that cells speak of: number [K] ascending, signed distance [K], place [K, 3], color [K, 6]."""

    number: Tensor
    distance: Tensor
    place: Tensor
    color: Tensor


def _at_rows(keys: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Find values in a sorted list. Returns rows (anything where it isn't in it) and whether it is."""
    rows = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
    return rows, keys[rows] == wanted


def _numbers(place: Tensor, side: int) -> Tensor:
    return (place[..., 0] * side + place[..., 1]) * side + place[..., 2]


def _places(number: Tensor, side: int) -> Tensor:
    return torch.stack([number // (side * side), number // side % side, number % side], dim=-1)


def _corners(cells: Tensor, resolution: int, sdf: Tensor, deform: Tensor, color: Tensor) -> _Corners:
    """Average what the cells around each corner say of it."""
    offsets = torch.tensor(CORNERS, device=cells.device)
    number, rows = torch.unique(_numbers(cells[:, None] + offsets, resolution + 1), return_inverse=True)
    said = torch.cat([sdf[:, :, None], deform, color], dim=2).flatten(0, 1)
    total = said.new_zeros(len(number), said.shape[1]).index_add_(0, rows.flatten(), said)
    mean = total / torch.bincount(rows.flatten(), minlength=len(number))[:, None]
    shift = (1 - 1e-8) / (2 * resolution) * torch.tanh(mean[:, 1:4])
    place = _places(number, resolution + 1).to(said.dtype) / resolution - 0.5 + shift
    return _Corners(number, mean[:, 0], place, torch.sigmoid(mean[:, 4:]))


def _surface_cells(corners: _Corners, resolution: int) -> Tensor:
    """The numbers of all cells that may be cut, ascending: those around corners that lie inside."""
    inside = _places(corners.number[corners.distance < 0], resolution + 1)
    around = (inside[:, None] - torch.tensor(CORNERS, device=inside.device)).flatten(0, 1)
    around = around[((around >= 0) & (around < resolution)).all(dim=1)]
    cells: Tensor = torch.unique(_numbers(around, resolution))
    return cells


def _cases(cells: Tensor, inside: Tensor, resolution: int) -> Tensor:
    """Each cell's case, with pairs of cells that would share an edge of four triangles turned inside out.

    cells: [N], ascending. inside: [N, 8] bool. Returns [N] int64.
    """
    case = (inside.long() << torch.arange(8, device=cells.device)).sum(dim=1)
    step = torch.from_numpy(dual_tables().ambiguous).to(cells.device)[case]
    rows = torch.nonzero(step.any(dim=1))[:, 0]
    behind = _places(cells[rows], resolution) + step[rows]
    within = ((behind >= 0) & (behind < resolution)).all(dim=1)
    rows, behind = rows[within], behind[within]
    if not len(rows):
        return case
    _, there = _at_rows(cells[rows], _numbers(behind, resolution))
    turned = rows[there]
    case[turned] = 255 - case[turned]
    return case


def _crossing(weight: Tensor, value: Tensor) -> Tensor:
    """Where a linear function along an edge is zero. weight: [N, 2, 1], of opposite signs; value: [N, 2, C]."""
    a, b = weight[:, 0], weight[:, 1]
    return (b * value[:, 0] - a * value[:, 1]) / (b - a)


def _columns(features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The parts that `MESH_CHANNELS` names."""
    sdf, deform, weights, _ = MESH_CHANNELS.values()
    a, b, c = sdf, sdf + deform, sdf + deform + weights
    return features[:, :a], features[:, a:b], features[:, b:c], features[:, c:]


def extract(cells: Tensor, features: Tensor, resolution: int) -> RawMesh:
    """Extract the surface.

    cells: [N, 3] int64, each once. features: [N, 101] float32, see `MESH_CHANNELS`. resolution: cells along an axis.
    Returns the mesh; it is empty where no cell is cut.
    """
    sdf, deform, weights, color = _columns(features)
    corners = _corners(cells, resolution, sdf - 1.0 / resolution, deform.reshape(-1, 8, 3), color.reshape(-1, 8, 6))
    cut = _surface_cells(corners, resolution)
    device, side = cells.device, resolution + 1
    offsets = _numbers(torch.tensor(CORNERS, device=device), side)
    corner = _numbers(_places(cut, resolution), side)[:, None] + offsets
    row, known = _at_rows(corners.number, corner)
    distance = torch.where(known, corners.distance[row], _OUTSIDE)
    mixed = ~(distance < 0).all(dim=1)
    cut, corner, distance = cut[mixed], corner[mixed], distance[mixed]
    if not len(cut):
        return RawMesh(features.new_zeros(0, 3), cells.new_zeros(0, 3), features.new_zeros(0, 6))
    case = _cases(cut, distance < 0, resolution)

    number, order = torch.sort(_numbers(cells, resolution))
    row, known = _at_rows(number, cut)
    weight = torch.where(known[:, None], weights[order[row]], 0.0)
    beta = torch.tanh(weight[:, :12]) * _WEIGHT_RANGE + 1
    alpha = torch.tanh(weight[:, 12:20]) * _WEIGHT_RANGE + 1
    gamma = torch.sigmoid(weight[:, 20]) * _WEIGHT_RANGE + (1 - _WEIGHT_RANGE) / 2

    # The edges with a crossing, each once, in the order of their corners' numbers.
    ends = torch.tensor(EDGES, device=device)
    crossed = (distance < 0)[:, ends[:, 0]] != (distance < 0)[:, ends[:, 1]]  # [N, 12]
    key = corner[:, ends[:, 0]] * side**3 + corner[:, ends[:, 1]]
    edge_key, edge_of, sharing = torch.unique(key[crossed], return_inverse=True, return_counts=True)
    edge = torch.full(crossed.shape, -1, device=device)
    edge[crossed] = edge_of
    end = torch.stack([edge_key // side**3, edge_key % side**3], dim=1)
    row, known = _at_rows(corners.number, end)
    end_distance = torch.where(known, corners.distance[row], _OUTSIDE)
    plain = _places(end, side).to(features.dtype) / resolution - 0.5
    end_place = torch.where(known[..., None], corners.place[row], plain)
    end_color = torch.where(known[..., None], corners.color[row], 0.5)

    # A vertex for each patch: those of cells with one patch first, then those with two, and so on.
    tables = dual_tables()
    count = torch.from_numpy(tables.patches).to(device)[case]
    cell = torch.argsort(count, stable=True)
    group = torch.from_numpy(tables.edges).to(device)[case[cell]]  # [N, 4, 7]
    group = group[(group >= 0).any(dim=2)]  # [V, 7]
    cell = cell.repeat_interleave(count[cell])  # [V]
    taken = group >= 0
    vertex = torch.nonzero(taken)[:, 0]
    which, inside_cell = group[taken], cell[vertex]
    used = edge[inside_cell, which]
    along = (end_distance[used] * alpha[inside_cell[:, None], ends[which]]).unsqueeze(2)
    share = beta[inside_cell, which][:, None]
    total = share.new_zeros(len(group), 1).index_add_(0, vertex, share)
    place = share.new_zeros(len(group), 3).index_add_(0, vertex, _crossing(along, end_place[used]) * share) / total
    tint = share.new_zeros(len(group), 6).index_add_(0, vertex, _crossing(along, end_color[used]) * share) / total
    vertex_at = torch.full(crossed.shape, -1, device=device)
    vertex_at[inside_cell, which] = vertex

    faces = _faces(edge, vertex_at, sharing, end_distance, gamma[cell])
    return RawMesh(place, faces, tint)


def _faces(edge: Tensor, vertex_at: Tensor, sharing: Tensor, end_distance: Tensor, gamma: Tensor) -> Tensor:
    """A quad around each crossed edge that four cells share, split in two. Returns [F, 3].

    edge, vertex_at: [N, 12], -1 where there is no crossing. sharing: [E], how many cells share an edge. end_distance:
    [E, 2]. gamma: [V].
    """
    whole = (edge >= 0) & (sharing[edge.clamp(min=0)] == 4)
    edges, order = torch.sort(edge[whole], stable=True)
    quad = vertex_at[whole][order].reshape(-1, 4)
    positive_first = end_distance[edges.reshape(-1, 4)[:, 0], 0] > 0
    quad = torch.cat([quad[positive_first][:, [0, 1, 3, 2]], quad[~positive_first][:, [2, 3, 1, 0]]])
    g = gamma[quad]
    first = (g[:, 0] * g[:, 2] > g[:, 1] * g[:, 3])[:, None]
    split = torch.where(first, quad[:, [0, 1, 2, 0, 2, 3]], quad[:, [0, 1, 3, 3, 1, 2]])
    return split.reshape(-1, 3)
