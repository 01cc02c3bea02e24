"""A ball as six cameras see it, and its refinement."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from config.bundle_layout import VIEW_NAMES, ViewName
from config.job import JobOptions
from engine.bundle import Bundle
from engine.calibrate.result import Calibration, DepthCoding, ViewAxes
from engine.camera import Registration
from engine.mesh import Mesh
from engine.refine import Refinement, refine_shape
from engine.refine.depth import DepthPull
from engine.refine.guard import DepthRender, depth_renders
from engine.render import render_depth
from engine.segment import Segmentation
from tests.texture.conftest import draw, view_camera

Seen = tuple[Bundle, Segmentation, Calibration]
RGB = 512
CODES = 255
RADIUS = 0.17


def ball(radius: float, subdivisions: int = 4) -> Mesh:
    """A closed ball about the middle of the world."""
    from trimesh.creation import icosphere

    made = icosphere(subdivisions=subdivisions, radius=radius)
    return Mesh(np.asarray(made.vertices, np.float64), np.asarray(made.faces, np.int32))


def scene_of(mesh: Mesh) -> Seen:
    """What six cameras see of a mesh: antialiased RGB, depth of 8 bits at half the size."""
    rgb, alpha, depth, mask = {}, {}, {}, {}
    coding = DepthCoding("linear", "planar", 0.0, 1.3, "floor", CODES)
    for view in VIEW_NAMES:
        rgb[view], alpha[view] = draw(mesh, view_camera(view, RGB), 255.0)
        z = render_depth(mesh, view_camera(view, RGB // 2))
        mask[view] = z > 0
        depth[view] = np.floor(z / 1.3 * CODES).astype(np.uint16)
    return _scene(rgb, alpha, depth, mask, coding)


def _scene(
    rgb: dict[ViewName, NDArray[np.uint8]],
    alpha: dict[ViewName, NDArray[np.uint8]],
    depth: dict[ViewName, NDArray[np.uint16]],
    mask: dict[ViewName, NDArray[np.bool_]],
    coding: DepthCoding,
) -> Seen:
    cameras = {v: view_camera(v, RGB // 2) for v in VIEW_NAMES}
    axes = {v: ViewAxes("+Z", "+Y") for v in VIEW_NAMES}
    codings = dict.fromkeys(VIEW_NAMES, coding)
    calibration = Calibration(cameras, codings, 40.0, "shared", axes, 1.0, "given", ambiguous=False)
    bundle = Bundle(Path("ball"), rgb, dict.fromkeys(VIEW_NAMES), depth, CODES, JobOptions())
    return bundle, Segmentation(alpha, mask, dict.fromkeys(VIEW_NAMES, 1.0)), calibration


def delivered(mesh: Mesh) -> dict[ViewName, NDArray[np.float32]]:
    """The depth of a mesh, to all digits."""
    return {view: render_depth(mesh, view_camera(view, RGB // 2)) for view in VIEW_NAMES}


def renders_of(seen: Seen, mesh: Mesh | None = None) -> list[DepthRender]:
    return depth_renders(*seen, delivered(mesh or ball(RADIUS)))


def nothing_asked(count: int) -> DepthPull:
    return DepthPull(sparse.csr_matrix((count, count)), np.zeros(count))


def refine(
    seen: Seen,
    mesh: Mesh,
    steps: int = 4,
    budget_s: float = 1e9,
    checkpoint: Callable[[float], None] = lambda fraction: None,
    registrations: dict[ViewName, Registration] | None = None,
    clock: Callable[[], float] = lambda: 0.0,
    depth: dict[ViewName, NDArray[np.float32]] | None = None,
) -> Refinement:
    """depth: as delivered; the ball's where none is given."""
    depth = depth or delivered(ball(RADIUS))
    return refine_shape(mesh, *seen, registrations or {}, depth, steps, budget_s, checkpoint, clock)


def radii(mesh: Mesh) -> NDArray[np.float64]:
    return np.linalg.norm(mesh.vertices, axis=1)
