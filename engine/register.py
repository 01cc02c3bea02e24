"""Stage 4: a bounded per-view correction that brings the RGB's outline onto the geometry's.

The RGB view and the depth render should show the same silhouette. Where the RGB was repainted they do not: a similarity
per view takes the common part of that away. It is used only where the outlines agree better by a clear margin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.bundle import Bundle
from engine.calibrate.result import Calibration
from engine.camera import Registration
from engine.jit import parallel_map
from engine.segment import Segmentation

MAX_SCALE = 0.03
MAX_SHIFT = 0.02
"""Of the image's width."""
MAX_ROTATION_DEG = 2.0
MIN_ERROR = 0.7e-3
"""Mean distance of the outlines, of the image's width, below which there is nothing to correct (0.7 px of 1024)."""
MIN_GAIN = 0.1
"""Share of the error that a correction must take away."""
MIN_IOU_GAIN = 0.001

_POINTS = 1500
_MARGIN = 48
_ROUNDS = ((16.0, 4), (8.0, 4), (4.0, 5), (2.0, 6))
"""Cauchy scale in pixels of 1024, and iterations with it."""

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outline:
    """A silhouette: its signed distance [h, w] float32 (pixels, positive outside) and points [N, 2] on its contour.

    offset: image coordinates of the signed distance's first pixel. inside: [h, w] bool.
    """

    distance: NDArray[np.float32]
    inside: NDArray[np.bool_]
    points: Float
    offset: Float

    def at(self, uv_px: Float) -> Float:
        """Signed distance [N] at image coordinates [N, 2]."""
        x = uv_px - self.offset - 0.5
        return np.asarray(
            ndimage.map_coordinates(self.distance, [x[:, 1], x[:, 0]], output=np.float64, order=1, mode="nearest")
        )


def outline(coverage: NDArray[np.floating[Any]], window: tuple[slice, slice]) -> Outline | None:
    """The outline of coverage [H, W] (0..1) at 0.5, within a window that holds it; None where there is none."""
    part = np.asarray(coverage[window], np.float32)
    inside = part > 0.5
    if inside.sum() < 64 or inside.all():
        return None
    distance = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
    distance -= np.where(inside, -0.5, 0.5)
    offset = np.array([window[1].start, window[0].start], np.float64)
    padded = np.pad(part, 1)
    rows = np.concatenate(find_contours(padded, 0.5))  # type: ignore[no-untyped-call]
    rows = rows[:: max(1, len(rows) // _POINTS)]
    return Outline(np.asarray(distance, np.float32), inside, rows[:, ::-1] - 0.5 + offset, offset)


def transform(parameters: Float, points: Float, centre: float) -> Float:
    """centre + s·R·(p - centre) + d for points [N, 2]; parameters: s - 1, rotation in radians, dx, dy."""
    c, s = math.cos(parameters[1]), math.sin(parameters[1])
    R = (1 + parameters[0]) * np.array([[c, -s], [s, c]])
    return np.asarray((points - centre) @ R.T + centre + parameters[2:])


def inverse_transform(parameters: Float, points: Float, centre: float) -> Float:
    """Undo `transform`."""
    c, s = math.cos(parameters[1]), math.sin(parameters[1])
    R = np.array([[c, -s], [s, c]]) / (1 + parameters[0])
    return np.asarray((points - centre - parameters[2:]) @ R + centre)


def _residuals(parameters: Float, ideal: Outline, delivered: Outline, centre: float) -> Float:
    """Distances in pixels of each outline's points from the other: both ways, so neither may shrink away."""
    return np.concatenate(
        [
            delivered.at(transform(parameters, ideal.points, centre)),
            ideal.at(inverse_transform(parameters, delivered.points, centre)),
        ]
    )


def fit_similarity(ideal: Outline, delivered: Outline, size_px: int) -> Float:
    """The bounded similarity [s - 1, radians, dx, dy] that takes the ideal outline to the delivered one.

    Iteratively reweighted Levenberg-Marquardt with a Cauchy loss of falling scale.
    """
    centre, unit = size_px / 2, size_px / 1024
    bounds = np.array([MAX_SCALE, math.radians(MAX_ROTATION_DEG), MAX_SHIFT * size_px, MAX_SHIFT * size_px])
    steps = np.array([1e-3, 1e-3, 0.3, 0.3])
    # One standard deviation each is allowed for a thousandth of a pixel's worth: it only holds what nothing decides.
    prior = 1e-3 * len(ideal.points) / bounds**2
    x = np.zeros(4)
    for scale, iterations in _ROUNDS:
        for _ in range(iterations):
            r = _residuals(x, ideal, delivered, centre)
            w = 1 / (1 + (r / (scale * unit)) ** 2)
            J = np.stack(
                [
                    (_residuals(x + h, ideal, delivered, centre) - _residuals(x - h, ideal, delivered, centre))
                    / (2 * h.sum())
                    for h in np.diag(steps)
                ],
                1,
            )
            A = (J * w[:, None]).T @ J + np.diag(prior)
            step = np.linalg.solve(A + 1e-9 * np.diag(np.diag(A)), (J * w[:, None]).T @ r + prior * x)
            x = np.clip(x - step, -bounds, bounds)
            if np.all(np.abs(step) < 1e-2 * steps):
                break
    return x


def contour_error(parameters: Float, ideal: Outline, delivered: Outline, size_px: int) -> float:
    """Mean distance of the outlines in pixels, each point's capped at 1.5 % of the width."""
    r = np.abs(_residuals(parameters, ideal, delivered, size_px / 2))
    return float(np.minimum(r, 0.015 * size_px).mean())


def overlap(parameters: Float, ideal: Outline, delivered: Outline, size_px: int) -> float:
    """IoU of the two silhouettes, the ideal one moved."""
    rows, columns = np.indices(delivered.inside.shape)
    grid = np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], 1) + delivered.offset
    moved = (ideal.at(inverse_transform(parameters, grid, size_px / 2)) < 0).reshape(delivered.inside.shape)
    return float((moved & delivered.inside).sum() / max((moved | delivered.inside).sum(), 1))


def register_view(mask: NDArray[np.bool_], alpha: NDArray[np.uint8]) -> Registration:
    """The correction of one view, in pixels of the RGB; the identity where none helps clearly.

    mask: [h, w] bool, the depth's foreground. alpha: [H, W] uint8, the RGB's coverage.
    """
    size = mask.shape[0]
    coverage = _resized(alpha, size)
    either = mask | (coverage > 0.5)
    if not either.any():
        return Registration()
    rows, columns = np.flatnonzero(either.any(1)), np.flatnonzero(either.any(0))
    margin = max(4, _MARGIN * size // 1024)
    window = (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin),
    )
    ideal, delivered = outline(mask.astype(np.float32), window), outline(coverage, window)
    if ideal is None or delivered is None:
        return Registration()
    none = np.zeros(4)
    before = contour_error(none, ideal, delivered, size)
    if before < MIN_ERROR * size:
        return Registration()
    found = fit_similarity(ideal, delivered, size)
    after = contour_error(found, ideal, delivered, size)
    if after > (1 - MIN_GAIN) * before:
        return Registration()
    if overlap(found, ideal, delivered, size) < overlap(none, ideal, delivered, size) + MIN_IOU_GAIN:
        return Registration()
    factor = alpha.shape[0] / size
    return Registration(
        scale=round(1 + float(found[0]), 6),
        dx_px=round(float(found[2]) * factor, 4),
        dy_px=round(float(found[3]) * factor, 4),
        rotation_deg=round(math.degrees(float(found[1])), 5),
    )


def _resized(alpha: NDArray[np.uint8], size_px: int) -> NDArray[np.float32]:
    """Coverage 0..1 at another size: box average where the ratio is whole, else linear."""
    factor = alpha.shape[0] / size_px
    if factor >= 1 and factor == int(factor):
        k = int(factor)
        sums = np.zeros((size_px, size_px), np.uint32)
        for i in range(k):
            for j in range(k):
                sums += alpha[i::k, j::k]
        return np.asarray(sums / np.float32(255 * k * k), np.float32)
    at = (np.arange(size_px) + 0.5) * factor - 0.5
    blurred = ndimage.uniform_filter(alpha.astype(np.float32), max(1, round(factor)))
    grid = np.meshgrid(at, at, indexing="ij")
    return np.asarray(ndimage.map_coordinates(blurred, grid, order=1, mode="nearest") / 255, np.float32)


def register(bundle: Bundle, segmentation: Segmentation, calibration: Calibration) -> dict[ViewName, Registration]:
    """The correction of each view's RGB against the geometry that the depth shows, in pixels of the RGB.

    `calibration.cameras[v].scaled_to(bundle.rgb_size_px).registered(registration)` is the camera whose ideal image is
    the delivered RGB. Bounded by MAX_SCALE, MAX_SHIFT and MAX_ROTATION_DEG; exactly the identity where the outlines
    agree already or where a similarity does not explain their difference.
    """
    names = [v for v in VIEW_NAMES if v in bundle.rgb and v in calibration.cameras]
    found = parallel_map(lambda v: register_view(segmentation.depth_mask[v], segmentation.rgb_alpha[v]), names)
    return dict(zip(names, found, strict=True))
