"""Images of one view at a working size: distances, colours, edges, and what is known of them before any decision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from engine.distance import squared_distance

Mask = NDArray[np.bool_]
Real = NDArray[np.float32]
Colour = NDArray[np.uint8]

_BINS = 64


def resize(image: NDArray[np.float32], size: int) -> Real:
    """A square image [n, n] float32 to [size, size], bilinear, averaging where it shrinks."""
    if image.shape[0] == size:
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def shrink_colours(rgb: Colour, size: int) -> Colour:
    """A square colour image [n, n, 3] to [size, size, 3] by averaging."""
    if rgb.shape[0] == size:
        return rgb
    image = Image.fromarray(rgb)
    factor = rgb.shape[0] // size
    if factor * size == rgb.shape[0]:
        return np.asarray(image.reduce(factor))
    return np.asarray(image.resize((size, size), Image.Resampling.BOX))


def resize_mask(mask: Mask, size: int) -> Mask:
    """A square mask [n, n] to [size, size]: at least half covered, or at all where nothing is half covered."""
    if mask.shape[0] == size:
        return mask
    covered = resize(mask.astype(np.float32), size)
    half = np.asarray(covered >= 0.5)
    return half if half.any() else np.asarray(covered > 0)


def signed_distance(mask: Mask) -> Real:
    """Pixels to the border between object and background, positive inside; [h, w]."""
    if not mask.any() or mask.all():
        return np.full(mask.shape, np.float32(1e4 if mask.any() else -1e4))
    mask = np.ascontiguousarray(mask)
    distance = np.sqrt(squared_distance(~mask))
    return np.where(mask, distance - np.float32(0.5), np.float32(0.5) - np.sqrt(squared_distance(mask)))


def local_statistics(rgb: Colour, weight: Real, sigma: float) -> Real:
    """[h, w, 4] weighted mean colour and standard deviation near each pixel of a small image.

    A normalised convolution (Knutsson and Westin, 1993) at `sigma` pixels, and at four times that where nothing is
    near. Where there is nothing at all, the image's weighted mean. rgb: [h, w, 3]. weight: [h, w].
    """
    planes = [np.ascontiguousarray(rgb[..., k], np.float32) for k in range(3)]
    total = float(weight.sum()) + 1e-6
    sums = [weight, *(plane * weight for plane in planes)]
    sums.append(weight * (planes[0] ** 2 + planes[1] ** 2 + planes[2] ** 2))
    tiny = 1e-9
    near = []
    for plane in sums:
        blurred = ndimage.gaussian_filter(plane, sigma, truncate=2.5)
        blurred += 1e-3 * ndimage.gaussian_filter(plane, 4 * sigma, truncate=2.5)
        near.append(blurred + tiny * max(float(plane.sum()) / total, 1e-9))
    mean = [plane / near[0] for plane in near[1:4]]
    variance = near[4] / near[0] - mean[0] ** 2 - mean[1] ** 2 - mean[2] ** 2
    return np.stack([*mean, np.sqrt(np.maximum(variance, 0) / 3)], -1).astype(np.float32)


def colour_density(bins: NDArray[np.int32], weight: Real) -> Real:
    """Smoothed density of the weighted pixels over the bins, [64³]."""
    counts = np.bincount(bins.ravel(), weight.ravel(), minlength=_BINS**3).astype(np.float32)
    used = np.flatnonzero(counts)
    out = np.zeros(_BINS**3, np.float32)
    if not len(used):
        return out
    axes = np.unravel_index(used, (_BINS, _BINS, _BINS))
    window = tuple(slice(max(0, int(axis.min()) - 3), int(axis.max()) + 4) for axis in axes)
    smooth = ndimage.gaussian_filter(counts.reshape((_BINS,) * 3)[window], (1.0, 0.8, 0.8), truncate=3)
    out.reshape((_BINS,) * 3)[window] = smooth / max(float(smooth.sum()), 1e-9)
    return out


@dataclass(frozen=True)
class Window:
    """A square part of a view: everything within a margin of the depth's silhouette, in full-size pixels."""

    x: int
    y: int
    side: int

    @property
    def rows(self) -> slice:
        """Its rows in a full-size image."""
        return slice(self.y, self.y + self.side)

    @property
    def columns(self) -> slice:
        """Its columns in a full-size image."""
        return slice(self.x, self.x + self.side)


def window_around(mask: Mask, size: int, margin_px: float, multiple: int) -> Window:
    """The window around a mask's object, in an image of `size` pixels, its side a multiple of `multiple`.

    mask: [n, n] of the same view at any size. margin_px: at `size`.
    """
    factor = size / mask.shape[0]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    y0, y1 = rows[0] * factor - margin_px, (rows[-1] + 1) * factor + margin_px
    x0, x1 = columns[0] * factor - margin_px, (columns[-1] + 1) * factor + margin_px
    side = min(size, int(np.ceil(max(y1 - y0, x1 - x0) / multiple)) * multiple)
    side -= side % multiple
    x = int(np.clip(round((x0 + x1 - side) / 2 / multiple) * multiple, 0, size - side))
    y = int(np.clip(round((y0 + y1 - side) / 2 / multiple) * multiple, 0, size - side))
    return Window(x, y, side)
