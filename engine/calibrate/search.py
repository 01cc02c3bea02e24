"""The search over codings, angles of view and layouts, from coarse to fine.

The angle of view is searched on a grid, as a joint optimum is found only from near by: left free from a far start it
creeps along a valley. The four upright views come first (only left and right can be exchanged there), then top's and
bottom's rolls, then the best few are polished together on more points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Final, get_args

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
    ALL_PAIRS,
    COARSE_SCHEDULE,
    FINE_SCHEDULE,
    LAST_SCHEDULE,
    RING_PAIRS,
    WARM_COARSE_SCHEDULE,
    Fit,
    Rig,
    initial,
)
from engine.calibrate.result import Axis, Kind, Measure, Rounding, Structure
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
    rounding: Rounding = "floor" if fingerprint.truncated else "nearest"
    structures: tuple[Structure, ...]
    if fingerprint.all_reach_top and fingerprint.all_reach_bottom:
        structures = ("view_minmax",)
    elif fingerprint.all_reach_top:
        structures = ("view_max", "shared_offset")
    else:
        structures = ("shared",)
    kinds: tuple[Kind, ...] = get_args(Kind)
    measures: tuple[Measure, ...] = get_args(Measure)
    out = [Family("linear", m, True, "shared", rounding, zero_offset=True) for m in measures if "shared" in structures]
    for structure in structures:
        for kind, measure, far_bright in product(kinds, measures, (True, False)):
            # without an offset a code is proportional to depth (far is bright) or to 1/depth (near is)
            if structure != "view_max" or far_bright == (kind == "linear"):
                out.append(Family(kind, measure, far_bright, structure, rounding))
    return out


def handicap(family: Family) -> float:
    """How much better than the plainest family one has to be, as a share of the cost: uncommon ones explain more."""
    return (
        (0.01 if family.measure == "ray" else 0.0)
        + (0.01 if family.kind == "disparity" and family.far_bright else 0.0)
        + (0.005 if family.kind == "disparity" else 0.0)
        + (0.02 if family.structure == "shared_offset" else 0.0)
        + (0.01 if family.structure == "shared" and not family.zero_offset else 0.0)
    )


@dataclass(frozen=True, eq=False)
class Plan:
    """What a search covers.

    change: makes a faulty layout of a plain one, to test a suspicion. pairs: [6, 6], 0 leaves a pair of views out.
    free_fov: False holds the angle of view at fovs. families: None for those that the codes allow. seeds: how many
    solutions go on to the next step. alike: all views show the same, however they are turned: what fits in one layout
    fits in all.
    """

    fovs: tuple[float, ...] = FOV_GRID
    free_fov: bool = True
    families: tuple[Family, ...] | None = None
    change: Callable[[Layout], Layout] = Layout.unchanged
    pairs: Floats = field(default_factory=ALL_PAIRS.copy)
    seeds: int = 6
    alike: bool = False


def ring(observation: Observation, families: list[Family], plan: Plan) -> list[Fit]:
    """Fits of the four upright views, for every family, left's place and angle of view."""
    rig = Rig(observation, COARSE_POINTS, coarse=True)

    def solve(task: tuple[Family, Axis, float]) -> Fit:
        family, left, fov = task
        layout = plan.change(make_layout(left))
        start = initial(observation, family, layout.poses(), fov, views=4)
        pairs = np.ascontiguousarray(plan.pairs * RING_PAIRS)
        return rig.solve(family, layout, start, COARSE_SCHEDULE, iterations=8, pair_weight=pairs)

    return parallel_map(solve, list(product(families, LEFTS[:1] if plan.alike else LEFTS, plan.fovs)))


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


def _left_of(layout: Layout, plan: Plan) -> Axis:
    """Left's place in the plain layout that `layout` was made of."""
    return next(left for left in LEFTS if plan.change(make_layout(left)).axes[:4] == layout.axes[:4])


def all_rolls(observation: Observation, seeds: list[Fit], plan: Plan) -> list[Fit]:
    """Every roll of top and bottom on each of the ring's solutions, six views, coarse, angle of view free at last."""
    rig = Rig(observation, COARSE_POINTS, coarse=True)

    def solve(task: tuple[Fit, Axis, Axis]) -> Fit:
        seed, top, bottom = task
        layout = plan.change(make_layout(_left_of(seed.layout, plan), top, bottom))
        start = seed.full.copy()
        start[[5, 6, 11, 12]] = initial(observation, seed.family, layout.poses(), fov_deg(seed.full[0]))[[5, 6, 11, 12]]
        first = rig.solve(seed.family, layout, start, WARM_COARSE_SCHEDULE, iterations=6, pair_weight=plan.pairs)
        return rig.solve(
            seed.family, layout, first.full, WARM_COARSE_SCHEDULE[1:], iterations=6, free_fov=plan.free_fov,
            pair_weight=plan.pairs,
        )  # fmt: skip

    ups = UPS[:1] if plan.alike else UPS
    return parallel_map(solve, list(product(seeds, ups, ups)))


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


def descend(
    rig: Rig, fit: Fit, steps: tuple[float, ...], plan: Plan, iterations: int = 8
) -> tuple[Fit, dict[float, float]]:
    """Walk downhill in log f, the rest fitted at each step, with ever smaller steps; then free the angle of view.

    Returns the fit and the costs met on the way, by log f.
    """
    observation = rig.observation

    def at(base: Fit, log_step: float) -> Fit:
        start = moved_fov(base, math.exp(log_step), observation.spread) if log_step else base.full
        return rig.solve(
            fit.family, fit.layout, start, LAST_SCHEDULE, iterations=iterations, pair_weight=plan.pairs
        )  # fmt: skip

    best = at(fit, 0.0)
    profile = {float(best.full[0]): best.cost}
    if not plan.free_fov:
        return best, profile
    for step in steps:
        improved = False
        for sign in (1, -1):
            if improved:
                break
            for _ in range(6):
                trial = at(best, sign * step)
                profile[float(trial.full[0])] = trial.cost
                if trial.cost >= best.cost or not sound(trial, observation):
                    break
                best, improved = trial, True
    freed = rig.solve(
        fit.family, fit.layout, best.full, LAST_SCHEDULE[1:], iterations=15, free_fov=True, pair_weight=plan.pairs
    )  # fmt: skip
    if freed.cost <= best.cost:
        best = freed
        profile[float(best.full[0])] = best.cost
    return best, profile


def polish(
    observation: Observation, fit: Fit, per_view: int, plan: Plan, steps: tuple[float, ...] = (0.06, 0.02)
) -> Fit:
    """The optimum downhill from `fit`, on the fine level."""
    rig = Rig(observation, per_view, coarse=False)
    first = rig.solve(fit.family, fit.layout, fit.full, FINE_SCHEDULE[:2], iterations=8, pair_weight=plan.pairs)
    return descend(rig, first, steps, plan)[0]


def moved_to(observation: Observation, fit: Fit, layout: Layout, per_view: int, plan: Plan) -> Fit:
    """`fit` under another layout: from where it was, or with top and bottom afresh."""
    rig = Rig(observation, per_view, coarse=False)
    found = []
    fresh = fit.full.copy()
    fresh[[5, 6, 11, 12]] = initial(observation, fit.family, layout.poses(), fov_deg(fit.full[0]))[[5, 6, 11, 12]]
    for start in (fit.full, fresh):
        first = rig.solve(fit.family, layout, start, FINE_SCHEDULE, iterations=6)
        found.append(
            rig.solve(fit.family, layout, first.full, LAST_SCHEDULE[1:], iterations=6, free_fov=plan.free_fov)
        )  # fmt: skip
    return min(found, key=lambda f: f.cost)


def score(fit: Fit) -> float:
    """The cost with the family's handicap."""
    return fit.cost * (1 + handicap(fit.family))


def early_score(fit: Fit) -> float:
    """The same for coarse fits, where the handicap weighs more."""
    return fit.cost * (1 + 3 * handicap(fit.family))


def leaders(observation: Observation, plan: Plan) -> list[Fit]:
    """The best fits of a coarse search polished on a few points, cheapest first."""
    families = list(plan.families or plausible_families(observation.fingerprint))
    upright = [f for f in ring(observation, families, plan) if sound(f, observation)]
    seeds = sorted(best_per(upright, lambda f: (f.family, f.layout.axes[2]), 1 + plan.seeds // 10), key=early_score)
    rolled = [f for f in all_rolls(observation, seeds[: plan.seeds], plan) if sound(f, observation)]
    kept = sorted(best_per(rolled, lambda f: (f.family, f.layout.axes[2]), 1 + plan.seeds // 10), key=early_score)
    kept = kept[: max(plan.seeds - 1, 1)]
    polished = parallel_map(lambda f: polish(observation, f, 150, plan), kept)
    return sorted((f for f in polished if sound(f, observation)), key=score)


def search(
    observation: Observation, plan: Plan, checkpoint: Checkpoint, hopeless: Callable[[list[Fit]], bool] | None = None
) -> list[Fit]:
    """The best fits, cheapest first, on the fine level: several families, several layouts.

    All are measured on the same points, so that their costs can be compared. hopeless: whether the best family's fits
    of all layouts, on fewer points, are beyond deciding: then these are the answer, as they are.
    """
    polished = leaders(observation, plan)
    checkpoint(0.6)
    if not polished:
        return []
    best = polished[0]
    if plan.alike:
        return [replace(best, layout=layout) for layout in all_layouts()]
    turned = parallel_map(lambda layout: moved_to(observation, best, layout, 150, plan), all_layouts())
    turned = [f for f in turned if sound(f, observation)]
    checkpoint(0.8)
    if hopeless is not None and hopeless(turned):
        return sorted(turned, key=score)
    pool = sorted(best_per(polished + turned, lambda f: (f.family, f.layout.key), 1), key=score)
    pool = [f for i, f in enumerate(pool) if i < 3 or (i < 8 and score(f) < 1.06 * score(pool[0]))]
    final = parallel_map(lambda f: polish(observation, f, 500, plan, (0.04, 0.013)), pool)
    checkpoint(0.9)
    return sorted((f for f in final if sound(f, observation)), key=score)
