"""Where the surface passes through a cube, for each of the 256 sets of corners that may lie inside.

Source: Nielson 2004, "Dual Marching Cubes": the surface in a cube falls into patches, and each gets one vertex. A
patch's outline crosses the cube's faces in segments from edge to edge; on a face with two inside corners diagonal to
each other, these two are kept apart. The tables are derived from that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

CORNERS: Final = tuple((i & 1, i >> 1 & 1, i >> 2 & 1) for i in range(8))
"""Corner i's place in its cube: x is the lowest bit."""

EDGES: Final = (
    (0, 1), (1, 5), (4, 5), (0, 4), (2, 3), (3, 7), (6, 7), (2, 6), (2, 0), (3, 1), (7, 5), (6, 4),
)  # fmt: skip
"""The corners that edge i joins: the order in which the decoder gives an edge's weights."""

MOST_PATCHES: Final = 4
MOST_EDGES: Final = 7


@dataclass(frozen=True)
class DualTables:
    """For each case; bit i of a case says that corner i lies inside.

    patches [256]: how many there are. edges [256, 4, 7]: each patch's crossed edges, ascending, filled up with -1.
    ambiguous [256, 3]: the step to the neighbour behind the face all of whose edges one patch crosses; 0 where there
    is none. Two such cubes behind each other's face would share an edge of four triangles.
    """

    patches: NDArray[np.int64]
    edges: NDArray[np.int64]
    ambiguous: NDArray[np.int64]


def _faces() -> list[tuple[tuple[int, int, int], list[int]]]:
    """The step to the neighbour behind each face, and the four edges around it."""
    faces = []
    for axis in range(3):
        for side in (0, 1):
            around = [e for e, ends in enumerate(EDGES) if all(CORNERS[corner][axis] == side for corner in ends)]
            step = [0, 0, 0]
            step[axis] = 2 * side - 1
            faces.append(((step[0], step[1], step[2]), around))
    return faces


def _links(around: list[int], crossed: set[int], inside: set[int]) -> list[set[int]]:
    """The segments of the surface on a face, as sets of edges."""
    cut = [edge for edge in around if edge in crossed]
    if len(cut) < 4:
        return [set(cut)] if cut else []
    corners = {corner for edge in cut for corner in EDGES[edge]} & inside
    return [{edge for edge in cut if corner in EDGES[edge]} for corner in sorted(corners)]


def _joined(sets: list[set[int]]) -> list[set[int]]:
    """Unite sets that share a member."""
    groups: list[set[int]] = []
    for one in sets:
        touching = [group for group in groups if group & one]
        groups = [group for group in groups if not group & one]
        groups.append(one.union(*touching))
    return groups


def _patches(links: list[set[int]], crossed: set[int], inside: set[int]) -> list[list[int]]:
    """Join segments that share an edge, and order the patches.

    First those around what holds the lowest corner: of the inside, then of the outside, where the inside is one piece.
    The order numbers the vertices, and nothing else depends on it.
    """
    pieces = _joined(
        [{corner} for corner in range(8)] + [set(ends) for e, ends in enumerate(EDGES) if e not in crossed]
    )
    lowest = {corner: min(piece) for piece in pieces for corner in piece}

    def order(patch: set[int]) -> tuple[int, int]:
        ends = {corner for edge in patch for corner in EDGES[edge]}
        return min(lowest[corner] for corner in ends & inside), min(lowest[corner] for corner in ends - inside)

    return [sorted(patch) for patch in sorted(_joined(links), key=order)]


@cache
def dual_tables() -> DualTables:
    """Derive the tables."""
    patches = np.zeros(256, np.int64)
    edges = np.full((256, MOST_PATCHES, MOST_EDGES), -1, np.int64)
    ambiguous = np.zeros((256, 3), np.int64)
    faces = _faces()
    for case in range(256):
        inside = {corner for corner in range(8) if case >> corner & 1}
        crossed = {edge for edge, (a, b) in enumerate(EDGES) if (a in inside) != (b in inside)}
        found = _patches([link for _, around in faces for link in _links(around, crossed, inside)], crossed, inside)
        patches[case] = len(found)
        for number, group in enumerate(found):
            edges[case, number, : len(group)] = group
            for step, around in faces:
                if set(around) <= set(group):
                    ambiguous[case] = step
    return DualTables(patches, edges, ambiguous)
