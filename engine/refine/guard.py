"""What refinement must not make worse: the depth renders, whose codes it does not fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES
from engine.bundle import Bundle
from engine.calibrate.result import Calibration
from engine.camera import Camera
from engine.fuse.dequantise import disparity_bounds
from engine.jit import parallel_map
from engine.mesh import Mesh
from engine.render import render_depth
from engine.segment import Segmentation

SPARE = 0.5
"""Of a code's interval: a mesh may lie outside by so much, for triangles and the blur of edges."""

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Agreement:
    """How well a mesh gives the depth renders back.

    depth_iou: overlap of the silhouettes, the mean of the views; worst_depth_iou: of the worst one. outside: share of
    the renders' pixels where the mesh is not, or at a depth that the code does not allow.
    """

    depth_iou: float
    worst_depth_iou: float
    outside: float

    def no_worse_than(self, other: Agreement) -> bool:
        """Whether nothing is worse."""
        return (
            self.depth_iou >= other.depth_iou
            and self.worst_depth_iou >= other.worst_depth_iou
            and self.outside <= other.outside
        )


@dataclass(frozen=True, eq=False)
class DepthRender:
    """What one depth render allows. mask: [S, S] bool; near, far: [S, S] float32 planar depth, 0 outside the mask."""

    camera: Camera
    mask: NDArray[np.bool_]
    near: Float32
    far: Float32


def depth_renders(bundle: Bundle, segmentation: Segmentation, calibration: Calibration) -> list[DepthRender]:
    """All six, with the intervals of depth that their codes stand for, widened by SPARE."""

    def prepare(index: int) -> DepthRender:
        name = VIEW_NAMES[index]
        camera, mask = calibration.cameras[name], segmentation.depth_mask[name]
        codes = np.where(mask, bundle.depth[name], 0).astype(np.uint16)
        bounds = disparity_bounds(codes, calibration.depth[name], camera)
        spare = np.float32(SPARE) * (bounds.high - bounds.low)
        near, far = np.zeros_like(bounds.low), np.zeros_like(bounds.low)
        np.divide(1, bounds.high + spare, out=near, where=mask)
        np.divide(1, np.maximum(bounds.low - spare, np.float32(1e-6)), out=far, where=mask)
        return DepthRender(camera, mask, near, far)

    return parallel_map(prepare, range(len(VIEW_NAMES)))


def agreement(mesh: Mesh, renders: list[DepthRender]) -> Agreement:
    """Draw a mesh as the depth renders' cameras see it, and compare."""
    overlaps, outside, pixels = [], 0, 0
    for render in renders:
        drawn = render_depth(mesh, render.camera)
        shown = drawn > 0
        both = shown & render.mask
        overlaps.append(int(np.count_nonzero(both)) / max(int(np.count_nonzero(shown | render.mask)), 1))
        z = drawn[render.mask]  # 0, nearer than any, where the mesh is not
        outside += int(np.count_nonzero((z < render.near[render.mask]) | (z > render.far[render.mask])))
        pixels += len(z)
    return Agreement(float(np.mean(overlaps)), min(overlaps), outside / max(pixels, 1))
