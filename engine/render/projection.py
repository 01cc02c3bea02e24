"""From a camera to clip coordinates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.camera import Camera, Float

NEAR_OVER_DISTANCE = 0.01
"""The near plane, as a share of the camera's distance from the world's origin (of 1 where that is smaller)."""


def near_plane(camera: Camera) -> float:
    """Depth in world units below which nothing is drawn."""
    distance = float(np.linalg.norm(camera.position))
    return NEAR_OVER_DISTANCE * (distance if distance > 1e-3 else 1.0)


def clip_from_world(camera: Camera, near: float | None = None) -> Float:
    """[4, 4] float64: world to clip coordinates, row vectors on the right.

    x/w and y/w run from -1 at the image's left and top edge to 1 at its right and bottom edge. w is the camera's z. The
    far plane is at infinity: z = w - 2·near, so that z/w is -1 at `near` and 1 at infinity.
    """
    to_ndc = np.diag([2 / camera.size_px, 2 / camera.size_px, 1.0])
    to_ndc[:2, 2] = -1
    clip_from_camera = np.zeros((4, 4))
    clip_from_camera[[0, 1, 3], :3] = to_ndc @ camera.K
    clip_from_camera[2, 2:] = 1, -2 * (near_plane(camera) if near is None else near)
    return np.asarray(clip_from_camera @ camera.camera_from_world)


def to_clip(vertices_world: NDArray[np.float64], camera: Camera, near: float | None = None) -> NDArray[np.float32]:
    """World points [V, 3] to clip coordinates [V, 4] float32."""
    M = clip_from_world(camera, near)
    return np.ascontiguousarray(np.asarray(vertices_world, np.float64) @ M[:, :3].T + M[:, 3], np.float32)
