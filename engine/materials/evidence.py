"""Whether the views hold a light that can be told from the looks, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.materials.light import Light, fit_light, log_residual
from engine.materials.samples import SurfaceSamples
from engine.materials.spherical_harmonics import basis

Float = NDArray[np.float64]

TURNED_DEG: Final = 20.0
"""Neighbours whose normals differ by more than this get different light, if there is any but an even one."""
LEVEL_DEG: Final = 6.0
"""Those whose normals differ by less get the same."""
TRIMMED: Final = 0.1
CELLS: Final = 12
"""The surface is cut into cubes of the longest side over this, of which half are held back in turn."""


@dataclass(frozen=True)
class Evidence:
    """How the light shows, in shares and natural logarithms of brightness.

    turned, level: typical difference between neighbours whose normals differ, and whose don't. left: what is left of
    `turned` once the light is divided out that was fitted to other parts of the surface. explained: 1 - left/turned.
    contrast: brightest over darkest light on the surface (95th over 5th percentile). directions: how many independent
    directions of light the surface can tell apart, of 8. agreement: how alike the lights are that two halves of the
    surface tell of, 0..1.
    """

    turned: float
    level: float
    left: float
    explained: float
    contrast: float
    directions: int
    agreement: float


def weigh(samples: SurfaceSamples, light: Light, seed: int) -> Evidence:
    """Test `light`, fitted to all of `samples`, by fits to halves of them."""
    half = halves(samples.position, seed)
    before = samples.brightness_change
    cosine = samples.turn
    turned, level = cosine < math.cos(math.radians(TURNED_DEG)), cosine > math.cos(math.radians(LEVEL_DEG))
    left = np.zeros(len(before))
    own = np.zeros(len(before), np.bool_)
    lights = []
    for side in (0, 1):
        inside = (half[samples.first] == side) & (half[samples.second] == side)
        fitted = fit_light(samples.only(inside), colour=False)
        lights.append(fitted)
        other = (half[samples.first] != side) & (half[samples.second] != side)
        left[other] = log_residual(fitted, samples.only(other))
        own |= other
    judged = turned & own
    flat = level & own
    shade = np.log(light.shading(samples.normal, samples.openness)).mean(1)
    spread = float(np.exp(np.percentile(shade, 95) - np.percentile(shade, 5)))
    a, b = (np.log(part.shading(samples.normal, samples.openness)).mean(1) for part in lights)
    amount = float(np.std(a) + np.std(b)) / 2
    apart = float(np.std(a - b))
    m_before, m_left = typical(before[judged], samples.weight[judged]), typical(left[judged], samples.weight[judged])
    return Evidence(
        m_before,
        typical(before[flat], samples.weight[flat]),
        m_left,
        1 - m_left / m_before if m_before > 0 else 0.0,
        spread,
        _directions(samples),
        max(0.0, 1 - apart / amount) if amount > 1e-6 else 0.0,
    )


def halves(position: Float, seed: int) -> NDArray[np.int64]:
    """[N] 0 or 1, by cells of the surface at positions [N, 3]."""
    rng = np.random.default_rng(seed + 1)
    low, high = position.min(0), position.max(0)
    cell = np.floor((position - low) / max(float((high - low).max()), 1e-12) * CELLS).astype(np.int64)
    number = (cell * np.array([1, CELLS + 1, (CELLS + 1) ** 2])).sum(1)
    return np.asarray((rng.permutation((CELLS + 1) ** 3) % 2)[number])


def typical(values: Float, weight: Float) -> float:
    """The weighted mean of |values| without the largest tenth, which are edges of the looks; 0 for none."""
    if not len(values) or not weight.sum() > 0:
        return 0.0
    order = np.argsort(np.abs(values), kind="stable")
    total = np.cumsum(weight[order])
    kept = order[: int(np.searchsorted(total, (1 - TRIMMED) * total[-1])) + 1]
    return float((np.abs(values[kept]) * weight[kept]).sum() / weight[kept].sum())


def _directions(samples: SurfaceSamples) -> int:
    """How many of the eight harmonics of order 1 and 2 the pairs determine, to a tenth of the best."""
    y = basis(samples.normal)
    design = (y[samples.first, 1:] - y[samples.second, 1:]) * np.sqrt(samples.weight)[:, None]
    strength = np.sqrt(np.maximum(np.linalg.eigvalsh(design.T @ design), 0))
    return int((strength > 0.1 * strength.max()).sum()) if strength.max() > 1e-6 else 0
