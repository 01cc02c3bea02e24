"""What the other views' outlines say of a plateau's depth.

A face that is square to a camera lies on one depth level, and nothing in that view tells where within the level: an
error of up to half a level over the whole face. But a camera to its side sees it edge-on: its outline (silhouette or
depth edge) shows the face to half a pixel, a fraction of a level. So where the interval of depth that a pixel's code
allows crosses another view's outline, and that outline stands at this very distance from that camera, the outline is
this surface's, and the pixel is pinned to the crossing. A plateau whose pins agree is flat, and lies where they say; on
a curved cap they disagree, and are left alone: there the smoothness decides, better than pixels do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label

from engine.camera import Camera
from engine.distance import squared_distance
from engine.fuse.dequantise import Bounds, Image
from engine.fuse.view_maps import ViewMaps
from engine.jit import jit

SAMPLES = 8
"""Steps in which an interval is followed through another view."""
REACH_PX = 12.0
LEAST_SPAN_PX = 2.5
"""Intervals that appear shorter than this in the other view tell nothing."""
OWN = 0.4
"""Share of a jump by which an outline may stand nearer or farther than the pixel, and still be its own."""
LEAST_RADIUS_PX = 15.0
"""Of the largest disk in a plateau: narrower ones are the levels of a slope."""
LEAST_RIM_SHARE = 0.25
"""Share of a plateau's rim that is pinned: an outline crosses a curved cap, it runs round a flat face."""
FLAT_SPREAD = 0.16
"""Median deviation of a plateau's pins, in levels, up to which it is flat."""


@jit
def _pin(
    view: Any, left: Any, top: Any, K: Any, pose: Any, pixels: Any, table: Any, low: Any, high: Any, level: Any
) -> None:  # pragma: no cover
    """Fill level [h, w]: where in its interval the pixel is pinned, 0 (high disparity) to 1; -1 = not pinned.

    K [3, 3] and pose (world_from_camera) [4, 4] are those of the view that begins at (left, top) and is number `view`
    of pixels [N, h', w', 8] and table [N, 18].
    """
    H, W = low.shape
    for y in range(H):
        for x in range(W):
            level[y, x] = -1
            nearest, farthest = high[y, x], low[y, x]
            if nearest <= farthest:
                continue
            a, b = (x + left + 0.5 - K[0, 2]) / K[0, 0], (y + top + 0.5 - K[1, 2]) / K[1, 1]
            rx = pose[0, 0] * a + pose[0, 1] * b + pose[0, 2]
            ry = pose[1, 0] * a + pose[1, 1] * b + pose[1, 2]
            rz = pose[2, 0] * a + pose[2, 1] * b + pose[2, 2]
            total, found = 0.0, 0
            for m in range(len(table)):
                if m == view:
                    continue
                q = table[m]
                last, last_u, last_v = 0.0, 0.0, 0.0
                crossing, span, own = -1.0, 0.0, False
                for k in range(SAMPLES + 1):
                    z = 1 / (nearest + (farthest - nearest) * k / SAMPLES)
                    wx, wy, wz = rx * z + pose[0, 3], ry * z + pose[1, 3], rz * z + pose[2, 3]
                    there = q[8] * wx + q[9] * wy + q[10] * wz + q[11]
                    u = (q[0] * wx + q[1] * wy + q[2] * wz + q[3]) / there * q[12] + q[14]
                    v = (q[4] * wx + q[5] * wy + q[6] * wz + q[7]) / there * q[13] + q[15]
                    if not (there > 0 and u >= 0 and v >= 0 and u < q[17] - 1 and v < q[16] - 1):
                        break
                    i, j = int(u), int(v)
                    s, t = u - i, v - j
                    value = (pixels[m, j, i, 3] * (1 - s) + pixels[m, j, i + 1, 3] * s) * (1 - t) + (
                        pixels[m, j + 1, i, 3] * (1 - s) + pixels[m, j + 1, i + 1, 3] * s
                    ) * t
                    i, j = int(u + 0.5), int(v + 0.5)
                    edge = pixels[m, j, i, 4]
                    if value < 0 and abs(edge) < REACH_PX and pixels[m, j, i, 5] < there < pixels[m, j, i, 6]:
                        value = max(value, edge)
                    if k == 0:
                        if value <= 0 or value > REACH_PX:
                            break  # the interval begins inside, or far from the outline
                    else:
                        span += np.sqrt((u - last_u) ** 2 + (v - last_v) ** 2)
                        if last > 0 and value <= 0:
                            crossing = (k - 1 + last / (last - value)) / SAMPLES
                            own = abs(pixels[m, j, i, 0] - 1 / there) <= OWN * pixels[m, j, i, 7]
                        elif value > 0:
                            crossing = -1.0
                    last, last_u, last_v = value, u, v
                if crossing >= 0 and own and span >= LEAST_SPAN_PX:
                    total += crossing
                    found += 1
            if found > 0:
                level[y, x] = total / found


def pinned_levels(index: int, bounds: Bounds, corner_px: tuple[int, int], camera: Camera, maps: ViewMaps) -> Image:
    """Where the other views' outlines pin a view's pixels.

    index: the view's place in maps. bounds: [h, w] of the crop that begins at corner_px (u, v). Returns [h, w] float32,
    0 at the interval's near end to 1 at its far end, -1 where nothing is pinned.
    """
    level = np.empty(bounds.low.shape, np.float32)
    _pin(
        index,
        corner_px[0],
        corner_px[1],
        camera.K,
        camera.world_from_camera,
        maps.pixels,
        maps.table,
        bounds.low,
        bounds.high,
        level,
    )
    return level


def settle_plateaus(codes: NDArray[np.uint16], bounds: Bounds, level: Image) -> Bounds:
    """Narrow the bounds of each flat plateau (connected pixels of one code) to where its pins say; [h, w] all.

    level: see `pinned_levels`.
    """
    plateau = label(codes, background=0, connectivity=1)  # type: ignore[no-untyped-call]
    pinned, rim = level >= 0, np.zeros(codes.shape, np.bool_)
    for axis in range(2):
        along = np.moveaxis(plateau, axis, 0), np.moveaxis(rim, axis, 0)
        changes = along[0][1:] != along[0][:-1]
        along[1][1:] |= changes
        along[1][:-1] |= changes
    index = np.arange(int(plateau.max()) + 1)
    radius = ndimage.maximum(np.sqrt(squared_distance(rim)), plateau, index)
    on_rim, pinned_on_rim = (np.bincount(plateau[mask], minlength=len(index)) for mask in (rim, rim & pinned))
    chosen = index[(radius >= LEAST_RADIUS_PX) & (pinned_on_rim >= LEAST_RIM_SHARE * on_rim) & (pinned_on_rim > 0)]
    chosen = chosen[chosen > 0]
    if not len(chosen):
        return bounds
    middle = np.full(len(index), np.nan, np.float32)
    middle[chosen] = ndimage.median(level[pinned], plateau[pinned], chosen)
    spread = np.full(len(index), np.nan, np.float32)
    spread[chosen] = ndimage.median(np.abs(level[pinned] - middle[plateau[pinned]]), plateau[pinned], chosen)
    at, band = middle[plateau], 0.05 + 2 * spread[plateau]
    flat = spread[plateau] <= FLAT_SPREAD
    depth_of = [np.clip(at + shift, 0, 1) for shift in (-band, 0, band)]
    high, between, low = (bounds.high + (bounds.low - bounds.high) * share for share in depth_of)
    return Bounds(*(np.where(flat, new, old) for new, old in zip((low, between, high), bounds, strict=True)))
