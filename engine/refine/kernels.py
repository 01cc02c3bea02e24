"""Kernels over the pixels of a view."""

from __future__ import annotations

from typing import Any

import numpy as np
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


@jit
def add_depth(
    face_index: Array,
    barycentric: Array,
    drawn: Array,
    depth: Array,
    upright: Array,
    share: Array,
    camera_from_world: Array,
    lens: Array,
    precise_px: float,
    most_px: float,
    sums: Array,
) -> None:
    """Add to sums [F, 9] what each face's pixels ask of its corners: see `engine.refine.depth`.

    sums: the products of the corners 00, 11, 22, 01, 02, 12, then the right-hand side of 0, 1, 2. face_index,
    barycentric, drawn: a picture, see `Fragments`. depth: [H, W] float32 delivered, 0 = none. upright: [F, 3] the
    faces' normals. share: [F, 3] how far a corner's offset moves it along the face's normal. camera_from_world: [3, 3]
    the rotation. lens: fx, fy, cx, cy in pixels. precise_px: residuals up to it count by their square. most_px: those
    beyond do not count.
    """
    R = camera_from_world
    for y in range(face_index.shape[0]):
        for x in range(face_index.shape[1]):
            f = face_index[y, x]
            if f < 0 or not 0 < depth[y, x] < np.inf:
                continue
            u, v = (x + 0.5 - lens[2]) / lens[0], (y + 0.5 - lens[3]) / lens[1]
            slant = (
                upright[f, 0] * (R[0, 0] * u + R[1, 0] * v + R[2, 0])
                + upright[f, 1] * (R[0, 1] * u + R[1, 1] * v + R[2, 1])
                + upright[f, 2] * (R[0, 2] * u + R[1, 2] * v + R[2, 2])
            )
            if slant >= 0:  # seen from behind
                continue
            residual = (drawn[y, x] - depth[y, x]) * slant
            off_px = abs(residual) * lens[0] / depth[y, x]
            if off_px > most_px:
                continue
            weight = -slant / np.sqrt(u * u + v * v + 1) / max(1.0, off_px / precise_px)
            b0, b1 = barycentric[y, x, 0], barycentric[y, x, 1]
            g0, g1, g2 = b0 * share[f, 0], b1 * share[f, 1], (1 - b0 - b1) * share[f, 2]
            sums[f, 0] += weight * g0 * g0
            sums[f, 1] += weight * g1 * g1
            sums[f, 2] += weight * g2 * g2
            sums[f, 3] += weight * g0 * g1
            sums[f, 4] += weight * g0 * g2
            sums[f, 5] += weight * g1 * g2
            sums[f, 6] -= weight * g0 * residual
            sums[f, 7] -= weight * g1 * residual
            sums[f, 8] -= weight * g2 * residual
