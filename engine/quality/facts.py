"""What can be said of a mesh without looking at it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.mesh import Mesh


@dataclass(frozen=True)
class MeshFacts:
    """faces: how many. watertight: every edge belongs to two faces, once in each direction. components: connected
    pieces. bounds: lowest and highest corner of the box around it, in world units.
    """

    faces: int
    watertight: bool
    components: int
    bounds: tuple[tuple[float, float, float], tuple[float, float, float]]

    @property
    def diagonal(self) -> float:
        """Length of the bounding box's diagonal."""
        return float(np.linalg.norm(np.subtract(self.bounds[1], self.bounds[0])))


def is_watertight(faces: NDArray[np.int32], vertices: int) -> bool:
    """Whether each directed edge of faces [F, 3] occurs once and its opposite too: closed and oriented."""
    if not len(faces):
        return False
    a = faces.astype(np.int64).reshape(-1)
    b = faces[:, [1, 2, 0]].astype(np.int64).reshape(-1)
    forth, back = np.sort(a * vertices + b), np.sort(b * vertices + a)
    return bool((forth[1:] != forth[:-1]).all() and (forth == back).all())


def mesh_facts(mesh: Mesh) -> MeshFacts:
    """The facts of `mesh`; faces without area in float32 are left out, as tools do that clean what they load."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    corners = mesh.vertices.astype(np.float32).astype(np.float64)[mesh.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    faces = mesh.faces[area > 0]
    count = len(mesh.vertices)
    a, b = faces[:, [0, 1]].reshape(-1), faces[:, [1, 2]].reshape(-1)
    graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    low, high = mesh.bounds()
    return MeshFacts(
        len(mesh.faces),
        is_watertight(faces, count),
        len(np.unique(label[faces[:, 0]])),
        (tuple(low.tolist()), tuple(high.tolist())),
    )
