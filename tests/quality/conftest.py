"""A textured box, a rig of six cameras around it, and a bundle rendered from both."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from config.bundle_layout import VIEW_NAMES
from config.job import JobOptions
from engine.bundle import Bundle
from engine.calibrate.result import Calibration, DepthCoding, ViewAxes
from engine.camera import Camera, Registration
from engine.mesh import Mesh, TexturedMesh
from engine.render import render_depth, render_textured
from engine.segment import Segmentation

RGB_PX = 256
DEPTH_PX = 128
AXES = {
    "front": ("+Z", "+Y"),
    "back": ("-Z", "+Y"),
    "left": ("-X", "+Y"),
    "right": ("+X", "+Y"),
    "top": ("+Y", "-Z"),
    "bottom": ("-Y", "+Z"),
}


def axis(name: str) -> np.ndarray:
    out = np.zeros(3)
    out["XYZ".index(name[1])] = 1 if name[0] == "+" else -1
    return out


def camera(toward: str, image_up: str) -> Camera:
    pose = np.eye(4)
    pose[:3, 1], pose[:3, 2], pose[:3, 3] = -axis(image_up), -axis(toward), axis(toward)
    pose[:3, 0] = np.cross(pose[:3, 1], pose[:3, 2])
    return Camera.from_fov(45.0, DEPTH_PX, pose)


def make_box(extent: tuple[float, float, float] = (0.2, 0.14, 0.1)) -> TexturedMesh:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * extent
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces, faces_uv, uv = [], [], []
    for side, quad in enumerate(quads):
        chart = np.array([side % 3 / 3, side // 3 / 2])
        uv += [chart + c for c in ([0.02, 0.02], [0.31, 0.02], [0.31, 0.48], [0.02, 0.48])]
        for triangle in ((0, 1, 2), (0, 2, 3)):
            faces.append([quad[k] for k in triangle])
            faces_uv.append([4 * side + k for k in triangle])
    y, x = np.mgrid[:128, :128]
    texture = np.stack([50 + x, 200 - y, 60 + (x // 16 + y // 16) % 2 * 100], -1).astype(np.uint8)
    return TexturedMesh(
        Mesh(corners, np.array(faces, np.int32)),
        np.array(uv, np.float32),
        np.array(faces_uv, np.int32),
        texture,
    )


@pytest.fixture(scope="session")
def scene() -> SimpleNamespace:
    """textured, bundle, segmentation, calibration, registrations, depth: all of one exact world."""
    textured = make_box()
    cameras = {name: camera(*AXES[name]) for name in VIEW_NAMES}
    rgb, alpha, codes, depth = {}, {}, {}, {}
    background = np.array([0.9, 0.88, 0.85], np.float32)
    for name in VIEW_NAMES:
        picture = render_textured(textured, cameras[name].scaled_to(RGB_PX), 2)
        rgb[name] = np.rint(picture.over(background) * 255).astype(np.uint8)
        alpha[name] = (picture.coverage * 255).astype(np.uint8)  # one half stays below the cut, as in the render
        depth[name] = render_depth(textured.mesh, cameras[name])
        codes[name] = np.rint(depth[name] * 60_000 / 1.5).astype(np.uint16)
    coding = DepthCoding("linear", "planar", 0.0, 1.5 * 65_535 / 60_000, "nearest", 65_535)
    digests = {f"multi_views/{name}.png": f"{index:064x}" for index, name in enumerate(VIEW_NAMES)}
    return SimpleNamespace(
        textured=textured,
        bundle=Bundle(Path("box"), rgb, dict.fromkeys(VIEW_NAMES), codes, 65_535, JobOptions(), digests),
        segmentation=Segmentation(alpha, {n: depth[n] > 0 for n in VIEW_NAMES}, dict.fromkeys(VIEW_NAMES, 1.0)),
        calibration=Calibration(
            cameras,
            dict.fromkeys(VIEW_NAMES, coding),
            45.0,
            "shared",
            {name: ViewAxes(*AXES[name]) for name in VIEW_NAMES},
            0.9,
            "estimated",
            False,
        ),
        registrations={name: Registration() for name in VIEW_NAMES},
        depth=depth,
    )
