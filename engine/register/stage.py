"""Which views are corrected, and by how much."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.bundle import Bundle
from engine.calibrate.result import Calibration
from engine.camera import Registration
from engine.jit import parallel_map
from engine.register.joint import View, gains, register_jointly
from engine.register.outlines import Outline, contour_error, outline, resized, window_of
from engine.register.photo import picture, seen, surface_points
from engine.register.similarity import Float
from engine.segment import Segmentation

MIN_ERROR = 0.7e-3
"""Mean distance of the outlines, of the image's width, below which there is nothing to correct (0.7 px of 1024)."""
MIN_GAIN = 0.05
"""Share of a view's cost that its correction must take away."""
_MARGIN = 48
_STRIDE = 5
"""Of 1024 pixels: one surface point for each stride x stride pixels of each depth map."""


def outlines_of(mask: NDArray[np.bool_], coverage: NDArray[np.float32]) -> tuple[Outline, Outline] | None:
    """The ideal and the delivered outline of a view at the depth's size; None where one of them is missing."""
    either = mask | (coverage > 0.5)
    if not either.any():
        return None
    window = window_of(either, max(4, _MARGIN * len(mask) // 1024))
    ideal, delivered = outline(mask.astype(np.float32), window), outline(coverage, window)
    return None if ideal is None or delivered is None else (ideal, delivered)


def register(
    bundle: Bundle,
    segmentation: Segmentation,
    calibration: Calibration,
    depth: dict[ViewName, NDArray[np.float32]],
) -> dict[ViewName, Registration]:
    """The correction of each view's RGB against the geometry that the depth shows, in pixels of the RGB.

    `calibration.cameras[v].scaled_to(bundle.rgb_size_px).registered(registration)` is the camera whose ideal image is
    the delivered RGB. depth: [h, w] planar z of each view, 0 = background, as fusion hands it on. Bounded by MAX_SCALE,
    MAX_SHIFT and MAX_ROTATION_DEG; exactly the identity where the outlines agree already (such a view holds the others
    in place by its colours), and where a correction takes away too little.
    """
    names = [v for v in VIEW_NAMES if v in bundle.rgb and v in calibration.cameras]
    nothing = dict.fromkeys(names, Registration())
    masks = segmentation.depth_mask

    def silhouettes(v: ViewName) -> tuple[Outline, Outline] | None:
        return outlines_of(masks[v], resized(segmentation.rgb_alpha[v], len(masks[v])))

    found = dict(zip(names, parallel_map(silhouettes, names), strict=True))
    pairs = {v: pair for v, pair in found.items() if pair is not None}
    still, size = np.zeros(4), bundle.depth_size_px
    apart = {v: contour_error(still, *pair, size) for v, pair in pairs.items()}
    if all(error < MIN_ERROR * size for error in apart.values()):
        return nothing
    stride = max(1, round(_STRIDE * size / 1024))
    sampled = parallel_map(lambda v: surface_points(depth[v], calibration.cameras[v], stride), list(pairs))
    points, normals = (np.concatenate([s[k] for s in sampled]) for k in range(2))
    looks = parallel_map(lambda v: seen(points, normals, depth[v], calibration.cameras[v]), list(pairs))
    shared = np.sum([weight > 0 for _, weight in looks], axis=0) >= 2
    pictures = parallel_map(lambda v: picture(bundle.rgb[v], segmentation.rgb_alpha[v], size), list(pairs))
    moves = [apart[v] >= MIN_ERROR * size for v in pairs]
    parts = zip(pairs.values(), pictures, looks, moves, strict=True)
    views = parallel_map(
        lambda p: View(size, *p[0], p[1], p[2][0][shared], p[2][1][shared], float(stride**2), p[3]), list(parts)
    )
    register_jointly(views)
    for view, gain in zip(views, gains(views), strict=True):
        if gain < MIN_GAIN:
            view.x = np.zeros(4)
    factor = bundle.rgb_size_px / size
    return nothing | {v: _registration(view.x, factor) for v, view in zip(pairs, views, strict=True)}


def _registration(x: Float, factor: float) -> Registration:
    if not x.any():
        return Registration()
    numbers: list[Any] = [float(value) for value in x]
    return Registration(
        scale=round(1 + numbers[0], 6),
        dx_px=round(numbers[2] * factor, 4),
        dy_px=round(numbers[3] * factor, 4),
        rotation_deg=round(math.degrees(numbers[1]), 5),
    )
