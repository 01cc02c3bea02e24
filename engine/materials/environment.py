"""The surroundings as a small cube map: 6 x 4 x 4 patches of even, non-negative radiance."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

SIDE: Final = 4
FACES: Final = ("+X", "-X", "+Y", "-Y", "+Z", "-Z")
"""Order, and orientation of each face's rows and columns, of cube maps in OpenGL, Vulkan and KTX."""
_AXES: Final = (
    ((1, 0, 0), (0, 0, -1), (0, -1, 0)),
    ((-1, 0, 0), (0, 0, 1), (0, -1, 0)),
    ((0, 1, 0), (1, 0, 0), (0, 0, 1)),
    ((0, -1, 0), (1, 0, 0), (0, 0, -1)),
    ((0, 0, 1), (1, 0, 0), (0, -1, 0)),
    ((0, 0, -1), (-1, 0, 0), (0, -1, 0)),
)  # towards, to the right, downwards


@cache
def patches() -> tuple[Float, Float]:
    """Unit directions [96, 3] of the patches' centres, by face, row and column, and their solid angles [96]."""
    edges = np.linspace(-1, 1, SIDE + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    directions, angles = [], []
    for towards, right, down in np.array(_AXES, np.float64):
        for v in range(SIDE):
            for u in range(SIDE):
                directions.append(towards + middle[u] * right + middle[v] * down)
                corners = [_corner(edges[u + i], edges[v + j]) * (1 if i == j else -1) for i in (0, 1) for j in (0, 1)]
                angles.append(sum(corners))
    d = np.array(directions)
    return d / np.linalg.norm(d, axis=1, keepdims=True), np.array(angles)


def _corner(x: float, y: float) -> float:
    """Solid angle of the face's part from its centre to (x, y) (Driscoll; also in AMD's CubeMapGen)."""
    return math.atan2(x * y, math.sqrt(x * x + y * y + 1))


def received(normals: NDArray[np.floating[Any]]) -> Float:
    """[N, 96] how much of each patch's radiance is in irradiance over π at unit normals [N, 3]; rows sum to 1."""
    directions, angles = patches()
    share = np.maximum(np.asarray(normals, np.float64) @ directions.T, 0) * angles
    return np.asarray(share / share.sum(1, keepdims=True))


@cache
def points(fine: int) -> tuple[Float, Float, NDArray[np.int64]]:
    """Directions [M, 3] and solid angles [M] of 6 x fine x fine points, and which patch [M] each is in."""
    middle = (np.arange(fine) + 0.5) * 2 / fine - 1
    v, u = np.meshgrid(middle, middle, indexing="ij")
    row, column = np.meshgrid(*[np.arange(fine) * SIDE // fine] * 2, indexing="ij")
    directions = np.concatenate(
        [
            (towards + u[..., None] * right + v[..., None] * down).reshape(-1, 3)
            for towards, right, down in np.array(_AXES, np.float64)
        ]
    )
    length = np.linalg.norm(directions, axis=1)
    patch = (np.arange(len(FACES))[:, None, None] * SIDE + row) * SIDE + column
    return directions / length[:, None], (2 / fine) ** 2 / length**3, patch.reshape(-1)


def main_direction(radiance: Float) -> Float:
    """[3] unit vector towards where most light comes from: the mean direction of radiance [96, 3]."""
    directions, angles = patches()
    toward = ((radiance.mean(1) * angles)[:, None] * directions).sum(0)
    return np.asarray(toward / max(float(np.linalg.norm(toward)), 1e-12))
