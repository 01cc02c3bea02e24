"""Two labels on a band of pixels: the convex form of a graph cut."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit


def minimise_cut(
    u: NDArray[np.float32],
    cost: NDArray[np.float32],
    edge: NDArray[np.float32],
    active: NDArray[np.int32],
    sides: NDArray[np.int32],
    width: int,
    iterations: int,
) -> None:
    """Minimise sum(edge·|grad u| + cost·u) over 0 <= u <= 1 on the active pixels, in place.

    Chambolle and Pock, "A First-Order Primal-Dual Algorithm for Convex Problems" (2011), algorithm 1; that the
    thresholded u is a minimum cut: Chan, Esedoglu and Nikolova (2006). u, cost, edge: [H·W] flat images, where u is
    the start and, off the active pixels, the boundary values. active: flat indices, ascending, none on the first or
    last row or column. sides: the same with the pixels left of and above them: an edge belongs to the pixel before it.
    """
    _minimise_cut(u, cost, edge, active, sides, width, iterations, np.zeros_like(u), np.zeros_like(u), u.copy())


@jit
def _minimise_cut(
    u: NDArray[np.float32],
    cost: NDArray[np.float32],
    edge: NDArray[np.float32],
    active: NDArray[np.int32],
    sides: NDArray[np.int32],
    width: int,
    iterations: int,
    px: NDArray[np.float32],
    py: NDArray[np.float32],
    bar: NDArray[np.float32],
) -> None:
    """`minimise_cut`; px, py of 0 and bar, a copy of u: to work in."""
    step = np.float32(0.35)
    one, zero = np.float32(1), np.float32(0)
    for _ in range(iterations):
        for k in range(len(sides)):
            i = sides[k]
            gx = px[i] + step * (bar[i + 1] - bar[i])
            gy = py[i] + step * (bar[i + width] - bar[i])
            norm = np.sqrt(gx * gx + gy * gy)
            if norm > edge[i]:
                scale = edge[i] / norm
                gx *= scale
                gy *= scale
            px[i] = gx
            py[i] = gy
        for k in range(len(active)):
            i = active[k]
            divergence = px[i] - px[i - 1] + py[i] - py[i - width]
            new = min(one, max(zero, u[i] + step * (divergence - cost[i])))
            bar[i] = new + new - u[i]
            u[i] = new
