"""Views whose true similarity is known: a flat shape seen once, and a painted ball seen from six sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES, ViewName
from config.job import JobOptions
from engine.bundle import Bundle
from engine.calibrate.result import Calibration, DepthCoding, ViewAxes
from engine.camera import Camera, Registration
from engine.register.similarity import inverse_transform
from engine.segment import Segmentation

SIZE = 256
POSES: dict[ViewName, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "front": ((0, 0, 1), (0, 1, 0)),
    "back": ((0, 0, -1), (0, 1, 0)),
    "left": ((-1, 0, 0), (0, 1, 0)),
    "right": ((1, 0, 0), (0, 1, 0)),
    "top": ((0, 1, 0), (0, 0, -1)),
    "bottom": ((0, -1, 0), (0, 0, 1)),
}
_BALL = 0.22

Depth = dict[ViewName, NDArray[np.float32]]


def view_camera(view: ViewName, size_px: int) -> Camera:
    position, up = (np.array(a, np.float64) for a in POSES[view])
    pose = np.eye(4)
    pose[:3, 2], pose[:3, 1], pose[:3, 0], pose[:3, 3] = -position, -up, np.cross(-up, -position), position
    return Camera.from_fov(40.0, size_px, pose)


def inputs(
    rgb: dict[ViewName, NDArray[np.uint8]], alpha: dict[ViewName, NDArray[np.uint8]], depth: Depth
) -> tuple[Bundle, Segmentation, Calibration]:
    """What `register` takes beside the depth maps."""
    names = list(rgb)
    size = len(depth[names[0]])
    codes = {v: (depth[v] > 0).astype(np.uint16) for v in names}
    bundle = Bundle(Path("scene"), rgb, dict.fromkeys(names), codes, 255, JobOptions())
    masks = {v: np.asarray(depth[v] > 0) for v in names}
    coding = DepthCoding("linear", "planar", 0.0, 1.3, "floor", 255)
    calibration = Calibration(
        {v: view_camera(v, size) for v in names},
        dict.fromkeys(names, coding),
        40.0,
        "shared",
        {v: ViewAxes("+Z", "+Y") for v in names},
        1.0,
        "given",
        ambiguous=False,
    )
    return bundle, Segmentation(alpha, masks, dict.fromkeys(names, 1.0)), calibration


def blob(size: int, moved: NDArray[np.float64] | None = None, samples: int = 2) -> NDArray[np.uint8]:
    """Coverage 0..255 of an asymmetric shape: an ellipse, a bar and a notch.

    moved: [4] s - 1, radians, dx, dy in pixels of 256: the similarity that the shape has undergone.
    """
    wide = size * samples
    at = (np.arange(wide) + 0.5) / wide * SIZE
    x, y = np.meshgrid(at, at)
    if moved is not None:
        p = inverse_transform(moved, np.stack([x.ravel(), y.ravel()], 1), SIZE / 2)
        x, y = p[:, 0].reshape(x.shape), p[:, 1].reshape(y.shape)
    shape = ((x - 120) / 70) ** 2 + ((y - 130) / 45) ** 2 < 1
    shape |= (abs(x - 150) < 12) & (abs(y - 90) < 50)
    shape &= ~((abs(x - 70) < 14) & (y > 135))
    return np.asarray(shape.reshape(size, samples, size, samples).mean((1, 3)) * 255 + 0.5, np.uint8)


def one_view(
    mask: NDArray[np.bool_], alpha: NDArray[np.uint8]
) -> tuple[tuple[Bundle, Segmentation, Calibration], Depth]:
    """A single grey view on white: only outlines can tell."""
    share = alpha[..., None] / 255
    rgb = np.asarray(80 * share + 255 * (1 - share) + 0.5, np.uint8).repeat(3, 2)
    depth: Depth = {"front": mask.astype(np.float32)}
    return inputs({"front": rgb}, {"front": alpha}, depth), depth


def _paint(points: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, z = points.T / _BALL
    red = 110 + 60 * np.sin(7 * x + 3 * y) + 40 * np.cos(9 * z)
    green = 120 + 80 * np.sin(6 * y - 4 * z + 1)
    return np.stack([red, green, 90 + 50 * np.cos(8 * x * z + 5 * y)], 1)


def ball(
    moved: dict[ViewName, Registration], rgb_size: int = 2 * SIZE
) -> tuple[tuple[Bundle, Segmentation, Calibration], Depth]:
    """A painted ball, drawn through cameras that the registrations `moved` have changed; its depth is not."""

    def hit(camera: Camera) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        at = np.arange(camera.size_px) + 0.5
        u, v = np.meshgrid(at, at)
        ray = camera.unproject(np.stack([u.ravel(), v.ravel()], 1), np.ones(u.size)) - camera.position
        a, b, c = (ray**2).sum(1), ray @ camera.position, camera.position @ camera.position - _BALL**2
        root = b**2 - a * c
        t = (-b - np.sqrt(np.maximum(root, 0))) / a
        return camera.position + t[:, None] * ray, root > 0

    rgb, alpha, depth = {}, {}, {}
    for view in VIEW_NAMES:
        camera = view_camera(view, rgb_size).registered(moved.get(view, Registration()))
        points, inside = hit(camera)
        colour = np.where(inside[:, None], _paint(points), 255.0)
        rgb[view] = np.asarray(colour.reshape(rgb_size, rgb_size, 3) + 0.5, np.uint8)
        alpha[view] = np.asarray(255 * inside.reshape(rgb_size, rgb_size), np.uint8)
        ideal = view_camera(view, SIZE)
        points, inside = hit(ideal)
        z = (points - ideal.position) @ ideal.world_from_camera[:3, 2]
        depth[view] = np.where(inside, z, 0).reshape(SIZE, SIZE).astype(np.float32)
    return inputs(rgb, alpha, depth), depth
