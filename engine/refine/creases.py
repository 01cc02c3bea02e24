"""Edges of the object that fusing has rounded, made sharp again.

A crease ends rounded by a pixel or two: depth of few codes is smoothed within them, and a distance field has no corner
between its samples. No view's outline need run along it, so outlines don't bring it back, yet it is what views between
see as outline. What survives are the two surfaces beside it. So the faces' normals are filtered such that each takes
the mean of those near it that are like it, which makes the rounded strip fall to one side or the other, and the
vertices are moved to fit: bilateral normal filtering, in its local and iterative form (Zheng, Fu, Au and Tai,
"Bilateral Normal Filtering for Mesh Denoising", IEEE TVCG 2011), with the vertex update of Sun, Rosin, Martin and
Langbein ("Fast and Effective Feature-Preserving Mesh Denoising", IEEE TVCG 2007).

Only vertices near a crease that came out of it are moved: elsewhere the filter would flatten what is curved.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from engine.mesh import Mesh
from engine.refine.shape import surroundings
from engine.surface.verify import defects

ALIKE: Final = 0.3
"""Difference of two unit normals at which one counts for 1/sqrt(e) to the other: 17 degrees."""
FILTERED: Final = 5
"""Times that the normals are filtered."""
MOVED: Final = 10
"""Times that the vertices are moved towards them."""
SHARP_DEG: Final = 45.0
"""Neighbouring faces that are turned against each other by more, once filtered, have a crease between them. With 30, or
with the normals filtered more often, what is merely curved (ears, horns) is taken for creases too."""
NEAR: Final = 1
"""Edges from a crease within which vertices go all the way to where the filter puts them."""
FADING: Final = 3
"""Edges beyond, over which they do so less and less."""
SURROUNDINGS: Final = 2
"""Edges round a vertex over which it is judged whether sharpening made things worse. With 4 and more the armchair keeps
less of what it gains."""
_TRIES: Final = 6

Float = NDArray[np.float64]
Edges = NDArray[np.int64]


def sharpened(mesh: Mesh) -> tuple[Mesh, float]:
    """The closed mesh with its rounded creases made sharp, and the share of its vertices that moved for it, 0..1.

    The mesh itself and 0 where it has none, or where sharpening would leave defects.
    """
    filtered = _vertices_by(mesh, filtered_normals(mesh))
    share = _nearness(Mesh(filtered, mesh.faces))
    if not share.any():
        return mesh, 0.0
    found, share = _part_of_the_way(mesh, filtered, share)
    return (mesh, 0.0) if found is None else (found, float((share > 0).mean()))


def spared(mesh: Mesh, sharp: Mesh, worse: Float) -> tuple[Mesh, float]:
    """`sharpened`'s result, less the creases that are worse for it, and the share of vertices that still moved.

    worse: [V], positive where a vertex's surroundings agree less with what was seen since they were sharpened. The mesh
    and 0 where nothing is left.
    """
    mean = surroundings(mesh)
    for _ in range(SURROUNDINGS):
        worse = mean @ worse
    share = (worse <= 0).astype(np.float64)
    for _ in range(SURROUNDINGS):
        share = mean @ share
    share[(sharp.vertices == mesh.vertices).all(1)] = 0
    found, share = _part_of_the_way(mesh, sharp.vertices, share)
    return (mesh, 0.0) if found is None or not share.any() else (found, float((share > 0).mean()))


def _part_of_the_way(mesh: Mesh, there: Float, share: Float) -> tuple[Mesh | None, Float]:
    """The mesh, its vertices moved towards `there` [V, 3] by `share` [V], 0 where that would turn faces over.

    None where that leaves defects.
    """
    share, upright = share.copy(), mesh.face_normals()
    for _ in range(_TRIES):
        vertices = (mesh.vertices + share[:, None] * (there - mesh.vertices)).astype(np.float32)
        found = Mesh(vertices.astype(np.float64), mesh.faces)
        over = (upright * found.face_normals()).sum(1) < 0
        if not over.any():
            break
        share[mesh.faces[over].ravel()] = 0
    else:
        return None, share
    if not np.isfinite(found.vertices).all() or defects(found):
        return None, share
    return found, share


def filtered_normals(mesh: Mesh) -> Float:
    """[F, 3] unit normals of the faces, each drawn to those of its neighbours (by a vertex) that are like it."""
    corners = mesh.vertices[mesh.faces]
    centre, cross = corners.mean(1), np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1)
    own = length[:, None]
    normals = cross / np.maximum(own, 1e-300)
    one, other = _neighbours(mesh)
    apart = ((centre[one] - centre[other]) ** 2).sum(1)
    near = length[other] * np.exp(-apart / (2 * np.sqrt(apart).mean() ** 2))
    for _ in range(FILTERED):
        unlike = ((normals[one] - normals[other]) ** 2).sum(1)
        weight = near * np.exp(-unlike / (2 * ALIKE**2))
        total = sparse.csr_matrix((weight, (one, other)), (len(own), len(own))) @ normals + own * normals
        normals = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-300)
    return np.asarray(normals)


def _neighbours(mesh: Mesh) -> tuple[Edges, Edges]:
    """Pairs of different faces with a vertex in common, both ways."""
    count = len(mesh.faces)
    ones = np.ones(3 * count, np.int32)
    has = sparse.csr_matrix((ones, (np.repeat(np.arange(count), 3), mesh.faces.ravel())), (count, len(mesh.vertices)))
    pairs = (has @ has.T).tocoo()
    different = pairs.row != pairs.col
    return pairs.row[different].astype(np.int64), pairs.col[different].astype(np.int64)


def _vertices_by(mesh: Mesh, normals: Float) -> Float:
    """[V, 3] the vertices, moved so that the faces come to stand square to normals [F, 3]."""
    vertices, faces, count = mesh.vertices.copy(), mesh.faces, len(mesh.vertices)
    corner = faces.ravel()
    fans = np.bincount(corner, minlength=count)[:, None]
    for _ in range(MOVED):
        centre = vertices[faces].mean(1)
        height = ((centre[:, None] - vertices[faces]) * normals[:, None]).sum(2)  # [F, 3] of the faces over corners
        step = height[:, :, None] * normals[:, None]
        moved = np.stack([np.bincount(corner, step[:, :, axis].ravel(), count) for axis in range(3)], 1)
        vertices = vertices + moved / np.maximum(fans, 1)
    return vertices


def _nearness(mesh: Mesh) -> Float:
    """[V] 1 at a mesh's creases and NEAR edges from them, falling to 0 over FADING more."""
    first, second, one, other = _edges(mesh)
    normals = mesh.face_normals()
    sharp = (normals[one] * normals[other]).sum(1) < np.cos(np.radians(SHARP_DEG))
    far = NEAR + FADING
    away = np.full(len(mesh.vertices), far, np.int64)
    away[first[sharp]] = away[second[sharp]] = 0
    for _ in range(far):
        nearer = away.copy()
        np.minimum.at(nearer, first, away[second] + 1)
        np.minimum.at(nearer, second, away[first] + 1)
        away = nearer
    return np.clip(1 - np.maximum(away - NEAR, 0) / FADING, 0, 1)


def _edges(mesh: Mesh) -> tuple[Edges, Edges, Edges, Edges]:
    """A closed mesh's edges: their two vertices and their two faces."""
    start, end = mesh.faces.ravel().astype(np.int64), np.roll(mesh.faces, -1, axis=1).ravel().astype(np.int64)
    low, high = np.minimum(start, end), np.maximum(start, end)
    order = np.lexsort((high, low))
    low, high, face = low[order], high[order], order // 3
    return low[::2], high[::2], face[::2], face[1::2]
