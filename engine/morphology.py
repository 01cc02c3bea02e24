"""Operations on masks that several rooms need."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def eroded(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Whether all pixels of a square of 2·radius + 1 around are set; what lies beyond the border counts as set."""
    for axis in (0, 1):
        source = np.moveaxis(mask, axis, 0)
        mask = mask.copy()
        out = np.moveaxis(mask, axis, 0)
        for step in range(1, radius + 1):
            out[step:] &= source[:-step]
            out[:-step] &= source[step:]
    return mask
