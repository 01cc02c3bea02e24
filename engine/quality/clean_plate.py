"""The delivered picture without the object: what the render is laid over for the headline figure.

Push-pull (Gortler et al., "The Lumigraph", SIGGRAPH 1996, section 3.4): known pixels are averaged down until no hole
is left, then each level's holes are filled from the next coarser one, bilinearly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import parallel_map, row_bands
from engine.quality.kernels import halve_known
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


def _fill(picture: Float32, missing: Mask) -> None:
    """Fill `missing` [h, w] of a picture [h, w, 3], 0 there, from the coarser levels, in place."""
    box = bounding_box(missing)
    if box is None:
        return
    if min(missing.shape) <= 2:
        picture[missing] = picture[~missing].mean(0) if not missing.all() else 1.0
        return
    coarse, count = _halved(picture), _halved(~missing)
    coarse /= np.maximum(count, 1)[..., None]
    _fill(coarse, count == 0)
    # one coarse pixel around the box has a say in it
    need = Box(box.y0 // 2, -(-box.y1 // 2), box.x0 // 2, -(-box.x1 // 2)).grown(1, coarse.shape)
    y, x = box.y0 - 2 * need.y0, box.x0 - 2 * need.x0
    filled = _doubled(coarse[need.slices])[y : y + box.y1 - box.y0, x : x + box.x1 - box.x0]
    np.copyto(picture[box.slices], filled, where=missing[box.slices][..., None])


def half_size_plate(rgb: NDArray[np.uint8], hole: Mask) -> Float32:
    """The picture at half size with `hole` painted out from around it.

    rgb: [H, W, 3] uint8. hole: [H, W] bool. Returns [ceil(H/2), ceil(W/2), 3] float32 in 0..1. A frame that is all
    hole is white.
    """
    height, width = hole.shape
    shape = (-(-height // 2), -(-width // 2))
    mean, missing = np.empty((*shape, 3), np.float32), np.empty(shape, np.bool_)
    rgb, hole = np.ascontiguousarray(rgb), np.ascontiguousarray(hole)
    parallel_map(lambda band: halve_known(rgb, hole, *band, mean, missing), row_bands(shape[0]))
    _fill(mean, missing)
    return mean


def paint_out(rgb: NDArray[np.uint8], hole: Mask) -> Float32:
    """The picture [H, W, 3] uint8 as float32 in 0..1, with `hole` [H, W] painted out from around it."""
    height, width = hole.shape
    out = unit(rgb)
    np.copyto(out, _doubled(half_size_plate(rgb, hole))[:height, :width], where=hole[..., None])
    return out
