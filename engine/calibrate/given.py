"""What the job states of cameras and depth coding, checked and turned into the units of the search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES, ViewName
from config.errors import ValidationFailed
from config.job import GivenCameras, GivenDepth, JobOptions
from engine.calibrate.decide import FieldOfView
from engine.calibrate.model import AXIS_VECTORS, Family, Layout, all_layouts
from engine.calibrate.observe import Observation
from engine.calibrate.problem import COARSE_SCHEDULE, FINE_SCHEDULE, LAST_SCHEDULE, Fit, Rig, initial
from engine.calibrate.refuse import refuse_angle
from engine.calibrate.result import Axis, DepthCoding, Rounding, ViewAxes
from engine.calibrate.search import FOV_GRID, plausible_families, score
from engine.calibrate.tangency import LOG_FOCAL, Outlook
from engine.jit import parallel_map

Floats = NDArray[np.float64]

_TOLERANCE: Final = 1e-3
AS_LIKELY: Final = 3.0
"""Readings of the outlines whose costs differ by less are as good as each other."""
KNOWN_DEG: Final = 0.6
"""A standard error up to which the outlines have a say on a stated angle of view."""
WRONG_DEG: Final = 1.0
NOTED_DEG: Final = 0.5
"""A stated angle that is off by more is refused, or noted. By outlines alone the true angle of 34 made bundles (21 to
87 degrees) and 5 public ones was found within 0.2 degrees, of one that was repainted by hand within 0.15."""


@dataclass(frozen=True, eq=False)
class Given:
    """poses: [6, 4, 4] world_from_camera with OpenCV axes, or None. coding: in world units, where stated whole.

    unit: world units per camera distance. fov_deg, kind, measure: None where they are to be found.
    """

    poses: Floats | None
    coding: dict[ViewName, DepthCoding] | None
    unit: float
    fov_deg: float | None
    kind: str | None
    measure: str | None

    @property
    def everything(self) -> bool:
        """Whether nothing is left to find."""
        return self.poses is not None and self.coding is not None and self.fov_deg is not None

    @property
    def anything(self) -> bool:
        """Whether anything is stated that is otherwise found."""
        return any(v is not None for v in (self.poses, self.coding, self.fov_deg, self.kind, self.measure))

    @property
    def unit_poses(self) -> Floats | None:
        """[6, 4, 4] the stated poses in units of the camera distance."""
        if self.poses is None:
            return None
        poses = self.poses.copy()
        poses[:, :3, 3] /= self.unit
        return poses

    def allows(self, family: Family) -> bool:
        """Whether a family is of the kind and measure stated."""
        return family.kind == (self.kind or family.kind) and family.measure == (self.measure or family.measure)


def _poses(cameras: GivenCameras) -> Floats | None:
    if not cameras.views:
        return None
    absent = [name for name in VIEW_NAMES if name not in cameras.views]
    if absent:
        raise ValidationFailed(
            f"job.toml states the pose of {len(cameras.views)} views but not of {', '.join(absent)}.",
            suggestion="State all six poses in [cameras.views], or none.",
        )
    poses = np.array([cameras.views[name].world_from_camera for name in VIEW_NAMES], np.float64)
    if cameras.axes == "opengl":
        poses = poses @ np.diag([1.0, -1.0, -1.0, 1.0])
    for name, pose in zip(VIEW_NAMES, poses, strict=True):
        R = pose[:3, :3]
        if not np.isfinite(pose).all() or np.abs(R @ R.T - np.eye(3)).max() > _TOLERANCE or np.linalg.det(R) < 0:
            raise ValidationFailed(
                f"job.toml: world_from_camera of {name} is no rigid pose: its rotation has to be orthonormal with "
                f"determinant +1 (it is {np.linalg.det(R):.3f}).",
                suggestion="Give a 4x4 camera-to-world matrix without scale or mirroring, row by row.",
            )
        if np.abs(pose[3] - [0, 0, 0, 1]).max() > _TOLERANCE:
            raise ValidationFailed(f"job.toml: the last row of world_from_camera of {name} is not 0, 0, 0, 1.")
        U, _, Vt = np.linalg.svd(R)
        pose[:3, :3] = U @ Vt
    return poses


def _coding(depth: GivenDepth, code_max: int) -> dict[ViewName, DepthCoding] | None:
    kind, measure = depth.kind or "linear", depth.measure or "planar"
    out: dict[ViewName, DepthCoding] = {}
    for name in VIEW_NAMES:
        own = depth.per_view.get(name)
        near = own.near if own and own.near is not None else depth.near
        far = own.far if own and own.far is not None else depth.far
        if far is None or (near is None and not (depth.far or own)):
            return None
        near = near or 0.0
        if near == far:
            raise ValidationFailed(f"job.toml: near and far of {name} are the same depth, {far:g}.")
        start = float("inf") if kind == "disparity" and near == 0 else near
        out[name] = DepthCoding(kind, measure, start, far, "nearest", code_max)
    return out


def read_given(options: JobOptions, code_max: int) -> Given:
    """Check what job.toml states. near is the depth at code 0, far at the highest code.

    Raises ValidationFailed where poses are not rigid or incomplete.
    """
    cameras, depth = options.cameras, options.depth
    poses = _poses(cameras)
    unit = cameras.distance or 1.0
    if poses is not None:
        unit = float(np.median(np.linalg.norm(poses[:, :3, 3], axis=1))) or 1.0
    return Given(poses, _coding(depth, code_max), unit, cameras.fov_deg, depth.kind, depth.measure)


def nearest_axes(pose: Floats) -> ViewAxes:
    """The world axes nearest to where a camera stands and to its image's up. pose: [4, 4]."""

    def nearest(direction: Floats) -> Axis:
        return max(AXIS_VECTORS, key=lambda axis: float(np.array(AXIS_VECTORS[axis]) @ direction))

    return ViewAxes(nearest(-pose[:3, 2]), nearest(-pose[:3, 1]))


def stated_angle(given: Given, outlook: Outlook) -> FieldOfView | None:
    """What the outlines say of the angle of view, where that differs from what is stated; else None.

    Raises CalibrationFailed where they leave no doubt that the stated angle is wrong.
    """
    if given.fov_deg is None:
        return None
    layouts = all_layouts() if given.poses is None else [Layout(tuple(nearest_axes(p) for p in given.poses))]
    marks = outlook.tangencies(layouts, given.unit_poses, LOG_FOCAL)
    likely = [FieldOfView.of(t) for t in marks if t.cost < marks[0].cost + AS_LIKELY]
    if any(angle.sigma_deg > KNOWN_DEG for angle in likely):
        return None
    stated = given.fov_deg
    nearest = min(likely, key=lambda angle: abs(angle.deg - stated))
    apart = abs(nearest.deg - stated)
    if apart > max(WRONG_DEG, 5 * nearest.sigma_deg):
        refuse_angle(stated, nearest)
    return nearest if apart > max(NOTED_DEG, 4 * nearest.sigma_deg) else None


def fit_given(observation: Observation, outlook: Outlook, given: Given, log_focals: Floats) -> tuple[Fit, FieldOfView]:
    """The best fit around stated poses or a stated coding, and the silhouettes' angle of view; the rest is found.

    log_focals: the grid to search the focal length on, or the one that is stated.
    """
    poses = given.unit_poses
    if poses is not None:
        layouts = [Layout(tuple(nearest_axes(p) for p in poses))]
    else:
        layouts = all_layouts()
    fixed = np.zeros(13, bool)
    families = [f for f in plausible_families(observation.fingerprint) if given.allows(f)]
    stated = np.zeros(13)
    if given.coding is not None:
        codings = [given.coding[n] for n in VIEW_NAMES]
        first = codings[0]
        ends = np.array([[c.at_code_0 / given.unit, c.at_code_max / given.unit] for c in codings])
        if first.kind == "disparity":
            ends = 1 / np.maximum(ends, 1e-9)
        stated[1:7], stated[7:13] = ends[:, 0], ends[:, 1] - ends[:, 0]
        far_bright = bool(codings[0].at_code_max > codings[0].at_code_0)
        rounding: Rounding = "floor" if observation.fingerprint.truncated else "nearest"
        families = [Family(first.kind, first.measure, far_bright, "view_minmax", rounding)]
        fixed[1:] = True
    marks = outlook.tangencies(layouts, poses, log_focals)
    free = given.fov_deg is None
    fovs = FOV_GRID if given.fov_deg is None else (given.fov_deg,)
    silhouettes = FieldOfView.of(marks[0])
    if free and silhouettes.sigma_deg < 1.0:
        fovs, free, layouts = (silhouettes.deg,), False, list(dict.fromkeys(t.layout for t in marks))
    coarse, fine = Rig(observation, 100, True, poses), Rig(observation, 500, False, poses)

    def start(task: tuple[Family, Layout, float]) -> Fit:
        family, layout, fov = task
        full = initial(observation, family, layout.poses() if poses is None else poses, fov)
        if fixed.any():
            full[1:] = stated[1:]
        return coarse.solve(family, layout, full, COARSE_SCHEDULE, free_fov=free and bool(fixed.any()), fixed=fixed)

    tasks = [(f, m, v) for f in families for m in layouts for v in fovs]
    leaders = sorted(parallel_map(start, tasks), key=score)[:6]

    def end(fit: Fit) -> Fit:
        first = fine.solve(fit.family, fit.layout, fit.full, FINE_SCHEDULE, fixed=fixed)
        return fine.solve(
            fit.family, fit.layout, first.full, LAST_SCHEDULE, free_fov=free, fixed=fixed, iterations=30
        )  # fmt: skip

    return min(parallel_map(end, leaders), key=score), silhouettes
