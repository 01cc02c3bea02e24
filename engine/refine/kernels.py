"""Kernels over the pixels of a view."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from engine.jit import jit

Array = NDArray[Any]


@jit
def trust_rows(distance: Array, depth: Array, rim: float, first_row: int, end_row: int, out: Array) -> None:
    """Rows first_row..end_row of out [H, W] float32: 0 off the mesh and at edges, 1 from `rim` pixels on.

    distance: [H, W] float32 to the nearest edge, in pixels. depth: [H, W] float32, 0 = none.
    """
    for y in range(first_row, end_row):
        for x in range(depth.shape[1]):
            out[y, x] = 0
            if depth[y, x] > 0 and distance[y, x] > 0.5:
                out[y, x] = min((distance[y, x] - 0.5) / (rim - 0.5), 1.0)


@jit
def residual_rows(seen: Array, rgb: Array, weight: Array, first: int, end: int, out: Array) -> None:
    """Pixels first..end: out [N, 3] = weight·(rgb - seen). seen: [N, 3] float32, rgb: [N, 3] uint8, weight: [N]."""
    for i in range(first, end):
        for c in range(3):
            out[i, c] = weight[i] * (rgb[i, c] - seen[i, c])
