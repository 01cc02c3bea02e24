"""What neighbouring views say of the same points: whether the light stands still while the cameras go round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.bundle import Bundle
from engine.calibrate.result import Calibration
from engine.camera import Registration
from engine.jit import parallel_map
from engine.materials.samples import SurfaceSamples
from engine.mesh import Mesh
from engine.segment import Segmentation
from engine.srgb import decode_srgb
from engine.texture.views import draw_depth, prepare_picture

Float = NDArray[np.float64]

VIEW_PX: Final = 1024
"""Views are halved to about this size: they are compared, not copied."""
LEAST_COSINE: Final = 0.25
"""Views from the sides of a cube meet at 45 degrees; flatter than 75 their pixels mix too much."""
FEW: Final = 60


@dataclass(frozen=True, eq=False)
class Observed:
    """What each view says of the samples. linear: [K, N, 3] float64. cosine: [K, N], 0 = not seen. towards: [K, N, 3]
    unit vectors to the cameras.
    """

    linear: Float
    cosine: Float
    towards: Float


def observe(
    samples: SurfaceSamples,
    mesh: Mesh,
    bundle: Bundle,
    segmentation: Segmentation,
    calibration: Calibration,
    registrations: Mapping[ViewName, Registration],
) -> Observed:
    """Look the samples up in every view."""
    levels = max(0, round(np.log2(bundle.rgb_size_px / VIEW_PX)))
    names = [v for v in VIEW_NAMES if v in bundle.rgb]
    cameras = {
        v: calibration.cameras[v].scaled_to(bundle.rgb_size_px).registered(registrations.get(v, Registration()))
        for v in names
    }
    depths = {v: draw_depth(mesh, cameras[v], levels) for v in names}
    points, normals = samples.position.astype(np.float32), samples.normal.astype(np.float32)

    def look(v: ViewName) -> tuple[Float, Float, Float]:
        towards = cameras[v].position - samples.position
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        picture = prepare_picture(
            depths[v], cameras[v], bundle.rgb[v], segmentation.rgb_alpha[v], bundle.alpha.get(v) is not None, levels
        )
        if picture is None:
            return np.zeros((len(points), 3)), np.zeros(len(points)), towards
        found = picture.sample(points, normals)
        cosine = (samples.normal * towards).sum(1)
        burnt = found[:, :3].max(1) > 252
        seen = (found[:, 3] > 0) & (cosine > LEAST_COSINE) & ~burnt
        return decode_srgb(found[:, :3] / 255), np.where(seen, cosine, 0), towards

    linear, cosine, towards = (np.stack(part) for part in zip(*parallel_map(look, names), strict=True))
    return Observed(linear, cosine, towards)


@dataclass(frozen=True)
class Agreement:
    """points: how many two views see. difference: median of their difference in the logarithm of brightness.
    with_camera: how much of it goes with the angle that a view sees the point under, 0..1: a light that is carried with
    the camera makes what it faces bright.
    """

    points: int
    difference: float
    with_camera: float


def agreement(observed: Observed) -> Agreement:
    """Compare the two views that see each point best."""
    order = np.argsort(-observed.cosine, axis=0, kind="stable")[:2]
    pick = np.arange(observed.cosine.shape[1])
    best, next_best = (observed.cosine[order[k], pick] for k in (0, 1))
    both = next_best > 0
    if both.sum() < FEW:
        return Agreement(int(both.sum()), 0.0, 0.0)
    bright = [np.log(observed.linear[order[k], pick][both].mean(1) + 0.004) for k in (0, 1)]
    change = bright[0] - bright[1]
    lever = np.log(best[both]) - np.log(next_best[both])
    # The slope that leaves the least absolute difference; a matt object with its lamp on the camera has 1.
    slopes = np.linspace(0, 1.5, 61)
    left = np.array([np.abs(change - slope * lever).sum() for slope in slopes])
    gain = 1 - float(left.min() / max(left[0], 1e-12))
    return Agreement(int(both.sum()), float(np.median(np.abs(change))), max(0.0, gain))
