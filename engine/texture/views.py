"""The input views, made ready to take colours from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.camera import Camera
from engine.mesh import Mesh
from engine.render import render_depth
from engine.texture.sampling import edge_distance, repair_rim, sample_points

_MARGIN = 4
_LEAST_TRUST = 0.2
"""Trust of a repaired pixel at the very edge, of 1."""
RAMP = 3.0
"""Distance in pixels from an edge at which a pixel is fully trusted."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One view, cropped to the object.

    rgb: [h, w, 3] uint8, rims repaired. trust: [h, w] uint8, 0 outside the object, rising with the distance from
    silhouettes and depth edges. depth: [h, w] float32 of the mesh. projection: [3, 4] world to pixels of the crop.
    centre: [3] of projection. pixel_angle: a pixel's width at depth 1.
    """

    rgb: NDArray[np.uint8]
    trust: NDArray[np.uint8]
    depth: NDArray[np.float32]
    projection: NDArray[np.float64]
    centre: NDArray[np.float64]
    pixel_angle: float

    def sample(self, points: NDArray[np.float32], normals: NDArray[np.float32]) -> NDArray[np.float32]:
        """Colour (0..255) and weight [N, 4] float32 of points [N, 3] with normals [N, 3]; weight 0 = not seen."""
        out = np.empty((len(points), 4), np.float32)
        sample_points(
            points,
            normals,
            self.projection,
            self.centre,
            self.pixel_angle,
            self.depth,
            self.rgb,
            self.trust,
            out,
        )
        return out


def halve(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Half the size by 2x2 box average, [H, W, ...] uint8; odd rows and columns at the end are dropped."""
    h, w = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    part = image[:h, :w]
    total = part[::2, ::2].astype(np.uint16) + part[1::2, ::2] + part[::2, 1::2] + part[1::2, 1::2]
    return np.asarray((total + 2) >> 2, np.uint8)


def background_colour(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.float64]:
    """[3] float64: the median colour of what is not the object."""
    step = max(1, rgb.shape[0] // 256)
    outside = rgb[::step, ::step][alpha[::step, ::step] == 0]
    return np.asarray(np.median(outside, 0) if len(outside) else np.full(3, 255), np.float64)


def draw_depth(mesh: Mesh, camera: Camera, levels: int) -> NDArray[np.float32]:
    """The mesh's depth as `prepare_picture` wants it; on all threads."""
    return render_depth(mesh, camera.scaled_to(camera.size_px >> levels))


def prepare_picture(
    depth: NDArray[np.float32],
    camera: Camera,
    rgb: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    straight_alpha: bool,
    levels: int,
) -> Picture | None:
    """Crop a view to the object, find its edges and repair its rims; on this thread alone.

    depth: see `draw_depth`. camera: of the RGB as delivered, at its size. rgb: [H, W, 3], alpha: [H, W] uint8, the
    object's coverage. straight_alpha: the colours are not mixed with a background. levels: how often to halve the view
    first, where the texture has far fewer texels than the view has pixels. None where nothing is seen.
    """
    background = background_colour(rgb, alpha)
    for _ in range(levels):
        rgb, alpha = halve(rgb), halve(alpha)
    camera = camera.scaled_to(rgb.shape[0])
    shown = (depth > 0) & (alpha > 0)
    if not shown.any():
        return None
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    y0, y1 = max(0, int(rows[0]) - _MARGIN), min(len(depth), int(rows[-1]) + 1 + _MARGIN)
    x0, x1 = max(0, int(columns[0]) - _MARGIN), min(len(depth), int(columns[-1]) + 1 + _MARGIN)
    rgb_c, alpha_c = np.ascontiguousarray(rgb[y0:y1, x0:x1]), np.ascontiguousarray(alpha[y0:y1, x0:x1])
    depth_c = np.ascontiguousarray(depth[y0:y1, x0:x1])
    pixel_angle = 1 / float(camera.K[0, 0])
    distance = np.empty(depth_c.shape, np.float32)
    edge_distance(alpha_c, depth_c, pixel_angle, distance)
    repaired = np.empty_like(rgb_c)
    mixed = np.full_like(alpha_c, 255) if straight_alpha else alpha_c
    repair_rim(rgb_c, np.where(alpha_c > 0, mixed, 0), depth_c, distance, background, pixel_angle, repaired)
    trust = np.clip((distance - 0.5) / (RAMP - 0.5), 0, 1) * (1 - _LEAST_TRUST) + _LEAST_TRUST
    trust *= np.clip(alpha_c / np.float32(255), 0, 1)
    trust[alpha_c < 100] = 0
    shift = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1.0]])
    return Picture(
        repaired,
        np.ceil(trust * 255).astype(np.uint8),
        depth_c,
        np.ascontiguousarray(shift @ camera.K @ camera.camera_from_world[:3]),
        np.ascontiguousarray(camera.position),
        pixel_angle,
    )
