"""Textures at every half size, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.diff import texture_kernels
from engine.jit import parallel_map, row_bands

__all__ = ["chain", "chain_backward", "copied", "zeros_like"]
Array = NDArray[Any]


def chain(image: Array, *, full: bool) -> tuple[Array, NDArray[np.int64]]:
    """An image [h, w, C] at every half size: texels [T, C], levels [L, 3] (first texel, height, width)."""
    sizes = [image.shape[:2]]
    while full and max(sizes[-1]) > 1:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    first = np.cumsum([0] + [h * w for h, w in sizes])
    levels = np.array([(f, h, w) for f, (h, w) in zip(first[:-1], sizes, strict=True)], np.int64)
    if len(sizes) == 1:
        return image.reshape(-1, image.shape[2]), levels
    texels = np.empty((int(first[-1]), image.shape[2]), image.dtype)
    copied(image, texels[: first[1]].reshape(image.shape))
    for i in range(1, len(sizes)):
        fine, coarse = texels[first[i - 1] : first[i]], texels[first[i] : first[i + 1]]
        size = sizes[i - 1]

        def band(rows: tuple[int, int], fine: Array = fine, size: Any = size, coarse: Array = coarse) -> None:
            texture_kernels.halve_rows(fine, size[0], size[1], *rows, coarse)

        parallel_map(band, row_bands(sizes[i][0]))
    return texels, levels


def copied(source: Array, out: Array | None = None) -> Array:
    """A copy of an array, on threads; into `out` if there is one, of the same shape."""
    made = np.empty_like(source) if out is None else out

    def band(part: tuple[int, int]) -> None:
        np.copyto(made[slice(*part)], source[slice(*part)])

    parallel_map(band, row_bands(len(source)))
    return made


def zeros_like(array: Array) -> Array:
    """Zeros, written on threads."""
    made = np.empty_like(array)

    def band(part: tuple[int, int]) -> None:
        made[slice(*part)] = 0

    parallel_map(band, row_bands(len(made)))
    return made


def chain_backward(texels: Array, levels: NDArray[np.int64]) -> Array:
    """The gradient of the levels [T, C], gathered in the first: [h·w, C], a part of `texels`."""
    for i in range(len(levels) - 1, 0, -1):
        first, height, width = (int(value) for value in levels[i - 1])
        fine = texels[first : first + height * width]
        coarse = texels[int(levels[i, 0]) : int(levels[i, 0] + levels[i, 1] * levels[i, 2])]

        def band(
            rows: tuple[int, int], coarse: Array = coarse, height: int = height, width: int = width, fine: Array = fine
        ) -> None:
            texture_kernels.halve_backward_rows(coarse, height, width, *rows, fine)

        parallel_map(band, row_bands(height))
    return texels[: int(levels[0, 1] * levels[0, 2])]
