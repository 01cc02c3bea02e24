"""Stage 5: from depth codes to a signed distance volume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.bundle import Bundle
from engine.calibrate.result import Calibration
from engine.fuse.dequantise import Bounds, disparity_bounds, smooth_within
from engine.fuse.integrate import integrate
from engine.fuse.result import Fusion, SignedDistanceVolume
from engine.fuse.view_maps import view_maps
from engine.jit import parallel_map
from engine.progress import Checkpoint
from engine.segment import Segmentation

PADDING_VOXELS = 4


def fuse(
    bundle: Bundle, segmentation: Segmentation, calibration: Calibration, grid: int, checkpoint: Checkpoint
) -> Fusion:
    """Fuse the six depth renders. grid: voxels along the object's longest side.

    The views are dequantised (`dequantise`), then integrated (`integrate`). What no view sees as free is inside.
    """

    def bound(view: ViewName) -> Bounds:
        return disparity_bounds(
            bundle.depth[view], segmentation.depth_mask[view], calibration.depth[view], calibration.cameras[view]
        )

    bounds = dict(zip(VIEW_NAMES, parallel_map(bound, VIEW_NAMES), strict=True))
    jumps = {view: bounds[view].jump(float(calibration.cameras[view].K[0, 0])) for view in VIEW_NAMES}
    checkpoint(0.1)
    disparity = dict(
        zip(VIEW_NAMES, parallel_map(lambda view: smooth_within(bounds[view], jumps[view]), VIEW_NAMES), strict=True)
    )
    checkpoint(0.4)
    maps = parallel_map(lambda view: view_maps(disparity[view], jumps[view], calibration.cameras[view]), VIEW_NAMES)
    depth = {view: _reciprocal(disparity[view]) for view in VIEW_NAMES}
    origin, voxel_size, shape = _frame(calibration, depth, grid)
    checkpoint(0.5)
    values = integrate(maps, origin, voxel_size, shape, lambda fraction: checkpoint(0.5 + 0.5 * fraction))
    return Fusion(SignedDistanceVolume(values, origin, voxel_size), depth)


def _reciprocal(disparity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Depth from disparity, 0 where there is none."""
    return np.divide(1, disparity, out=np.zeros_like(disparity), where=disparity > 0)


def _frame(
    calibration: Calibration, depth: dict[ViewName, NDArray[np.float32]], grid: int
) -> tuple[NDArray[np.float64], float, tuple[int, int, int]]:
    """Origin, voxel size and shape of a volume that holds every view's surface."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for view in VIEW_NAMES:
        v, u = (index[::3] for index in np.nonzero(depth[view]))
        points = calibration.cameras[view].unproject(
            np.stack([u + 0.5, v + 0.5], 1), depth[view][v, u].astype(np.float64)
        )
        low, high = np.minimum(low, points.min(0)), np.maximum(high, points.max(0))
    voxel_size = float((high - low).max()) / grid
    origin = low - PADDING_VOXELS * voxel_size
    x, y, z = (int(n) + 1 for n in np.ceil((high - low) / voxel_size + 2 * PADDING_VOXELS))
    return origin, voxel_size, (x, y, z)
