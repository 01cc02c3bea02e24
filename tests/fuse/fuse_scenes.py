"""Analytic solids, seen by six cameras."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES, ViewName
from config.job import JobOptions
from engine.bundle import Bundle
from engine.calibrate.result import Calibration, DepthCoding, ViewAxes
from engine.camera import Camera
from engine.segment import Segmentation

Array = NDArray[np.float64]
Solid = Callable[[Array], Array]
SIZE = 192
FOV = 40.0
_FACING = {
    "front": ((0, 0, 1), (0, 1, 0)),
    "back": ((0, 0, -1), (0, 1, 0)),
    "left": ((-1, 0, 0), (0, 1, 0)),
    "right": ((1, 0, 0), (0, 1, 0)),
    "top": ((0, 1, 0), (0, 0, -1)),
    "bottom": ((0, -1, 0), (0, 0, 1)),
}
"""Where each camera stands, and what its image shows upwards."""


def sphere(p: Array, radius: float = 0.25) -> Array:
    return np.asarray(np.linalg.norm(p, axis=-1) - radius)


def box(p: Array, half: tuple[float, float, float] = (0.25, 0.12, 0.18)) -> Array:
    q = np.abs(p) - np.array(half)
    return np.asarray(np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(-1), 0))


def torus(p: Array) -> Array:
    return np.asarray(np.hypot(np.linalg.norm(p[..., [0, 2]], axis=-1) - 0.2, p[..., 1]) - 0.06)


def cup(p: Array) -> Array:
    """Open at the top: an upright cylinder with a narrower one taken out."""

    def cylinder(q: Array, radius: float, half: float) -> Array:
        return np.maximum(np.linalg.norm(q[..., [0, 2]], axis=-1) - radius, np.abs(q[..., 1]) - half)

    return np.maximum(cylinder(p, 0.2, 0.15), -cylinder(p - np.array([0, 0.04, 0]), 0.15, 0.15))


def camera(view: ViewName, size: int = SIZE) -> Camera:
    toward, up = (np.array(axis, float) for axis in _FACING[view])
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = np.cross(-up, -toward), -up, -toward, toward
    return Camera.from_fov(FOV, size, pose)


def render_depth(solid: Solid, cam: Camera) -> Array:
    """[h, w] planar depth by sphere tracing, 0 = nothing."""
    size = cam.size_px
    v, u = np.mgrid[:size, :size] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(cam.K).T @ cam.world_from_camera[:3, :3].T
    length = np.linalg.norm(rays, axis=-1)
    depth = np.full(u.shape, 0.5)
    for _ in range(60):
        step = solid(cam.position + rays * depth[..., None]) / length
        depth = np.minimum(depth + step, 2.0)
        if (np.abs(step[depth < 2]) < 1e-7).all():
            break
    return np.where(np.abs(solid(cam.position + rays * depth[..., None])) < 1e-4, depth, 0)


@cache
def _exact(solid: Solid, view: ViewName, size: int) -> Array:
    return render_depth(solid, camera(view, size))


def scene(
    solid: Solid,
    code_max: int = 255,
    rounding: str = "floor",
    measure: str = "planar",
    kind: str = "linear",
    size: int = SIZE,
    far: float | None = None,
) -> tuple[Bundle, Segmentation, Calibration, dict[ViewName, Array]]:
    """The arguments of `fuse`, and the exact depth. far: depth at the highest code, each view's largest by default."""
    cameras = {view: camera(view, size) for view in VIEW_NAMES}
    exact = {view: _exact(solid, view, size) for view in VIEW_NAMES}
    codes, codings = {}, {}
    for view, depth in exact.items():
        cam = cameras[view]
        v, u = np.mgrid[:size, :size] + 0.5
        ray = np.linalg.norm(np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(cam.K).T, axis=-1)
        value = depth * ray if measure == "ray" else depth
        last = far or float(value.max())
        if kind == "linear":
            coding = DepthCoding("linear", measure, 0.0, last, rounding, code_max)  # type: ignore[arg-type]
            t = value / last
        else:
            near = float(value[depth > 0].min())
            coding = DepthCoding("disparity", measure, float("inf"), near, rounding, code_max)  # type: ignore[arg-type]
            t = np.divide(near, value, out=np.zeros_like(value), where=depth > 0)
        code = np.floor(t * code_max) if rounding == "floor" else np.round(t * code_max)
        codes[view] = np.where(depth > 0, np.clip(code, 1, code_max), 0).astype(np.uint16)
        codings[view] = coding
    blank = {view: np.zeros((size, size, 3), np.uint8) for view in VIEW_NAMES}
    bundle = Bundle(Path("scene"), blank, dict.fromkeys(VIEW_NAMES), codes, code_max, JobOptions())
    segmentation = Segmentation({}, {view: codes[view] > 0 for view in VIEW_NAMES}, {})
    layout = {view: ViewAxes("+Z", "+Y") for view in VIEW_NAMES}
    calibration = Calibration(cameras, codings, FOV, "view_max", layout, 1.0, "given", False)
    return bundle, segmentation, calibration, exact
