"""Images of one view at a working size: distances, colours, edges, and what is known of them before any decision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

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
    """A square mask [n, n] to [size, size]: at least half covered."""
    if mask.shape[0] == size:
        return mask
    return np.asarray(resize(mask.astype(np.float32), size) >= 0.5)


def signed_distance(mask: Mask) -> Real:
    """Pixels to the nearest border between object and background, positive inside; [h, w]."""
    if not mask.any() or mask.all():
        return np.full(mask.shape, np.float32(1e4 if mask.any() else -1e4))
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask)
    return np.asarray(np.where(mask, inside - 0.5, 0.5 - outside), np.float32)


def gradient(colour: Real) -> Real:
    """[h, w] levels a pixel: forward differences, the channel that changes most, lightly smoothed."""
    g = ndimage.gaussian_filter(colour, (0.7, 0.7, 0), truncate=3)
    out = np.zeros(colour.shape[:2], np.float32)
    out[:, :-1] = np.abs(np.diff(g, axis=1)).max(-1)
    dy = np.abs(np.diff(g, axis=0)).max(-1)
    out[:-1] = np.hypot(out[:-1], dy)
    return out


def local_mean(colour: Real, weight: Real, sigma: float, step: int) -> tuple[Real, Real]:
    """Weighted mean [h, w, 3] and standard deviation [h, w] of the colours near each pixel.

    A normalised convolution (Knutsson and Westin, 1993) at `sigma` pixels, and at four times that where nothing is
    near, computed on every `step`-th pixel. Where there is nothing at all, the image's weighted mean.
    """
    h, w = weight.shape
    c, m = colour[::step, ::step], weight[::step, ::step]
    total = np.full(m.shape, 1e-9, np.float32)
    overall = (c * m[..., None]).sum((0, 1)) / max(float(m.sum()), 1e-6)
    mean = np.broadcast_to(overall * np.float32(1e-9), c.shape).astype(np.float32)
    square = np.full(m.shape, float((overall**2).sum()) * 1e-9, np.float32)
    energy = (c**2).sum(-1) * m
    for reach, share in ((1, 1.0), (4, 1e-3)):
        s = sigma * reach / step
        total += share * ndimage.gaussian_filter(m, s, truncate=2.5)
        square += share * ndimage.gaussian_filter(energy, s, truncate=2.5)
        for k in range(3):
            mean[..., k] += share * ndimage.gaussian_filter(c[..., k] * m, s, truncate=2.5)
    mean /= total[..., None]
    deviation = np.sqrt(np.maximum(square / total - (mean**2).sum(-1), 0) / 3)
    if step == 1:
        return mean, deviation
    grow = lambda plane: np.asarray(  # noqa: E731 - four uses within two lines
        Image.fromarray(np.ascontiguousarray(plane)).resize((w, h), Image.Resampling.BILINEAR)
    )
    return np.stack([grow(mean[..., k]) for k in range(3)], -1), grow(deviation)


def colour_bins(rgb: Colour) -> NDArray[np.int32]:
    """[h, w] the bin of each pixel in a histogram over lightness and two colour differences, 64 each."""
    c = rgb.astype(np.int32)
    r, g, b = c[..., 0], c[..., 1], c[..., 2]
    return np.asarray((((r + 2 * g + b) >> 4) * _BINS + ((g - r + 256) >> 3)) * _BINS + ((g - b + 256) >> 3))


def colour_density(bins: NDArray[np.int32], weight: Real) -> Real:
    """Smoothed density of the weighted pixels over the bins, [64³]."""
    counts = np.bincount(bins.ravel(), weight.ravel(), minlength=_BINS**3).astype(np.float32)
    used = np.flatnonzero(counts)
    out = np.zeros(_BINS**3, np.float32)
    if not len(used):
        return out
    lowest, highest = np.unravel_index(used, (_BINS, _BINS, _BINS)), None
    highest = tuple(min(_BINS, int(axis.max()) + 4) for axis in lowest)
    corner = tuple(max(0, int(axis.min()) - 3) for axis in lowest)
    window = tuple(slice(a, b) for a, b in zip(corner, highest, strict=True))
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
