"""Depth codes to depth, without the terraces that quantisation leaves.

A code allows an interval of depth. Within these intervals the surface that bends least is taken: the sum of squared
second differences of the disparity 1/z along rows and columns, with a weak membrane (a thin plate spline under bounds;
Terzopoulos 1988 for the functional, projected successive over-relaxation for the bounds). Disparity, because there
planes are linear in the pixel whatever the perspective. Differences are taken along links between neighbours on one
surface only, never across a jump. Coarse grids of every 2nd, 4th, ... pixel go first: a smooth patch whose levels are a
hundred pixels wide would take thousands of sweeps otherwise.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.calibrate.result import DepthCoding
from engine.camera import Camera
from engine.jit import jit

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

JUMP_LEVELS = 2.5
"""Neighbours further apart than this many levels lie on two surfaces, where a pixel is smaller than a level."""
JUMP_SLOPE = 6.0
"""Neighbours further apart than this many pixel widths lie on two surfaces (a slope of 80 degrees)."""
MEMBRANE = 0.02
OVER_RELAXATION = 1.5
COARSE_GRIDS = 3
SWEEPS = (40, 24)
"""Sweeps on each coarse grid and on the full one."""


class Bounds(NamedTuple):
    """The disparity 1/z (planar) that each pixel's code allows; [h, w] float32, 0 outside the mask."""

    low: Image
    middle: Image
    high: Image

    def jump(self, focal_px: float) -> Image:
        """[h, w] the difference from which on two neighbours lie on different surfaces."""
        levels, slope = JUMP_LEVELS * (self.high - self.low), JUMP_SLOPE / focal_px * self.middle
        return np.asarray(np.maximum(levels, slope), np.float32)


def disparity_bounds(
    codes: NDArray[np.uint16], coding: DepthCoding, camera: Camera, corner_px: tuple[int, int] = (0, 0)
) -> Bounds:
    """What each code allows. codes: [h, w], 0 = background; corner_px: (u, v) of its first pixel in the whole image."""
    mask = codes > 0
    code = np.where(mask, codes, 1).astype(np.float64)
    first, past = (code, code + 1) if coding.rounding == "floor" else (code - 0.5, code + 0.5)
    past = np.minimum(past, coding.code_max)
    depth = [coding.decode(c) for c in (first, (first + past) / 2, past)]
    if coding.measure == "ray":
        rows, columns = (np.arange(n) + 0.5 + corner for n, corner in zip(codes.shape, corner_px[::-1], strict=True))
        x, y = (columns - camera.K[0, 2]) / camera.K[0, 0], (rows - camera.K[1, 2]) / camera.K[1, 1]
        planar_over_ray = 1 / np.sqrt(1 + x[None, :] ** 2 + y[:, None] ** 2)
        depth = [d * planar_over_ray for d in depth]
    a, middle, b = (np.where(mask, 1 / np.maximum(d, 1e-6), 0).astype(np.float32) for d in depth)
    return Bounds(np.minimum(a, b), middle, np.maximum(a, b))


def surface_links(middle: Image, jump: Image) -> tuple[Mask, Mask]:
    """Which neighbours lie on one surface: [h, w] bool of (y, x)-(y, x+1), and of (y, x)-(y+1, x)."""
    right, down = np.zeros(middle.shape, np.bool_), np.zeros(middle.shape, np.bool_)
    inside = middle > 0
    right[:, :-1] = (
        inside[:, 1:] & inside[:, :-1] & (np.abs(np.diff(middle, axis=1)) <= np.minimum(jump[:, 1:], jump[:, :-1]))
    )
    down[:-1] = inside[1:] & inside[:-1] & (np.abs(np.diff(middle, axis=0)) <= np.minimum(jump[1:], jump[:-1]))
    return right, down


@jit
def _sweep(u: Any, low: Any, high: Any, right: Any, down: Any, whole: Any, sweeps: Any) -> Any:  # pragma: no cover
    """Projected over-relaxation in place, to and fro. u, low, high [h, w] float32; right, down [h, w] bool.

    whole: [h, w] bool, pixels that are linked to the two next on each of their four sides (`_surrounded`). Most are,
    and for them all is constant but the values; the one that was set just before comes last, not to be waited for.
    """
    H, W = u.shape
    weak, omega = np.float32(MEMBRANE), np.float32(OVER_RELAXATION)
    two, four, one = np.float32(2), np.float32(4), np.float32(1)
    share = omega / (four * weak + four + two * four)
    side = share * (weak + four)
    for n in range(sweeps):
        onward = 1 if n % 2 == 0 else -1
        for row in range(H):
            y = row if n % 2 == 0 else H - 1 - row
            for column in range(W):
                x = column if n % 2 == 0 else W - 1 - column
                if high[y, x] <= low[y, x]:
                    continue
                if whole[y, x]:
                    beyond = (u[y, x - 2] + u[y, x + 2]) + (u[y - 2, x] + u[y + 2, x])
                    beside = (u[y - 1, x] + u[y + 1, x]) + u[y, x + onward]
                    value = (one - omega) * u[y, x] + (side * beside - share * beyond)
                    u[y, x] = min(max(value + side * u[y, x - onward], low[y, x]), high[y, x])
                    continue
                total, weight = np.float32(0), np.float32(0)
                before, after = x > 0 and right[y, x - 1], x + 1 < W and right[y, x]
                if before:
                    total += weak * u[y, x - 1]
                    weight += weak
                    if x > 1 and right[y, x - 2]:
                        total += two * u[y, x - 1] - u[y, x - 2]
                        weight += 1
                    if after:
                        total += two * (u[y, x - 1] + u[y, x + 1])
                        weight += four
                if after:
                    total += weak * u[y, x + 1]
                    weight += weak
                    if x + 2 < W and right[y, x + 1]:
                        total += two * u[y, x + 1] - u[y, x + 2]
                        weight += 1
                above, below = y > 0 and down[y - 1, x], y + 1 < H and down[y, x]
                if above:
                    total += weak * u[y - 1, x]
                    weight += weak
                    if y > 1 and down[y - 2, x]:
                        total += two * u[y - 1, x] - u[y - 2, x]
                        weight += 1
                    if below:
                        total += two * (u[y - 1, x] + u[y + 1, x])
                        weight += four
                if below:
                    total += weak * u[y + 1, x]
                    weight += weak
                    if y + 2 < H and down[y + 1, x]:
                        total += two * u[y + 1, x] - u[y + 2, x]
                        weight += 1
                if weight > 0:
                    value = u[y, x] + omega * (total / weight - u[y, x])
                    u[y, x] = min(max(value, low[y, x]), high[y, x])


def _surrounded(right: Mask, down: Mask) -> Mask:
    """[h, w] pixels with links to the next two to the left, to the right, above and below."""
    out = np.zeros(right.shape, np.bool_)
    if min(right.shape) > 4:
        across, along = right[2:-2], down[:, 2:-2]
        out[2:-2, 2:-2] = across[:, :-4] & across[:, 1:-3] & across[:, 2:-2] & across[:, 3:-1]
        out[2:-2, 2:-2] &= along[:-4] & along[1:-3] & along[2:-2] & along[3:-1]
    return out


def _coarser(right: Mask, down: Mask) -> tuple[Mask, Mask]:
    """The links between every second pixel: those whose both halves are links."""
    right, down = right.copy(), down.copy()
    right[:, :-1] &= right[:, 1:]
    down[:-1] &= down[1:]
    return np.ascontiguousarray(right[::2, ::2]), np.ascontiguousarray(down[::2, ::2])


def _finer(coarse: Image, start: Image, right: Mask, down: Mask) -> Image:
    """Linear interpolation of every second pixel's value along links; `start` where there is none."""
    fine = start.copy()
    fine[::2, ::2] = coarse
    middle, left_of, right_of = fine[::2, 1:-1:2], fine[::2, :-2:2], fine[::2, 2::2]
    linked = right[::2, 0:-2:2] & right[::2, 1:-1:2]
    middle[linked] = ((left_of + right_of) / 2)[linked]
    middle, above, below = fine[1:-1:2], fine[:-2:2], fine[2::2]
    linked = down[0:-2:2] & down[1:-1:2]
    middle[linked] = ((above + below) / 2)[linked]
    return fine


def smooth_within(bounds: Bounds, jump: Image) -> Image:
    """The disparity that bends least within its bounds, [h, w] float32, 0 outside the mask."""
    grids = [(bounds, *surface_links(bounds.middle, jump))]
    for _ in range(COARSE_GRIDS):
        last, right, down = grids[-1]
        fewer = Bounds(*(np.ascontiguousarray(image[::2, ::2]) for image in last))
        grids.append((fewer, *_coarser(right, down)))
    u = grids[-1][0].middle.copy()
    for level in range(COARSE_GRIDS, -1, -1):
        here, right, down = grids[level]
        if level < COARSE_GRIDS:
            u = np.clip(_finer(u, here.middle, right, down), here.low, here.high)
        _sweep(u, here.low, here.high, right, down, _surrounded(right, down), SWEEPS[level == 0])
    return u
