"""Kernels of the differentiable texture: the way back to coordinates and to texels.

A texel's gradient is gathered by whoever owns its row, in the order of the pixels: rows go round in blocks among a
fixed number of owners, so threads never meet and a sum's order never changes.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from engine.diff.elements import coordinates_backward, halved, halved_share
from engine.jit import jit, jit_element
from engine.render.elements import bilinear, mip_level, two_levels

Array = NDArray[Any]
ROWS_A_BLOCK = 16
OWNERS = 8


@jit_element
def _uv_channels(
    texels: Array,
    levels: Array,
    first_block: Array,
    uv: Array,
    uv_dxy: Array,
    gradient: Array,
    first: int,
    end: int,
    out: Array,
    at: Array,
    owners: Array,
    channels: int,
) -> None:
    for i in range(first, end):
        owners[i] = 0
        some = False
        for c in range(channels):
            some = some or gradient[i, c] != 0
        du = dv = 0.0
        if some:
            level = 0.0
            if len(uv_dxy) > 0:
                level = mip_level(
                    uv_dxy[i, 0, 0], uv_dxy[i, 0, 1], uv_dxy[i, 1, 0], uv_dxy[i, 1, 1], levels[0, 1], levels[0, 2]
                )
            at[i] = level
            low, blend = two_levels(level, len(levels))
            bits = 0
            for k in range(2 if blend > 0 else 1):
                n = low + k
                _, _, below, _, _, row = bilinear(levels, n, uv[i, 0], uv[i, 1])
                bits |= 1 << ((first_block[n] + row // ROWS_A_BLOCK) % OWNERS)
                bits |= 1 << ((first_block[n] + (row + (1 if below > 0 else 0)) // ROWS_A_BLOCK) % OWNERS)
                if len(out) > 0:
                    share = blend if k == 1 else 1 - blend
                    x, y = coordinates_backward(texels, levels, n, uv[i, 0], uv[i, 1], gradient, i, channels)
                    du, dv = du + share * x, dv + share * y
            owners[i] = bits
        if len(out) > 0:
            out[i, 0] = du
            out[i, 1] = dv


@jit
def uv_backward(
    texels: Array,
    levels: Array,
    first_block: Array,
    uv: Array,
    uv_dxy: Array,
    gradient: Array,
    first: int,
    end: int,
    out: Array,
    at: Array,
    owners: Array,
) -> None:
    """Points first..end: d loss/d uv to out [N, 2] (or [0, 2]: not wanted), what `texel_backward` needs to the others.

    texels [T, C], levels [L, 3], uv [N, 2], uv_dxy [N, 2, 2] or [0, 2, 2]: as `engine.render.kernels.sample_points`.
    first_block: [L] int64, number of a level's first block of rows. gradient: [N, C]. at: [N], the mip level, which is
    taken as given: no gradient goes through it. owners: [N] uint8, bit k: texels of owner k (of OWNERS) are touched.
    """
    if gradient.shape[1] == 3:  # a literal, so that loops over channels are unrolled
        _uv_channels(texels, levels, first_block, uv, uv_dxy, gradient, first, end, out, at, owners, 3)
    else:
        _uv_channels(texels, levels, first_block, uv, uv_dxy, gradient, first, end, out, at, owners, gradient.shape[1])


@jit_element
def _texel_channels(
    levels: Array,
    first_block: Array,
    owner: int,
    uv: Array,
    at: Array,
    owners: Array,
    gradient: Array,
    out: Array,
    channels: int,
) -> None:
    for i in range(len(owners)):
        if (owners[i] >> owner) & 1 == 0:
            continue
        low, blend = two_levels(at[i], len(levels))
        for k in range(2 if blend > 0 else 1):
            n = low + k
            top, right, below, fx, fy, row = bilinear(levels, n, uv[i, 0], uv[i, 1])
            share = blend if k == 1 else 1 - blend
            first = (first_block[n] + row // ROWS_A_BLOCK) % OWNERS == owner
            second = (first_block[n] + (row + (1 if below > 0 else 0)) // ROWS_A_BLOCK) % OWNERS == owner
            left, rest = (1 - fx) * share, fx * share
            if first:
                for c in range(channels):
                    d = gradient[i, c] * (1 - fy)
                    out[top, c] += d * left
                    out[top + right, c] += d * rest
            if second:
                for c in range(channels):
                    d = gradient[i, c] * fy
                    out[top + below, c] += d * left
                    out[top + below + right, c] += d * rest


@jit
def texel_backward(
    levels: Array, first_block: Array, owner: int, uv: Array, at: Array, owners: Array, gradient: Array, out: Array
) -> None:
    """d loss/d texels, added to those rows of out [T, C] that `owner` has. at, owners: from `uv_backward`."""
    if gradient.shape[1] == 3:
        _texel_channels(levels, first_block, owner, uv, at, owners, gradient, out, 3)
    else:
        _texel_channels(levels, first_block, owner, uv, at, owners, gradient, out, gradient.shape[1])


@jit
def halve_rows(fine: Array, height: int, width: int, first_row: int, end_row: int, coarse: Array) -> None:
    """Box-filter fine [H·W, C] into rows first_row..end_row of coarse [ceil(H/2)·ceil(W/2), C]; edges repeat."""
    across = (width + 1) // 2
    for row in range(first_row, end_row):
        for column in range(across):
            for c in range(fine.shape[1]):
                coarse[row * across + column, c] = halved(fine, height, width, row, column, c)


@jit
def halve_backward_rows(coarse: Array, height: int, width: int, first_row: int, end_row: int, fine: Array) -> None:
    """The adjoint of `halve_rows`, added to rows first_row..end_row of fine [H·W, C]."""
    across = (width + 1) // 2
    for row in range(first_row, end_row):
        for column in range(width):
            share = halved_share(height, width, row, column)
            source = (row // 2) * across + column // 2
            for c in range(fine.shape[1]):
                fine[row * width + column, c] += share * coarse[source, c]
