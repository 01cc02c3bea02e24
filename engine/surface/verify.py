"""What every mesh is checked for before it leaves the stage."""

from __future__ import annotations

import numpy as np

from engine.mesh import Mesh


def defects(mesh: Mesh) -> list[str]:
    """What keeps a mesh from being a closed, oriented 2-manifold in float32; empty where nothing does.

    Positions are compared, and areas computed, after rounding to float32, as files hold them.
    """
    found = []
    count = len(mesh.vertices)
    positions = mesh.vertices.astype(np.float32)
    if not len(mesh.faces):
        return ["it has no faces"]
    if not np.isfinite(positions).all():
        found.append("it has positions that are not finite")
    packed = np.ascontiguousarray(positions + np.float32(0)).view(np.dtype((np.void, 12))).ravel()
    if len(np.unique(packed)) < count:
        found.append("two vertices share a position")
    if len(np.unique(mesh.faces)) < count:
        found.append("a vertex belongs to no face")
    start, end = mesh.faces.ravel().astype(np.int64), np.roll(mesh.faces, -1, axis=1).ravel().astype(np.int64)
    forth, back = np.sort(start * count + end), np.sort(end * count + start)
    if (np.diff(forth) == 0).any():
        found.append("an edge is used twice in one direction")
    if not np.array_equal(forth, back):
        found.append("an edge has a face on one side only")
    elif _fans(mesh) > count:
        found.append("a vertex has more than one fan of faces")
    a, b, c = (positions[mesh.faces[:, k]].astype(np.float64) for k in range(3))
    if (np.linalg.norm(np.cross(b - a, c - a), axis=1) <= 1e-12 * np.ptp(positions, axis=0).max() ** 2).any():
        found.append("a face has no area")
    return found


def _fans(mesh: Mesh) -> int:
    """Number of fans of faces round vertices; as many as vertices in a 2-manifold whose edges are all right."""
    from scipy import sparse
    from scipy.sparse import csgraph

    count, corners = len(mesh.vertices), 3 * len(mesh.faces)
    start, end = mesh.faces.ravel().astype(np.int64), np.roll(mesh.faces, -1, axis=1).ravel().astype(np.int64)
    # the corner at the start of an edge is followed, round its vertex, by the corner at the end of the edge's twin
    forth, back = np.argsort(start * count + end), np.argsort(end * count + start)
    corner = np.arange(corners)
    twin_end = np.empty(corners, np.int64)
    twin_end[forth] = back - back % 3 + (back % 3 + 1) % 3
    graph = sparse.coo_matrix((np.ones(corners, np.bool_), (corner, twin_end)), (corners, corners))
    return int(csgraph.connected_components(graph, directed=False)[0])
