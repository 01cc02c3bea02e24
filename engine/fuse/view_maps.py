"""What the later steps look up in a view: its surface as local planes, and its edges.

Depth renders are exact about *where* a surface ends, far more than about its depth: silhouettes and depth edges are
known to half a pixel, while a level of 8-bit depth is several pixels wide. So distances to them are kept beside the
depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engine.camera import Camera
from engine.distance import squared_distance
from engine.fuse.dequantise import Bounds, Image
from engine.jit import jit, parallel_map

DISPARITY, GRADIENT_U, GRADIENT_V, SILHOUETTE, EDGE, EDGE_NEAR, EDGE_FAR, JUMP = range(8)
"""Channels of `ViewMaps.pixels`."""
CHANNELS = 8
TABLE_COLUMNS = 18


@dataclass(frozen=True, eq=False)
class ViewMaps:
    """Views, cropped to the object and padded to one size.

    pixels: [N, h, w, CHANNELS] float32. DISPARITY 1/z, 0 = background; GRADIENT_* its change per pixel; SILHOUETTE
    signed distance to the silhouette in pixels, positive outside; EDGE signed distance to the nearest depth edge,
    negative on its near side, and EDGE_NEAR, EDGE_FAR the depths of its two sides; JUMP see `Bounds.jump`.
    table: [N, 18] float64: camera_from_world's first three rows; fx, fy, cx, cy with pixel centres at whole numbers
    counted from the crop's corner; the crop's height and width.
    """

    pixels: NDArray[np.float32]
    table: NDArray[np.float64]


@jit
def _find_rims(pixels: Any) -> None:  # pragma: no cover
    """Put the two depths of each jump on the pixels on its near side, into EDGE_NEAR and EDGE_FAR."""
    H, W, _ = pixels.shape
    none = np.float32(1e9)
    for y in range(1, H - 1):
        for x in range(1, W - 1):
            c, t = pixels[y, x, 0], pixels[y, x, 7]
            if c <= 0:
                continue
            farthest = none
            for a in (pixels[y, x - 1, 0], pixels[y, x + 1, 0], pixels[y - 1, x, 0], pixels[y + 1, x, 0]):
                if a > 0 and c - a > t:
                    farthest = min(farthest, a)
            if farthest < none:
                pixels[y, x, 5] = 1 / c
                pixels[y, x, 6] = 1 / farthest


@jit
def _local_planes(pixels: Any, H: Any, W: Any) -> None:  # pragma: no cover
    """Gradients of the disparity on one surface, in the first [H, W] of pixels [h, w, CHANNELS]."""
    for y in range(1, H - 1):
        for x in range(1, W - 1):
            c, t = pixels[y, x, 0], pixels[y, x, 7]
            if c <= 0:
                continue
            for axis in range(2):
                a = pixels[y, x - 1, 0] if axis == 0 else pixels[y - 1, x, 0]
                b = pixels[y, x + 1, 0] if axis == 0 else pixels[y + 1, x, 0]
                before, after = a > 0 and abs(a - c) <= t, b > 0 and abs(b - c) <= t
                if before and after:
                    pixels[y, x, 1 + axis] = (b - a) * np.float32(0.5)
                elif before:
                    pixels[y, x, 1 + axis] = c - a
                elif after:
                    pixels[y, x, 1 + axis] = b - c


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Pixels [h, w] to the nearest one where mask [h, w] is set."""
    return np.sqrt(squared_distance(mask), dtype=np.float64)


def edge_maps(middle: Image, jump: Image) -> NDArray[np.float32]:
    """[h, w, CHANNELS] with all but the gradients filled in. middle: [h, w] disparity, 0 = background."""
    pixels = np.zeros((*middle.shape, CHANNELS), np.float32)
    pixels[..., DISPARITY] = middle
    pixels[..., JUMP] = jump
    _find_rims(pixels)
    inside = middle > 0
    # an object that fills the image is cut by its border, which tells nothing of its silhouette
    inwards = _distance(~inside) if not inside.all() else np.full(middle.shape, 1e3)
    pixels[..., SILHOUETTE] = _distance(inside) - inwards + np.where(inside, 0.5, -0.5)
    pixels[..., EDGE] = 1e3
    rim = pixels[..., EDGE_NEAR] > 0
    if rim.any():
        distance, (row, column) = ndimage.distance_transform_edt(~rim, return_indices=True)
        near, far = pixels[row, column, EDGE_NEAR], pixels[row, column, EDGE_FAR]
        pixels[..., EDGE_NEAR], pixels[..., EDGE_FAR] = near, far
        nearer = inside & (middle * (near + far) > 2)
        pixels[..., EDGE] = np.where(nearer, -(distance + 0.5), np.maximum(distance - 0.5, 0.25))
    return pixels


def put_surface(pixels: NDArray[np.float32], disparity: Image) -> None:
    """Replace the disparity by the dequantised one and fill in its gradients.

    pixels: [h, w, CHANNELS], a view's map with empty rows and columns after it, is changed. disparity: the view's.
    """
    rows, columns = disparity.shape
    pixels[:rows, :columns, DISPARITY] = disparity
    _local_planes(pixels, rows, columns)


def stack(views: list[NDArray[np.float32]], corners_px: list[tuple[int, int]], cameras: list[Camera]) -> ViewMaps:
    """Put the views' maps into one array. corners_px: (u, v) of each crop's first pixel in its whole image."""
    height, width = (max(view.shape[axis] for view in views) for axis in range(2))
    pixels = np.empty((len(views), height, width, CHANNELS), np.float32)
    table = np.zeros((len(views), TABLE_COLUMNS))

    def put(n: int) -> None:
        rows, columns = views[n].shape[:2]
        pixels[n, :rows, :columns] = views[n]
        pixels[n, rows:] = pixels[n, :rows, columns:] = 0

    parallel_map(put, range(len(views)))
    for n, (view, (left, top), camera) in enumerate(zip(views, corners_px, cameras, strict=True)):
        rows, columns = view.shape[:2]
        K = camera.K
        table[n, :12] = camera.camera_from_world[:3].ravel()
        table[n, 12:] = K[0, 0], K[1, 1], K[0, 2] - 0.5 - left, K[1, 2] - 0.5 - top, rows, columns
    return ViewMaps(pixels, table)


__all__ = ["Bounds", "ViewMaps", "edge_maps", "put_surface", "stack"]
