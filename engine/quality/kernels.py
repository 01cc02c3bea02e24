"""The per-pixel loops of scoring, compiled.

`reference_pictures` says in NumPy what `halve_known` and `compose` do together; what `similarity` computes is
scikit-image's `structural_similarity`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit

SSIM_RADIUS_PX: Final = 3
"""scikit-image's default window is 7 x 7, uniform (Wang et al., "Image Quality Assessment", IEEE TIP 13(4), 2004)."""
TILE_PX: Final = 48
_WINDOW = 2 * SSIM_RADIUS_PX + 1
_C1, _C2 = 0.01**2, 0.03**2

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


@jit
def _mirrored(index: int, length: int) -> int:
    """Beyond an edge the pixels before it, as SciPy's filters do ("reflect")."""
    index = index % (2 * length)
    return index if index < length else 2 * length - 1 - index


@jit
def _unlike(a: Array, b: Array, y0: int, y1: int, x0: int, x1: int) -> bool:
    """Whether two pictures [H, W, 3] differ anywhere in rows y0..y1 and columns x0..x1, within the frame."""
    for y in range(max(y0, 0), min(y1, a.shape[0])):
        for x in range(max(x0, 0), min(x1, a.shape[1])):
            if a[y, x, 0] != b[y, x, 0] or a[y, x, 1] != b[y, x, 1] or a[y, x, 2] != b[y, x, 2]:
                return True
    return False


@jit
def similarity(
    a: Array,
    b: Array,
    known_a: Array,
    known_b: Array,
    known: Array,
    first: int,
    end: int,
    lines: Array,
    sums: Array,
    out: Array,
) -> None:
    """SSIM of a and b [H, W, 3] float32 in 0..1 at every pixel of rows first..end, averaged over the channels.

    In tiles. Where no window of a tile touches a difference the SSIM is 1; where both are known_a and known_b in every
    window, it is `known`'s; known may be [0, 0]. first: a multiple of TILE_PX. To work in, with rows of
    n = 3·(TILE_PX + 2·SSIM_RADIUS_PX) values: lines [6, n], sums [5, n] float64. Out: [H, W] float32.
    """
    height, width = out.shape
    n = 3 * (TILE_PX + 2 * SSIM_RADIUS_PX)
    count = _WINDOW * _WINDOW
    sample = count / (count - 1.0)  # the unbiased estimate, as scikit-image has it
    for y0 in range(first, end, TILE_PX):
        y1 = min(y0 + TILE_PX, end)
        ya, yb = y0 - SSIM_RADIUS_PX, y1 + SSIM_RADIUS_PX
        for x0 in range(0, width, TILE_PX):
            x1 = min(x0 + TILE_PX, width)
            xa, xb = x0 - SSIM_RADIUS_PX, x1 + SSIM_RADIUS_PX
            same = len(known) > 0 and not _unlike(a, known_a, ya, yb, xa, xb)
            same = same and not _unlike(b, known_b, ya, yb, xa, xb)
            if same or not _unlike(a, b, ya, yb, xa, xb):
                for y in range(y0, y1):
                    for x in range(x0, x1):
                        out[y, x] = known[y, x] if same else np.float32(1)
                continue
            # sums over the window's rows, one for each column and channel: a row comes, another goes
            for k in range(5):
                for i in range(n):
                    sums[k, i] = 0
            for line in range(ya, yb):
                for sign in range(2):
                    row = line if sign == 0 else line - _WINDOW
                    if row < ya:
                        continue
                    row = _mirrored(row, height)
                    if xa >= 0 and xb <= width:
                        for x in range(xa, xb):
                            for c in range(3):
                                lines[0, 3 * (x - xa) + c] = a[row, x, c]
                                lines[1, 3 * (x - xa) + c] = b[row, x, c]
                    else:
                        for x in range(xa, xb):
                            from_x = _mirrored(x, width)
                            for c in range(3):
                                lines[0, 3 * (x - xa) + c] = a[row, from_x, c]
                                lines[1, 3 * (x - xa) + c] = b[row, from_x, c]
                    factor = 1.0 if sign == 0 else -1.0
                    for i in range(3 * (xb - xa)):
                        p, q = lines[0, i], lines[1, i]
                        sums[0, i] += factor * p
                        sums[1, i] += factor * q
                        sums[2, i] += factor * (p * p)
                        sums[3, i] += factor * (q * q)
                        sums[4, i] += factor * (p * q)
                y = line - SSIM_RADIUS_PX
                if y < y0:
                    continue
                # sums over the window, whole rows at a time: these loops are compiled to vector instructions
                m = 3 * (x1 - x0)
                for k in range(5):
                    for i in range(m):
                        lines[k, i] = 0
                    for j in range(_WINDOW):
                        for i in range(m):
                            lines[k, i] += sums[k, i + 3 * j]
                for i in range(m):
                    p, q = lines[0, i] / count, lines[1, i] / count
                    both = sample * (lines[4, i] / count - p * q)
                    each = sample * ((lines[2, i] + lines[3, i]) / count - p * p - q * q)
                    lines[5, i] = (2 * p * q + _C1) * (2 * both + _C2) / ((p * p + q * q + _C1) * (each + _C2))
                for x in range(x0, x1):
                    i = 3 * (x - x0)
                    out[y, x] = (lines[5, i] + lines[5, i + 1] + lines[5, i + 2]) / 3


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
