"""Outlines to a fraction of a pixel: what a view shows of the object, and what a mesh shows of itself.

Both go through the same blur and the same distance, so that what the blur does to a curve cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import ndtri

from engine.camera import Camera
from engine.distance import squared_distance
from engine.mesh import Mesh
from engine.register.outlines import window_of
from engine.register.similarity import bilinear, with_gradient
from engine.render import render_depth

BLUR_PX = 1.0
_FINE_PX = 1.25
"""Nearer to the outline than this the blurred coverage tells the distance, farther away whole pixels do."""
_SPREAD_PX = (BLUR_PX**2 + 1 / 12) ** 0.5
MARGIN_PX = 24

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Target:
    """One view's outline.

    camera: whose picture it is. distance: [h, w, 3] float32, signed distance in pixels, positive outside, and its
    derivatives along u and v. window: rows and columns of the picture that it covers.
    """

    camera: Camera
    distance: Float32
    window: tuple[slice, slice]

    def at(self, uv_px: NDArray[np.float64]) -> Float32:
        """Distance and its gradient [N, 3] at image coordinates [N, 2]."""
        return look_up(self.distance, uv_px, self.window)


def look_up(field: Float32, uv_px: NDArray[np.float64], window: tuple[slice, slice]) -> Float32:
    """Values [N, C] of a field [h, w, C] that covers a window of a picture, at image coordinates [N, 2]."""
    return bilinear(field, uv_px - np.array([window[1].start, window[0].start], np.float64))


def target_of(camera: Camera, coverage: Float32) -> Target | None:
    """The outline of a coverage [S, S] (0..1) in the picture of `camera`; None where all or nothing is covered."""
    inside = coverage > 0.5
    if not inside.any() or inside.all():
        return None
    window = window_of(inside, MARGIN_PX)
    distance = signed_distance(coverage[window])
    # the steps of a pixel mask turn the gradient: take that of a smoother field
    field = with_gradient(ndimage.gaussian_filter(distance, 1.5)[..., None])
    field[..., 0] = distance
    return Target(camera, field, window)


def signed_distance(coverage: Float32) -> Float32:
    """[h, w] float32 pixels to the line where the blurred coverage [h, w] is a half; positive where it is less."""
    blurred = ndimage.gaussian_filter(coverage, BLUR_PX, mode="nearest")
    inside = blurred > 0.5
    distance = np.sqrt(squared_distance(inside)) - np.sqrt(squared_distance(~inside))
    distance += np.where(inside, np.float32(0.5), np.float32(-0.5))
    near = np.abs(distance) < _FINE_PX
    # a straight edge, blurred by a pixel's square and a Gaussian, is that Gaussian's integral, about
    fine = -_SPREAD_PX * ndtri(np.clip(blurred[near].astype(np.float64), 0.02, 0.98))
    distance[near] = np.clip(fine, -_FINE_PX - 0.5, _FINE_PX + 0.5)
    return np.asarray(distance, np.float32)


def drawn_coverage(mesh: Mesh, target: Target) -> Float32:
    """[h, w] float32, 0 or 1: where the target's camera sees the mesh, in the target's window; on all threads."""
    return (render_depth(mesh, target.camera)[target.window] > 0).astype(np.float32)
