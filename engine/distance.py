"""Exact Euclidean distances on masks: several times as fast as SciPy's, which looks for the nearest pixel as well."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit

__all__ = ["squared_distance"]

Float32 = NDArray[np.float32]


def squared_distance(mask: NDArray[np.bool_]) -> Float32:
    """Squared Euclidean distance [h, w] of each pixel's centre to the nearest centre where mask [h, w] is set.

    Felzenszwalb and Huttenlocher, "Distance Transforms of Sampled Functions" (2012): columns, then rows.
    1e10 and more where nothing is set.
    """
    w = mask.shape[1]
    out = np.empty(mask.shape, np.float32)
    _squared_distance(np.ascontiguousarray(mask), out, np.empty(w), np.empty(w, np.int64), np.empty(w + 1))
    return out


@jit
def _squared_distance(
    mask: NDArray[np.bool_],
    out: Float32,
    f: NDArray[np.float64],
    place: NDArray[np.int64],
    start: NDArray[np.float64],
) -> None:
    """`squared_distance` into out [h, w]; f, place [w] and start [w + 1]: to work in."""
    h, w = mask.shape
    far = np.float32(1e5)
    for x in range(w):
        out[0, x] = np.float32(0) if mask[0, x] else far
    for y in range(1, h):
        for x in range(w):
            out[y, x] = np.float32(0) if mask[y, x] else out[y - 1, x] + np.float32(1)
    for y in range(h - 2, -1, -1):
        for x in range(w):
            out[y, x] = min(out[y, x], out[y + 1, x] + np.float32(1))
    for y in range(h):
        for x in range(w):
            f[x] = np.float64(out[y, x]) ** 2
        k = 0
        place[0] = 0
        start[0] = -1e18
        start[1] = 1e18
        for x in range(1, w):
            while True:
                v = place[k]
                if f[x] == f[v]:  # midway; most neighbours are equal, and to divide takes longest
                    s = 0.5 * (x + v)
                else:
                    s = ((f[x] + x * x) - (f[v] + v * v)) / (2 * (x - v))
                if s > start[k]:
                    break
                k -= 1
            k += 1
            place[k] = x
            start[k] = s
            start[k + 1] = 1e18
        k = 0
        for x in range(w):
            while start[k + 1] < x:
                k += 1
            v = place[k]
            out[y, x] = (x - v) * (x - v) + f[v]
