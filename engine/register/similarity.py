"""The bounded similarity that maps a view's ideal image to the delivered one: x = [s - 1, rotation in radians, dx, dy].

W(p) = centre + s·R·(p - centre) + d in pixels, y down.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit, parallel_map, row_bands

MAX_SCALE = 0.03
MAX_SHIFT = 0.02
"""Of the image's width."""
MAX_ROTATION_DEG = 2.0

_POINTS = 1 << 13

Float = NDArray[np.float64]


def bounds(size_px: int) -> Float:
    """[4] the largest absolute value of each parameter."""
    return np.array([MAX_SCALE, math.radians(MAX_ROTATION_DEG), MAX_SHIFT * size_px, MAX_SHIFT * size_px])


def _linear(x: Float) -> Float:
    c, s = math.cos(x[1]), math.sin(x[1])
    return np.asarray((1 + x[0]) * np.array([[c, -s], [s, c]]))


def transform(x: Float, points: Float, centre: float) -> Float:
    """W of points [N, 2]."""
    return np.asarray((points - centre) @ _linear(x).T + centre + x[2:])


def inverse_transform(x: Float, points: Float, centre: float) -> Float:
    """Undo `transform`."""
    return np.asarray((points - centre - x[2:]) @ np.linalg.inv(_linear(x)).T + centre)


def along(x: Float, points: Float, centre: float, *gradients: NDArray[np.floating[Any]]) -> list[Float]:
    """[N, 4] for each of the gradients: how gradient·W(p) changes with x. gradient: [N, 2], an image's at W(p)."""
    A, d = _linear(x), points - centre
    scaled = d @ A.T / (1 + x[0])
    turned = np.stack([-scaled[:, 1], scaled[:, 0]], 1) * (1 + x[0])
    return [
        np.stack([(gradient * scaled).sum(1), (gradient * turned).sum(1), gradient[:, 0], gradient[:, 1]], 1)
        for gradient in gradients
    ]


def along_inverse(x: Float, points: Float, centre: float, gradient: NDArray[np.floating[Any]]) -> Float:
    """[N, 4], how gradient·q changes with x, where q are the points [N, 2] and W(q) stays: dq = -(sR)⁻¹ dW."""
    return along(x, points, centre, -(gradient @ np.linalg.inv(_linear(x))))[0]


def bilinear(image: NDArray[np.float32], uv_px: Float) -> NDArray[np.float32]:
    """Values [N, C] of image [h, w, C] at its own pixel coordinates [N, 2]; outside, the border's. h, w >= 2."""
    out = np.empty((len(uv_px), image.shape[2]), np.float32)

    def band(part: tuple[int, int]) -> None:
        _bilinear(image, uv_px, *part, out)

    parallel_map(band, row_bands(len(out), max(1, len(out) // _POINTS)))
    return out


@jit
def _bilinear(image: NDArray[np.float32], uv_px: Float, first: int, end: int, out: NDArray[np.float32]) -> None:
    """Points first..end of `bilinear`."""
    h, w, channels = image.shape
    for i in range(first, end):
        u, v = uv_px[i, 0] - 0.5, uv_px[i, 1] - 0.5
        u, v = u if u > 0.0 else 0.0, v if v > 0.0 else 0.0  # not a number: the border
        column, row = int(min(u, w - 2.0)), int(min(v, h - 2.0))
        fx, fy = np.float32(min(u, w - 1.0) - column), np.float32(min(v, h - 1.0) - row)
        gx, gy = np.float32(1) - fx, np.float32(1) - fy
        for c in range(channels):
            top = image[row, column, c] * gx + image[row, column + 1, c] * fx
            bottom = image[row + 1, column, c] * gx + image[row + 1, column + 1, c] * fx
            out[i, c] = top * gy + bottom * fy


def with_gradient(image: NDArray[np.float32], spacing: float = 1.0) -> NDArray[np.float32]:
    """[h, w, 3·C]: the image [h, w, C], its derivative along u and along v, by central differences."""
    du, dv = np.zeros_like(image), np.zeros_like(image)
    du[:, 1:-1] = (image[:, 2:] - image[:, :-2]) * np.float32(0.5 / spacing)
    dv[1:-1] = (image[2:] - image[:-2]) * np.float32(0.5 / spacing)
    return np.concatenate([image, du, dv], 2)
