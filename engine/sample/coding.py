"""Depth to codes: the producer's side of `DepthCoding`."""

from __future__ import annotations

from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import ViewName
from engine.calibrate.result import DepthCoding, Kind, Measure, Rounding, Structure
from engine.camera import Camera

Encoding = Literal["view_max", "shared", "near_bright", "disparity", "view_minmax", "view_max_ray", "view_max_16bit"]
ENCODINGS: Final[tuple[Encoding, ...]] = get_args(Encoding)
"""view_max: far is bright, 0 at the camera, each view divided by its own maximum, truncated. shared: the same with one
maximum for all. near_bright: near is bright, linear over one range for all. disparity: 1/z over one range for all.
view_minmax: far is bright, each view from its own minimum to its maximum. view_max_ray: view_max of the distance from
the camera's centre instead of its z. view_max_16bit: view_max in 16 bits."""

STRUCTURES: Final[dict[Encoding, Structure]] = {
    "view_max": "view_max",
    "shared": "shared",
    "near_bright": "shared",
    "disparity": "shared",
    "view_minmax": "view_minmax",
    "view_max_ray": "view_max",
    "view_max_16bit": "view_max",
}


def ray_lengths(camera: Camera) -> NDArray[np.float64]:
    """[H, W]: distance from the centre of projection over planar depth, at the pixel centres."""
    centres = np.arange(camera.size_px) + 0.5
    K_inverse = np.linalg.inv(camera.K)
    x = K_inverse[0, 0] * centres[None, :] + K_inverse[0, 1] * centres[:, None] + K_inverse[0, 2]
    y = K_inverse[1, 1] * centres[:, None] + K_inverse[1, 2]
    return np.asarray(np.sqrt(x * x + y * y + 1))


def choose_codings(measured: dict[ViewName, NDArray[np.float64]], encoding: Encoding) -> dict[ViewName, DepthCoding]:
    """The coding of each view. measured: [h, w] in the encoding's own measure, 0 = background."""
    code_max = 65535 if encoding == "view_max_16bit" else 255
    low = {view: float(z[z > 0].min()) for view, z in measured.items()}
    high = {view: float(z.max()) for view, z in measured.items()}
    nearest, furthest = min(low.values()), max(high.values())
    kind: Kind = "disparity" if encoding == "disparity" else "linear"
    measure: Measure = "ray" if encoding == "view_max_ray" else "planar"
    out = {}
    for view in measured:
        rounding: Rounding = "nearest"
        # The lowest code that stands for a surface is 1 wherever 0 would be nearer than infinity.
        if encoding in ("view_max", "view_max_ray", "view_max_16bit"):
            zero, full, rounding = 0.0, high[view], "floor"
        elif encoding == "shared":
            zero, full, rounding = 0.0, furthest, "floor"
        elif encoding == "near_bright":
            zero, full = _extrapolate(furthest, nearest, code_max), nearest
        elif encoding == "disparity":
            zero, full = 1 / _extrapolate(1 / furthest, 1 / nearest, code_max), nearest
        else:
            zero, full = _extrapolate(low[view], high[view], code_max), high[view]
        out[view] = DepthCoding(kind, measure, zero, full, rounding, code_max)
    return out


def _extrapolate(at_code_1: float, at_code_max: float, code_max: int) -> float:
    """What code 0 stands for."""
    return at_code_1 - (at_code_max - at_code_1) / (code_max - 1)


def encode(coding: DepthCoding, measured: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Depth [h, w] in the coding's measure to codes; 0 stays 0 and nothing else becomes 0."""
    covered = measured > 0
    z = np.where(covered, measured, coding.at_code_max)
    if coding.kind == "linear":
        t = (z - coding.at_code_0) / (coding.at_code_max - coding.at_code_0)
    else:
        g0 = 0.0 if np.isinf(coding.at_code_0) else 1 / coding.at_code_0
        t = (1 / z - g0) / (1 / coding.at_code_max - g0)
    code = t * coding.code_max
    code = np.floor(code + 1e-9) if coding.rounding == "floor" else np.rint(code)
    return np.where(covered, np.clip(code, 1, coding.code_max), 0).astype(np.uint16)
