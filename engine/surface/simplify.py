"""Simplification by edge collapse that cannot leave the 2-manifolds.

Garland & Heckbert, "Surface simplification using quadric error metrics" (1997), with a heap. Every collapse is checked
first: the link condition (Dey et al. 1999: the ends have exactly the two wing vertices as common neighbours, and
neither wing has only three), no turned face, no sliver. A closed manifold therefore stays one at every step, and
nothing has to be repaired afterwards.

Far from the target, cells of space are simplified side by side, each with a heap of its own, up to a cost that all have
in common and that rises step by step; what lies across their borders comes at the end, from one heap. The cells stop
before the cost at which one heap alone would have ended: an edge that is gone by then would have gone anyway.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from engine.jit import parallel_map, row_bands
from engine.mesh import Mesh
from engine.progress import Checkpoint
from engine.surface.collapse import add_quadrics, collapse, list_edges, rings
from engine.surface.components import compact

REGULARITY = 1e-4
"""Cost of an edge's squared length against the error it makes: long edges are kept for later."""
FAR = 2.5
"""Times the target: with fewer faces there is one heap alone."""
NEAR = 1.5
"""Times the target: cells stop when of their own faces so many are left as if that were so everywhere."""
WORTH_IT = 10_000
"""Faces."""
_HALVINGS = 4
"""Cells are halved so often: 16, whatever the number of threads, as the result depends on it."""
_CHEAP = 10
"""Percentile of the edges' costs at which the common cost begins."""
_DEARER = 1.25
"""Of a step's cost to the last one's: cells overshoot NEAR by what one step takes away."""
_MOST_STEPS = 200


def simplify(mesh: Mesh, target_faces: int, checkpoint: Checkpoint, planes: NDArray[np.float64] | None = None) -> Mesh:
    """Reduce a closed 2-manifold to about `target_faces` faces, staying a closed 2-manifold.

    planes: [V, 4] float64, the plane n·x + c = 0 (n a unit vector) of the true surface at each vertex, where it is
    better known than the faces tell. Vertices are put where planes meet, so edges that the faces cut off come back.
    It stops above the target where no edge may be collapsed any more (many small handles). The same bytes whatever the
    thread count.
    """
    if len(mesh.faces) <= target_faces:
        return mesh
    checkpoint(0.0)
    work = _Work(mesh, planes)
    checkpoint(0.1)
    if len(mesh.faces) > max(FAR * target_faces, WORTH_IT):
        work.in_cells(target_faces, lambda fraction: checkpoint(0.1 + 0.6 * fraction))
    work.everywhere(target_faces)
    checkpoint(1.0)
    return work.result()


class _Work:
    """A mesh as it gets smaller; its arrays are those of `collapse`."""

    def __init__(self, mesh: Mesh, planes: NDArray[np.float64] | None) -> None:
        self.vertices, self.faces = mesh.vertices.copy(), mesh.faces.copy()
        count = len(self.vertices)
        self._head, self._following = np.full(count, -1, np.int32), np.empty(self.faces.size, np.int32)
        self._valence, self._version = np.zeros(count, np.int32), np.zeros(count, np.int32)
        self._mark = np.full(count, -1, np.int32)
        self._quadrics = np.zeros((count, 10))
        rings(self.faces, self._head, self._following, self._valence)
        given = (self.vertices, self.faces, np.empty((0, 4)) if planes is None else planes)
        ring = (self._head, self._following)
        parallel_map(lambda part: add_quadrics(*given, *ring, *part, self._quadrics), row_bands(count))
        extent = float(np.ptp(self.vertices, axis=0).max())
        self._least_area2 = (1e-9 * extent * extent) ** 2

    def in_cells(self, target_faces: int, checkpoint: Checkpoint) -> None:
        """Simplify each cell's inside, to not far from the target."""
        block, cells, within = _cells(self.vertices, self.faces)
        heaps = parallel_map(lambda vertices: _Heap(self, block, vertices), cells)
        costs = np.concatenate([heap.costs for heap in heaps])
        costs = costs[(costs > 0) & (costs < np.inf)]
        if not len(costs):
            return
        limit = float(np.percentile(costs, _CHEAP))
        enough = max(within * (1 - NEAR * target_faces / len(self.faces)), 1.0)
        dead = 0
        for _ in range(_MOST_STEPS):
            dead += sum(parallel_map(partial(_Heap.collapse, most=len(self.faces), limit=limit), heaps))
            checkpoint(min(dead / enough, 1.0))
            if dead >= enough or not any(len(heap.costs) for heap in heaps):
                break
            limit *= _DEARER
        self._mark[:] = -1

    def everywhere(self, target_faces: int) -> None:
        """Simplify to the target."""
        left = np.flatnonzero(self._head >= 0).astype(np.int32)
        alive = int(np.count_nonzero(self.faces[:, 0] >= 0))
        _Heap(self, np.zeros(len(self.vertices), np.int32), left).collapse(alive - target_faces, np.inf)

    def result(self) -> Mesh:
        """What is left."""
        alive: NDArray[np.bool_] = self.faces[:, 0] >= 0
        return compact(Mesh(self.vertices, self.faces[alive]))


class _Heap:
    """The edges between some vertices of one block, cheapest first."""

    def __init__(self, work: _Work, block: NDArray[np.int32], vertices: NDArray[np.int32]) -> None:
        self._work, self._block = work, block
        room = int(work._valence[vertices].sum())  # twice the edges: those that are out of date are dropped in between
        self._keys, self._ends = np.empty(room), np.empty((room, 3), np.int32)
        self._state = np.zeros(2, np.int64)
        w = work
        self._state[0] = list_edges(
            w.vertices, w.faces, w._quadrics, np.empty(3), w._head, w._following, w._version, block, vertices,
            self._keys, self._ends, REGULARITY,
        )  # fmt: skip

    @property
    def costs(self) -> NDArray[np.float64]:
        """Of all its edges, some of them out of date."""
        return self._keys[: self._state[0]]

    def collapse(self, most: int, limit: float) -> int:
        """Collapse edges up to the cost `limit` until `most` faces are dead. Returns how many."""
        w = self._work
        return int(
            collapse(
                w.vertices, w.faces, w._quadrics, np.empty(3), w._head, w._following, w._valence, w._version, w._mark,
                self._block, self._keys, self._ends, self._state, most, limit, w._least_area2, REGULARITY,
            )
        )  # fmt: skip


def _cells(
    vertices: NDArray[np.float64], faces: NDArray[np.int32]
) -> tuple[NDArray[np.int32], list[NDArray[np.int32]], int]:
    """Cells of about as many vertices each, none of which has a neighbour in another.

    Returns block [V]: a vertex's cell, or -1 for those next to another cell; the vertices of each; and how many faces
    lie in one of them with all corners.
    """
    cells = [np.arange(len(vertices), dtype=np.int32)]
    for _ in range(_HALVINGS):
        halves = []
        for cell in cells:
            along = vertices[cell, int(np.ptp(vertices[cell], axis=0).argmax())]
            middle = np.partition(along, len(cell) // 2)[len(cell) // 2]
            lower = along < middle
            lower[np.flatnonzero(along == middle)[: len(cell) // 2 - np.count_nonzero(lower)]] = True
            halves += [cell[lower], cell[~lower]]
        cells = halves
    block = np.empty(len(vertices), np.int32)
    for number, cell in enumerate(cells):
        block[cell] = number
    of_corners = block[faces]
    block[faces[(of_corners != of_corners[:, :1]).any(1)].ravel()] = -1
    inside = block[faces]
    within = int(np.count_nonzero((inside >= 0).all(1)))
    return block, [cell[block[cell] >= 0] for cell in cells], within
