"""Looking a texture up at many points, and the way back, on threads."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.diff import texture_kernels
from engine.diff.texture_kernels import BLOCK_BITS, OWNERS
from engine.jit import parallel_map, row_bands

__all__ = ["Spots", "look_up", "to_coordinates", "to_texels"]
_POINTS = 1 << 15
_AT_ONCE = 128
Array = NDArray[Any]
Chain = tuple[Array, NDArray[np.int64]]


class Spots(NamedTuple):
    """Where a texture of one size was looked up.

    uv: [N, 2] and at: [N], the mip level, floating. code: [N] uint16, who gathers what goes back to its texels.
    """

    uv: Array
    at: Array
    code: NDArray[np.uint16]


def look_up(chain: Chain, uv: Array, uv_dxy: Array) -> tuple[Array, Spots]:
    """What a `pyramid.chain` [T, C] is at uv [N, 2]: [N, C].

    uv_dxy: [N, 2, 2] the footprints, or [0, 2, 2]: bilinear. All of one floating dtype.
    """
    texels, levels = chain
    out, size = np.empty((len(uv), texels.shape[1]), texels.dtype), _size(chain)
    spots = Spots(uv, np.empty(len(uv), texels.dtype), np.empty(len(uv), np.uint16))
    blocks = (levels[:, 1] - 1 >> BLOCK_BITS) + 1
    first_block = np.cumsum(blocks) - blocks

    def band(part: tuple[int, int]) -> None:
        texture_kernels.sample(texels, levels, size, first_block, uv, uv_dxy, *part, spots.at, spots.code, out)

    parallel_map(band, _bands(uv))
    return out, spots


def to_coordinates(chain: Chain, spots: Spots, gradient: Array) -> Array:
    """From d loss/d what is looked up [N, C] to d loss/d uv [N, 2]; no gradient goes through the mip level."""
    texels, levels = chain
    out, size = np.empty_like(spots.uv), _size(chain)

    def band(part: tuple[int, int]) -> None:
        texture_kernels.uv_backward(texels, levels, size, spots.uv, spots.at, gradient, *part, out)

    parallel_map(band, _bands(spots.uv))
    return out


def to_texels(chain: Chain, spots: Spots, gradient: Array, total: Array) -> None:
    """Add d loss/d texels to total [T, C], of the gradient's dtype. The same bytes whatever the thread count."""
    levels, size, bands = chain[1], _size(chain), _bands(spots.uv)
    most = max(end - first for first, end in bands)
    runs = np.empty((len(bands), most, 3), np.int32)  # what is not written to takes no memory
    count = np.empty(len(bands), np.int64)

    def band(index: int) -> None:
        count[index] = texture_kernels.list_runs(spots.code, gradient, *bands[index], runs[index])

    def own(owner: int) -> None:
        texel, weight = np.empty((_AT_ONCE, 4), np.uint64), np.empty((_AT_ONCE, 4), spots.at.dtype)
        texture_kernels.texel_backward(
            levels, size, owner, spots.uv, spots.at, gradient, runs, count, texel, weight, total
        )

    parallel_map(band, range(len(bands)))
    parallel_map(own, range(OWNERS))


def _size(chain: Chain) -> Array:
    return np.ascontiguousarray(chain[1][:, 1:], chain[0].dtype)


def _bands(uv: Array) -> list[tuple[int, int]]:
    return row_bands(len(uv), max(1, -(-len(uv) // _POINTS)))
