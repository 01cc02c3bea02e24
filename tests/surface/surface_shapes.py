"""Volumes of analytic shapes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.fuse import Fusion, SignedDistanceVolume

Array = NDArray[np.float64]


def sphere(points: Array, radius: float = 0.8) -> Array:
    return np.asarray(np.linalg.norm(points, axis=-1) - radius)


def torus(points: Array) -> Array:
    ring = np.linalg.norm(points[..., [0, 2]], axis=-1) - 0.7
    return np.asarray(np.hypot(ring, points[..., 1]) - 0.22)


def box(points: Array, half: tuple[float, float, float] = (0.7, 0.4, 0.5)) -> Array:
    q = np.abs(points) - np.array(half)
    return np.asarray(np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(-1), 0))


def volume(distance: Callable[[Array], Array], samples: int = 64) -> SignedDistanceVolume:
    axis = np.linspace(-1.1, 1.1, samples)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    size = float(axis[1] - axis[0])
    values = np.clip(distance(points), -4 * size, 4 * size).astype(np.float32)
    return SignedDistanceVolume(values, np.full(3, axis[0]), size)


def fusion(distance: Callable[[Array], Array], samples: int = 64) -> Fusion:
    return Fusion(volume(distance, samples), {})
