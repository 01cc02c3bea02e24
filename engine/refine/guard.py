"""What refinement must not make worse: how well the mesh gives the depth renders back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.bundle import Bundle
from engine.calibrate.result import Calibration
from engine.camera import Camera
from engine.fuse import depth_error
from engine.fuse.dequantise import disparity_bounds
from engine.jit import parallel_map
from engine.mesh import Mesh
from engine.render import Fragments, rasterize, render_depth, to_clip
from engine.segment import Segmentation

SPARE = 0.5
"""Of a code's interval: a mesh may lie outside by so much, for triangles and the blur of edges."""

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Agreement:
    """How well a mesh gives the depth renders back.

    depth_iou: overlap of the silhouettes, the mean of the views; worst_depth_iou: of the worst one. outside: share of
    the renders' pixels where the mesh is not, or at a depth that the code does not allow. depth_error: the views' mean
    of the median distance to the delivered depth where both are, over the mesh's diagonal; 1 if nowhere.
    """

    depth_iou: float
    worst_depth_iou: float
    outside: float
    depth_error: float

    def no_worse_than(self, other: Agreement) -> bool:
        """Whether nothing is worse."""
        return (
            self.depth_iou >= other.depth_iou
            and self.worst_depth_iou >= other.worst_depth_iou
            and self.outside <= other.outside
            and self.depth_error <= other.depth_error
        )


@dataclass(frozen=True, eq=False)
class DepthRender:
    """What one depth render allows.

    mask: [S, S] bool. near, far: [S, S] float32 planar depth, 0 outside the mask. depth: the same between them, as
    smoothed within the codes.
    """

    camera: Camera
    mask: NDArray[np.bool_]
    near: Float32
    far: Float32
    depth: Float32


def depth_renders(
    bundle: Bundle, segmentation: Segmentation, calibration: Calibration, depth: Mapping[ViewName, Float32]
) -> list[DepthRender]:
    """All six, with the intervals of depth that their codes stand for, widened by SPARE. depth: see `Fusion`."""

    def prepare(index: int) -> DepthRender:
        name = VIEW_NAMES[index]
        camera, mask = calibration.cameras[name], segmentation.depth_mask[name]
        codes = np.where(mask, bundle.depth[name], 0).astype(np.uint16)
        bounds = disparity_bounds(codes, calibration.depth[name], camera)
        spare = np.float32(SPARE) * (bounds.high - bounds.low)
        near, far = np.zeros_like(bounds.low), np.zeros_like(bounds.low)
        np.divide(1, bounds.high + spare, out=near, where=mask)
        np.divide(1, np.maximum(bounds.low - spare, np.float32(1e-6)), out=far, where=mask)
        return DepthRender(camera, mask, near, far, depth[name])

    return parallel_map(prepare, range(len(VIEW_NAMES)))


def worsened(start: Mesh, mesh: Mesh, renders: list[DepthRender]) -> NDArray[np.float64]:
    """[V] how many more pixels are wrong than at the start, told to the vertices of the faces that are seen there.

    Wrong is a depth that the code does not allow, and once more a silhouette where there should be none, or none where
    there should be one. mesh: the start with its vertices moved. The sum is that of all pixels.
    """
    total = np.zeros(len(start.vertices))
    for render in renders:
        (was, before), (wrong, after) = _wrong(start, render), _wrong(mesh, render)
        change = wrong - was
        row, column = np.nonzero(change)
        seen, seen_before = after[row, column], before[row, column]
        face = np.where(seen >= 0, seen, seen_before)
        for corner in range(3):
            np.add.at(total, start.faces[face, corner], change[row, column] / 3)
    return total


def drawn(mesh: Mesh, render: DepthRender) -> Fragments:
    """The mesh as a depth render's camera sees it."""
    size_px = render.camera.size_px
    return rasterize(to_clip(mesh.vertices, render.camera), mesh.faces, (size_px, size_px))


def _wrong(mesh: Mesh, render: DepthRender) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """[S, S] how wrong a pixel is, 0 to 2, and the face that is seen there, -1 = none."""
    seen = drawn(mesh, render)
    z, mask = seen.depth, render.mask
    not_allowed = mask & ((z < render.near) | (z > render.far))
    return not_allowed.astype(np.float64) + (seen.covered != mask), seen.face_index


def agreement(mesh: Mesh, renders: list[DepthRender]) -> Agreement:
    """Draw a mesh as the depth renders' cameras see it, and compare."""
    overlaps, errors, outside, pixels = [], [], 0, 0
    diagonal = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    for render in renders:
        picture = render_depth(mesh, render.camera)
        shown = picture > 0
        both = shown & render.mask
        overlaps.append(int(np.count_nonzero(both)) / max(int(np.count_nonzero(shown | render.mask)), 1))
        z = picture[render.mask]  # 0, nearer than any, where the mesh is not
        outside += int(np.count_nonzero((z < render.near[render.mask]) | (z > render.far[render.mask])))
        pixels += len(z)
        if (shown & (render.depth > 0)).any():
            errors.append(depth_error(picture, render.depth, diagonal))
    error = float(np.mean(errors)) if errors else 1.0
    return Agreement(float(np.mean(overlaps)), min(overlaps), outside / max(pixels, 1), error)
