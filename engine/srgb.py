"""sRGB values and the light that they stand for (IEC 61966-2-1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


def decode_srgb(value: NDArray[np.floating[Any]]) -> Float:
    """sRGB values 0..1 to linear light."""
    v = np.asarray(value, np.float64)
    return np.where(v <= 0.04045, v / 12.92, ((np.maximum(v, 0.04045) + 0.055) / 1.055) ** 2.4)


def encode_srgb(light: NDArray[np.floating[Any]]) -> Float:
    """Linear light to sRGB values; the inverse of `decode_srgb`, clipped to 0..1."""
    v = np.clip(np.asarray(light, np.float64), 0, 1)
    return np.where(v <= 0.0031308, 12.92 * v, 1.055 * np.maximum(v, 0.0031308) ** (1 / 2.4) - 0.055)
