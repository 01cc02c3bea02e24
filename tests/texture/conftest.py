"""A closed shape with hollows, coloured by a function of position, and its six views, drawn by our own rasteriser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.measure import marching_cubes

from config.bundle_layout import VIEW_NAMES, ViewName
from config.job import JobOptions
from engine.bundle import Bundle
from engine.calibrate.result import Calibration, DepthCoding, ViewAxes
from engine.camera import Camera
from engine.mesh import Mesh
from engine.render import interpolate, rasterize, to_clip
from engine.segment import Segmentation

RGB = 256
POSES: dict[ViewName, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "front": ((0, 0, 1), (0, 1, 0)),
    "back": ((0, 0, -1), (0, 1, 0)),
    "left": ((-1, 0, 0), (0, 1, 0)),
    "right": ((1, 0, 0), (0, 1, 0)),
    "top": ((0, 1, 0), (0, 0, -1)),
    "bottom": ((0, -1, 0), (0, 0, 1)),
}


def colour_at(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB values 0..255 [N, 3] of surface points: smooth, and nowhere near white or black."""
    x, y, z = points.T
    return np.stack([110 + 180 * x + 40 * np.sin(40 * y), 90 + 200 * y, 100 - 180 * z + 30 * np.sin(35 * x)], 1).clip(
        10, 200
    )


def view_camera(view: ViewName, size_px: int) -> Camera:
    position, up = (np.array(a, np.float64) for a in POSES[view])
    pose = np.eye(4)
    pose[:3, 2], pose[:3, 1], pose[:3, 0], pose[:3, 3] = -position, -up, np.cross(-up, -position), position
    return Camera.from_fov(40.0, size_px, pose)


def shape_mesh() -> Mesh:
    """A ball with a deep dent below and a thin rod on top, about 0.4 across."""
    at = np.linspace(-0.28, 0.28, 58)
    x, y, z = np.meshgrid(at, at, at, indexing="ij")
    ball = np.sqrt(x**2 + (y + 0.04) ** 2 + z**2) - 0.17
    dent = np.sqrt((x - 0.02) ** 2 + (y + 0.2) ** 2 + (z + 0.02) ** 2) - 0.09
    rod = np.maximum(np.sqrt((x + 0.05) ** 2 + (z - 0.03) ** 2) - 0.016, np.abs(y - 0.12) - 0.1)
    vertices, faces, _, _ = marching_cubes(np.minimum(np.maximum(ball, -dent), rod), 0.0)
    vertices = vertices * (at[1] - at[0]) + at[0]
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    if np.einsum("ij,ij->", a, np.cross(b, c)) < 0:
        faces = faces[:, ::-1]
    return Mesh(np.asarray(vertices, np.float64), np.ascontiguousarray(faces, np.int32))


def draw(
    mesh: Mesh, camera: Camera, background: float, samples: int = 3
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """rgb [S, S, 3] and coverage [S, S], anti-aliased."""
    size = camera.size_px * samples
    fragments = rasterize(to_clip(mesh.vertices, camera), mesh.faces, (size, size))
    points = interpolate(mesh.vertices.astype(np.float32), fragments, mesh.faces).reshape(-1, 3)
    image = np.where(fragments.covered.ravel()[:, None], colour_at(points.astype(np.float64)), background)
    image = image.reshape(camera.size_px, samples, camera.size_px, samples, 3).mean((1, 3))
    cover = fragments.covered.reshape(camera.size_px, samples, camera.size_px, samples).mean((1, 3))
    return (image + 0.5).astype(np.uint8), (cover * 255 + 0.5).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Scene:
    mesh: Mesh
    bundle: Bundle
    segmentation: Segmentation
    calibration: Calibration


@pytest.fixture(scope="session")
def scene() -> Scene:
    mesh = shape_mesh()
    rgb, alpha, depth, mask = {}, {}, {}, {}
    for view in VIEW_NAMES:
        rgb[view], alpha[view] = draw(mesh, view_camera(view, RGB), 255.0)
        mask[view] = alpha[view][::2, ::2] > 127
        depth[view] = mask[view].astype(np.uint16)
    coding = DepthCoding("linear", "planar", 0.0, 1.3, "floor", 255)
    calibration = Calibration(
        {v: view_camera(v, RGB // 2) for v in VIEW_NAMES},
        dict.fromkeys(VIEW_NAMES, coding),
        40.0,
        "shared",
        {v: ViewAxes("+Z", "+Y") for v in VIEW_NAMES},
        1.0,
        "given",
        ambiguous=False,
    )
    bundle = Bundle(Path("scene"), rgb, dict.fromkeys(VIEW_NAMES), depth, 255, JobOptions())
    return Scene(mesh, bundle, Segmentation(alpha, mask, dict.fromkeys(VIEW_NAMES, 1.0)), calibration)
