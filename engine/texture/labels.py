"""Labels on the faces of a mesh: a Markov random field over their adjacency, solved by belief propagation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit

Array = NDArray[Any]


def face_adjacency(faces: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Pairs of faces [E, 2] that share an edge, and that edge's vertices [E, 2]; both int32, in a fixed order.

    Where more than two faces meet at an edge, neighbours in the order of their indices are paired.
    """
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1).astype(np.int64)
    key = edges[:, 0] * (int(faces.max()) + 1) + edges[:, 1]
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(key[order[1:]] == key[order[:-1]])
    first, second = order[same], order[same + 1]
    return (np.stack([first // 3, second // 3], 1).astype(np.int32), edges[first].astype(np.int32))


@jit
def propagate(
    data: Array, start: Array, neighbour: Array, pair: Array, smooth: Array, message: Array, belief: Array
) -> None:
    """One sweep of min-sum messages, forth and back over the faces (TRW-S order, Kolmogorov, PAMI 2006).

    data: [F, L] float32. start: [F+1], neighbour, pair: [2E] int32, the faces' half edges and their pairs; half edges
    2p and 2p+1 belong to pair p. smooth: [E, L, L] float32, symmetric. message: [2E, L], half edge's face from its
    neighbour; updated in place. belief: [L] float32, to work in. Each face's weight is
    1 / max(neighbours before, neighbours after).
    """
    F, L = data.shape
    for sweep in range(2):
        for k in range(F):
            f = k if sweep == 0 else F - 1 - k
            before = 0
            after = 0
            for j in range(L):
                belief[j] = data[f, j]
            for e in range(start[f], start[f + 1]):
                if neighbour[e] < f:
                    before += 1
                else:
                    after += 1
                for j in range(L):
                    belief[j] += message[e, j]
            gamma = np.float32(1.0 / max(before, after, 1))
            for e in range(start[f], start[f + 1]):
                g = neighbour[e]
                if (sweep == 0) != (g > f):
                    continue
                # The half edge of g that leads back here.
                back = -1
                for e2 in range(start[g], start[g + 1]):
                    if pair[e2] == pair[e]:
                        back = e2
                least = np.float32(1e30)
                for j in range(L):
                    value = np.float32(1e30)
                    for i in range(L):
                        value = min(value, gamma * belief[i] - message[e, i] + smooth[pair[e], i, j])
                    message[back, j] = value
                    least = min(least, value)
                for j in range(L):
                    message[back, j] -= least


@jit
def settle(data: Array, start: Array, neighbour: Array, pair: Array, smooth: Array, label: Array) -> int:
    """One pass of iterated conditional modes over the faces; returns how many labels changed."""
    F, L = data.shape
    changed = 0
    for f in range(F):
        best, best_cost = label[f], np.float32(1e30)
        for j in range(L):
            cost = data[f, j]
            for e in range(start[f], start[f + 1]):
                cost += smooth[pair[e], j, label[neighbour[e]]]
            if cost < best_cost - np.float32(1e-6):
                best, best_cost = j, cost
        if best != label[f]:
            label[f] = best
            changed += 1
    return changed


def solve_labels(
    data: NDArray[np.float32], pairs: NDArray[np.int32], smooth: NDArray[np.float32], sweeps: int = 8
) -> NDArray[np.int32]:
    """The labels [F] int32 of (nearly) least energy sum data[f, l_f] + sum smooth[p, l_a, l_b].

    data: [F, L]. pairs: [E, 2] int32 faces. smooth: [E, L, L], symmetric. Messages in Kolmogorov's sequential order,
    then iterated conditional modes. Deterministic.
    """
    F, L = data.shape
    data = np.ascontiguousarray(data, np.float32)
    smooth = np.ascontiguousarray(smooth, np.float32)
    face = pairs.reshape(-1)
    order = np.argsort(face, kind="stable").astype(np.int32)
    start = np.concatenate([[0], np.cumsum(np.bincount(face, minlength=F))]).astype(np.int32)
    neighbour = np.ascontiguousarray(pairs[:, ::-1].reshape(-1)[order], np.int32)
    pair = np.ascontiguousarray(order // 2, np.int32)
    message = np.zeros((len(order), L), np.float32)
    for _ in range(sweeps):
        propagate(data, start, neighbour, pair, smooth, message, np.empty(L, np.float32))
    belief = data.copy()
    owner = face[order]
    for j in range(L):
        belief[:, j] += np.bincount(owner, message[:, j], minlength=F).astype(np.float32)
    label = np.ascontiguousarray(belief.argmin(1), np.int32)
    for _ in range(10):
        if settle(data, start, neighbour, pair, smooth, label) == 0:
            break
    return label


def energy(
    data: NDArray[np.float32], pairs: NDArray[np.int32], smooth: NDArray[np.float32], label: NDArray[np.int32]
) -> float:
    """What `solve_labels` minimises."""
    unary = data[np.arange(len(data)), label].astype(np.float64).sum()
    return float(unary + smooth[np.arange(len(pairs)), label[pairs[:, 0]], label[pairs[:, 1]]].astype(np.float64).sum())
