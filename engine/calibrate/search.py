"""The search over codings, angles of view and layouts, from coarse to fine.

The angle of view is searched on a grid, as a joint optimum is found only from near by: left free from a far start it
creeps along a valley. The four upright views come first (only left and right can be exchanged there), then top's and
bottom's rolls, then the best few are polished together on more points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Final

import numpy as np

from engine.calibrate.model import (
    LEFTS,
    UPS,
    Family,
    Floats,
    Layout,
    all_layouts,
    fov_deg,
    make_layout,
)
from engine.calibrate.observe import Fingerprint, Observation
from engine.calibrate.problem import (
    COARSE_SCHEDULE,
    FINE_SCHEDULE,
    LAST_SCHEDULE,
    RING_PAIRS,
    WARM_COARSE_SCHEDULE,
    Fit,
    Rig,
    initial,
)
from engine.calibrate.result import Axis, Kind, Measure, Structure
from engine.jit import parallel_map
from engine.progress import Checkpoint

FOV_GRID: Final = tuple(float(v) for v in np.geomspace(12, 92, 10))
COARSE_POINTS: Final = 100
FINE_POINTS: Final = 300


def plausible_families(fingerprint: Fingerprint) -> list[Family]:
    """The families that the codes' extremes allow, simplest structures first.

    Every view at the highest code: divided by its own maximum, or stretched; every one at the lowest code as well:
    stretched. Otherwise one range is shared by all views.
    """
    rounding = "floor" if fingerprint.truncated else "nearest"
    structures: tuple[Structure, ...]
    if fingerprint.all_reach_top and fingerprint.all_reach_bottom:
        structures = ("view_minmax",)
    elif fingerprint.all_reach_top:
        structures = ("view_max", "shared_offset")
    else:
        structures = ("shared",)
    kinds: tuple[Kind, ...] = ("linear", "disparity")
    measures: tuple[Measure, ...] = ("planar", "ray")
    return [
        Family(kind, measure, far_bright, structure, rounding)
        for structure, kind, measure, far_bright in product(structures, kinds, measures, (True, False))
        if far_bright == (kind == "linear") or (structure != "view_max" and kind == "linear")
    ]


def handicap(family: Family) -> float:
    """How much better than the plainest family one has to be, as a share of the cost: uncommon ones explain more."""
    return (
        (0.01 if family.measure == "ray" else 0.0)
        + (0.005 if family.kind == "disparity" else 0.0)
        + (0.02 if family.structure == "shared_offset" else 0.0)
    )


def ring(observation: Observation, families: list[Family], fovs: tuple[float, ...] = FOV_GRID) -> list[Fit]:
    """Fits of the four upright views, for every family, left's place and angle of view."""
    rig = Rig(observation, COARSE_POINTS, coarse=True)

    def solve(task: tuple[Family, Axis, float]) -> Fit:
        family, left, fov = task
        layout = make_layout(left)
        start = initial(observation, family, layout.poses(), fov, views=4)
        return rig.solve(family, layout, start, COARSE_SCHEDULE, iterations=8, pair_weight=RING_PAIRS)

    return parallel_map(solve, list(product(families, LEFTS, fovs)))


def sound(fit: Fit, observation: Observation) -> bool:
    """Whether all views' depths grow the way the family says, and lie before the camera."""
    sign = 1 if fit.family.far_bright == (fit.family.kind == "linear") else -1
    slope = fit.full[7:13]
    return bool((slope * sign > 0).all() and np.isfinite(fit.cost))


def best_per(fits: list[Fit], key: Callable[[Fit], object], keep: int) -> list[Fit]:
    """The cheapest `keep` of each key, cheapest first."""
    seen: dict[object, int] = {}
    out = []
    for fit in sorted(fits, key=lambda f: f.cost):
        k = key(fit)
        seen[k] = seen.get(k, 0) + 1
        if seen[k] <= keep:
            out.append(fit)
    return out


def all_rolls(observation: Observation, seeds: list[Fit]) -> list[Fit]:
    """Every roll of top and bottom on each of the ring's solutions, six views, coarse, angle of view free at last."""
    rig = Rig(observation, COARSE_POINTS, coarse=True)

    def solve(task: tuple[Fit, Axis, Axis]) -> Fit:
        seed, top, bottom = task
        layout = make_layout(seed.layout.axes[2].toward, top, bottom)
        start = seed.full.copy()
        start[[5, 6, 11, 12]] = initial(observation, seed.family, layout.poses(), fov_deg(seed.full[0]))[[5, 6, 11, 12]]
        first = rig.solve(seed.family, layout, start, WARM_COARSE_SCHEDULE, iterations=6)
        return rig.solve(seed.family, layout, first.full, WARM_COARSE_SCHEDULE[1:], iterations=6, free_fov=True)

    return parallel_map(solve, list(product(seeds, UPS, UPS)))


def moved_fov(fit: Fit, factor: float, spread: Floats) -> Floats:
    """`fit`'s parameters at `factor` times the focal length: the object's depth scales with its size."""
    out = fit.full.copy()
    out[0] += math.log(factor)
    disparity = fit.family.kind == "disparity"
    for view in range(6):
        low, high = spread[view, 0], max(spread[view, 1], spread[view, 0] + 0.004)
        g = np.maximum(out[1 + view] + out[7 + view] * np.array([low, high]), 0.02)
        z = np.maximum(1 + ((1 / g if disparity else g) - 1) / factor, 0.05)
        g = 1 / z if disparity else z
        out[7 + view] = (g[1] - g[0]) / (high - low)
        out[1 + view] = g[0] - out[7 + view] * low
    return out


def polish(observation: Observation, fit: Fit, per_view: int, factors: tuple[float, ...] = (1.0, 0.94, 1.06)) -> Fit:
    """The best of several starts around `fit`, angle of view free, on the fine level."""
    rig = Rig(observation, per_view, coarse=False)
    found = []
    for factor in factors:
        start = moved_fov(fit, factor, observation.spread)
        first = rig.solve(fit.family, fit.layout, start, FINE_SCHEDULE[:2], iterations=8)
        found.append(rig.solve(fit.family, fit.layout, first.full, LAST_SCHEDULE, iterations=15, free_fov=True))
    return min(found, key=lambda f: f.cost)


def moved_to(observation: Observation, fit: Fit, layout: Layout, per_view: int) -> Fit:
    """`fit` under another layout: top and bottom start afresh, the rest from where it was."""
    rig = Rig(observation, per_view, coarse=False)
    found = []
    fresh = fit.full.copy()
    fresh[[5, 6, 11, 12]] = initial(observation, fit.family, layout.poses(), fov_deg(fit.full[0]))[[5, 6, 11, 12]]
    for start in (fit.full, fresh):
        first = rig.solve(fit.family, layout, start, FINE_SCHEDULE, iterations=6)
        found.append(rig.solve(fit.family, layout, first.full, LAST_SCHEDULE[1:], iterations=6, free_fov=True))
    return min(found, key=lambda f: f.cost)


def restructured(observation: Observation, fit: Fit, structure: Structure, per_view: int) -> Fit:
    """The same solution under another structure of the coding."""
    return polish(observation, replace(fit, family=fit.family.with_structure(structure)), per_view, (1.0,))


def score(fit: Fit) -> float:
    """The cost with the family's handicap."""
    return fit.cost * (1 + handicap(fit.family))


def search(observation: Observation, checkpoint: Checkpoint) -> list[Fit]:
    """The best fits, cheapest first, on the fine level: several families, several layouts.

    All are measured on the same points, so that their costs can be compared.
    """
    families = plausible_families(observation.fingerprint)
    upright = [f for f in ring(observation, families) if sound(f, observation)]
    checkpoint(0.3)
    seeds = sorted(
        best_per(upright, lambda f: (f.family, f.layout.key), 1), key=lambda f: f.cost * (1 + 3 * handicap(f.family))
    )[:6]
    rolled = [f for f in all_rolls(observation, seeds) if sound(f, observation)]
    checkpoint(0.5)
    leaders = sorted(
        best_per(rolled, lambda f: (f.family, f.layout.axes[2]), 1), key=lambda f: f.cost * (1 + 3 * handicap(f.family))
    )[:5]
    polished = [f for f in parallel_map(lambda f: polish(observation, f, 150), leaders) if sound(f, observation)]
    checkpoint(0.65)
    best = min(polished, key=score)
    layouts = all_layouts()
    turned = parallel_map(lambda layout: moved_to(observation, best, layout, 150), layouts)
    turned = [f for f in turned if sound(f, observation)]
    checkpoint(0.8)
    pool = best_per(polished + turned, lambda f: (f.family, f.layout.key), 1)
    pool = sorted(pool, key=score)[:6]
    final = [f for f in parallel_map(lambda f: polish(observation, f, 500), pool) if sound(f, observation)]
    checkpoint(0.95)
    return sorted(final, key=score)


def finish(observation: Observation, fit: Fit) -> Fit:
    """The last fit, on all points."""
    rig = Rig(observation, 10**9, coarse=False)
    return rig.solve(fit.family, fit.layout, fit.full, LAST_SCHEDULE, iterations=25, free_fov=True)
