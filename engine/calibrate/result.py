"""What calibration hands on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import ViewName
from engine.camera import Camera

Kind = Literal["linear", "disparity"]
Measure = Literal["planar", "ray"]
Rounding = Literal["floor", "nearest"]
Structure = Literal["view_max", "shared", "view_minmax", "shared_offset"]
Source = Literal["estimated", "given", "mixed"]
Axis = Literal["+X", "-X", "+Y", "-Y", "+Z", "-Z"]


@dataclass(frozen=True)
class DepthCoding:
    """How one view's codes stand for depth, in world units.

    linear: depth = at_code_0 + (at_code_max - at_code_0)·code/code_max; disparity: 1/depth is linear in the code,
    between 1/at_code_0 and 1/at_code_max (at_code_0 may be infinite). measure: planar (camera z) or ray (distance from
    the centre of projection). rounding: a code I stands for the interval [I, I+1) (floor) or [I-0.5, I+0.5) (nearest);
    with floor the highest code stands for exactly at_code_max.
    """

    kind: Kind
    measure: Measure
    at_code_0: float
    at_code_max: float
    rounding: Rounding
    code_max: int

    def decode(self, code: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Codes (real numbers, already moved to the middle of their interval) to depth in `measure`'s sense."""
        t = np.asarray(code, np.float64) / self.code_max
        if self.kind == "linear":
            return np.asarray(self.at_code_0 + (self.at_code_max - self.at_code_0) * t)
        g0 = 0.0 if np.isinf(self.at_code_0) else 1 / self.at_code_0
        return np.asarray(1 / np.maximum(g0 + (1 / self.at_code_max - g0) * t, 1e-9))


@dataclass(frozen=True)
class ViewAxes:
    """Where a view's camera sits and what its image shows upwards, as world axes."""

    toward: Axis
    image_up: Axis


@dataclass(frozen=True, eq=False)
class Calibration:
    """The cameras of a bundle.

    cameras: at the depth renders' size (`Camera.scaled_to` gives the RGB's). confidence: 0..1.
    ambiguous: the orientation was not decided by the images but by the default layout.
    evidence: the figures behind the confidence, for the report: JSON-serialisable.
    """

    cameras: dict[ViewName, Camera]
    depth: dict[ViewName, DepthCoding]
    fov_deg: float
    structure: Structure
    layout: dict[ViewName, ViewAxes]
    confidence: float
    source: Source
    ambiguous: bool
    evidence: dict[str, Any] = field(default_factory=dict)
