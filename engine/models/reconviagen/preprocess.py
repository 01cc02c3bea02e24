"""The views as the networks expect them: the object on black, in the middle of 518 pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

IMAGE_PX: Final = 518

_OPAQUE: Final = 0.8
_MARGIN: Final = 1.1


def preprocess(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8], size_px: int = IMAGE_PX) -> Tensor:
    """Crop a view to its object and scale it.

    rgb: [H, W, 3] uint8, sRGB. alpha: [H, W] uint8, 255 = object. size_px: of the result.
    Returns [3, size_px, size_px] float32, 0..1, black around the object. Raises ValueError where nothing is opaque.
    """
    rows, columns = np.nonzero(alpha > _OPAQUE * 255)
    if not len(rows):
        raise ValueError("the view shows no object")
    top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
    side = int(max(bottom - top, right - left) * _MARGIN)
    first_row, first_column = (int(a + b) // 2 - side // 2 for a, b in ((top, bottom), (left, right)))
    whole = np.concatenate([rgb, alpha[..., None]], axis=2)
    crop = whole[max(first_row, 0) : first_row + side, max(first_column, 0) : first_column + side]
    square = _padded(crop)
    pixels = torch.from_numpy(square).movedim(-1, 0)[None].float() / 255
    scaled = functional.interpolate(pixels, (size_px, size_px), mode="bilinear", align_corners=False)[0]
    return scaled[:3] * (scaled[3:] > _OPAQUE)


def _padded(crop: NDArray[Any]) -> NDArray[Any]:
    """Fill up to a square with black that nothing covers; the crop stays in the middle."""
    height, width = crop.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, crop.shape[2]), crop.dtype)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = crop
    return square


def stacked(views: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]], size_px: int = IMAGE_PX) -> Tensor:
    """Preprocess the views. views: rgb and alpha of each; the first one is special. Returns [V, 3, S, S]."""
    return torch.stack([preprocess(rgb, alpha, size_px) for rgb, alpha in views])
