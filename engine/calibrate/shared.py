"""Where two views see the same surface, pixel by pixel, by the depth renders through the calibrated cameras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.bundle import Bundle
from engine.calibrate.result import DepthCoding
from engine.camera import Camera
from engine.jit import parallel_map
from engine.segment import Segmentation

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

SIZE_PX: Final = 256
"""Colours are compared at this size."""
SAME: Final = 0.012
"""Depths that differ by less, as a share of the camera distance, are one surface."""
LEAST_SHARED: Final = 30
MOST_SHARED: Final = 800
ASIDE_PX: Final = 3
"""Half the way over which a surface's slope is taken: less is lost in the steps of 8-bit depth."""
SQUARE: Final = 0.2
"""Cosine between a surface's normal and the line of sight from which on an angle isn't grazing. Under a smaller one the
upper rim of a wall may count as seen from above, where the roof's colour is."""


@dataclass(frozen=True, eq=False)
class Shared:
    """What views a and b both see: rows and columns [n] in each, in images of SIZE_PX.

    squarely: [n] whether neither sees it under a grazing angle only.
    """

    a: ViewName
    b: ViewName
    at_a: tuple[Indices, Indices]
    at_b: tuple[Indices, Indices]
    squarely: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Surface:
    """depth: [n, n] planar, 0 = background, of every step-th pixel. points: [m, 3] world, at rows and columns [m]."""

    depth: Floats
    rows: Indices
    columns: Indices
    points: Floats
    step: int


def _surface(
    name: ViewName, bundle: Bundle, segmentation: Segmentation, camera: Camera, coding: DepthCoding
) -> _Surface:
    step = max(1, bundle.depth_size_px // SIZE_PX)
    at = np.arange(step // 2, bundle.depth_size_px, step)
    code = np.where(segmentation.depth_mask[name], bundle.depth[name], 0)[np.ix_(at, at)]
    depth = coding.decode(code + (0.5 if coding.rounding == "floor" else 0.0))
    if coding.measure == "ray":
        x = (at + 0.5 - camera.K[0, 2]) / camera.K[0, 0]
        depth = depth / np.sqrt(1 + x[None, :] ** 2 + x[:, None] ** 2)
    depth = np.where((code > 0) & np.isfinite(depth), depth, 0)
    rows, columns = np.nonzero(depth > 0)
    uv_px = np.stack([at[columns], at[rows]], 1).astype(np.float64) + 0.5
    return _Surface(depth, rows, columns, camera.unproject(uv_px, depth[rows, columns]), step)


def _normals(of: _Surface, some: Indices, position: Floats) -> Floats:
    """[k, 3] unit normals of some points, towards the camera; zero where one of the points ASIDE_PX away is missing."""
    n = of.depth.shape[0]
    at = np.full((n + 2 * ASIDE_PX, n + 2 * ASIDE_PX), -1)
    at[of.rows + ASIDE_PX, of.columns + ASIDE_PX] = np.arange(len(of.points))
    row, column = of.rows[some] + ASIDE_PX, of.columns[some] + ASIDE_PX
    below, above = at[row + ASIDE_PX, column], at[row - ASIDE_PX, column]
    right, left = at[row, column + ASIDE_PX], at[row, column - ASIDE_PX]
    normals = np.cross(of.points[below] - of.points[above], of.points[right] - of.points[left])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    normals[(np.stack([below, above, right, left]) < 0).any(0)] = 0
    return np.where(((position - of.points[some]) * normals).sum(1, keepdims=True) < 0, -normals, normals)


def _squarely(points: Floats, normals: Floats, position: Floats) -> NDArray[np.bool_]:
    """[m] whether a camera at `position` sees the surface under more than a grazing angle."""
    sight = position - points
    return np.asarray((sight * normals).sum(1) > SQUARE * np.linalg.norm(sight, axis=1))


def shared_surface(
    bundle: Bundle,
    segmentation: Segmentation,
    cameras: Mapping[ViewName, Camera],
    depth: Mapping[ViewName, DepthCoding],
    every: int = 1,
) -> list[Shared]:
    """Of every ordered pair of views the pixels of the first whose surface the second sees too.

    every: of so many pixels one is looked at.
    """
    found = parallel_map(lambda name: _surface(name, bundle, segmentation, cameras[name], depth[name]), VIEW_NAMES)
    surfaces = dict(zip(VIEW_NAMES, found, strict=True))
    unit = float(np.median([np.linalg.norm(cameras[name].position) for name in VIEW_NAMES])) or 1.0

    def share(pair: tuple[ViewName, ViewName]) -> Shared | None:
        a, b = (surfaces[name] for name in pair)
        uv_px, z = cameras[pair[1]].project(a.points[::every])
        n = b.depth.shape[0]
        at = np.floor(uv_px / b.step)
        inside = ((at >= 0) & (at < n)).all(1) & (z > 0)
        column, row = np.where(inside[:, None], at, 0).astype(np.int64).T
        there = b.depth[row, column]
        same = np.nonzero(inside & (there > 0) & (np.abs(there - z) < SAME * unit))[0]
        if len(same) * every < LEAST_SHARED:
            return None
        same = same[:: max(1, len(same) // MOST_SHARED)]
        # a depth render of fewer than SIZE_PX pixels, or of a size that is no multiple, has another grid
        to = SIZE_PX / n
        some = same * every
        of_a = ((a.rows[some] * to).astype(np.int64), (a.columns[some] * to).astype(np.int64))
        of_b = ((row[same] * to).astype(np.int64), (column[same] * to).astype(np.int64))
        eyes = [cameras[view].position for view in pair]
        normals = _normals(a, some, eyes[0])
        squarely = [_squarely(a.points[some], normals, eye) for eye in eyes]
        return Shared(*pair, of_a, of_b, squarely[0] & squarely[1])

    return [item for item in parallel_map(share, list(permutations(VIEW_NAMES, 2))) if item is not None]
