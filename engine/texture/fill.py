"""Colours where nothing is known: over the surface from its neighbours, over the atlas by push and pull."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve
from scipy.spatial import cKDTree

from engine.jit import parallel_map, row_bands
from engine.texture.texels import dilate

Float32 = NDArray[np.float32]


def vertex_graph(faces: NDArray[np.int32], count: int) -> sparse.csr_matrix:
    """[V, V] float32, 1 where two vertices share an edge."""
    a, b = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    one = np.ones(2 * len(a), np.float32)
    graph = sparse.coo_matrix((one, (np.concatenate([a, b]), np.concatenate([b, a]))), shape=(count, count)).tocsr()
    graph.data[:] = 1
    return graph


def smooth(graph: sparse.csr_matrix, values: Float32, weight: Float32, rounds: int) -> tuple[Float32, Float32]:
    """Spread values [V, C] of weights [V] over the surface: normalised averaging with the neighbours, `rounds` times.

    Returns the values and the weight that reached each vertex.
    """
    degree = np.asarray(graph.sum(1), np.float32).ravel()[:, None]
    state = np.concatenate([values * weight[:, None], weight[:, None]], 1).astype(np.float32)
    for _ in range(rounds):
        state = (state + graph @ state) / (1 + degree)
    spread = state[:, :-1] / np.maximum(state[:, -1:], np.float32(1e-12))
    return np.asarray(spread, np.float32), np.asarray(state[:, -1], np.float32)


def harmonic_fill(
    graph: sparse.csr_matrix, vertices: NDArray[np.float64], colour: Float32, known: NDArray[np.bool_]
) -> Float32:
    """Colours [V, 3] that equal `colour` where known and have no Laplacian elsewhere: they flow over the surface.

    Parts of the mesh that nothing is known of take the colour of the nearest known vertex in space.
    """
    out = np.where(known[:, None], colour, np.float32(0)).astype(np.float32)
    if known.all() or not known.any():
        return out if known.any() else np.full_like(out, 128)
    count, part = sparse.csgraph.connected_components(graph, directed=False)
    reached = np.bincount(part, known, minlength=count)[part] > 0
    lost = np.flatnonzero(~reached)
    if len(lost):
        sure = np.flatnonzero(known)
        out[lost] = out[sure[cKDTree(vertices[sure]).query(vertices[lost])[1]]]
    free = np.flatnonzero(reached & ~known)
    if len(free):
        degree = np.asarray(graph.sum(1), np.float64).ravel()
        rows = graph[free].astype(np.float64)
        system = (sparse.diags(degree[free]) - rows[:, free]).tocsc()
        fixed = np.flatnonzero(known)
        out[free] = spsolve(system, rows[:, fixed] @ out[fixed].astype(np.float64)).reshape(len(free), -1)
    return out


def pad(texture: NDArray[np.uint8], known: NDArray[np.bool_], rings: int) -> None:
    """Fill the texels that no chart covers, in place: `rings` texels around the charts by their neighbours' mean.

    Beyond, by push and pull (Gortler et al., "The Lumigraph", SIGGRAPH 1996): each mip level's average of what is
    known, so that no level of a mip map mixes in anything else.
    """
    ring = known.astype(np.uint8)
    bands = row_bands(len(ring))
    for step in range(1, rings + 1):
        parallel_map(lambda band, step=step: dilate(texture, ring, step, *band), bands)  # type: ignore[misc]
    hole = ring == 0
    if hole.any() and known.any():
        coarse = _push_pull(*_halve(texture, ~hole))
        rows, columns = np.nonzero(hole)
        texture[rows, columns] = coarse[rows // 2, columns // 2]


def _halve(texture: NDArray[Any], known: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    h, w = (known.shape[0] + 1) // 2, (known.shape[1] + 1) // 2
    total, count = np.zeros((h, w, 3), np.uint16), np.zeros((h, w), np.uint16)
    for i in range(2):
        for j in range(2):
            k = known[i::2, j::2]
            total[: k.shape[0], : k.shape[1]] += texture[i::2, j::2] * k[..., None]
            count[: k.shape[0], : k.shape[1]] += k
    divisor = np.maximum(count, 1)[..., None]
    return np.asarray((total + divisor // 2) // divisor, np.uint8), count > 0


def _push_pull(texture: NDArray[np.uint8], known: NDArray[np.bool_]) -> NDArray[np.uint8]:
    if known.all():
        return texture
    coarse = _push_pull(*_halve(texture, known))
    rows, columns = np.nonzero(~known)
    texture[rows, columns] = coarse[rows // 2, columns // 2]
    return texture
