"""Families of depth codings as affine maps into the kernels' thirteen parameters, and rigs of six cameras."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.calibrate.result import Axis, DepthCoding, Kind, Measure, Rounding, Structure, ViewAxes

Floats = NDArray[np.float64]

STRUCTURE_SIZE: Final[dict[Structure, int]] = {"view_max": 6, "shared": 2, "shared_offset": 7, "view_minmax": 12}
"""Parameters of each structure without zero offset; with it, a shared range has one."""

AXIS_VECTORS: Final[dict[Axis, tuple[int, int, int]]] = {
    "+X": (1, 0, 0), "-X": (-1, 0, 0), "+Y": (0, 1, 0), "-Y": (0, -1, 0), "+Z": (0, 0, 1), "-Z": (0, 0, -1),
}  # fmt: skip


@dataclass(frozen=True)
class Family:
    """A kind of depth coding.

    far_bright: depth grows with the code. zero_offset: of a shared range, code 0 stands for depth (or 1/depth) 0, as it
    always does with view_max.
    """

    kind: Kind
    measure: Measure
    far_bright: bool
    structure: Structure
    rounding: Rounding = "nearest"
    zero_offset: bool = False

    @property
    def name(self) -> str:
        """In words, for reports."""
        bright = "far" if self.far_bright else "near"
        zero = " from zero" if self.zero_offset else ""
        return f"{self.kind} {self.measure} {bright}-bright {self.structure}{zero}"

    @property
    def size(self) -> int:
        """Free parameters of the coding."""
        return 1 if self.zero_offset else STRUCTURE_SIZE[self.structure]

    @property
    def code_shift_levels(self) -> float:
        """What is added to a code to get the middle of its interval."""
        return 0.5 if self.rounding == "floor" else 0.0

    def with_structure(self, structure: Structure) -> Family:
        """The same with another structure."""
        return replace(self, structure=structure, zero_offset=False)

    def basis(self) -> Floats:
        """[13, P] map from the structure's parameters (without log f) to the full ones."""
        out = np.zeros((13, self.size))
        if self.zero_offset:
            out[7:13, 0] = 1
        elif self.structure == "view_max":
            out[7:13] = np.eye(6)
        elif self.structure == "shared":
            out[1:7, 0] = 1
            out[7:13, 1] = 1
        elif self.structure == "shared_offset":
            out[1:7, 0] = 1
            out[7:13, 1:] = np.eye(6)
        else:
            out[1:13] = np.eye(12)
        return out

    def codings(self, full: Floats, code_max: int, unit: float = 1.0) -> dict[ViewName, DepthCoding]:
        """Each view's coding from the full parameters; `unit` scales depths (the camera distance)."""
        out: dict[ViewName, DepthCoding] = {}
        for i, name in enumerate(VIEW_NAMES):
            g0, g1 = float(full[1 + i]), float(full[1 + i] + full[7 + i])
            if self.kind == "disparity":
                z0, z1 = (math.inf if g0 <= 0 else 1 / g0), 1 / max(g1, 1e-9)
            else:
                z0, z1 = g0, g1
            out[name] = DepthCoding(self.kind, self.measure, z0 * unit, z1 * unit, self.rounding, code_max)
        return out


@dataclass(frozen=True)
class Layout:
    """Where the six cameras stand and what their images show upwards. mirrored: the view whose image is flipped."""

    axes: tuple[ViewAxes, ...]
    mirrored: int | None = None

    def as_dict(self) -> dict[ViewName, ViewAxes]:
        """By view name."""
        return dict(zip(VIEW_NAMES, self.axes, strict=True))

    @property
    def key(self) -> str:
        """Left's position and the two ups: all that differs between layouts without error."""
        return f"left {self.axes[2].toward}, top's up {self.axes[4].image_up}, bottom's up {self.axes[5].image_up}"

    def unchanged(self) -> Layout:
        """The layout as it is."""
        return self

    def exchanged(self, a: int, b: int) -> Layout:
        """With two views' places exchanged."""
        axes = list(self.axes)
        axes[a], axes[b] = axes[b], axes[a]
        return Layout(tuple(axes), self.mirrored)

    def poses(self) -> Floats:
        """[6, 4, 4] world_from_camera, OpenCV axes, distance 1. A mirrored view's is improper (x flipped)."""
        out = np.zeros((6, 4, 4))
        for i, view in enumerate(self.axes):
            toward, up = np.array(AXIS_VECTORS[view.toward], float), np.array(AXIS_VECTORS[view.image_up], float)
            out[i, :3, 0] = np.cross(-toward, up) * (-1 if self.mirrored == i else 1)
            out[i, :3, 1], out[i, :3, 2], out[i, :3, 3], out[i, 3, 3] = -up, -toward, toward, 1
        return out


def make_layout(left: Axis = "-X", top_up: Axis = "-Z", bottom_up: Axis = "+Z") -> Layout:
    """Front at +Z, back at -Z, both upright."""
    right: Axis = "+X" if left == "-X" else "-X"
    pairs: tuple[tuple[Axis, Axis], ...] = (
        ("+Z", "+Y"), ("-Z", "+Y"), (left, "+Y"), (right, "+Y"), ("+Y", top_up), ("-Y", bottom_up),
    )  # fmt: skip
    return Layout(tuple(ViewAxes(a, b) for a, b in pairs))


DEFAULT_LAYOUT: Final = make_layout()
SNEAKER_LAYOUT: Final = make_layout("+X", "+Z", "+Z")
LEFTS: Final[tuple[Axis, ...]] = ("-X", "+X")
UPS: Final[tuple[Axis, ...]] = ("-Z", "+Z", "-X", "+X")


def all_layouts() -> list[Layout]:
    """The 32 layouts with front and back in place; the known ones first."""
    known = [DEFAULT_LAYOUT, SNEAKER_LAYOUT]
    return known + [m for c in product(LEFTS, UPS, UPS) if (m := make_layout(*c)) not in known]


def relative_poses(poses: Floats) -> tuple[Floats, Floats]:
    """Rotations [6, 6, 3, 3] and translations [6, 6, 3] of camera B from camera A, from poses [6, 4, 4]."""
    R, t = poses[:, :3, :3], poses[:, :3, 3]
    rotation = np.einsum("bji,ajk->abik", R, R)
    shift = np.einsum("bji,abj->abi", R, t[:, None] - t[None])
    return np.ascontiguousarray(rotation), np.ascontiguousarray(shift)


def log_focal(fov_deg: float) -> float:
    """Log of the focal length in half image widths."""
    return -math.log(math.tan(math.radians(fov_deg) / 2))


def fov_deg(log_f: float) -> float:
    """The inverse of `log_focal`."""
    return math.degrees(2 * math.atan(math.exp(-log_f)))
