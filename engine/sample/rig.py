"""Where the six cameras stand."""

from __future__ import annotations

import math
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.calibrate.result import Axis, ViewAxes
from engine.camera import Camera
from engine.render.viewpoints import look_at

Layout = Literal["canonical", "subject"]
LAYOUTS: Final[tuple[Layout, ...]] = get_args(Layout)
"""canonical: left and right as the front camera sees them (left at -X), top's image up is -Z. subject: left and right
are the object's own (left at +X), top's image up is +Z. Bottom's image up is +Z in both."""

_AXES: Final[dict[Layout, dict[ViewName, tuple[Axis, Axis]]]] = {
    "canonical": {
        "front": ("+Z", "+Y"),
        "back": ("-Z", "+Y"),
        "left": ("-X", "+Y"),
        "right": ("+X", "+Y"),
        "top": ("+Y", "-Z"),
        "bottom": ("-Y", "+Z"),
    },
    "subject": {
        "front": ("+Z", "+Y"),
        "back": ("-Z", "+Y"),
        "left": ("+X", "+Y"),
        "right": ("-X", "+Y"),
        "top": ("+Y", "+Z"),
        "bottom": ("-Y", "+Z"),
    },
}


def view_axes(layout: Layout) -> dict[ViewName, ViewAxes]:
    """Where each view looks from."""
    return {view: ViewAxes(*_AXES[layout][view]) for view in VIEW_NAMES}


def axis_vector(axis: Axis) -> NDArray[np.float64]:
    """[3] the unit vector."""
    out = np.zeros(3)
    out["XYZ".index(axis[1])] = 1 if axis[0] == "+" else -1
    return out


def rig(layout: Layout, fov_deg: float, size_px: int) -> dict[ViewName, Camera]:
    """The six cameras at distance 1."""
    return {
        view: Camera.from_fov(fov_deg, size_px, look_at(axis_vector(a.toward), np.zeros(3), axis_vector(a.image_up)))
        for view, a in view_axes(layout).items()
    }


def distance_to_fit(
    vertices: NDArray[np.float64], poses: list[NDArray[np.float64]], fov_deg: float, fill: float
) -> float:
    """The distance at which cameras of these orientations see all vertices [V, 3] within the share `fill` of the image.

    poses: world_from_camera [4, 4], of which only the rotation is used; they look at the origin.
    """
    k = fill * math.tan(math.radians(fov_deg) / 2)
    out = 0.0
    for pose in poses:
        camera = vertices @ pose[:3, :3]
        out = max(out, float((np.abs(camera[:, :2]).max(1) / k - camera[:, 2]).max()))
    return out
