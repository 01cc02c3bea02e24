"""Cameras that look at something."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.camera import Camera, Float

Vector = NDArray[np.floating[Any]]


def look_at(position: Vector, target: Vector, up: Vector) -> Float:
    """world_from_camera [4, 4] of a camera at `position` towards `target`; `up` is not along the line of sight."""
    forward = np.asarray(target, np.float64) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    out = np.eye(4)
    out[:3, 0], out[:3, 1], out[:3, 2], out[:3, 3] = right, np.cross(forward, right), forward, position
    return out


def orbit(
    azimuth_deg: float,
    elevation_deg: float,
    distance: float,
    fov_deg: float,
    size_px: int,
    target: Vector | None = None,
) -> Camera:
    """A camera around the Y axis through `target` [3], the origin by default; azimuth 0 is at +Z, 90 at +X."""
    a, e = math.radians(azimuth_deg), math.radians(elevation_deg)
    towards = np.array([math.cos(e) * math.sin(a), math.sin(e), math.cos(e) * math.cos(a)])
    centre = np.zeros(3) if target is None else np.asarray(target, np.float64)
    pose = look_at(centre + distance * towards, centre, np.array([0.0, 1.0, 0.0]))
    return Camera.from_fov(fov_deg, size_px, pose)
