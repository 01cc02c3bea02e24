"""What the views' colours say about their registration: points on the surface, and pictures to look them up in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engine.camera import Camera
from engine.register.outlines import resized, window_of
from engine.register.similarity import Float, bilinear, with_gradient

Float32 = NDArray[np.float32]

LEAST_COSINE = 0.15
LEAST_CONTRAST = 0.25**2
"""Squared difference of object and background (of 1) that an outline's pixels count for at least."""
_WIDTH = 400
"""Pictures are halved while they stay at least this wide: the finest blur is wider than their pixels."""
_NEAR_PX = 5.0


@dataclass(frozen=True, eq=False)
class Picture:
    """One view's colours, reduced, cropped to the object.

    premultiplied: [h, w, 4] float32, colour (0..1) times coverage, and coverage. size_px: the depth's size, whose
    pixels all coordinates are in; factor: pixels of the picture per such pixel; offset: [2], of the crop, in pixels of
    the picture. background: [3].
    """

    premultiplied: Float32
    size_px: int
    factor: float
    offset: Float
    background: Float32

    def blurred(self, sigma_px: float) -> Float32:
        """[h, w, 10]: the object's own colours blurred, their derivatives per pixel of the depth, sharp coverage."""
        colour = self._object_colour(sigma_px * self.factor)
        derivatives = with_gradient(colour, 1 / self.factor)
        return np.concatenate([derivatives, self.premultiplied[..., 3:]], 2)

    def look_up(self, image: Float32, uv_px: Float) -> Float32:
        """Values [N, C] of an image of this crop at image coordinates [N, 2]."""
        return bilinear(image, uv_px * self.factor - self.offset)

    def contrast(self, uv_px: Float) -> Float32:
        """[N] squared difference of the object's colours nearby from the background, LEAST_CONTRAST or more."""
        colour = self._object_colour(_NEAR_PX * self.size_px / 1024 * self.factor)
        apart = ((colour - self.background) ** 2).mean(2, keepdims=True)
        return np.maximum(self.look_up(np.asarray(apart, np.float32), uv_px)[:, 0], np.float32(LEAST_CONTRAST))

    def _object_colour(self, sigma: float) -> Float32:
        part = ndimage.gaussian_filter(self.premultiplied, (sigma, sigma, 0), truncate=2.5)
        return np.asarray(part[..., :3] / np.maximum(part[..., 3:], np.float32(1e-3)))


def picture(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8], size_px: int) -> Picture:
    """Reduce and crop a view. rgb: [H, W, 3], alpha: [H, W] uint8 with something in it. size_px: the depth's."""
    k = max(0, math.floor(math.log2(rgb.shape[0] / _WIDTH)))
    step = 2**k
    size = rgb.shape[0] // step
    coverage = resized(alpha[: size * step, : size * step], size)
    window = window_of(coverage > 0, max(4, 48 * size // 1024))
    part = np.zeros((*coverage[window].shape, 3), np.uint32)
    fine = tuple(slice(s.start * step, s.stop * step) for s in window)
    source = rgb[fine]
    for i in range(step):
        for j in range(step):
            part += source[i::step, j::step]
    a = coverage[window][..., None]
    colour = part * np.float32(1 / (255 * step * step))
    outside = rgb[step // 2 :: step, step // 2 :: step][:size, :size][coverage == 0]
    background = np.median(outside, 0) / 255 if len(outside) else np.ones(3)
    return Picture(
        np.asarray(np.concatenate([colour * a, a], 2), np.float32),
        size_px,
        rgb.shape[0] / step / size_px,
        np.array([window[1].start, window[0].start], np.float64),
        np.asarray(background, np.float32),
    )


def surface_points(depth: Float32, camera: Camera, stride: int) -> tuple[Float, Float]:
    """Points [N, 3] and unit normals towards the camera [N, 3], one for each stride x stride pixels of a depth map.

    depth: [h, w] planar z, 0 = background. Pixels next to the rim or to a jump are left out.
    """
    reach = 2
    inside = ndimage.minimum_filter(depth, 2 * reach + 1) > 0
    rows, columns = np.nonzero(inside[stride // 2 :: stride, stride // 2 :: stride])
    rows, columns = rows * stride + stride // 2, columns * stride + stride // 2
    safe = (rows >= reach) & (columns >= reach)
    safe &= (rows < depth.shape[0] - reach) & (columns < depth.shape[1] - reach)
    rows, columns = rows[safe], columns[safe]

    def at(down: int, right: int) -> Float:
        y, x = rows + down, columns + right
        return camera.unproject(np.stack([x, y], 1).astype(np.float64) + 0.5, depth[y, x].astype(np.float64))

    points, right, left, below, above = at(0, 0), at(0, reach), at(0, -reach), at(reach, 0), at(-reach, 0)
    far = 6 * reach / camera.K[0, 0] * depth[rows, columns]
    smooth = np.all([np.linalg.norm(p - points, axis=1) < far for p in (right, left, below, above)], axis=0)
    normals = np.cross(below - above, right - left)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    normals *= np.where(((camera.position - points) * normals).sum(1) < 0, -1.0, 1.0)[:, None]
    return points[smooth], normals[smooth]


def seen(points: Float, normals: Float, depth: Float32, camera: Camera) -> tuple[Float, Float32]:
    """Image coordinates [N, 2] of points, and weights cos(angle)/z² [N], 0 where the depth map shows another surface.

    The weight is a surface element's area in the image, but for a constant.
    """
    uv_px, z = camera.project(points)
    direction = camera.position - points
    cosine = (direction * normals).sum(1) / np.linalg.norm(direction, axis=1)
    h, w = depth.shape
    there = depth[np.clip(uv_px[:, 1].astype(int), 0, h - 1), np.clip(uv_px[:, 0].astype(int), 0, w - 1)]
    tangent = np.sqrt(np.maximum(1 - cosine**2, 0)) / np.maximum(cosine, LEAST_COSINE)
    near = np.abs(there - z) < z / camera.K[0, 0] * (3 + 1.5 * tangent)
    return uv_px, np.where((cosine > LEAST_COSINE) & (there > 0) & near, cosine / z**2, 0).astype(np.float32)
