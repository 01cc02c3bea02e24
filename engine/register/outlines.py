"""Silhouettes as contours and distances."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure

from engine.register.similarity import Float, bilinear, inverse_transform, transform, with_gradient

_POINTS = 1200


@dataclass(frozen=True, eq=False)
class Outline:
    """A silhouette.

    distance: [h, w, 3] float32, signed distance in pixels, positive outside, and its derivatives along u and v.
    points: [N, 2] on the contour, image coordinates. spacing: pixels of contour that each point stands for.
    offset: [2] image coordinates of the distance's first pixel.
    """

    distance: NDArray[np.float32]
    points: Float
    spacing: float
    offset: Float

    def at(self, uv_px: Float) -> NDArray[np.float32]:
        """Signed distance and its gradient [N, 3] at image coordinates [N, 2]."""
        return bilinear(self.distance, uv_px - self.offset)


def outline(coverage: NDArray[np.floating[Any]], window: tuple[slice, slice]) -> Outline | None:
    """The outline of coverage [H, W] (0..1) at 0.5, within a window that holds it; None where there is none."""
    part = np.asarray(coverage[window], np.float32)
    inside = part > 0.5
    if inside.sum() < 64 or inside.all():
        return None
    distance = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
    distance -= np.where(inside, -0.5, 0.5)
    offset = np.array([window[1].start, window[0].start], np.float64)
    contours: list[Float] = measure.find_contours(np.pad(part, 1), 0.5)  # type: ignore[no-untyped-call]
    length = sum(float(np.linalg.norm(np.diff(c, axis=0), axis=1).sum()) for c in contours)
    rows = np.concatenate(contours)
    rows = rows[:: max(1, len(rows) // _POINTS)]
    # A pixel mask's steps turn the gradient of its distance by up to 45 degrees: take the slopes of a smoother one.
    field = with_gradient(ndimage.gaussian_filter(np.asarray(distance, np.float32), 2.0)[..., None])
    field[..., 0] = distance
    return Outline(field, rows[:, ::-1] - 0.5 + offset, length / len(rows), offset)


def contour_error(x: Float, ideal: Outline, delivered: Outline, size_px: int) -> float:
    """Mean distance of the outlines in pixels, both ways, each point's capped at 1.5 % of the width."""
    centre = size_px / 2
    there = delivered.at(transform(x, ideal.points, centre))[:, 0]
    back = ideal.at(inverse_transform(x, delivered.points, centre))[:, 0]
    return float(np.minimum(np.abs(np.concatenate([there, back])), 0.015 * size_px).mean())


def resized(alpha: NDArray[np.uint8], size_px: int) -> NDArray[np.float32]:
    """Coverage 0..1 at another size: box average where the ratio is whole, else linear."""
    factor = alpha.shape[0] / size_px
    if factor >= 1 and factor == int(factor):
        k = int(factor)
        sums = np.zeros((size_px, size_px), np.uint32)
        for i in range(k):
            for j in range(k):
                sums += alpha[i::k, j::k]
        return np.asarray(sums * np.float32(1 / (255 * k * k)), np.float32)
    at = (np.arange(size_px) + 0.5) * factor - 0.5
    blurred = ndimage.uniform_filter(alpha.astype(np.float32), max(1, math.floor(factor + 0.5)))
    grid = np.meshgrid(at, at, indexing="ij")
    return np.asarray(ndimage.map_coordinates(blurred, grid, order=1, mode="nearest") / 255, np.float32)


def window_of(either: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """The rows and columns that hold a mask [h, w], and a margin around them."""
    rows, columns = np.flatnonzero(either.any(1)), np.flatnonzero(either.any(0))
    h, w = either.shape
    return (
        slice(max(0, int(rows[0]) - margin), min(h, int(rows[-1]) + 1 + margin)),
        slice(max(0, int(columns[0]) - margin), min(w, int(columns[-1]) + 1 + margin)),
    )
