"""Sums of many terms that threads add in any order, the same bytes each time: as integers of a unit that fits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_SAFE_BITS = 61


def units(greatest: Tensor, terms: int) -> tuple[Tensor, Tensor]:
    """For sums of at most `terms` terms of at most `greatest` [N] float64 each: units a 1, and 1 a unit, [N] float64.

    Powers of two, so that neither of the two factors rounds. No units where greatest is not finite: then the second
    factor is not a number, and neither is the sum. What is lost is below terms·2^-60 of the greatest term.
    """
    finite = greatest.isfinite()
    exponent = torch.where(finite, greatest, 0.0).frexp()[1].long()
    power = (_SAFE_BITS - terms.bit_length() - exponent).clamp(-1000, 1000)
    up, down = (((p + 1023) << 52).view(torch.float64) for p in (power, -power))
    return torch.where(finite, up, 0.0), torch.where(finite, down, torch.nan)


def bounded_sum(shape: tuple[int, ...], gradient: Tensor, terms: int, add: Callable[[Tensor, Tensor], None]) -> Tensor:
    """What `add(unit [1], totals [shape] int64)` adds, where weights of at most 1 go with the gradient's elements.

    [shape], of the gradient's dtype.
    """
    greatest = gradient.abs().max().double().reshape(1) if gradient.numel() else gradient.new_zeros(1).double()
    unit, inverse = units(greatest, terms)
    totals = torch.zeros(shape, dtype=torch.int64, device=gradient.device)
    add(unit, totals)
    return (totals.double().mul_(inverse)).to(gradient.dtype)


def peaked_sum(count: int, device: torch.device, terms: int, put: Callable[[Tensor, bool, Tensor], None]) -> Tensor:
    """[count] float64: what `put(units, adding, totals [count] int64)` puts.

    It is run twice: for the greatest term of each sum, then to add.
    """
    totals = torch.zeros(count, dtype=torch.int64, device=device)
    put(torch.zeros(count, dtype=torch.float64, device=device), False, totals)
    each, inverse = units(totals.view(torch.float64), terms)
    totals = torch.zeros_like(totals)
    put(each, True, totals)
    return totals.double().mul_(inverse)
