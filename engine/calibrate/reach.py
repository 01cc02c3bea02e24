"""A view whose depths float: what it shows has to reach the outlines that its neighbours show.

Where each view has a range of its own and a view sees little but one face that no other view sees (the flat base that
an object stands on), the fit may sink that face into the object, where it is out of everybody's sight and costs
nothing. But the neighbours' silhouettes end where that face is: the extreme of a neighbour's outline towards a camera
is what that camera sees nearest.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.calibrate.model import Floats, relative_poses
from engine.calibrate.observe import Observation
from engine.calibrate.problem import LAST_SCHEDULE, Fit, Rig

FLOATING: Final = 0.015
"""A view that falls short of its neighbours' outlines by this share of the camera distance floats."""
SPANS: Final = (0.1, 0.25, 0.5, 1.0)
"""What part of its depth range a floating view is tried with."""
DEARER: Final = 1.01
"""How much more the depth may cost with the view in reach."""


def shortfall(observation: Observation, fit: Fit) -> NDArray[np.float64]:
    """[6] by how much each view's nearest surface is deeper than the neighbours' outlines allow, in depth.

    The second least of the four neighbours' figures, as another part may hide the one that touches.
    """
    poses = fit.layout.poses()
    rotation, shift = relative_poses(poses)
    focal = float(np.exp(fit.full[0]))
    out = np.zeros(6)
    for a in range(6):
        ray, z = _rays(observation, fit, a)
        short = []
        for b in range(6):
            towards = (poses[a, :3, 3] @ poses[b, :3, :3])[:2]
            length = float(np.linalg.norm(towards))
            if b // 2 == a // 2 or length < 0.5:
                continue
            w = towards / length
            reach = float((observation.outline[b] @ w).max())
            R, t = rotation[a, b], shift[a, b]
            below = focal * (ray @ R[:2].T @ w) - reach * (ray @ R[2])
            required = (reach * t[2] - focal * float(w @ t[:2])) / np.where(np.abs(below) > 1e-6, below, np.nan)
            short.append(float(np.nanmin(np.where(required > 0, z - required, np.nan))))
        out[a] = sorted(short)[1]
    return out


def _rays(observation: Observation, fit: Fit, view: int) -> tuple[Floats, Floats]:
    """[n, 3] the directions (z = 1) and [n] the planar depths of a view's points."""
    points = observation.points[view]
    focal = float(np.exp(fit.full[0]))
    ray = np.column_stack([points[:, :2] / focal, np.ones(len(points))])
    t = points[:, 2] + fit.family.code_shift_levels / observation.fingerprint.code_max
    g = fit.full[1 + view] + fit.full[7 + view] * t
    z = 1 / np.maximum(g, 0.02) if fit.family.kind == "disparity" else g
    return ray, z / np.linalg.norm(ray, axis=1) if fit.family.measure == "ray" else z


def settled(observation: Observation, fit: Fit, per_view: int = 500) -> Fit:
    """`fit` with floating views brought to where their neighbours' outlines end, where the depth allows it."""
    if fit.family.structure != "view_minmax":
        return fit
    rig = Rig(observation, per_view, coarse=False)
    short = shortfall(observation, fit)
    for view in np.nonzero(short > FLOATING)[0]:
        low, high = observation.spread[view]
        near_code, far_code = (low, high) if fit.family.far_bright else (high, low)
        g = fit.full[1 + view] + fit.full[7 + view] * np.array([near_code, far_code])
        z_near, z_far = 1 / g if fit.family.kind == "disparity" else g
        best = None
        for span in SPANS if view not in observation.flat else (1.0,):
            ends = np.array([z_near - short[view], z_near - short[view] + span * (z_far - z_near)])
            ends = 1 / ends if fit.family.kind == "disparity" else ends
            start = fit.full.copy()
            start[7 + view] = (ends[1] - ends[0]) / (far_code - near_code)
            start[1 + view] = ends[0] - start[7 + view] * near_code
            fixed = np.ones(13, bool)
            fixed[0] = fixed[1 + view] = fixed[7 + view] = False
            trial = rig.solve(fit.family, fit.layout, start, LAST_SCHEDULE, iterations=12, fixed=fixed)
            if shortfall(observation, trial)[view] < short[view] / 2 and (best is None or trial.cost < best.cost):
                best = trial
        now = rig.solve(fit.family, fit.layout, fit.full, LAST_SCHEDULE, iterations=0)
        if best is not None and best.cost < DEARER * now.cost:
            fit = best
    return fit
