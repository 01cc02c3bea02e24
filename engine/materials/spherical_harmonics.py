"""Real spherical harmonics to order 2, and what surfaces make of a light that is given in them.

Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance Environment Maps", SIGGRAPH 2001: a distant light
reaches a matt surface as nine numbers per channel, to about 1 % for any light and at worst 9 % for a single lamp.
Order of the nine: (l, m) = (0, 0), (1, -1), (1, 0), (1, 1), (2, -2), (2, -1), (2, 0), (2, 1), (2, 2).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

BAND: Final = np.array([0, 1, 1, 1, 2, 2, 2, 2, 2])
"""l of each coefficient."""
COSINE_LOBE: Final = np.array([1.0, 2 / 3, 1 / 4])
"""A_l/π of the clamped cosine (their equation 8): what is left of band l in irradiance over π."""


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


def irradiance_basis(directions: NDArray[np.floating[Any]]) -> Float:
    """[..., 9] such that irradiance over π at unit normals [..., 3] is this times the light's radiance [9, C]."""
    return np.asarray(basis(directions) * COSINE_LOBE[BAND])


def main_direction(radiance: Float) -> Float:
    """[3] unit vector towards where most light comes from: band 1 of the mean over the channels of radiance [9, C]."""
    toward = np.asarray(radiance, np.float64).mean(1)[[3, 1, 2]]
    return np.asarray(toward / max(float(np.linalg.norm(toward)), 1e-12))
