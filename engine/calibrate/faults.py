"""What is wrong when no cameras explain the six depth renders: one view flipped, two exchanged, one foreign."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Final, Literal

import numpy as np

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.calibrate.model import Family, Layout
from engine.calibrate.observe import Observation
from engine.calibrate.problem import Fit
from engine.calibrate.search import Plan, leaders
from engine.progress import Checkpoint

SOUND_VIOLATION: Final = 0.008
"""Share of points outside a silhouette or in front of a surface. At the truth it is under 0.003, in a wrong reading
0.02 to 0.2."""


@dataclass(frozen=True)
class Suspicion:
    """A reading under which the views agree. violation: the share of points that contradict it."""

    fault: Literal["mirrored", "exchanged", "foreign"]
    views: tuple[ViewName, ...]
    violation: float


def violation(fit: Fit, left_out: int | None = None) -> float:
    """Share of points outside another view's silhouette or in front of its surface."""
    keep = np.ones((6, 6))
    if left_out is not None:
        keep[left_out] = keep[:, left_out] = 0
    stats = fit.stats * keep[..., None]
    return float((stats[..., 2] + stats[..., 3]).sum() / max(stats[..., 0].sum(), 1))


def _mirror(layout: Layout, view: int) -> Layout:
    return replace(layout, mirrored=view)


def _exchange(layout: Layout, a: int, b: int) -> Layout:
    return layout.exchanged(a, b)


def suspect(observation: Observation, families: list[Family], checkpoint: Checkpoint) -> list[Suspicion]:
    """Every fault that would make the rest agree, the best explanation first.

    families: what the coding may be; a few, as each fault takes a search of its own.
    """
    base = Plan(fovs=(16.0, 26.0, 38.0, 52.0, 72.0), families=tuple(families), seeds=3)
    readings: list[tuple[Literal["mirrored", "exchanged", "foreign"], tuple[int, ...], Plan]] = []
    for view in range(6):
        readings.append(("mirrored", (view,), replace(base, change=partial(_mirror, view=view))))
    for a, b in combinations(range(6), 2):
        if (a, b) not in {(0, 1), (2, 3)}:  # a layout seen from behind, and a layout
            readings.append(("exchanged", (a, b), replace(base, change=partial(_exchange, a=a, b=b))))
    for view in range(6):
        pairs = base.pairs.copy()
        pairs[view] = pairs[:, view] = 0
        readings.append(("foreign", (view,), replace(base, pairs=pairs)))
    found = []
    for fault, views, plan in readings:
        fits = leaders(observation, plan)
        checkpoint(0.95)
        if fits:
            share = min(violation(f, views[0] if fault == "foreign" else None) for f in fits)
            found.append(Suspicion(fault, tuple(VIEW_NAMES[v] for v in views), share))
    return sorted(found, key=lambda s: (s.violation > SOUND_VIOLATION, s.fault == "foreign", s.violation))
