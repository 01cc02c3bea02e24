"""PSNR and SSIM of pictures that are equal over most of the frame.

Where two pictures are equal pixel by pixel, the squared error is 0 and the SSIM is 1: both are computed where they
differ and the rest is counted by its area. The figure is that of the full frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.jit import parallel_map, row_bands

Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

PSNR_CAP_DB: Final = 100.0
"""What equal pictures score: JSON has no infinity."""
SSIM_RADIUS_PX: Final = 3
"""skimage's default window is 7 x 7, uniform (Wang et al., "Image Quality Assessment", IEEE TIP 13(4), 2004)."""
TILE_PX: Final = 48
WIDE_PX: Final = TILE_PX + 2 * SSIM_RADIUS_PX
STRIP_TILES: Final = 48
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
    """SSIM at every pixel of [H, W, 3] in 0..1, averaged over the channels: scikit-image's, where it has to be.

    Where a and b are equal it is 1. known: another pair whose map is there; where both pairs are the same, its value
    is taken. Only tiles with a window that touches a difference are computed, packed into strips so that few calls
    are needed. A tile brings what its windows look at, so the result is that of the whole pictures.
    """
    height, width = a.shape[:2]
    out = np.ones((height, width), np.float32)
    unequal = _differs(a, b)
    new = _differs(a, known.a) | _differs(b, known.b) if known else unequal
    corners = []
    for y, x in product(range(0, height, TILE_PX), range(0, width, TILE_PX)):
        wide = Box(y, y + TILE_PX, x, x + TILE_PX).grown(SSIM_RADIUS_PX, (height, width)).slices
        if known and not new[wide].any():
            out[y : y + TILE_PX, x : x + TILE_PX] = known.ssim[y : y + TILE_PX, x : x + TILE_PX]
        elif unequal[wide].any():
            corners.append((y, x))

    def strip(part: list[tuple[int, int]]) -> None:
        maps = _strip_ssim(_packed(a, part), _packed(b, part))
        for index, (y, x) in enumerate(part):
            into = out[y : y + TILE_PX, x : x + TILE_PX]
            first = index * WIDE_PX + SSIM_RADIUS_PX
            into[...] = maps[first : first + into.shape[0], SSIM_RADIUS_PX : SSIM_RADIUS_PX + into.shape[1]]

    parallel_map(strip, [corners[i : i + STRIP_TILES] for i in range(0, len(corners), STRIP_TILES)])
    return out


def _strip_ssim(a: Float32, b: Float32) -> Float32:
    from skimage import metrics

    similarity: Callable[..., Any] = metrics.structural_similarity
    _, full = similarity(a, b, data_range=1.0, channel_axis=-1, full=True)
    return np.asarray((full[..., 0] + full[..., 1] + full[..., 2]) / np.float32(3))


def _packed(picture: Float32, corners: list[tuple[int, int]]) -> Float32:
    """Tiles with their surroundings, one below the other: [len(corners)·WIDE_PX, WIDE_PX, 3]."""
    height, width = picture.shape[:2]
    out = np.empty((len(corners), WIDE_PX, WIDE_PX, 3), np.float32)
    for tile, (y, x) in zip(out, corners, strict=True):
        y0, x0 = y - SSIM_RADIUS_PX, x - SSIM_RADIUS_PX
        if y0 >= 0 and x0 >= 0 and y0 + WIDE_PX <= height and x0 + WIDE_PX <= width:
            tile[...] = picture[y0 : y0 + WIDE_PX, x0 : x0 + WIDE_PX]
        else:
            tile[...] = picture[_mirrored(y0, height)[:, None], _mirrored(x0, width)]
    return out.reshape(-1, WIDE_PX, 3)


def _mirrored(start: int, length: int) -> NDArray[np.intp]:
    """Indices of a tile's pixels from `start` on; beyond an edge those before it, as SciPy's filters do ("reflect")."""
    index = np.arange(start, start + WIDE_PX) % (2 * length)
    return np.minimum(index, 2 * length - 1 - index)


def _differs(a: Float32, b: Float32) -> Mask:
    """[H, W]: where two pictures [H, W, 3] are not equal."""
    d: Mask = a != b
    return np.asarray(d[..., 0] | d[..., 1] | d[..., 2])


def intersection_over_union(a: Mask, b: Mask) -> float:
    """IoU of two masks; 1 when both are empty."""
    union = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / union if union else 1.0
