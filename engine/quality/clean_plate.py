"""The delivered picture without the object: what the render is laid over for the headline figure.

Push-pull (Gortler et al., "The Lumigraph", SIGGRAPH 1996, section 3.4): known pixels are averaged down until no hole
is left, then each level's holes are filled from the next coarser one, bilinearly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.quality.metrics import Box, Float32, Mask, bounding_box, unit


def grow(mask: Mask, radius_px: int) -> Mask:
    """Every pixel within `radius_px` steps along the axes (a diamond) of `mask` [H, W]."""
    from scipy import ndimage

    box = bounding_box(mask)
    out = np.zeros_like(mask)
    if box is not None:
        part = box.grown(radius_px, mask.shape)
        distance = ndimage.distance_transform_cdt(~mask[part.slices], "taxicab")
        out[part.slices] = distance <= radius_px
    return out


def _doubled(small: Float32) -> Float32:
    """[h, w, 3] to [2h, 2w, 3]: bilinear between pixel centres, constant beyond the outermost."""
    height, width = small.shape[:2]
    rows = np.empty((2 * height, width, 3), np.float32)
    _blend(small, rows[0::2], rows[1::2])
    out = np.empty((2 * height, 2 * width, 3), np.float32)
    across, into = rows.transpose(1, 0, 2), out.transpose(1, 0, 2)
    _blend(across, into[0::2], into[1::2])
    return out


def _blend(near: Float32, before: Float32, after: Float32) -> None:
    """Three parts of each sample with one of the sample before, and of the one after, along the first axis."""
    quarter = near * np.float32(0.25)
    np.multiply(near, np.float32(0.75), out=before)
    after[...] = before
    before[1:] += quarter[:-1]
    before[0] += quarter[0]
    after[:-1] += quarter[1:]
    after[-1] += quarter[-1]


def _halved(image: NDArray[Any]) -> Float32:
    """[H, W, ...] to [ceil(H/2), ceil(W/2), ...]: sums of 2 x 2, nothing beyond the frame."""
    if image.shape[0] % 2 or image.shape[1] % 2:
        beyond = ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0))[: image.ndim]
        image = np.pad(image, beyond)
    rows = np.add(image[0::2], image[1::2], dtype=np.float32)
    return np.asarray(rows[:, 0::2] + rows[:, 1::2])


def _fill(hole: Mask, known_sum: Float32, into: Float32, box: Box) -> None:
    """Fill `hole` [H, W] of a picture of which `into` [h, w, 3] is the part `box`, in place.

    known_sum: [ceil(H/2), ceil(W/2), 3], sums of 2 x 2 of the picture's known pixels.
    """
    count = _halved(~hole)
    small = np.divide(known_sum, np.maximum(count, 1)[..., None], dtype=np.float32)
    missing = count == 0
    missing_box = bounding_box(missing)
    if missing_box is not None:
        if min(missing.shape) <= 2:
            small[missing] = small[~missing].mean(0) if not missing.all() else 1.0
        else:
            _fill(missing, _halved(small), small[missing_box.slices], missing_box)
    # two coarse pixels around the box have a say in it
    need = Box(box.y0 // 2, -(-box.y1 // 2), box.x0 // 2, -(-box.x1 // 2)).grown(1, missing.shape)
    y, x = box.y0 - 2 * need.y0, box.x0 - 2 * need.x0
    filled = _doubled(small[need.slices])[y : y + into.shape[0], x : x + into.shape[1]]
    np.copyto(into, filled, where=hole[box.slices][..., None])


def paint_out(rgb: NDArray[np.uint8], hole: Mask, box: Box) -> Float32:
    """The part `box` of the picture with `hole` painted out from around it.

    rgb: [H, W, 3] uint8. hole: [H, W] bool. Returns [h, w, 3] float32 in 0..1. A frame that is all hole is white.
    """
    part = unit(rgb[box.slices])
    hole_box = bounding_box(hole)
    if hole_box is not None:
        known = rgb.copy()
        known[hole_box.slices][hole[hole_box.slices]] = 0
        _fill(hole, np.divide(_halved(known), 255, dtype=np.float32), part, box)
    return part
