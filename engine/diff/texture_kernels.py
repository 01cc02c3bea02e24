"""Kernels of the differentiable texture: the look-up, and the way back to coordinates and to texels.

A texel's gradient is gathered by whoever owns its row: rows go round in blocks among a fixed number of owners, so
threads never meet, and a sum's order never changes. Neighbouring samples mostly have the same owners: runs of those are
listed, and an owner goes through its own runs alone.

All of it is computed in the precision of the arrays: conversions would take longer than the sums. So constants are made
from `one`, since a literal is an int64, which with float32 makes float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.diff.elements import halved, halved_share
from engine.jit import jit, jit_element

Array = NDArray[Any]
BLOCK_BITS = 5
"""So many rows are a block: 2^."""
OWNERS = 16
_SPLIT, _COARSER = 16, 32
"""Of a sample's code: the lower row is the next owner's; besides the owner (of OWNERS) of the upper row. The same of
the coarser level, if one is mixed in, follows from _COARSER on, and then _MIXED."""
_MIXED = _COARSER * _COARSER


@jit_element
def _mip_level(ux: Any, uy: Any, vx: Any, vy: Any, height: Any, width: Any, last: Any, one: Any) -> Any:
    """As `engine.render.elements.mip_level`, at most `last`."""
    half, zero = one / (one + one), one - one
    ux, uy, vx, vy = ux * width, uy * width, vx * height, vy * height
    a, b, c = ux * ux + uy * uy, vx * vx + vy * vy, ux * vx + uy * vy
    apart = half * (a - b)
    squared = half * (a + b) + math.sqrt(apart * apart + c * c)
    if squared <= one:
        return zero
    level = half * math.log2(squared)
    return level if level < last else last  # also where the squares are too large


@jit_element
def _levels(level: Any, one: Any) -> Any:
    """The finer of the two levels that a sample mixes, and the coarser one's share; the last is mixed with none."""
    low = int(level)
    return low, level - type(one)(low)


@jit_element
def _cell(x: Any, limit: Any, one: Any) -> Any:
    """A coordinate clamped to 0..limit: the texel, the step to the next one, its share."""
    zero = one - one
    x = x if x > zero else zero  # not a number: 0
    step = 1 if x < limit else 0
    x = x if x < limit else limit
    whole = int(x)
    return whole, step, x - type(one)(whole)


@jit_element
def _four(levels: Array, n: int, x: int, right: int, y: int, down: int) -> Any:
    """The four texels: unsigned, so that numba doesn't look for indices from the end."""
    width = levels[n, 2]
    top, below = levels[n, 0] + y * width + x, down * width
    return np.uint64(top), np.uint64(top + right), np.uint64(top + below), np.uint64(top + below + right)


@jit_element
def _place(levels: Array, size: Array, n: int, u: Any, v: Any, one: Any) -> Any:
    """Where (u, v) lies in level n: four texels, shares of those to the right and below, the row, its step down."""
    half = one / (one + one)
    height, width = size[n, 0], size[n, 1]
    x, right, fx = _cell(u * width - half, width - one, one)
    y, down, fy = _cell(v * height - half, height - one, one)
    a, b, c, d = _four(levels, n, x, right, y, down)
    return a, b, c, d, fx, fy, y, down


@jit_element
def _owner(first_block: Array, n: int, row: int, down: int) -> Any:
    """The part of a code that is level n's."""
    block = first_block[n]
    upper = (block + (row >> BLOCK_BITS)) & (OWNERS - 1)
    return upper if (row >> BLOCK_BITS) == ((row + down) >> BLOCK_BITS) else upper + _SPLIT


@jit_element
def _shares(fx: Any, fy: Any, share: Any, one: Any) -> Any:
    gx, gy, fy = one - fx, (one - fy) * share, fy * share
    return gx * gy, fx * gy, gx * fy, fx * fy


@jit_element
def _sample_channels(
    texels: Array,
    levels: Array,
    size: Array,
    first_block: Array,
    uv: Array,
    uv_dxy: Array,
    first: int,
    end: int,
    at: Array,
    code: Array,
    out: Array,
    channels: int,
) -> None:
    one = at.dtype.type(1)
    last = type(one)(len(levels) - 1)
    for i in range(first, end):
        at[i] = one - one
        if len(uv_dxy) > 0:
            at[i] = _mip_level(
                uv_dxy[i, 0, 0], uv_dxy[i, 0, 1], uv_dxy[i, 1, 0], uv_dxy[i, 1, 1], size[0, 0], size[0, 1], last, one
            )
    for i in range(first, end):
        u, v, level = uv[i, 0], uv[i, 1], at[i]
        if i > first and u == uv[i - 1, 0] and v == uv[i - 1, 1] and level == at[i - 1]:  # a background's are all alike
            code[i] = code[i - 1]
            for k in range(channels):
                out[i, k] = out[i - 1, k]
            continue
        low, blend = _levels(level, one)
        a, b, c, d, fx, fy, row, down = _place(levels, size, low, u, v, one)
        whose = _owner(first_block, low, row, down)
        wa, wb, wc, wd = _shares(fx, fy, one - blend, one)
        if blend > 0:
            e, f, g, h, fx, fy, row, down = _place(levels, size, low + 1, u, v, one)
            whose += _owner(first_block, low + 1, row, down) * _COARSER + _MIXED
            we, wf, wg, wh = _shares(fx, fy, blend, one)
            for k in range(channels):
                fine = wa * texels[a, k] + wb * texels[b, k] + wc * texels[c, k] + wd * texels[d, k]
                coarse = we * texels[e, k] + wf * texels[f, k] + wg * texels[g, k] + wh * texels[h, k]
                out[i, k] = fine + coarse
        else:
            for k in range(channels):
                out[i, k] = wa * texels[a, k] + wb * texels[b, k] + wc * texels[c, k] + wd * texels[d, k]
        code[i] = whose


@jit
def sample(
    texels: Array,
    levels: Array,
    size: Array,
    first_block: Array,
    uv: Array,
    uv_dxy: Array,
    first: int,
    end: int,
    at: Array,
    code: Array,
    out: Array,
) -> None:
    """Points first..end of the mip chain texels [T, C]: out [N, C], at [N] the mip level, code [N] uint16 the owners.

    levels: [L, 3] int64 first texel, height, width; size: [L, 2] the latter two in the texels' dtype; first_block: [L]
    int64, number of a level's first block of rows. uv: [N, 2]. uv_dxy: [N, 2, 2], or [0, 2, 2]: bilinear. As
    `engine.render.kernels.sample_points`, which computes in float64.
    """
    if out.shape[1] == 3:  # a literal, so that loops over channels are unrolled
        _sample_channels(texels, levels, size, first_block, uv, uv_dxy, first, end, at, code, out, 3)
    else:
        _sample_channels(texels, levels, size, first_block, uv, uv_dxy, first, end, at, code, out, out.shape[1])


@jit_element
def _slope(
    texels: Array,
    levels: Array,
    size: Array,
    n: int,
    u: Any,
    v: Any,
    gradient: Array,
    i: int,
    channels: int,
    one: Any,
) -> Any:
    """d loss/d(u, v) through level n, from that of sample i; at the edges, where a coordinate is clamped, 0.

    As `engine.diff.elements.coordinates_backward`.
    """
    half, zero = one / (one + one), one - one
    height, width = size[n, 0], size[n, 1]
    x, y = u * width - half, v * height - half
    column, right, fx = _cell(x, width - one, one)
    row, down, fy = _cell(y, height - one, one)
    free_x, free_y = x >= zero and right != 0, y >= zero and down != 0
    if not (free_x or free_y):  # so is all of a background
        return zero, zero
    a, b, c, d = _four(levels, n, column, right, row, down)
    da = db = dc = dd = zero
    for k in range(channels):
        value = gradient[i, k]
        da += value * texels[a, k]
        db += value * texels[b, k]
        dc += value * texels[c, k]
        dd += value * texels[d, k]
    du = ((one - fy) * (db - da) + fy * (dd - dc)) * width if free_x else zero
    dv = ((one - fx) * (dc - da) + fx * (dd - db)) * height if free_y else zero
    return du, dv


@jit_element
def _uv_channels(
    texels: Array,
    levels: Array,
    size: Array,
    uv: Array,
    at: Array,
    gradient: Array,
    first: int,
    end: int,
    out: Array,
    channels: int,
) -> None:
    one = at.dtype.type(1)
    zero = one - one
    for i in range(first, end):
        some = False
        for k in range(channels):
            some = some or gradient[i, k] != zero
        du = dv = zero
        if some:
            u, v = uv[i, 0], uv[i, 1]
            low, blend = _levels(at[i], one)
            du, dv = _slope(texels, levels, size, low, u, v, gradient, i, channels, one)
            if blend > zero:
                su, sv = _slope(texels, levels, size, low + 1, u, v, gradient, i, channels, one)
                du, dv = du + blend * (su - du), dv + blend * (sv - dv)
        out[i, 0] = du
        out[i, 1] = dv


@jit
def uv_backward(
    texels: Array,
    levels: Array,
    size: Array,
    uv: Array,
    at: Array,
    gradient: Array,
    first: int,
    end: int,
    out: Array,
) -> None:
    """Points first..end: d loss/d uv to out [N, 2].

    gradient: [N, C]. at: from `sample`, taken as given: no gradient goes through the mip level.
    """
    if gradient.shape[1] == 3:
        _uv_channels(texels, levels, size, uv, at, gradient, first, end, out, 3)
    else:
        _uv_channels(texels, levels, size, uv, at, gradient, first, end, out, gradient.shape[1])


@jit
def list_runs(code: Array, gradient: Array, first: int, end: int, runs: Array) -> int:
    """Runs of samples first..end with one code and a gradient: first, end, code to runs [R, 3] int32; how many.

    code, gradient: [N], [N, C]. There may be as many runs as samples.
    """
    count, last = 0, -1
    for i in range(first, end):
        whose: int = -1
        for k in range(gradient.shape[1]):
            if gradient[i, k] != 0:
                whose = int(code[i])
                break
        if whose != last:
            if last >= 0:
                runs[count - 1, 1] = i
            if whose >= 0:
                runs[count, 0], runs[count, 2] = i, whose
                count += 1
            last = whose
    if last >= 0:
        runs[count - 1, 1] = end
    return count


@jit_element
def _add_run(
    levels: Array,
    size: Array,
    uv: Array,
    at: Array,
    gradient: Array,
    first: int,
    end: int,
    coarser: int,
    upper: bool,
    lower: bool,
    texel: Array,
    weight: Array,
    out: Array,
    channels: int,
) -> None:
    one = at.dtype.type(1)
    for start in range(first, end, len(texel)):
        count = min(end - start, len(texel))
        for j in range(count):  # first where, for several samples at once: the sums wait for memory, this doesn't
            i = start + j
            low, blend = _levels(at[i], one)
            share = blend if coarser > 0 else one - blend
            a, b, c, d, fx, fy, _, _ = _place(levels, size, low + coarser, uv[i, 0], uv[i, 1], one)
            texel[j, 0], texel[j, 1], texel[j, 2], texel[j, 3] = a, b, c, d
            weight[j, 0], weight[j, 1], weight[j, 2], weight[j, 3] = _shares(fx, fy, share, one)
        for j in range(count):
            if upper:
                a, b, wa, wb = texel[j, 0], texel[j, 1], weight[j, 0], weight[j, 1]
                for k in range(channels):
                    value = gradient[start + j, k]
                    out[a, k] += value * wa
                    out[b, k] += value * wb
            if lower:
                c, d, wc, wd = texel[j, 2], texel[j, 3], weight[j, 2], weight[j, 3]
                for k in range(channels):
                    value = gradient[start + j, k]
                    out[c, k] += value * wc
                    out[d, k] += value * wd


@jit_element
def _texel_channels(
    levels: Array,
    size: Array,
    owner: int,
    uv: Array,
    at: Array,
    gradient: Array,
    runs: Array,
    count: Array,
    texel: Array,
    weight: Array,
    out: Array,
    channels: int,
) -> None:
    for band in range(len(count)):
        for r in range(count[band]):
            whose = runs[band, r, 2]
            for coarser in range(2 if whose >= _MIXED else 1):
                upper = whose & (OWNERS - 1) == owner
                lower = (whose + 1) & (OWNERS - 1) == owner if whose & _SPLIT != 0 else upper
                if upper or lower:
                    _add_run(
                        levels,
                        size,
                        uv,
                        at,
                        gradient,
                        runs[band, r, 0],
                        runs[band, r, 1],
                        coarser,
                        upper,
                        lower,
                        texel,
                        weight,
                        out,
                        channels,
                    )
                whose //= _COARSER


@jit
def texel_backward(
    levels: Array,
    size: Array,
    owner: int,
    uv: Array,
    at: Array,
    gradient: Array,
    runs: Array,
    count: Array,
    texel: Array,
    weight: Array,
    out: Array,
) -> None:
    """d loss/d texels, added to those rows of out [T, C] that `owner` has.

    runs [B, R, 3], of which count [B] are there: from `list_runs`, a row for each band of samples. To work in: texel
    [S, 4] uint64, weight [S, 4] floating, for so many samples at once.
    """
    if gradient.shape[1] == 3:
        _texel_channels(levels, size, owner, uv, at, gradient, runs, count, texel, weight, out, 3)
    else:
        _texel_channels(levels, size, owner, uv, at, gradient, runs, count, texel, weight, out, gradient.shape[1])


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
