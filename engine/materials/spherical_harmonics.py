"""Real spherical harmonics to order 2: what a matt surface tells of a distant light, to about 1 %.

Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance Environment Maps", SIGGRAPH 2001.
Order of the nine: (l, m) = (0, 0), (1, -1), (1, 0), (1, 1), (2, -2), (2, -1), (2, 0), (2, 1), (2, 2).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

_SECOND: Final = math.sqrt(15 / (4 * math.pi))
FACTOR: Final = np.array(
    [math.sqrt(1 / (4 * math.pi))] + 3 * [math.sqrt(3 / (4 * math.pi))]
    + [_SECOND, _SECOND, math.sqrt(5 / (16 * math.pi)), _SECOND, _SECOND / 2]
)  # fmt: skip
"""What makes the polynomials 1, y, z, x, xy, yz, 3z² - 1, xz, x² - y² orthonormal."""


def basis(directions: NDArray[np.floating[Any]]) -> Float:
    """[..., 9] orthonormal real harmonics of unit directions [..., 3]."""
    x, y, z = np.moveaxis(np.asarray(directions, np.float64), -1, 0)
    terms = [np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]
    return np.asarray(np.stack(terms, -1) * FACTOR)
