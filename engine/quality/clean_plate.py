"""The delivered picture without the object: what the render is laid over for the headline figure.

Push-pull (Gortler et al., "The Lumigraph", SIGGRAPH 1996, section 3.4): known pixels are averaged down until no hole
is left, then each level's holes are filled from the next coarser one, bilinearly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.quality.metrics import Box, Float32, Mask, bounding_box, unit

CONTEXT_PX = 4


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


def _even(box: Box) -> Box:
    return Box(box.y0 & ~1, box.y1 + (box.y1 & 1), box.x0 & ~1, box.x1 + (box.x1 & 1))


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


def _paint(image: Float32, hole: Mask) -> None:
    """Fill `hole` [H, W] of `image` [H, W, 3] in place."""
    hole_box = bounding_box(hole)
    if hole_box is None:
        return
    if min(hole.shape) <= 2:
        known = ~hole
        image[hole] = image[known].mean(0) if known.any() else 1.0
        return
    # only the holes' surroundings have a say
    box = _even(hole_box.grown(CONTEXT_PX, hole.shape))
    rows, columns = box.y1 - box.y0, box.x1 - box.x0
    part, missing = image[box.slices], hole[box.slices]
    lacking = ((0, rows - part.shape[0]), (0, columns - part.shape[1]))  # an odd frame's last row or column
    if any(pad for _, pad in lacking):
        part = np.pad(part, (*lacking, (0, 0)))
        missing = np.pad(missing, lacking, constant_values=True)
    part[missing] = 0
    upper, lower = part[::2], part[1::2]
    total = upper[:, ::2] + upper[:, 1::2]
    total += lower[:, ::2]
    total += lower[:, 1::2]
    known = (~missing).astype(np.uint8)
    count = known[::2, ::2] + known[1::2, ::2] + known[::2, 1::2] + known[1::2, 1::2]
    total /= np.maximum(count, 1).astype(np.float32)[..., None]
    _paint(total, count == 0)
    filled = _doubled(total)[: hole.shape[0] - box.y0, : hole.shape[1] - box.x0]
    np.copyto(image[box.slices], filled, where=hole[box.slices][..., None])


def paint_out(rgb: NDArray[np.uint8], hole: Mask, box: Box) -> Float32:
    """The part `box` of the picture with `hole` painted out from around it.

    rgb: [H, W, 3] uint8. hole: [H, W] bool. Returns [h, w, 3] float32 in 0..1. A frame that is all hole is white.
    """
    frame = np.zeros(rgb.shape, np.float32)
    hole_box = bounding_box(hole)
    need = box if hole_box is None else _union(box, hole_box.grown(2 * CONTEXT_PX, hole.shape))
    frame[need.slices] = unit(rgb[need.slices])
    _paint(frame, hole)
    return frame[box.slices]


def _union(a: Box, b: Box) -> Box:
    return Box(min(a.y0, b.y0), max(a.y1, b.y1), min(a.x0, b.x0), max(a.x1, b.x1))
