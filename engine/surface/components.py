"""Connected parts of a mesh: real ones stay, floaters and cavities go."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from engine.mesh import Mesh

LEAST_SHARE = 0.002
"""Parts with less than this share of the largest part's surface are floaters."""


def label_components(mesh: Mesh) -> tuple[int, NDArray[np.int32]]:
    """Number of connected parts, and each face's part [F] int32."""
    ends = np.concatenate([mesh.faces[:, :2], mesh.faces[:, 1:]])
    graph = sparse.coo_matrix((np.ones(len(ends), np.bool_), (ends[:, 0], ends[:, 1])), (len(mesh.vertices),) * 2)
    count, labels = csgraph.connected_components(graph, directed=False)
    return int(count), labels[mesh.faces[:, 0]]


def keep_parts(mesh: Mesh) -> Mesh:
    """Drop floaters, and the walls of cavities, which no camera can have seen (their signed volume is negative)."""
    count, part = label_components(mesh)
    if count < 2:
        return mesh
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    area = np.bincount(part, np.linalg.norm(normal, axis=1), minlength=count)
    volume = np.bincount(part, np.einsum("ij,ij->i", a - mesh.vertices.mean(0), normal), minlength=count)
    solid = volume > 0
    kept = solid & (area >= LEAST_SHARE * area[solid].max(initial=0.0))
    return compact(Mesh(mesh.vertices, mesh.faces[kept[part]]))


def compact(mesh: Mesh) -> Mesh:
    """Without the vertices that no face uses; the order of the rest stays."""
    used = np.zeros(len(mesh.vertices), np.bool_)
    used[mesh.faces] = True
    index = (np.cumsum(used) - 1).astype(np.int32)
    return Mesh(mesh.vertices[used], index[mesh.faces])
