"""What is wrong when no cameras explain the six depth renders: one view flipped, two exchanged, one foreign.

The silhouettes propose: under the right suspicion their tangents meet. The depth decides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final, Literal

import numpy as np

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.calibrate.guided import guided_search
from engine.calibrate.model import Family, Layout, all_layouts
from engine.calibrate.observe import Observation
from engine.calibrate.problem import ALL_PAIRS, Fit
from engine.calibrate.search import Plan, plausible_families
from engine.calibrate.tangency import LOG_FOCAL, PAIRS, Outlook, Silhouettes, Tangency, cost_of
from engine.jit import parallel_map
from engine.progress import Checkpoint

Fault = Literal["mirrored", "exchanged", "foreign"]

SOUND_VIOLATION: Final = 0.008
"""Share of points outside a silhouette or in front of a surface. At the truth it is under 0.006, in a wrong reading
0.02 to 0.2."""
GROSS_PX: Final = 1.5
"""Tangents that miss by more than this (median) are no matter of noise."""
MET: Final = 0.35
"""A suspicion has to bring the silhouettes' cost down to this share to be looked into."""
LOOKED_INTO: Final = 4


@dataclass(frozen=True)
class Suspicion:
    """A reading under which the views agree. violation: the share of points that contradict it."""

    fault: Fault
    views: tuple[ViewName, ...]
    violation: float


def equivalent_exchange(suspicion: Suspicion) -> tuple[ViewName, ViewName] | None:
    """The exchange that mends the views as well: of one of front and back with one of left and right, the other two.

    Either way opposite views face each other again. The rigs that result are turned by 90 degrees about Y against each
    other, with left and right in the two ways that are both in use.
    """
    if suspicion.fault != "exchanged" or not set(suspicion.views) <= set(VIEW_NAMES[:4]):
        return None
    a, b = (name for name in VIEW_NAMES[:4] if name not in suspicion.views)
    return a, b


def violation(fit: Fit, left_out: int | None = None) -> float:
    """Share of points outside another view's silhouette or in front of its surface."""
    keep = np.ones((6, 6))
    if left_out is not None:
        keep[left_out] = keep[:, left_out] = 0
    stats = fit.stats * keep[..., None]
    return float((stats[..., 2] + stats[..., 3]).sum() / max(stats[..., 0].sum(), 1))


def contradictory(tangencies: list[Tangency]) -> bool:
    """Whether the silhouettes don't fit together in any layout, at any angle of view."""
    r = np.abs(tangencies[0].residuals_px)
    r = r[np.isfinite(r)]
    return len(r) > 8 and float(np.median(r)) > GROSS_PX


@dataclass(frozen=True)
class _Reading:
    fault: Fault
    views: tuple[int, ...]
    layouts: tuple[Layout, ...]

    @property
    def left_out(self) -> int | None:
        return self.views[0] if self.fault == "foreign" else None


def _readings() -> list[_Reading]:
    plain = all_layouts()
    out = [_Reading("mirrored", (v,), tuple(replace(m, mirrored=v) for m in plain)) for v in range(6)]
    for a, b in combinations(range(6), 2):
        if (a, b) not in {(0, 1), (2, 3)}:  # a layout seen from behind, and a layout
            out.append(_Reading("exchanged", (a, b), tuple(m.exchanged(a, b) for m in plain)))
    return out + [_Reading("foreign", (v,), tuple(plain)) for v in range(6)]


def _mean_cost(silhouettes: Silhouettes, layout: Layout, left_out: int | None) -> tuple[float, float]:
    """The lowest cost per pair of views that meet at an angle, and its log f."""
    used = np.array([left_out not in p for p in PAIRS])
    residuals = silhouettes.residuals_px(layout.poses(), LOG_FOCAL[::2], keep=True)[:, used]
    cost = cost_of(residuals) / max(int(used.sum()), 1)
    k = int(cost.argmin())
    return float(cost[k]), float(LOG_FOCAL[::2][k])


def suspect(
    observation: Observation, outlook: Outlook, families: list[Family], checkpoint: Checkpoint
) -> list[Suspicion]:
    """Every fault that would make the rest agree, the best explanation first."""
    silhouettes = outlook.coarse
    plain = min(_mean_cost(silhouettes, m, None)[0] for m in all_layouts())
    readings = _readings()

    def weigh(reading: _Reading) -> list[tuple[float, float, Layout]]:
        costs = [(*_mean_cost(silhouettes, m, reading.left_out), m) for m in reading.layouts]
        return sorted(costs, key=lambda c: c[0])[:3]

    weighed = list(zip(readings, parallel_map(weigh, readings), strict=True))
    checkpoint(0.9)
    likely = sorted((w for w in weighed if w[1][0][0] < MET * plain), key=lambda w: w[1][0][0])
    # leaving a view out always costs least: look into the others first
    likely = [w for w in likely if w[0].fault != "foreign"] + [w for w in likely if w[0].fault == "foreign"]
    found = []
    for reading, best in likely[:LOOKED_INTO]:
        pairs = ALL_PAIRS.copy()
        allowed = families
        if reading.left_out is not None:
            pairs[reading.left_out] = pairs[:, reading.left_out] = 0
            allowed = plausible_families(observation.fingerprint.without(reading.left_out))
        low = best[0][0]
        marks = [silhouettes.refined(m, m.poses(), x) for c, x, m in best if c < low + 0.5]
        fits = guided_search(observation, marks, allowed, Plan(pairs=pairs), checkpoint)
        if fits:
            share = min(violation(g.fit, reading.left_out) for g in fits)
            found.append(Suspicion(reading.fault, tuple(VIEW_NAMES[v] for v in reading.views), share))
            if share <= SOUND_VIOLATION:
                break
    return sorted(found, key=lambda s: (s.violation > SOUND_VIOLATION, s.fault == "foreign", s.violation))
