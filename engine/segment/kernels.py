"""The compiled kernels of segmentation. Colours are sRGB levels, 0..255."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit

Real = NDArray[np.float32]


def describe(
    rgb: NDArray[np.uint8], background: Real, foreground: Real, step: int
) -> tuple[Real, NDArray[np.int32], Real, Real, NDArray[np.bool_], NDArray[np.bool_]]:
    """What each pixel looks like.

    rgb: [h, w, 3]. background, foreground: [h/step, w/step, 4] mean colour and standard deviation nearby, of every
    `step`-th pixel. Returns slope [h, w] (levels a pixel, of a [1 2 1] smoothed image, the channel that changes
    most), bin [h, w] in a colour histogram of 64 lightnesses by 64 by 64 colour differences, distances [h, w] to the
    background's and the foreground's colours in their deviations, and whether [h, w] it is a darker shade of the
    background, by more than a third.
    """
    shape = rgb.shape[:2]
    slope, bins = np.empty(shape, np.float32), np.empty(shape, np.int32)
    to_b, to_f = np.empty(shape, np.float32), np.empty(shape, np.float32)
    dark, shade = np.empty(shape, np.bool_), np.empty(shape, np.bool_)
    near = np.empty((2, 4), np.float32)
    _describe(rgb, background, foreground, step, near, slope, bins, to_b, to_f, dark, shade)
    return slope, bins, to_b, to_f, dark, shade


@jit
def _describe(
    rgb: NDArray[np.uint8],
    background: Real,
    foreground: Real,
    step: int,
    near: Real,
    slope: Real,
    bins: NDArray[np.int32],
    to_b: Real,
    to_f: Real,
    dark: NDArray[np.bool_],
    shade: NDArray[np.bool_],
) -> None:
    """`describe` into slope..shade [h, w]; near [2, 4]: to work in."""
    h, w = rgb.shape[0], rgb.shape[1]
    hs, ws = background.shape[0], background.shape[1]
    b, f = near[0], near[1]
    for y in range(h):
        sy = min(np.float32(y) / step, np.float32(hs - 1))
        y0 = int(sy)
        y1 = min(y0 + 1, hs - 1)
        fy = sy - np.float32(y0)
        ya, yb = max(y - 1, 0), min(y + 1, h - 1)
        for x in range(w):
            sx = min(np.float32(x) / step, np.float32(ws - 1))
            x0 = int(sx)
            x1 = min(x0 + 1, ws - 1)
            fx = sx - np.float32(x0)
            for k in range(4):
                top = background[y0, x0, k] * (1 - fx) + background[y0, x1, k] * fx
                low = background[y1, x0, k] * (1 - fx) + background[y1, x1, k] * fx
                b[k] = top * (1 - fy) + low * fy
                top = foreground[y0, x0, k] * (1 - fx) + foreground[y0, x1, k] * fx
                low = foreground[y1, x0, k] * (1 - fx) + foreground[y1, x1, k] * fx
                f[k] = top * (1 - fy) + low * fy
            xa, xb = max(x - 1, 0), min(x + 1, w - 1)
            steepest = np.float32(0)
            db = np.float32(0)
            df = np.float32(0)
            dot = np.float32(0)
            norm = np.float32(1)
            for k in range(3):
                c00, c01, c02 = np.float32(rgb[ya, xa, k]), np.float32(rgb[ya, x, k]), np.float32(rgb[ya, xb, k])
                c10, c12 = np.float32(rgb[y, xa, k]), np.float32(rgb[y, xb, k])
                c20, c21, c22 = np.float32(rgb[yb, xa, k]), np.float32(rgb[yb, x, k]), np.float32(rgb[yb, xb, k])
                gx = (c02 + 2 * c12 + c22 - c00 - 2 * c10 - c20) / 8
                gy = (c20 + 2 * c21 + c22 - c00 - 2 * c01 - c02) / 8
                steepest = max(steepest, gx * gx + gy * gy)
                c = np.float32(rgb[y, x, k])
                db += (c - b[k]) ** 2
                df += (c - f[k]) ** 2
                dot += c * b[k]
                norm += b[k] * b[k]
            slope[y, x] = np.sqrt(steepest)
            to_b[y, x] = np.sqrt(db / 3) / max(np.float32(1.5) * b[3], np.float32(3))
            to_f[y, x] = np.sqrt(df / 3) / max(np.float32(1.5) * f[3], np.float32(6))
            share = dot / norm
            tint = np.float32(0)
            for k in range(3):
                tint += (np.float32(rgb[y, x, k]) - share * b[k]) ** 2
            level = share * (b[0] + b[1] + b[2]) / 3
            shade[y, x] = np.sqrt(tint) < np.float32(0.3) * level + 4
            dark[y, x] = shade[y, x] and share < np.float32(0.65)
            red, green, blue = int(rgb[y, x, 0]), int(rgb[y, x, 1]), int(rgb[y, x, 2])
            light = (red + 2 * green + blue) >> 4
            bins[y, x] = (light * 64 + ((green - red + 256) >> 3)) * 64 + ((green - blue + 256) >> 3)


def matte(
    rgb: NDArray[np.uint8], small: NDArray[np.uint8], distance: Real, factor: int, out: NDArray[np.uint8]
) -> None:
    """Write the coverage of the object into out [h·factor, w·factor], wherever its contour is near.

    In the rim a pixel's colour I is a mixture of the object's F and the background's B nearby:
    alpha = (I - B)·(F - B) / |F - B|², trusted as far as F and B differ, and held between bounds that depend on the
    distance from the contour; where they don't differ, alpha follows the contour.
    rgb: [h·factor, w·factor, 3]. small: [h, w, 3]. distance: [h, w] in small's pixels, positive inside.
    """
    _matte(rgb, small, distance, factor, np.empty((2, 3), np.float32), out)


@jit
def _matte(
    rgb: NDArray[np.uint8], small: NDArray[np.uint8], distance: Real, factor: int, mean: Real, out: NDArray[np.uint8]
) -> None:
    """`matte`; mean [2, 3]: to work in."""
    h, w = distance.shape
    reach = 6
    one, half = np.float32(1), np.float32(0.5)
    f, b = mean[0], mean[1]
    for y in range(h):
        for x in range(w):
            d = distance[y, x]
            if d > 3.5 or d < -3.5:
                continue
            fw = np.float32(0)
            bw = np.float32(0)
            for k in range(3):
                f[k] = 0
                b[k] = 0
            for yy in range(max(0, y - reach), min(h, y + reach + 1)):
                for xx in range(max(0, x - reach), min(w, x + reach + 1)):
                    other = distance[yy, xx]
                    near = one / (one + np.float32((yy - y) * (yy - y) + (xx - x) * (xx - x)))
                    near *= near
                    if other > 0:
                        weight = near if other > 1.5 else near * np.float32(0.01)
                        fw += weight
                        for k in range(3):
                            f[k] += weight * np.float32(small[yy, xx, k])
                    else:
                        weight = near if other < -1.5 else near * np.float32(0.01)
                        bw += weight
                        for k in range(3):
                            b[k] += weight * np.float32(small[yy, xx, k])
            contrast = np.float32(0)
            if fw > 0 and bw > 0:
                for k in range(3):
                    f[k] /= fw
                    b[k] /= bw
                    contrast += (f[k] - b[k]) ** 2
            trust = contrast / (contrast + np.float32(600))
            for j in range(factor):
                py = max(np.float32(0), min(np.float32(h - 1), y + (j + half) / factor - half))
                y0 = int(py)
                y1 = min(y0 + 1, h - 1)
                fy = py - np.float32(y0)
                for i in range(factor):
                    px = max(np.float32(0), min(np.float32(w - 1), x + (i + half) / factor - half))
                    x0 = int(px)
                    x1 = min(x0 + 1, w - 1)
                    fx = px - np.float32(x0)
                    top = distance[y0, x0] * (one - fx) + distance[y0, x1] * fx
                    low = distance[y1, x0] * (one - fx) + distance[y1, x1] * fx
                    here = top * (one - fy) + low * fy
                    plain = min(one, max(np.float32(0), half + here * factor))
                    mixed = np.float32(0)
                    if contrast > 0:
                        for k in range(3):
                            mixed += (np.float32(rgb[y * factor + j, x * factor + i, k]) - b[k]) * (f[k] - b[k])
                        mixed = min(one, max(np.float32(0), mixed / contrast))
                    alpha = trust * mixed + (one - trust) * plain
                    lowest = min(one, max(np.float32(0), (here - np.float32(0.75)) / np.float32(1.5)))
                    highest = min(one, max(np.float32(0), (here + np.float32(2.25)) / np.float32(1.5)))
                    alpha = min(highest, max(lowest, alpha))
                    out[y * factor + j, x * factor + i] = int(alpha * 255 + half)
