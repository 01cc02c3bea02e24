"""How glossy a surface is, as far as two views of the same places tell it.

c_1 - c_2 = s_1 - s_2: what a place shows two views is its looks under the light, the same in both, and what it reflects
to each. The latter is linear in the cube map once a roughness is chosen, so the light is fitted to neighbours and
views together (`light.fit_grey`) at each of a few, and the one that leaves least is taken. A wide light on a smooth
surface and a small lamp on a rough one look much alike in a highlight, but not in the shade that they leave, and not
seen from the side. A lamp that is smaller than a patch is taken for as wide, and the surface for up to 0.1 too smooth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from engine.materials.environment import received
from engine.materials.evidence import halves, typical
from engine.materials.light import Differences, Solution, fit_grey
from engine.materials.reflection import reflected
from engine.materials.samples import SurfaceSamples, pair_up
from engine.materials.views import Observed

Float = NDArray[np.float64]

LEAST_COSINE: Final = 0.3
FEW: Final = 500
MOST: Final = 6_000
"""Places to compare."""
LEAST_SHINE: Final = 0.01
"""Of what views differ by, in shares of brightness: below, nothing is looked for."""
ROUGHNESSES: Final = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.95)
CALM: Final = 75.0
"""Percentile of the unevenness of a place's surroundings, in colour and in shape: of the others, which are edges and
creases, a pixel's shift or a rounding changes more than gloss."""
POINTS: Final = 3_000
_DARK: Final = 0.05
_NEIGHBOURS: Final = 6


@dataclass(frozen=True, eq=False)
class Places:
    """What two views say of the same places.

    sample: [P] int64. change: [P, 3] difference in linear light over `bright`, [P]. towards: [2, P, 3] to the cameras.
    """

    sample: NDArray[np.int64]
    change: Float
    bright: Float
    towards: Float


@dataclass(frozen=True)
class Shine:
    """What is found: figures for people, the gate's input.

    places: how many were compared. difference: typical difference of the views, in shares of brightness. explained: how
    much of it the gloss explains that was fitted to the other half of the surface. roughness: as found. halves: what
    each half says.
    """

    places: int
    difference: float
    explained: float
    roughness: float
    halves: tuple[float, float]


def compare(samples: SurfaceSamples, observed: Observed, seed: int) -> Places:
    """Pair the views of each place that is calm."""
    calm = _calm(samples)
    order = np.argsort(-observed.cosine, axis=0, kind="stable")
    everyone = np.arange(len(samples.position))
    parts = []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        if b < len(order):
            seen = calm & (observed.cosine[order[b], everyone] > LEAST_COSINE)
            parts.append((everyone[seen], order[a][seen], order[b][seen]))
    place, first, second = (np.concatenate([part[k] for part in parts]) for k in range(3))
    if len(place) > MOST:
        chosen = np.sort(np.random.default_rng(seed + 2).permutation(len(place))[:MOST])
        place, first, second = place[chosen], first[chosen], second[chosen]
    one, two = observed.linear[first, place], observed.linear[second, place]
    bright = (one + two).mean(1) / 2 + _DARK
    towards = np.stack([observed.towards[first, place], observed.towards[second, place]])
    return Places(place, (one - two) / bright[:, None], bright, towards)


def _calm(samples: SurfaceSamples) -> NDArray[np.bool_]:
    """[N] where neither colour nor normal changes abruptly round about."""
    _, near = cKDTree(samples.position).query(samples.position, _NEIGHBOURS + 1, workers=1)
    brightness = np.log(samples.linear)
    uneven = np.abs(brightness[near[:, 1:]] - brightness[:, None]).mean((1, 2))
    bent = 1 - (samples.normal[near[:, 1:]] * samples.normal[:, None]).sum(2).mean(1)
    return np.asarray((uneven <= np.percentile(uneven, CALM)) & (bent <= np.percentile(bent, CALM)))


def differences(places: Places, samples: SurfaceSamples, roughness: float) -> Differences:
    """What the light would do between the views at a roughness."""
    normal = samples.normal[places.sample]
    one, two = (reflected(normal, towards, roughness) for towards in places.towards)
    factor = samples.openness[places.sample] / places.bright
    return Differences(places.change, (one - two) * factor[:, None])


def find_gloss(
    samples: SurfaceSamples, places: Places, seed: int, checkpoint: Callable[[float], None] = lambda fraction: None
) -> Shine:
    """Fit a roughness to each half of the surface, and test each fit on the other."""
    if len(places.sample) < FEW:
        return Shine(len(places.sample), 0.0, 0.0, 1.0, (1.0, 1.0))
    difference = typical(places.change.mean(1), np.ones(len(places.sample)))
    if difference < LEAST_SHINE:
        return Shine(len(places.sample), difference, 0.0, 1.0, (1.0, 1.0))
    some, half = _fewer(samples, seed), halves(samples.position, seed)[places.sample]
    pairs_half = halves(some.position, seed)
    known = {r: differences(places, samples, r) for r in ROUGHNESSES}
    checkpoint(0.1)
    rough, left, before = [], [], []
    for step, side in enumerate((None, 0, 1)):
        inside = np.ones(len(half), np.bool_) if side is None else half == side
        own = (pairs_half[some.first] == side) & (pairs_half[some.second] == side)
        part = some if side is None else some.only(own)
        at = received(part.normal)
        fits: dict[float, Solution] = {}
        for r in ROUGHNESSES:
            fits[r] = fit_grey(part, known[r].only(inside), at)
            checkpoint(0.1 + 0.3 * (step + len(fits) / len(ROUGHNESSES)))
        cost = np.array([fits[r].cost for r in ROUGHNESSES])
        rough.append(_lowest(np.array(ROUGHNESSES), cost))
        if side is not None:
            best = ROUGHNESSES[int(np.argmin(cost))]
            left.append(fits[best].unexplained(known[best].only(~inside)))
            before.append(places.change[~inside].mean(1))
    was, rest = np.concatenate(before), np.concatenate(left)
    one = np.ones(len(was))
    difference = typical(was, one)
    explained = 1 - typical(rest, one) / difference if difference > 0 else 0.0
    return Shine(len(places.sample), difference, explained, rough[0], (rough[1], rough[2]))


def _fewer(samples: SurfaceSamples, seed: int) -> SurfaceSamples:
    """Some of the points, paired anew: the light's part is to be told apart, not to be divided out."""
    rng = np.random.default_rng(seed + 3)
    chosen = np.sort(rng.permutation(len(samples.position))[:POINTS])
    return pair_up(
        samples.position[chosen], samples.normal[chosen], samples.linear[chosen], samples.openness[chosen], rng
    )


def _lowest(at: Float, cost: Float) -> float:
    """Where a parabola through the least of `cost` and its neighbours is lowest; the least itself at the ends."""
    k = int(np.argmin(cost))
    if k in (0, len(at) - 1):
        return float(at[k])
    a, b, _ = np.polyfit(at[k - 1 : k + 2], cost[k - 1 : k + 2], 2)
    return round(float(np.clip(-b / (2 * a), at[k - 1], at[k + 1])), 3) if a > 0 else float(at[k])
