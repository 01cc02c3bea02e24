"""The marching cubes table, derived rather than typed in, so that its surfaces are closed 2-manifolds by construction.

Lorensen & Cline, "Marching Cubes" (1987), with one rule for every ambiguous face: inside corners stay apart (as in
Montani, Scateni & Scopigno 1994). Both cubes at a face cut it alike, so the surface is closed. Within a cube every cut
edge lies on exactly one loop; round a cut edge the four cubes' loops meet in one ring, so the surface is a 2-manifold,
provided that no loop is triangulated with a diagonal inside a cube face: the neighbour could draw the same one. Such
diagonals are not used.

Corner c of a cube lies at (c & 1, c >> 1 & 1, c >> 2). Edge 4·axis + n runs along `axis` from the n-th corner whose
coordinate on that axis is 0.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

EDGES: tuple[tuple[int, int], ...] = tuple(
    (corner, corner | 1 << axis) for axis in range(3) for corner in range(8) if not corner >> axis & 1
)
"""The two corners of each of the twelve edges."""

_EDGE_OF = {frozenset(ends): edge for edge, ends in enumerate(EDGES)}


def _cube_faces() -> list[list[int]]:
    """The corners of each face, in a cycle that is counter-clockwise seen from outside the cube."""
    faces = []
    for axis in range(3):
        u, v = 1 << (axis + 1) % 3, 1 << (axis + 2) % 3
        cycle = [0, u, u | v, v]
        faces.append(cycle[::-1])
        faces.append([corner | 1 << axis for corner in cycle])
    return faces


def _loops(case: int) -> list[list[int]]:
    """The loops of cut edges of a cube whose inside corners are the bits of `case`."""
    following: dict[int, int] = {}
    for cycle in _cube_faces():
        inside = [bool(case >> corner & 1) for corner in cycle]
        for k in range(4):
            if inside[k] and not inside[k - 1]:
                last = k
                while inside[(last + 1) % 4]:
                    last += 1
                entered = _EDGE_OF[frozenset((cycle[k - 1], cycle[k]))]
                left = _EDGE_OF[frozenset((cycle[last % 4], cycle[(last + 1) % 4]))]
                following[entered] = left
    loops = []
    while following:
        start = min(following)
        loop, edge = [], start
        while edge in following:
            loop.append(edge)
            edge = following.pop(edge)
        loops.append(loop)
    return loops


def _share_a_face(first: int, second: int) -> bool:
    """Whether two cube edges lie on one face of the cube."""
    corners = {*EDGES[first], *EDGES[second]}
    return any(corners <= set(cycle) for cycle in _cube_faces())


def _triangulate(loop: list[int]) -> list[tuple[int, int, int]] | None:
    """Triangles of a loop, no diagonal of which lies in a cube face; None where there is no such triangulation."""
    if len(loop) == 3:
        return [(loop[0], loop[1], loop[2])]
    for k in range(len(loop)):
        before, ear, after = loop[k - 1], loop[k], loop[(k + 1) % len(loop)]
        if _share_a_face(before, after):
            continue
        rest = _triangulate([edge for edge in loop if edge != ear])
        if rest is not None:
            return [(before, ear, after), *rest]
    return None


@cache
def triangle_table() -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """The triangles of every case.

    Returns (counts [256] int8, triangles [256, N, 3] int8 of edge numbers, counter-clockwise seen from outside).
    """
    cases = []
    for case in range(256):
        triangles: list[tuple[int, int, int]] = []
        for loop in _loops(case):
            found = _triangulate(loop)
            if found is None:
                raise AssertionError(f"case {case}: the loop {loop} has no admissible triangulation")
            triangles += found
        cases.append(triangles)
    table = np.full((256, max(map(len, cases)), 3), -1, np.int8)
    for case, triangles in enumerate(cases):
        if triangles:
            table[case, : len(triangles)] = triangles
    return np.array([len(triangles) for triangles in cases], np.int8), table
