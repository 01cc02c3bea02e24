"""Charts: connected faces that look the same way, laid flat along an axis, packed without overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from engine.jit import jit, parallel_map
from engine.mesh import Mesh
from engine.texture.labels import face_adjacency, solve_labels
from engine.texture.packing import MARGIN_BLOCKS, pack

Array = NDArray[Any]

AXES = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float64)
"""Directions that charts are seen from."""
_ACROSS = ((2, 1), (2, 1), (0, 2), (0, 2), (0, 1), (0, 1))
"""World axes that become a chart's x and y, for each of AXES."""
_FLIP = np.array([[-1, -1], [1, -1], [1, 1], [1, -1], [1, -1], [-1, -1]], np.float64)
_MIN_COSINE = 0.2
_BORDER = 0.25
"""Cost of a chart border, in the data term's unit: 1 - cos(normal, axis) of a face."""
UNSEEN_SCALE = 0.5
"""Texel density of charts that no view sees, relative to the others'."""
_CLAIMING_PARTS = 16


@dataclass(frozen=True, eq=False)
class Atlas:
    """Charts and where they lie.

    uv_px: [T, 2] float64 in texels, v down. faces_uv: [F, 3] int32. chart: [F] int32. texels_per_unit: the density of
    charts that are seen. gutter_px: texels that stay free between any two charts, at least.
    """

    uv_px: NDArray[np.float64]
    faces_uv: NDArray[np.int32]
    chart: NDArray[np.int32]
    texels_per_unit: float
    gutter_px: int


@jit
def claim_texels(corners: Array, order: Array, chart: Array, origin: Array, width: Array, owner: Array) -> int:
    """Give each chart's texels to the faces that cover their centres.

    corners: [F, 3, 2] float64 in the chart's texels. order: faces, first come first served. chart: [F]. origin: [C+1]
    int64, where a chart's texels begin in `owner`; width: [C]. owner: [N] int32, -1 = free. A face that would cover
    another's texel gets none at all and is marked in `chart` by -1 - chart. Returns how many were marked.
    """
    count = 0
    for n in range(len(order)):
        f = order[n]
        c = chart[f]
        ax, ay = corners[f, 0, 0], corners[f, 0, 1]
        bx, by = corners[f, 1, 0], corners[f, 1, 1]
        cx, cy = corners[f, 2, 0], corners[f, 2, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0:
            continue
        x0, x1 = math.ceil(min(ax, bx, cx) - 0.5), math.floor(max(ax, bx, cx) - 0.5)
        y0, y1 = math.ceil(min(ay, by, cy) - 0.5), math.floor(max(ay, by, cy) - 0.5)
        inverse = 1 / area
        free = True
        for writing in range(2):
            for y in range(y0, y1 + 1):
                for x in range(x0, x1 + 1):
                    px, py = x + 0.5, y + 0.5
                    u = ((bx - px) * (cy - py) - (by - py) * (cx - px)) * inverse
                    v = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) * inverse
                    # A hair's breadth inside: a centre on a shared edge belongs to both and is no overlap.
                    if u > 1e-9 and v > 1e-9 and 1 - u - v > 1e-9:
                        at = origin[c] + y * width[c] + x
                        if writing:
                            owner[at] = f
                        elif owner[at] >= 0:
                            free = False
                            break
                if not free:
                    break
            if not free:
                break
        if not free:
            chart[f] = -1 - c
            count += 1
    return count


def _components(count: int, pairs: NDArray[np.int32], key: NDArray[np.int64]) -> NDArray[np.int32]:
    """Number [F] the connected sets of faces of the same key, in the order of their first faces."""
    inside = pairs[key[pairs[:, 0]] == key[pairs[:, 1]]]
    graph = coo_matrix((np.ones(len(inside), np.int8), (inside[:, 0], inside[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int32)


def axis_labels(mesh: Mesh, pairs: NDArray[np.int32]) -> NDArray[np.int32]:
    """The axis [F] that each face is laid flat along: near its normal, and mostly that of its neighbours."""
    normals = mesh.face_normals()
    vertex_normals = mesh.vertex_normals()
    smooth = vertex_normals[mesh.faces].mean(1)
    cosine = smooth @ AXES.T
    data = (1 - np.minimum(cosine, normals @ AXES.T + 0.3)).astype(np.float32)
    data[normals @ AXES.T < _MIN_COSINE] += 4
    table = np.broadcast_to((1 - np.eye(6, dtype=np.float32)) * np.float32(_BORDER), (len(pairs), 6, 6))
    label = solve_labels(data, pairs, np.ascontiguousarray(table), sweeps=4)
    own = np.take_along_axis(normals @ AXES.T, label[:, None], 1)[:, 0]
    return np.where(own < _MIN_COSINE, (normals @ AXES.T).argmax(1), label).astype(np.int32)


def flatten(mesh: Mesh, label: NDArray[np.int32]) -> NDArray[np.float64]:
    """Corners [F, 3, 2] of every face seen along its axis, in world units, x right and y down as seen from there."""
    across = np.array(_ACROSS)[label]
    corners = mesh.vertices[mesh.faces]
    flat = np.take_along_axis(corners, np.repeat(across[:, None, :], 3, 1), 2)
    return np.asarray(flat * _FLIP[label][:, None, :])


def build_atlas(mesh: Mesh, unseen: NDArray[np.bool_], size_px: int) -> Atlas:
    """Cut the mesh into charts and pack them into size_px x size_px texels, as densely as they fit.

    unseen: [F] bool, faces that need few texels. No two faces cover the same texel's centre, and no chart's texel is
    nearer than the gutter to another chart's.
    """
    F = len(mesh.faces)
    pairs, _ = face_adjacency(mesh.faces)
    label = axis_labels(mesh, pairs)
    flat = flatten(mesh, label)
    layer = np.zeros(F, np.int64)
    chart = _components(F, pairs, label.astype(np.int64))
    height = (mesh.vertices[mesh.faces].mean(1) * AXES[label]).sum(1)
    order = np.lexsort((np.arange(F), -height)).astype(np.int64)
    d1, d2 = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    area = np.abs(d1[:, 0] * d2[:, 1] - d1[:, 1] * d2[:, 0]) / 2
    block = max(1, size_px // 512)
    # A first guess that packing rarely reaches.
    wanted = float((area * np.where(unseen, UNSEEN_SCALE**2, 1)).sum())
    density = 0.88 * size_px / math.sqrt(max(wanted, 1e-12))
    for _ in range(200):
        placed = _layout(flat, chart, density, block, area, unseen)
        where = pack(placed, size_px, block)
        if where is None:
            density *= 0.97
            continue
        under = _overlapping(placed, order)
        if not under.any():
            break
        # What lies under something else moves to a chart of its own, as do the parts that this cuts off.
        layer[under] += 1
        chart = _components(F, pairs, label + 6 * layer)
    else:
        raise ValueError(f"{F} faces do not fit into a texture of {size_px} texels")
    uv_px, faces_uv = _weld(mesh.faces, chart, placed.corners + where[chart][:, None, :])
    return Atlas(uv_px, faces_uv, chart, density, 2 * MARGIN_BLOCKS * block)


@dataclass(frozen=True, eq=False)
class Layout:
    """Every chart on its own, its lowest corner MARGIN_BLOCKS from (0, 0).

    corners: [F, 3, 2] in texels. chart: [F]. width, height: [C] in texels, whole blocks. block: side in texels of what
    `pack` moves by.
    """

    corners: NDArray[np.float64]
    chart: NDArray[np.int32]
    width: NDArray[np.int64]
    height: NDArray[np.int64]
    block: int


def _layout(
    flat: NDArray[np.float64],
    chart: NDArray[np.int32],
    density: float,
    block: int,
    area: NDArray[np.float64],
    unseen: NDArray[np.bool_],
) -> Layout:
    count = int(chart.max()) + 1
    hidden = np.bincount(chart, area * unseen, minlength=count) > 0.9 * np.bincount(chart, area, minlength=count)
    corners = flat * (density * np.where(hidden, UNSEEN_SCALE, 1.0))[chart][:, None, None]
    by_chart = np.argsort(chart, kind="stable")
    first = np.searchsorted(chart[by_chart], np.arange(count))
    low = np.minimum.reduceat(corners.min(1)[by_chart], first)
    high = np.maximum.reduceat(corners.max(1)[by_chart], first)
    corners = corners - low[chart][:, None, :] + MARGIN_BLOCKS * block
    blocks = np.ceil((high - low) / block).astype(np.int64) + 2 * MARGIN_BLOCKS
    return Layout(corners, chart, blocks[:, 0] * block, blocks[:, 1] * block, block)


def _overlapping(placed: Layout, order: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[F]: faces that would cover a texel's centre that one before them in `order` covers; charts are independent."""
    texels = placed.width * placed.height
    origin = np.concatenate([[0], np.cumsum(texels)])
    owner = np.full(int(origin[-1]), -1, np.int32)
    marked = placed.chart.copy()
    by_chart = order[np.argsort(placed.chart[order], kind="stable")]
    begin = np.searchsorted(placed.chart[by_chart], np.arange(len(texels) + 1))
    # Every thread takes charts of about as many texels; a chart's own faces have to be taken one after the other.
    edges = np.searchsorted(origin, np.linspace(0, int(origin[-1]), _CLAIMING_PARTS + 1))
    parts = [by_chart[begin[a] : begin[b]] for a, b in pairwise(edges) if b > a]
    parallel_map(lambda part: claim_texels(placed.corners, part, marked, origin, placed.width, owner), parts)
    return marked < 0


def _weld(
    faces: NDArray[np.int32], chart: NDArray[np.int32], corners: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """One texture vertex for each (chart, vertex): uv_px [T, 2], faces_uv [F, 3]."""
    key = chart.astype(np.int64)[:, None] * (int(faces.max()) + 1) + faces
    _, first, inverse = np.unique(key.ravel(), return_index=True, return_inverse=True)
    return corners.reshape(-1, 2)[first], inverse.reshape(-1, 3).astype(np.int32)
