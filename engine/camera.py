"""The one camera type that every stage uses, and the similarity that maps its ideal image to the delivered one.

Convention
----------
Pixel centres lie at +0.5: the top left pixel's centre is (0.5, 0.5), u to the right, v down. Camera axes are
OpenCV's: x right, y down, z forward. World: right-handed, Y up, the front camera on +Z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Registration:
    """Maps the ideal image to the delivered RGB: p' = centre + scale·R(rotation)·(p - centre) + (dx, dy).

    In RGB pixels, y down, R = [[cos, -sin], [sin, cos]].
    """

    scale: float = 1.0
    dx_px: float = 0.0
    dy_px: float = 0.0
    rotation_deg: float = 0.0

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self == Registration()


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera with square images.

    size_px: width and height. K: [3, 3] intrinsics in pixels. world_from_camera: [4, 4] rigid, unit = world unit.
    """

    size_px: int
    K: Float
    world_from_camera: Float

    def __post_init__(self) -> None:
        """Check the shapes."""
        if np.shape(self.K) != (3, 3) or np.shape(self.world_from_camera) != (4, 4):
            raise ValueError(f"K is {np.shape(self.K)}, world_from_camera {np.shape(self.world_from_camera)}")

    @staticmethod
    def from_fov(fov_deg: float, size_px: int, world_from_camera: Float) -> Camera:
        """A camera with its principal point in the image's centre. fov_deg: full angle across the image."""
        f = size_px / 2 / math.tan(math.radians(fov_deg) / 2)
        K = np.array([[f, 0, size_px / 2], [0, f, size_px / 2], [0, 0, 1.0]])
        return Camera(size_px, K, np.asarray(world_from_camera, np.float64))

    @property
    def camera_from_world(self) -> Float:
        """[4, 4], the inverse of world_from_camera."""
        R, t = self.world_from_camera[:3, :3], self.world_from_camera[:3, 3]
        out = np.eye(4)
        out[:3, :3] = R.T
        out[:3, 3] = -R.T @ t
        return out

    @property
    def position(self) -> Float:
        """[3] the centre of projection, in the world."""
        return np.asarray(self.world_from_camera[:3, 3])

    @property
    def fov_deg(self) -> float:
        """Full horizontal angle in degrees, for a centred principal point."""
        return math.degrees(2 * math.atan(self.size_px / 2 / float(self.K[0, 0])))

    def scaled_to(self, size_px: int) -> Camera:
        """The same view as an image of another size."""
        factor = size_px / self.size_px
        return Camera(size_px, np.diag([factor, factor, 1.0]) @ self.K, self.world_from_camera)

    def registered(self, registration: Registration, rgb_size_px: int | None = None) -> Camera:
        """The camera whose ideal image is the delivered one.

        The rotation becomes a roll of the camera, the rest changes K.
        rgb_size_px: the size that dx_px and dy_px are in, this camera's own by default.
        """
        if registration.is_identity:
            return self
        factor = self.size_px / (rgb_size_px or self.size_px)
        s, angle = registration.scale, math.radians(registration.rotation_deg)
        roll = np.eye(4)
        roll[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        centre = np.full(2, self.size_px / 2)
        shift = factor * np.array([registration.dx_px, registration.dy_px])
        K = self.K.copy()
        K[:2, :2] *= s
        K[:2, 2] = centre + s * (roll[:2, :2] @ (self.K[:2, 2] - centre)) + shift
        return Camera(self.size_px, K, self.world_from_camera @ roll.T)

    def project(self, points_world: Float) -> tuple[Float, Float]:
        """World points [N, 3] to (uv_px [N, 2], depth [N] along the camera's z)."""
        M = self.camera_from_world
        points = points_world @ M[:3, :3].T + M[:3, 3]
        depth = points[:, 2]
        uv_h = points @ self.K.T
        return uv_h[:, :2] / depth[:, None], depth

    def unproject(self, uv_px: Float, depth: Float) -> Float:
        """Pixels [N, 2] with planar depth [N] to world points [N, 3]."""
        rays = np.concatenate([uv_px, np.ones((len(uv_px), 1))], 1) @ np.linalg.inv(self.K).T
        points = rays * np.asarray(depth)[:, None]
        return np.asarray(points @ self.world_from_camera[:3, :3].T + self.position)
