"""PSNR and SSIM of pictures that are equal over most of the frame.

Where two pictures are equal pixel by pixel, the squared error is 0 and the SSIM is 1: both are computed where they
differ and the rest is counted by its area. The figure is that of the full frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.jit import parallel_map, row_bands
from engine.quality.kernels import SSIM_RADIUS_PX, TILE_PX, similarity

Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

PSNR_CAP_DB: Final = 100.0
"""What equal pictures score: JSON has no infinity."""
MARGIN_PX: Final = 2 * SSIM_RADIUS_PX
BANDS: Final = 16
"""Parts in which errors are computed, to keep what is needed in between small."""


@dataclass(frozen=True)
class Box:
    """A part of a frame: rows y0..y1 and columns x0..x1, half-open."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """To index an array with."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def grown(self, margin: int, shape: tuple[int, ...]) -> Box:
        """Grown by `margin` pixels on each side, within a frame of `shape`."""
        return Box(
            max(0, self.y0 - margin),
            min(shape[0], self.y1 + margin),
            max(0, self.x0 - margin),
            min(shape[1], self.x1 + margin),
        )

    def within(self, other: Box) -> Box:
        """The part of it that lies in `other`."""
        return Box(max(self.y0, other.y0), min(self.y1, other.y1), max(self.x0, other.x0), min(self.x1, other.x1))


def bounding_box(mask: Mask) -> Box | None:
    """The smallest box that holds every True of `mask` [H, W]; None when there is none."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def unit(values: NDArray[np.uint8]) -> Float32:
    """0..255 to float32 0..1, exactly 1 for 255."""
    return np.divide(values, 255, dtype=np.float32)


def psnr_db(squared_error_sum: float, count: float) -> float:
    """Peak signal-to-noise ratio for values in 0..1, at most PSNR_CAP_DB; 0 dB where nothing is compared.

    squared_error_sum: sum over `count` pixels of the squared error averaged over the channels.
    """
    if count <= 0:
        return 0.0
    mean = squared_error_sum / count
    return PSNR_CAP_DB if mean <= 0 else float(np.clip(-10 * math.log10(mean), 0.0, PSNR_CAP_DB))


def squared_error(a: Float32, b: Float32) -> Float32:
    """[H, W] squared error of [H, W, 3], averaged over the channels."""
    out = np.empty(a.shape[:2], np.float32)

    def band(rows: tuple[int, int]) -> None:
        d = a[slice(*rows)] - b[slice(*rows)]
        np.divide(np.einsum("ijk,ijk->ij", d, d), np.float32(3), out=out[slice(*rows)])

    parallel_map(band, row_bands(len(out), BANDS))
    return out


@dataclass(frozen=True, eq=False)
class Known:
    """A pair of pictures whose SSIM map is there already."""

    a: Float32
    b: Float32
    ssim: Float32


def ssim_map(a: Float32, b: Float32, known: Known | None = None) -> Float32:
    """SSIM at every pixel of [H, W, 3] in 0..1, averaged over the channels: scikit-image's structural_similarity.

    known: another pair whose map is there; where both pairs are the same, its value is taken. Only tiles with a window
    that touches a difference are computed; the result is that of the whole pictures.
    """
    out = np.empty(a.shape[:2], np.float32)
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    known = known or Known(a, b, np.empty((0, 0), np.float32))
    side = 3 * (TILE_PX + 2 * SSIM_RADIUS_PX)

    def rows(first: int) -> None:
        end = min(first + TILE_PX, len(out))
        similarity(a, b, known.a, known.b, known.ssim, first, end, np.empty((6, side)), np.empty((5, side)), out)

    parallel_map(rows, range(0, len(out), TILE_PX))
    return out


def intersection_over_union(a: Mask, b: Mask) -> float:
    """IoU of two masks; 1 when both are empty."""
    union = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / union if union else 1.0
