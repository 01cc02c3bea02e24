"""The fused surface, moved until its outlines are those that the views show.

Fusing takes of all that bounds the object the tightest bound, so that noise only ever cuts off, and smoothing depth
within its codes rounds edges: fused surfaces end a fraction of a pixel within every outline. Outlines are known far
better than depth, and from both sides: where a view's outline runs, the surface touches it. So the vertices at the
mesh's own outlines are told how far to move along their normals, in all views at once, and those near them follow by
the displacement that bends little (a thin plate on the surface: Botsch and Kobbelt, "An intuitive framework for
real-time freeform modeling", SIGGRAPH 2004) and by what the delivered depth asks (`engine.refine.depth`). That is one
sparse linear system; as the outlines' vertices change with it, it is solved a few times: Gauss-Newton, where the
smoothness plays the part of the preconditioner in Nicolet et al., "Large Steps in Inverse Rendering of Geometry"
(2021).

How far the others follow decides. Where displacements reach over the whole surface, what outlines lack inflates it, and
faces that stood right are pushed out: the outlines of views between are no better then, once sizes are compared alike,
and the distance from the truth grows by a tenth. Kept to the outlines' neighbourhood, both gain: docs/decisions/0015.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from engine.jit import parallel_map
from engine.mesh import Mesh
from engine.refine.depth import DepthPull
from engine.refine.outlines import Float32, Target, drawn_coverage, look_up, signed_distance

SMOOTHNESS = 0.5
"""Of a displacement's second differences from vertex to vertex, against its error at one vertex of an outline."""
HOLD = 0.02
"""Of the displacement itself: what no view shows stays."""
RIM_PX = 1.5
"""Vertices nearer to the mesh's own outline than this are told by it how to move."""
FACING = 0.3
"""Least change of a vertex's distance with its displacement, of what a vertex square to the view direction has."""
ROBUST_PX = 0.7
"""Residuals larger than this count by their amount, not by its square."""
MOST_PX = 4.0
"""Outlines farther apart than this are not each other's."""
PRECISE = 1e-12
"""What may be left of the system's residual, scaled by its diagonal, of what it was."""
MOST_ROUNDS = 500

Float = NDArray[np.float64]


def displaced(start: Mesh, normals: Float, offset: Float) -> Mesh:
    """The mesh with its vertices moved along normals [V, 3] by offset [V], in world units; exact in float32."""
    vertices = (start.vertices + offset[:, None] * normals).astype(np.float32)
    return Mesh(vertices.astype(np.float64), start.faces)


@dataclass(frozen=True, eq=False)
class Pull:
    """What one view asks of the vertices at its outline.

    vertex: [K]. residual: [K] pixels, positive where the mesh stands out too far. slope: [K] its change with the
    offset, pixels per world unit.
    """

    vertex: NDArray[np.int64]
    residual: Float
    slope: Float


def pull_of(mesh: Mesh, normals: Float, target: Target, drawn: Float32) -> Pull:
    """How far the mesh's outline is from the target's, at the vertices that lie on it.

    normals: [V, 3], along which they may move. drawn: see `drawn_coverage`.
    """
    camera = target.camera
    uv, depth = camera.project(mesh.vertices)
    h, w = target.distance.shape[:2]
    inside = (depth > 0) & (uv > [target.window[1].start, target.window[0].start]).all(1)
    inside &= (uv < [target.window[1].start + w, target.window[0].start + h]).all(1)
    own = look_up(signed_distance(drawn)[..., None], uv, target.window)[:, 0]
    vertex = np.flatnonzero(inside & (np.abs(own) < RIM_PX))
    there = target.at(uv[vertex])
    residual = (there[:, 0] - own[vertex]).astype(np.float64)
    R = camera.camera_from_world[:3, :3]
    moved = normals[vertex] @ R.T  # of a unit of offset, in the camera's frame
    f = np.array([camera.K[0, 0], camera.K[1, 1]])
    centre = camera.K[:2, 2]
    d_uv = (f * moved[:, :2] - (uv[vertex] - centre) * moved[:, 2:]) / depth[vertex, None]
    slope = (there[:, 1:] * d_uv).sum(1)
    steep = slope > FACING * camera.K[0, 0] / depth[vertex]
    keep = steep & (np.abs(residual) < MOST_PX)
    return Pull(vertex[keep], residual[keep], slope[keep])


def pulls_of(mesh: Mesh, normals: Float, targets: list[Target]) -> list[Pull]:
    """What each view asks, in the targets' order."""
    drawn = [drawn_coverage(mesh, target) for target in targets]  # which uses all threads for each
    return parallel_map(lambda i: pull_of(mesh, normals, targets[i], drawn[i]), range(len(targets)))


def mean_residual_px(pulls: list[Pull]) -> float:
    """Mean distance of the outlines, over all views' vertices, in pixels."""
    residuals = np.concatenate([np.abs(pull.residual) for pull in pulls])
    return float(residuals.mean()) if len(residuals) else 0.0


def laplacian(mesh: Mesh) -> sparse.csr_matrix:
    """[V, V]: each vertex's neighbours' mean less its own value; the mesh is closed."""
    return sparse.csr_matrix(_mean(_adjacency(mesh)) - sparse.identity(len(mesh.vertices)))


def surroundings(mesh: Mesh) -> sparse.csr_matrix:
    """[V, V]: the mean of a vertex and its neighbours; the mesh is closed."""
    return _mean(_adjacency(mesh) + sparse.identity(len(mesh.vertices)))


def _adjacency(mesh: Mesh) -> sparse.csr_matrix:
    count = len(mesh.vertices)
    start, end = mesh.faces.ravel(), np.roll(mesh.faces, -1, axis=1).ravel()
    return sparse.coo_matrix((np.ones(len(start)), (start, end)), (count, count)).tocsr()


def _mean(weights: sparse.csr_matrix) -> sparse.csr_matrix:
    """Each row by its sum."""
    return sparse.csr_matrix(sparse.diags(1 / np.asarray(weights.sum(1)).ravel()) @ weights)


def fit_offset(
    pulls: list[Pull],
    depth: DepthPull,
    offset: Float,
    bending: sparse.csr_matrix,
    focal_px: float,
    depth_weight: float,
) -> Float:
    """[V] the offset that meets the pulls and the depth and bends least: one step from `offset` [V].

    depth: asked where `offset` is. bending: [V, V], the squared Laplacian. focal_px: pixels per world unit at distance
    1, to which all are scaled. depth_weight: of the pixels that show a mean vertex, against one view's outline at one.
    """
    diagonal, right = np.full(len(offset), HOLD), depth_weight * (depth.right + depth.system @ offset)
    for pull in pulls:
        slope, residual = pull.slope / focal_px, pull.residual / focal_px
        weight = 1 / np.maximum(1, np.abs(pull.residual) / ROBUST_PX)
        np.add.at(diagonal, pull.vertex, weight * slope**2)
        np.add.at(right, pull.vertex, weight * slope * (slope * offset[pull.vertex] - residual))
    return _solution(
        sparse.csr_matrix(SMOOTHNESS * bending + depth_weight * depth.system + sparse.diags(diagonal)), right
    )


def _solution(system: sparse.csr_matrix, right: Float) -> Float:
    """[V] by conjugate gradients, scaled by the diagonal (Hestenes and Stiefel, 1952); not a number where it has none.

    HOLD keeps the system so far from singular that 50 to 100 rounds find twelve digits at the usual weights of the
    depth, in a fraction of what it takes to factorise it. SciPy's own loop sums with BLAS, whose threads wait for each
    other where others use the cores, and whose result depends on how many they are.
    """
    inverse = 1 / system.diagonal()
    found, rest = np.zeros_like(right), right.copy()
    scaled = inverse * rest
    direction = scaled.copy()
    size = float((rest * scaled).sum())
    if not np.isfinite(size):
        return np.full_like(right, np.nan)
    enough = PRECISE**2 * size
    for _ in range(MOST_ROUNDS):
        if size <= enough:
            return found
        ahead = system @ direction
        stride = size / float((direction * ahead).sum())
        found += stride * direction
        rest -= stride * ahead
        scaled = inverse * rest
        last, size = size, float((rest * scaled).sum())
        direction *= size / last
        direction += scaled
    return np.full_like(right, np.nan)
