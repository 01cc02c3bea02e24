"""Stage 5: from depth codes to a signed distance volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.bundle import Bundle
from engine.calibrate.result import Calibration
from engine.camera import Camera
from engine.fuse.dequantise import Bounds, Image, disparity_bounds, smooth_within
from engine.fuse.integrate import integrate
from engine.fuse.pins import pinned_levels, settle_plateaus
from engine.fuse.result import Fusion, SignedDistanceVolume
from engine.fuse.view_maps import edge_maps, put_surface, stack
from engine.jit import parallel_map
from engine.progress import Checkpoint
from engine.segment import Segmentation

PADDING_VOXELS = 4
MARGIN_PX = 24
"""Background kept round the object in a view; farther out is free space."""


@dataclass(frozen=True, eq=False)
class _View:
    """A depth render, cropped to the object; corner_px: (u, v) of the crop's first pixel."""

    camera: Camera
    corner_px: tuple[int, int]
    codes: NDArray[np.uint16]
    bounds: Bounds
    jump: Image


def fuse(
    bundle: Bundle, segmentation: Segmentation, calibration: Calibration, grid: int, checkpoint: Checkpoint
) -> Fusion:
    """Fuse the six depth renders. grid: voxels along the object's longest side.

    Each view's depth is narrowed by the others' outlines (`pins`) and dequantised (`dequantise`); then all are
    integrated (`integrate`). What no view sees as free is inside.
    """
    views = parallel_map(lambda name: _prepare(name, bundle, segmentation, calibration), VIEW_NAMES)
    checkpoint(0.1)
    pixels = parallel_map(lambda view: edge_maps(view.bounds.middle, view.jump), views)
    maps = stack(pixels, [view.corner_px for view in views], [view.camera for view in views])
    del pixels
    checkpoint(0.2)

    def dequantise(index: int) -> Image:
        view = views[index]
        level = pinned_levels(index, view.bounds, view.corner_px, view.camera, maps)
        return smooth_within(settle_plateaus(view.codes, view.bounds, level), view.jump)

    disparity = parallel_map(dequantise, range(len(views)))
    checkpoint(0.5)

    def finish(index: int) -> Image:
        put_surface(maps.pixels[index], disparity[index])
        return _whole(disparity[index], views[index], bundle.depth_size_px)

    depth = dict(zip(VIEW_NAMES, parallel_map(finish, range(len(views))), strict=True))
    origin, voxel_size, shape = _frame(calibration, depth, grid)
    values = integrate(maps, origin, voxel_size, shape, lambda fraction: checkpoint(0.5 + 0.5 * fraction))
    return Fusion(SignedDistanceVolume(values, origin, voxel_size), depth, maps)


def _prepare(name: ViewName, bundle: Bundle, segmentation: Segmentation, calibration: Calibration) -> _View:
    """Crop a view to its object and tell what its codes allow."""
    camera, mask = calibration.cameras[name], segmentation.depth_mask[name]
    v, u = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    size = mask.shape[0]
    top, left = max(int(v[0]) - MARGIN_PX, 0), max(int(u[0]) - MARGIN_PX, 0)
    crop = np.s_[top : min(int(v[-1]) + MARGIN_PX + 1, size), left : min(int(u[-1]) + MARGIN_PX + 1, size)]
    codes = np.where(mask, bundle.depth[name], 0)[crop].astype(np.uint16)
    bounds = disparity_bounds(codes, calibration.depth[name], camera, (left, top))
    return _View(camera, (left, top), codes, bounds, bounds.jump(float(camera.K[0, 0])))


def _whole(disparity: Image, view: _View, size_px: int) -> Image:
    """[size, size] depth from the crop's disparity, 0 where there is none."""
    out = np.zeros((size_px, size_px), np.float32)
    (left, top), (rows, columns) = view.corner_px, disparity.shape
    np.divide(1, disparity, out=out[top : top + rows, left : left + columns], where=disparity > 0)
    return out


def _frame(
    calibration: Calibration, depth: dict[ViewName, Image], grid: int
) -> tuple[NDArray[np.float64], float, tuple[int, int, int]]:
    """Origin, voxel size and shape of a volume that holds every view's surface."""

    def bounds(view: ViewName) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        v, u = (index[::3] for index in np.nonzero(depth[view]))
        points = calibration.cameras[view].unproject(
            np.stack([u + 0.5, v + 0.5], 1), depth[view][v, u].astype(np.float64)
        )
        return points.min(0), points.max(0)

    lows, highs = zip(*parallel_map(bounds, VIEW_NAMES), strict=True)
    low, high = np.min(lows, 0), np.max(highs, 0)
    voxel_size = float((high - low).max()) / grid
    origin = low - PADDING_VOXELS * voxel_size
    x, y, z = (int(n) + 1 for n in np.ceil((high - low) / voxel_size + 2 * PADDING_VOXELS))
    return origin, voxel_size, (x, y, z)
