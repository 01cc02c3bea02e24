"""What the depth renders ask of the vertices: that the faces lie at the depth that the views deliver.

A pixel compares the depth drawn there with the delivered one, as smoothed within its codes, along the normal of the
face that is seen: point to plane, as in Chen and Medioni, "Object modelling by registration of multiple range images"
(1992). Its three corners have their weights in that. A residual counts by its square up to PRECISE_PX, and by its
amount beyond (Huber, 1964), so that stripes whose outlines contradict their depth pull no harder than they have pixels;
beyond MOST_PX mesh and render show different surfaces, and it does not count. Pixels count by the cosine of the angle
at which the face is seen, as the surface that they stand for is narrow or broad.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from engine.jit import parallel_map, thread_count
from engine.mesh import Mesh
from engine.refine.guard import DepthRender, drawn
from engine.refine.kernels import add_depth

DEPTH = 4.0
"""What the pixels of depth round a mean vertex count at first, all exact and seen squarely, against one view's outline
at one vertex."""
PRECISE_PX = 0.03
"""In pixels of the depth renders, as is the next."""
MOST_PX = 4.0

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DepthPull:
    """A quadratic of the offsets' change d [V]: d·A·d/2 - right·d. system: A [V, V], semidefinite. right: [V]."""

    system: sparse.csr_matrix
    right: Float


def depth_pull(mesh: Mesh, normals: Float, renders: list[DepthRender]) -> DepthPull:
    """What the pixels of all depth renders ask of vertices that move along normals [V, 3]."""
    count, faces = len(mesh.vertices), mesh.faces
    upright = np.ascontiguousarray(mesh.face_normals())
    # how far a corner's offset moves it along the face's normal
    share = np.ascontiguousarray((normals[faces] * upright[:, None]).sum(2))

    def add(render: DepthRender) -> tuple[Float, int]:
        K, R = render.camera.K, np.ascontiguousarray(render.camera.camera_from_world[:3, :3])
        seen = drawn(mesh, render)
        lens = np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])
        picture = seen.face_index, seen.barycentric, seen.depth, render.depth
        sums = np.zeros((len(faces), 9))
        add_depth(*picture, upright, share, R, lens, PRECISE_PX, MOST_PX, sums)
        return sums, int(np.count_nonzero(seen.covered & (render.depth > 0)))

    sums, pixels, at_once = np.zeros((len(faces), 9)), 0, thread_count()
    for first in range(0, len(renders), at_once):  # some at a time: large meshes are large
        for part, count_of_view in parallel_map(add, renders[first : first + at_once]):
            sums += part
            pixels += count_of_view
    sums *= count / max(pixels, 1)
    rows, columns = faces[:, [0, 1, 2, 0, 0, 1]].ravel(), faces[:, [0, 1, 2, 1, 2, 2]].ravel()
    # Of each pair of corners one of its two places, whichever comes first in the face.
    half = sparse.csr_matrix(sparse.coo_matrix((sums[:, :6].ravel(), (rows, columns)), (count, count)))
    system = half + half.T - sparse.diags(half.diagonal())
    right = np.bincount(faces.ravel(), sums[:, 6:].ravel(), count).astype(np.float64, copy=False)
    return DepthPull(sparse.csr_matrix(system), right)
