"""Which view colours which face, and how the views' colours are levelled with each other."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.jit import parallel_map
from engine.mesh import Mesh
from engine.texture.fill import harmonic_fill, smooth, vertex_graph
from engine.texture.labels import face_adjacency, solve_labels
from engine.texture.views import Picture

Float32 = NDArray[np.float32]

SEEN_COSINE = 0.08
"""A surface seen under less than this cosine only counts as not seen."""
GRAZING_COSINE = 0.3
_NOT_SEEN = 3.0
_CONTRADICTION = 10.0
_SEAM = 0.6
_SEAM_COLOUR = 4.0
_LEVEL_ROUNDS = 2
"""Rounds of averaging over neighbouring vertices that set the two bands apart."""
_FEATHER_ROUNDS = 1


@dataclass(frozen=True, eq=False)
class Selection:
    """Per vertex, what the texels' colours are mixed by.

    favour: [K, V] float32 0..1, share of each of the K pictures' labels around a vertex. shift: [K, V, 3] float32,
    added to a picture's colours. fill: [V, 3] float32, colours where no view sees. label: [F] int32, picture of each
    face. face_weight: [K, F] float32, trust·cos/z² seen. cosine: [F] float32, the best cosine a face is seen under.
    """

    favour: Float32
    shift: Float32
    fill: Float32
    label: NDArray[np.int32]
    face_weight: Float32
    cosine: Float32


@dataclass(frozen=True, eq=False)
class Shown:
    """What each of K pictures shows of the mesh.

    at_vertex: [K, V, 4], at_face: [K, F, 4] float32, see `Picture.sample`. weight, cosine: see `Selection`'s
    face_weight and cosine.
    """

    at_vertex: Float32
    at_face: Float32
    weight: Float32
    cosine: Float32


def look_at_mesh(mesh: Mesh, pictures: list[Picture]) -> Shown:
    """Ask each picture for the mesh's vertices and faces."""
    vertices, normals = mesh.vertices.astype(np.float32), mesh.vertex_normals().astype(np.float32)
    centroids = np.ascontiguousarray(mesh.vertices[mesh.faces].mean(1).astype(np.float32))
    face_normals = np.ascontiguousarray(mesh.face_normals().astype(np.float32))
    at_vertex = np.stack(parallel_map(lambda p: p.sample(vertices, normals), pictures))
    at_face = np.stack(parallel_map(lambda p: p.sample(centroids, face_normals), pictures))
    weight = (at_face[..., 3] + at_vertex[:, mesh.faces, 3].sum(2)) / 4
    complete = (at_vertex[..., 3] > 0)[:, mesh.faces].sum(2) + (at_face[..., 3] > 0)
    weight = np.where(complete >= 3, weight, 0.05 * weight).astype(np.float32)
    direction = np.stack([p.centre - mesh.vertices[mesh.faces].mean(1) for p in pictures])
    direction /= np.linalg.norm(direction, axis=2, keepdims=True)
    cosine = np.where(weight > 0, (direction * face_normals).sum(2), 0).max(0)
    return Shown(at_vertex, at_face, weight, cosine.astype(np.float32))


def select_views(mesh: Mesh, shown: Shown) -> Selection:
    """Choose each face's view by cos(angle)/z² and trust against the colour step along the seams.

    The choice is a Markov random field as in Waechter et al., "Let There Be Color!" (ECCV 2014). The levelling is
    two-band blending over the surface (Burt and Adelson, "A Multiresolution Spline", 1983): what varies over more than
    a few vertices is the views' mean by weight, which is the least squared error where they disagree, and detail is the
    chosen view's, so that edges do not appear twice.
    """
    at_vertex, weight = shown.at_vertex, shown.weight
    pairs, edges = face_adjacency(mesh.faces)
    label = _choose(mesh, at_vertex, shown.at_face, weight, pairs, edges)
    K, V = at_vertex.shape[:2]
    graph = vertex_graph(mesh.faces, V)

    w = at_vertex[..., 3]
    sure = w > 0
    low = (at_vertex[..., :3] * w[..., None]).sum(0) / np.maximum(w.sum(0), 1e-12)[:, None]
    shift, favour = np.zeros((K, V, 3), np.float32), np.zeros((K, V), np.float32)

    def level(k: int) -> None:
        share = w[k] / np.maximum(w.sum(0), 1e-12)
        difference = np.where(sure[k][:, None], low - at_vertex[k, :, :3], 0).astype(np.float32)
        shift[k] = smooth(graph, difference, (share * sure[k]).astype(np.float32) + 1e-6, _LEVEL_ROUNDS)[0]
        chosen = (label == k).astype(np.float32)
        for corner in range(3):
            favour[k] += np.bincount(mesh.faces[:, corner], chosen, minlength=V).astype(np.float32)

    parallel_map(level, range(K))
    favour /= np.maximum(favour.sum(0), 1)
    favour = smooth(graph, np.ascontiguousarray(favour.T), np.ones(V, np.float32), _FEATHER_ROUNDS)[0].T

    typical = float(np.median(w[w > 0])) if (w > 0).any() else 1.0
    fill = harmonic_fill(graph, mesh.vertices, low.astype(np.float32), w.max(0) > SEEN_COSINE * typical)
    return Selection(np.ascontiguousarray(favour), shift, fill, label, weight, shown.cosine)


def _choose(
    mesh: Mesh,
    at_vertex: Float32,
    at_face: Float32,
    weight: Float32,
    pairs: NDArray[np.int32],
    edges: NDArray[np.int32],
) -> NDArray[np.int32]:
    best = weight.max(0)
    data = np.where(weight > 0, 1 - weight / np.maximum(best, 1e-12), _NOT_SEEN)
    data[:, best <= 0] = 0
    # What choosing one view costs the others: the squared error in their pictures, by the pixels it covers there.
    share = weight / np.maximum(weight.sum(0), 1e-12)

    def contradict(i: int) -> None:
        apart = ((at_face[i, :, :3] - at_face[:, :, :3]) ** 2).mean(2) / 255**2
        data[i] += _CONTRADICTION * (share * apart).sum(0)

    parallel_map(contradict, range(len(weight)))
    length = np.linalg.norm(mesh.vertices[edges[:, 0]] - mesh.vertices[edges[:, 1]], axis=1)
    length = np.minimum(length / max(float(np.median(length)), 1e-12), 4).astype(np.float32)
    colour = at_vertex[:, edges, :3].mean(2) / 255
    visible: NDArray[np.bool_] = np.asarray(at_vertex[..., 3] > 0)
    seen: NDArray[np.bool_] = np.asarray(visible[:, edges].all(axis=2), np.bool_)
    K = len(weight)
    smooth_cost = np.zeros((len(pairs), K, K), np.float32)

    def part(views: tuple[int, int]) -> None:
        i, j = views
        step = np.where(seen[i] & seen[j], np.abs(colour[i] - colour[j]).mean(1), 0.3)
        smooth_cost[:, i, j] = smooth_cost[:, j, i] = length * (_SEAM * 0.2 + _SEAM_COLOUR * step)

    parallel_map(part, itertools.combinations(range(K), 2))
    return solve_labels(data.T, pairs, smooth_cost)
