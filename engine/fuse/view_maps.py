"""What integration looks up in a view: its surface as local planes, and its edges.

Depth renders are exact about *where* a surface ends, far more than about its depth: silhouettes and depth edges are
known to half a pixel, while a level of 8-bit depth is several pixels wide. So distances to them are kept beside the
depth.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engine.camera import Camera
from engine.jit import jit

DISPARITY, GRADIENT_U, GRADIENT_V, SILHOUETTE, EDGE, EDGE_NEAR, EDGE_FAR, JUMP = range(8)
"""Channels of ViewMaps.pixels."""
CHANNELS = 8
MARGIN_PX = 24
"""Background kept round the object: farther out is free space."""


class ViewMaps(NamedTuple):
    """A view, cropped to the object.

    pixels: [h, w, CHANNELS] float32. DISPARITY 1/z, 0 = background; GRADIENT_* its change per pixel; SILHOUETTE signed
    distance to the silhouette in pixels, positive outside; EDGE signed distance to the nearest depth edge, negative on
    its near side, and EDGE_NEAR, EDGE_FAR the depths of its two sides; JUMP see `Bounds.jump`.
    corner_px: (u, v) of the crop's first pixel in the whole image.
    """

    pixels: NDArray[np.float32]
    corner_px: tuple[int, int]
    camera: Camera


@jit
def _local_planes(g, jump, pixels, rim):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Gradients from the neighbours on the same surface; rim: pixels on the near side of a jump."""
    H, W = g.shape
    none = np.float32(1e9)
    for y in range(1, H - 1):
        for x in range(1, W - 1):
            c = g[y, x]
            if c <= 0:
                continue
            t = jump[y, x]
            farthest = none
            for axis in range(2):
                a = g[y, x - 1] if axis == 0 else g[y - 1, x]
                b = g[y, x + 1] if axis == 0 else g[y + 1, x]
                before, after = a > 0 and abs(a - c) <= t, b > 0 and abs(b - c) <= t
                if before and after:
                    pixels[y, x, 1 + axis] = (b - a) * np.float32(0.5)
                elif before:
                    pixels[y, x, 1 + axis] = c - a
                elif after:
                    pixels[y, x, 1 + axis] = b - c
                if a > 0 and c - a > t:
                    farthest = min(farthest, a)
                if b > 0 and c - b > t:
                    farthest = min(farthest, b)
            if farthest < none:
                rim[y, x] = True
                pixels[y, x, 5] = 1 / c
                pixels[y, x, 6] = 1 / farthest


def view_maps(disparity: NDArray[np.float32], jump: NDArray[np.float32], camera: Camera) -> ViewMaps:
    """Prepare a view. disparity: [h, w] float32 dequantised, 0 = background. jump: [h, w], see `Bounds.jump`."""
    v, u = np.nonzero(disparity > 0)
    size = disparity.shape[0]
    top, left = max(int(v.min()) - MARGIN_PX, 0), max(int(u.min()) - MARGIN_PX, 0)
    bottom, right = min(int(v.max()) + MARGIN_PX + 1, size), min(int(u.max()) + MARGIN_PX + 1, size)
    crop = np.s_[top:bottom, left:right]
    g = np.ascontiguousarray(disparity[crop])
    pixels = np.zeros((*g.shape, CHANNELS), np.float32)
    rim = np.zeros(g.shape, np.bool_)
    pixels[..., DISPARITY] = g
    pixels[..., JUMP] = jump[crop]
    _local_planes(g, np.ascontiguousarray(jump[crop]), pixels, rim)
    inside = g > 0
    outwards = ndimage.distance_transform_edt(~inside)
    # an object that fills the image is cut by its border, which tells nothing of its silhouette
    inwards = ndimage.distance_transform_edt(inside) if not inside.all() else np.full(g.shape, 1e3)
    pixels[..., SILHOUETTE] = outwards - inwards + np.where(inside, 0.5, -0.5)
    pixels[..., EDGE] = 1e3
    if rim.any():
        distance, (row, column) = ndimage.distance_transform_edt(~rim, return_indices=True)
        near, far = pixels[row, column, EDGE_NEAR], pixels[row, column, EDGE_FAR]
        pixels[..., EDGE_NEAR], pixels[..., EDGE_FAR] = near, far
        nearer = inside & (g * (near + far) > 2)
        pixels[..., EDGE] = np.where(nearer, -(distance + 0.5), np.maximum(distance - 0.5, 0.25))
    return ViewMaps(pixels, (left, top), camera)
