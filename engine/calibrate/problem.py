"""One fit: a rig and a family of codings against the observed views, at fixed or free angle of view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.calibrate.kernels import fit
from engine.calibrate.model import Family, Layout, log_focal, relative_poses
from engine.calibrate.observe import Observation

Floats = NDArray[np.float64]

ALL_PAIRS: Final = np.asarray(1.0 - np.eye(6))
RING_PAIRS: Final = np.pad(1.0 - np.eye(4), ((0, 2), (0, 2)))

# silhouette, front, behind: scales in pixels of the level; behind is off at first, being mostly occlusion
# at first. At the truth hardly any point is outside or in front, so these two are dear: wide Cauchy scales.
COARSE_SCHEDULE: Final = np.array([[12, 12, 0], [5, 6, 6], [3, 4, 3.0]])
WARM_COARSE_SCHEDULE: Final = np.array([[5, 6, 6], [3, 4, 3.0]])
FINE_SCHEDULE: Final = np.array([[12, 20, 20], [6, 10, 8], [5, 8, 6.0]])
LAST_SCHEDULE: Final = np.array([[6, 10, 8], [5, 8, 6.0]])
FLAT_RANGE: Final = 0.002
"""Depth range that a flat view starts with, over its one code."""
SCALE_PRIOR: Final = 0.3
"""Pull of a view's scale to its start, per point: felt only where a view's codes do not vary."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A solution. full: [13] kernel parameters. cost: per (point, view) pair. stats: [6, 6, 6], see kernels.STATS."""

    family: Family
    layout: Layout
    full: Floats
    cost: float
    stats: Floats

    def violation(self) -> Floats:
        """[6, 6] share of A's points that fall outside B's silhouette or in front of its surface."""
        return np.asarray((self.stats[..., 2] + self.stats[..., 3]) / np.maximum(self.stats[..., 0], 1))

    def agreement(self) -> Floats:
        """[6, 6] share of A's points that lie on B's surface."""
        return np.asarray(self.stats[..., 4] / np.maximum(self.stats[..., 0], 1))


@dataclass(frozen=True, eq=False)
class Rig:
    """Points and fields at one level of detail, for a layout (or given poses, [6, 4, 4])."""

    observation: Observation
    per_view: int
    coarse: bool
    poses: Floats | None = None

    def solve(
        self,
        family: Family,
        layout: Layout,
        full: Floats,
        schedule: Floats,
        *,
        free_fov: bool = False,
        iterations: int = 15,
        pair_weight: Floats = ALL_PAIRS,
        fixed: NDArray[np.bool_] | None = None,
    ) -> Fit:
        """Fit from `full` (projected onto the family's structure). fixed: [13] full parameters that stay."""
        points, starts = self.observation.sample(self.per_view)
        fields = self.observation.coarse if self.coarse else self.observation.fine
        rotation, translation = relative_poses(layout.poses() if self.poses is None else self.poses)
        basis = family.basis()
        active = (pair_weight + pair_weight.T).sum(1) > 0
        theta = project(basis, full, self.observation.spread)
        base = np.zeros(13)
        if fixed is not None and fixed[1:].any():
            base, basis, theta = _held(basis, theta, full, fixed)
        else:
            base[0] = full[0]
        if free_fov:
            column = np.zeros((13, 1))
            column[0] = 1
            basis, theta, base = np.hstack([column, basis]), np.concatenate([[full[0]], theta]), base.copy()
            base[0] = 0
        prior = np.zeros(13)
        if family.structure == "view_minmax":
            prior[7:13] = SCALE_PRIOR * self.per_view * np.where(active, 1, 0)
        stats = np.zeros((6, 6, 6))
        cost = fit(
            base,
            np.ascontiguousarray(basis),
            theta,
            prior,
            points,
            starts,
            fields,
            rotation,
            translation,
            pair_weight,
            family.code_shift_levels / self.observation.fingerprint.code_max,
            family.kind == "disparity",
            family.measure == "ray",
            np.column_stack([schedule, np.full(len(schedule), 1 / self.observation.fingerprint.code_max)]),
            iterations,
            stats,
        )
        return Fit(family, layout, base + basis @ theta, float(cost), stats)


def _held(basis: Floats, theta: Floats, full: Floats, fixed: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """The basis whose columns do not touch the fixed parameters; these come from `full`."""
    free = ~(np.abs(basis[fixed]).sum(0) > 0)
    base = np.where(fixed, full, 0)
    base[0] = full[0]
    kept = np.where(fixed[:, None], 0, basis)[:, free]
    return base, np.asarray(kept), np.asarray(theta[free])


def project(basis: Floats, full: Floats, spread: Floats) -> Floats:
    """The structure's parameters that come nearest to `full` at the ends of each view's codes (least squares)."""
    rows, values = [], []
    for view in range(6):
        for t, weight in ((spread[view, 0], 1.0), (spread[view, 1], 1.0)):
            rows.append(weight * (basis[1 + view] + t * basis[7 + view]))
            values.append(weight * (full[1 + view] + t * full[7 + view]))
    matrix, target = np.array(rows), np.array(values)
    ridge = 1e-8 * np.eye(matrix.shape[1])
    return np.asarray(np.linalg.solve(matrix.T @ matrix + ridge, matrix.T @ target))


def initial(
    observation: Observation, family: Family, poses: Floats, fov_deg: float, views: int = 6, far: float = 0.4
) -> Floats:
    """[13] a start from the silhouettes' boxes.

    The object's reach along every world axis, seen from the side, says where each view's nearest code lies, and
    about where its farthest: `far` of the way back.
    """
    full = np.zeros(13)
    full[0] = log_focal(fov_deg)
    focal = float(np.exp(full[0]))
    axes = [s * np.eye(3)[k] for k in range(3) for s in (1, -1)]
    reach = np.zeros(6)
    for d, axis in enumerate(axes):
        seen = []
        for view in range(views):
            right, down = poses[view, :3, 0], poses[view, :3, 1]
            left_, right_, up_, down_ = observation.extent[view]
            for direction, low, high in ((right, left_, right_), (down, up_, down_)):
                along = float(direction @ axis)
                if abs(along) > 0.9:
                    seen.append((high if along > 0 else -low) / focal)
        reach[d] = np.mean(seen) if seen else 0.3
    for view in range(6):
        toward = -poses[view, :3, 2]
        k = int(np.argmax(np.array(axes) @ toward))
        near = min(max(1 - 0.95 * reach[k], 0.15), 1.6)
        far = max(1 + far * reach[k ^ 1], near + 0.02)
        end = near + FLAT_RANGE if view in observation.flat else far
        low, high = observation.spread[view]
        high = max(high, low + 0.004)
        g_near, g_far = (1 / near, 1 / end) if family.kind == "disparity" else (near, end)
        g_low, g_high = (g_near, g_far) if family.far_bright else (g_far, g_near)
        slope = (g_high - g_low) / (high - low)
        full[7 + view], full[1 + view] = slope, g_low - slope * low
    return full
