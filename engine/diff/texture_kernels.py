"""Kernels of the differentiable texture: the way back to coordinates and to texels.

A texel's gradient is gathered by whoever owns its row, in the order of the pixels: rows go round in blocks among a
fixed number of owners, so threads never meet and a sum's order never changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit
from engine.render.kernels import mip_level

Array = NDArray[Any]
ROWS_A_BLOCK = 16
OWNERS = 8


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
    for i in range(first, end):
        owners[i] = 0
        if len(out) > 0:
            out[i, 0] = 0
            out[i, 1] = 0
        some = False
        for c in range(gradient.shape[1]):
            some = some or gradient[i, c] != 0
        if not some:
            continue
        level = 0.0
        if len(uv_dxy) > 0:
            level = mip_level(
                uv_dxy[i, 0, 0], uv_dxy[i, 0, 1], uv_dxy[i, 1, 0], uv_dxy[i, 1, 1], levels[0, 1], levels[0, 2]
            )
        at[i] = level
        low = min(int(level), len(levels) - 1)
        blend = level - low if low + 1 < len(levels) else 0.0
        bits = 0
        for k in range(2 if blend > 0 else 1):
            share = blend if k == 1 else 1 - blend
            top, height, width = levels[low + k, 0], levels[low + k, 1], levels[low + k, 2]
            x, y = uv[i, 0] * width - 0.5, uv[i, 1] * height - 0.5
            free_x, free_y = 0 <= x < width - 1, 0 <= y < height - 1
            x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
            x0, y0 = int(x), int(y)
            below = 1 if y0 + 1 < height else 0
            bits |= 1 << ((first_block[low + k] + y0 // ROWS_A_BLOCK) % OWNERS)
            bits |= 1 << ((first_block[low + k] + (y0 + below) // ROWS_A_BLOCK) % OWNERS)
            if len(out) == 0:
                continue
            fx, fy = x - x0, y - y0
            top += y0 * width + x0
            right = 1 if x0 + 1 < width else 0
            across = along = 0.0
            for c in range(gradient.shape[1]):
                a, b = np.float64(texels[top, c]), np.float64(texels[top + right, c])
                d, e = np.float64(texels[top + below * width, c]), np.float64(texels[top + below * width + right, c])
                across += gradient[i, c] * ((1 - fy) * (b - a) + fy * (e - d))
                along += gradient[i, c] * ((1 - fx) * (d - a) + fx * (e - b))
            if free_x:
                out[i, 0] += share * across * width
            if free_y:
                out[i, 1] += share * along * height
        owners[i] = bits


@jit
def texel_backward(
    levels: Array, first_block: Array, owner: int, uv: Array, at: Array, owners: Array, gradient: Array, out: Array
) -> None:
    """d loss/d texels, added to those rows of out [T, C] that `owner` has. at, owners: from `uv_backward`."""
    channels = gradient.shape[1]
    for i in range(len(owners)):
        if (owners[i] >> owner) & 1 == 0:
            continue
        level = at[i]
        low = min(int(level), len(levels) - 1)
        blend = level - low if low + 1 < len(levels) else 0.0
        for k in range(2 if blend > 0 else 1):
            height, width = levels[low + k, 1], levels[low + k, 2]
            y = min(max(uv[i, 1] * height - 0.5, 0.0), height - 1.0)
            y0 = int(y)
            y1 = min(y0 + 1, height - 1)
            x = min(max(uv[i, 0] * width - 0.5, 0.0), width - 1.0)
            x0 = int(x)
            right = 1 if x0 + 1 < width else 0
            fx, fy = x - x0, y - y0
            share = blend if k == 1 else 1 - blend
            for row in range(2):
                line = y1 if row == 1 else y0
                if (first_block[low + k] + line // ROWS_A_BLOCK) % OWNERS != owner:
                    continue
                weight = share * (fy if row == 1 else 1 - fy)
                top = levels[low + k, 0] + line * width + x0
                for c in range(channels):
                    d = gradient[i, c] * weight
                    out[top, c] += d * (1 - fx)
                    out[top + right, c] += d * fx


@jit
def halve_rows(fine: Array, height: int, width: int, first_row: int, end_row: int, coarse: Array) -> None:
    """Box-filter fine [H·W, C] into rows first_row..end_row of coarse [ceil(H/2)·ceil(W/2), C]; edges repeat."""
    across = (width + 1) // 2
    for row in range(first_row, end_row):
        y0 = 2 * row * width
        y1 = y0 + width if 2 * row + 1 < height else y0
        for column in range(across):
            x0 = 2 * column
            x1 = x0 + 1 if x0 + 1 < width else x0
            for c in range(fine.shape[1]):
                total = fine[y0 + x0, c] + fine[y0 + x1, c] + fine[y1 + x0, c] + fine[y1 + x1, c]
                coarse[row * across + column, c] = total * np.float32(0.25)


@jit
def halve_backward_rows(coarse: Array, height: int, width: int, first_row: int, end_row: int, fine: Array) -> None:
    """The adjoint of `halve_rows`, added to rows first_row..end_row of fine [H·W, C]."""
    across = (width + 1) // 2
    for row in range(first_row, end_row):
        tall = 2 if row == height - 1 and height % 2 else 1
        for column in range(width):
            wide = 2 if column == width - 1 and width % 2 else 1
            share = np.float32(0.25 * tall * wide)
            source = (row // 2) * across + column // 2
            for c in range(fine.shape[1]):
                fine[row * width + column, c] += share * coarse[source, c]
