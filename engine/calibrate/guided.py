"""The search where the silhouettes have found the angle of view: what is left are the coding and the last layouts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from engine.calibrate.model import Family, Floats, Layout, fov_deg
from engine.calibrate.observe import Observation
from engine.calibrate.problem import COARSE_SCHEDULE, FINE_SCHEDULE, LAST_SCHEDULE, Fit, Rig, initial
from engine.calibrate.search import Plan, best_per, score, sound
from engine.calibrate.tangency import Tangency
from engine.jit import parallel_map
from engine.progress import Checkpoint

COARSE_POINTS = 100
MIDDLE_POINTS = 200
FINE_POINTS = 500
FREE_START = -0.3
FLAT_VIEW = 0.008
FARS = (0.4, 0.0, 0.85, FREE_START)
"""How far back the starts take each view's farthest code to lie: most fits are found from any, some from one.
FREE_START: with each view's coding free at first."""
MANY: Final = 8
"""From so many tangencies on, layouts are alike to the outlines (an object that looks the same from several sides), and
most will be to the depth: families are then told apart on a few of them."""
SAMPLE: Final = 4
"""Every such tangency is among the few."""
BEHIND: Final = 1.5
"""A family that costs more by this on the few, coarsely, is not fitted to the others. The right one was within 1.02."""
CLOSE: Final = 1.06
"""Finer fits that score worse than the best by more are not followed."""


@dataclass(frozen=True, eq=False)
class Guided:
    """A depth fit at a tangency's focal length."""

    fit: Fit
    tangency: Tangency


def guided_score(found: Guided) -> float:
    """The depth's cost with the family's handicap, and a little for what the silhouettes say against the layout."""
    return score(found.fit) * (1 + 0.002 * found.tangency.cost)


def guided_search(
    observation: Observation, tangencies: list[Tangency], families: list[Family], plan: Plan, checkpoint: Checkpoint
) -> list[Guided]:
    """Fits of every family at every tangency, the angle of view held; cheapest first, all on the same points."""
    coarse = Rig(observation, COARSE_POINTS, coarse=True)
    fars = FARS if len(tangencies) < MANY else FARS[:1]

    def start(task: tuple[Tangency, Family, float]) -> Guided:
        at, family, far = task
        full = initial(observation, family, at.layout.poses(), fov_deg(at.log_focal), far=abs(far))
        full[0] = at.log_focal
        if far == FREE_START:
            free = family.with_structure("view_minmax")
            full = coarse.solve(free, at.layout, full, COARSE_SCHEDULE[:2], iterations=8, pair_weight=plan.pairs).full
        return Guided(signed(coarse, family, at.layout, full, COARSE_SCHEDULE, 10, plan.pairs), at)

    def fitted(tangencies: list[Tangency], families: list[Family]) -> list[Guided]:
        fits = parallel_map(start, list(product(tangencies, families, fars)))
        return [g for g in fits if sound(g.fit, observation)]

    def refine(per_view: int, iterations: int, g: Guided) -> Guided:
        rig = Rig(observation, per_view, coarse=False)
        schedule = FINE_SCHEDULE if per_view == MIDDLE_POINTS else LAST_SCHEDULE
        fit = signed(rig, g.fit.family, g.fit.layout, g.fit.full, schedule, iterations, plan.pairs)
        return Guided(fit, g.tangency)

    def refined(fits: list[Guided]) -> list[Guided]:
        return [g for g in parallel_map(lambda g: refine(MIDDLE_POINTS, 8, g), fits) if sound(g.fit, observation)]

    if len(tangencies) < MANY:
        found = fitted(tangencies, families)
        checkpoint(0.4)
        kept = refined(_per_family(found, 2))
    else:
        found = fitted(tangencies[::SAMPLE], families)
        checkpoint(0.3)
        others = [t for i, t in enumerate(tangencies) if i % SAMPLE]
        found += fitted(others, _not_behind(found, families, lambda g: g.fit.cost, BEHIND))
        checkpoint(0.4)
        first = _per_family(found, 2)
        kept = refined(first)
        near = _not_behind(kept, families, guided_score, CLOSE)
        taken = {id(g) for g in first}
        kept += refined([g for g in _per_family(found, 8) if g.fit.family in near and id(g) not in taken])
    checkpoint(0.6)
    kept = sorted(kept, key=guided_score)
    kept = [g for i, g in enumerate(kept) if i < 4 or guided_score(g) < CLOSE * guided_score(kept[0])][:12]
    kept = [g for g in parallel_map(lambda g: refine(FINE_POINTS, 12, g), kept) if sound(g.fit, observation)]
    checkpoint(0.8)
    return sorted(kept, key=guided_score)


def signed(
    rig: Rig, family: Family, layout: Layout, full: Floats, schedule: Floats, iterations: int, pairs: Floats
) -> Fit:
    """A fit at a held angle of view; a view whose codes would run the wrong way is held at a nearly constant depth.

    That happens where a view sees little but one flat face: its points leave open how much a code is worth.
    """
    fit = rig.solve(family, layout, full, schedule, iterations=iterations, pair_weight=pairs)
    sign = 1 if family.far_bright == (family.kind == "linear") else -1
    wrong = sign * fit.full[7:13] <= 0
    if family.structure not in ("shared_offset", "view_minmax") or not 0 < int(wrong.sum()) <= 2:
        return fit
    fixed = np.zeros(13, bool)
    fixed[7:13] = wrong
    start = np.where(fixed, sign * FLAT_VIEW, fit.full)
    return rig.solve(family, layout, start, schedule, iterations=iterations, pair_weight=pairs, fixed=fixed)


def _not_behind(
    found: list[Guided], families: list[Family], score_of: Callable[[Guided], float], factor: float
) -> list[Family]:
    """The families whose best is within `factor` of the best of all."""
    least = {f: min((score_of(g) for g in found if g.fit.family == f), default=math.inf) for f in families}
    best = min(least.values(), default=math.inf)
    return [f for f in families if least[f] < factor * best]


def _per_family(found: list[Guided], keep: int) -> list[Guided]:
    """The cheapest `keep` of each family, of each layout its best."""
    by_fit = {id(g.fit): g for g in found}
    single = best_per([g.fit for g in found], lambda f: (f.family, f.layout), 1)
    return [by_fit[id(f)] for f in best_per(single, lambda f: f.family, keep)]
