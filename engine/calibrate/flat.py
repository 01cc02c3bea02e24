"""A flat face whose codes are noise: a view stretched between its extremes that sees one plane, square to it.

Its depths differ by the last bits of floating point only, and the exporter spread these few values over all codes: they
come as 1, 128 and 255, say, in streaks that follow how the renderer interpolates. Taken for depth they would sink most
of the face into the object, out of every other view's sight. So such a view counts as having one code.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engine.calibrate.model import Family, Floats

MOST_STEPS: Final = 8
"""Floating point's steps that the codes' range spans at most."""
OFF_LEVELS: Final = 1.0
"""How far a code may be off such a step's, by rounding."""
SPECK: Final = 7 / 1024
"""Side of the least patch that counts as a surface of its own, in image widths."""
PATCHES: Final = 0.6
"""Noise has less of the rarer codes in such patches (0 to 0.54: five faces, three models), stairs and studs more."""
BARELY: Final = 1e-5
"""The depth range that a flat view is given, in camera distances: no coding is without one."""


def flat_code(codes: NDArray[np.uint16], mask: NDArray[np.bool_], code_max: int) -> int | None:
    """The commonest code of a view that is such a face, else None. codes, mask: [n, n]."""
    counts = np.bincount(codes[mask], minlength=1)
    levels = np.nonzero(counts)[0]
    if not 2 <= len(levels) <= MOST_STEPS + 1 or levels[-1] != code_max or levels[0] > max(1, 0.004 * code_max):
        return None
    span = code_max - levels[0]
    share = (levels - levels[0]) / span
    steps = range(len(levels) - 1, MOST_STEPS + 1)
    if not any(np.abs(share - np.round(share * k) / k).max() * span <= OFF_LEVELS for k in steps):
        return None
    patch = np.ones((max(3, round(SPECK * len(mask))),) * 2)
    if 2 * int(ndimage.binary_opening(mask, patch).sum()) < int(mask.sum()):
        return None
    commonest = int(counts.argmax())
    rarer = mask & (codes != commonest)
    whole = int(ndimage.binary_opening(rarer, patch).sum())
    return commonest if whole < PATCHES * int(rarer.sum()) else None


def levelled(full: Floats, family: Family, flat: dict[int, float]) -> Floats:
    """[13] parameters with the views of `flat` (view: its one code, 0..1) at that code's depth all over."""
    sign = 1 if family.far_bright == (family.kind == "linear") else -1
    out = full.copy()
    for view, code in flat.items():
        at = full[1 + view] + full[7 + view] * code
        out[7 + view] = sign * BARELY
        out[1 + view] = at - out[7 + view] * code
    return out
