"""The depth render's silhouette, without specks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_SPECK_PX = 24
_SPECK_SHARE = 2e-4


def drop_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask [h, w] without its small components (8-connected).

    A component goes when it has fewer pixels than 24 at 1024² (in proportion at other sizes) or 0.02 % of the largest
    one's. Thin parts that a coarse render breaks up stay where they are longer than that.
    """
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count <= 1:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    least = max(_SPECK_PX * (mask.shape[0] / 1024) ** 2, _SPECK_SHARE * int(sizes.max()))
    return np.asarray((sizes >= least)[labels] & mask)
