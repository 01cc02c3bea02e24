"""The two per-pixel loops of scoring, compiled; `reference_pictures` says in NumPy what they do together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit

Array = NDArray[Any]
Float32 = NDArray[np.float32]


@jit
def halve_known(rgb: Array, hole: Array, first: int, end: int, mean: Array, missing: Array) -> None:
    """Rows first..end of the half-size picture: means of the known pixels of each 2 x 2, 0 where there are none.

    rgb: [H, W, 3] uint8. hole: [H, W] bool. Out: mean [ceil(H/2), ceil(W/2), 3] float32 0..1, missing [...] bool.
    """
    height, width = hole.shape
    for y in range(first, end):
        for x in range(missing.shape[1]):
            red, green, blue, known = 0, 0, 0, 0
            for j in range(2 * y, min(2 * y + 2, height)):
                for i in range(2 * x, min(2 * x + 2, width)):
                    if not hole[j, i]:
                        red += rgb[j, i, 0]
                        green += rgb[j, i, 1]
                        blue += rgb[j, i, 2]
                        known += 1
            share = 1 / (255.0 * max(known, 1))
            mean[y, x, 0], mean[y, x, 1], mean[y, x, 2] = red * share, green * share, blue * share
            missing[y, x] = known == 0


@jit
def compose(
    rgb: Array,
    alpha: Array,
    near: Array,
    drawn: Array,
    coverage: Array,
    coarse: Array,
    y0: int,
    x0: int,
    first: int,
    end: int,
    delivered: Array,
    composite: Array,
    input_white: Array,
    render_white: Array,
) -> None:
    """Rows first..end of a box, at (y0, x0) of the frame, of the four pictures that are compared.

    rgb, alpha, near, drawn, coverage: the frame's. coarse: the clean plate at half size, [ceil(H/2), ceil(W/2), 3]
    float32. Out: delivered, composite, input_white, render_white [h, w, 3] float32.
    """
    rows, columns = coarse.shape[0], coarse.shape[1]
    full = np.float32(255)
    one = np.float32(1)
    for j in range(first, end):
        y = y0 + j
        # pixel centres of the coarse level are at 2c + 0.5 of this one
        above = (y - 1) // 2
        fy = np.float32(0.75) if y % 2 == 0 else np.float32(0.25)
        a, b = max(above, 0), min(above + 1, rows - 1)
        for i in range(delivered.shape[1]):
            x = x0 + i
            cover = coverage[y, x]
            opacity = np.float32(alpha[y, x]) / full
            before = (x - 1) // 2
            fx = np.float32(0.75) if x % 2 == 0 else np.float32(0.25)
            c, d = max(before, 0), min(before + 1, columns - 1)
            for k in range(3):
                value = np.float32(rgb[y, x, k]) / full
                delivered[j, i, k] = value
                input_white[j, i, k] = value * opacity + (one - opacity)
                render_white[j, i, k] = drawn[y, x, k] + (one - cover)
                if not near[y, x]:
                    composite[j, i, k] = value
                elif cover == one:
                    composite[j, i, k] = drawn[y, x, k]
                else:
                    upper = coarse[a, c, k] * (one - fx) + coarse[a, d, k] * fx
                    lower = coarse[b, c, k] * (one - fx) + coarse[b, d, k] * fx
                    plate = upper * (one - fy) + lower * fy
                    composite[j, i, k] = drawn[y, x, k] + (one - cover) * plate


def reference_pictures(
    rgb: NDArray[np.uint8], alpha: NDArray[np.uint8], drawn: Float32, coverage: Float32, plate: Float32, near: Array
) -> tuple[Float32, Float32, Float32, Float32]:
    """What `compose` makes of a whole frame. plate: [H, W, 3] the delivered picture with `near` painted out."""
    delivered = np.divide(rgb, 255, dtype=np.float32)
    opacity = np.divide(alpha, 255, dtype=np.float32)[..., None]
    rest = 1 - coverage[..., None]
    composite: Float32 = np.where(near[..., None], drawn + rest * plate, delivered)
    input_white: Float32 = delivered * opacity + (1 - opacity)
    render_white: Float32 = drawn + rest
    return delivered, composite, input_white, render_white
