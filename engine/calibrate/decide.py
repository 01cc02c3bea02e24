"""The last word on the angle of view."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.calibrate.guided import FLAT_VIEW
from engine.calibrate.model import Floats, fov_deg
from engine.calibrate.observe import Observation
from engine.calibrate.problem import LAST_SCHEDULE, Fit, Rig
from engine.calibrate.search import Plan, descend, moved_fov
from engine.calibrate.tangency import Tangency

RISE: Final = 0.002
"""The depth's cost rises by this share one standard error away from the truth. Measured: where it rose by 0.0005 for 2
% of focal length, errors were 0.5 to 8 %; where by 0.007, 0.2 to 1 %."""
LEAST: Final = 0.012
"""The least standard error of log f by depth."""
OPEN_DEG: Final = 30.0
"""A standard error of more says nothing."""
FINAL_POINTS: Final = 1500


@dataclass(frozen=True)
class FieldOfView:
    """log_focal: in half widths. sigma: its standard error, inf where it is open."""

    log_focal: float
    sigma: float

    @staticmethod
    def of(tangency: Tangency) -> FieldOfView:
        """As the silhouettes have it."""
        return FieldOfView(tangency.log_focal, tangency.sigma)

    @property
    def deg(self) -> float:
        """In degrees."""
        return fov_deg(self.log_focal)

    @property
    def sigma_deg(self) -> float:
        """The standard error in degrees."""
        return math.degrees(self.sigma * math.sin(math.radians(self.deg)))

    @property
    def is_open(self) -> bool:
        """Whether nothing is known."""
        return not self.sigma_deg < OPEN_DEG

    def combined(self, other: FieldOfView) -> FieldOfView:
        """Both, weighted by their inverse variances."""
        a, b = (1 / max(v.sigma, 1e-9) ** 2 for v in (self, other))
        if a + b == 0:
            return self
        return FieldOfView((a * self.log_focal + b * other.log_focal) / (a + b), 1 / math.sqrt(a + b))


def by_depth(observation: Observation, fit: Fit, poses: Floats | None = None) -> FieldOfView:
    """The angle of view at which the depth renders agree best, from `fit` downhill. poses: [6, 4, 4] if stated."""
    rig = Rig(observation, FINAL_POINTS, coarse=False, poses=poses)
    best, profile = descend(rig, fit, (0.012, 0.004), Plan(), iterations=6)
    at = float(best.full[0])
    x = np.array([k - at for k in profile])
    y = np.array([v / best.cost - 1 for v in profile.values()])
    near = (np.abs(x) > 0.002) & (np.abs(x) < 0.03)
    if not near.any():
        return FieldOfView(at, math.inf)
    curvature = float(np.median(y[near] / x[near] ** 2))
    return FieldOfView(at, max(LEAST, math.sqrt(RISE / curvature)) if curvature > 1e-6 else math.inf)


def at_focal(observation: Observation, fit: Fit, log_focal: float) -> Fit:
    """The last fit, on all points, at the angle of view that was decided."""
    rig = Rig(observation, FINAL_POINTS, coarse=False)
    start = moved_fov(fit, math.exp(log_focal - float(fit.full[0])), observation.spread)
    return rig.solve(
        fit.family, fit.layout, start, LAST_SCHEDULE, iterations=10, fixed=flat_views(fit.full, fit)
    )  # fmt: skip


def flat_views(full: Floats, fit: Fit) -> NDArray[np.bool_]:
    """[13] the slopes that `guided.signed` held."""
    held = np.zeros(13, bool)
    if fit.family.structure in ("shared_offset", "view_minmax"):
        held[7:13] = np.abs(np.abs(full[7:13]) - FLAT_VIEW) < 1e-12
    return held
