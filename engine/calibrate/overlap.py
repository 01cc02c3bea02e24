"""Where two views see the same surface, their depths have to meet: the finest measure of the depth ranges.

Outlines know a view's range by the few places where it touches them, and just there, at the extremes, a surface stands
square to the view and a code is a plateau: half a level is left open, 0.2 % of the distance. On slopes a code's steps
lie close together, and what smoothing leaves of them averages out. So the points of one view that lie on slopes are
taken into a neighbour, and their distance from its surface (point to plane; Chen & Medioni 1992) is minimised over
both ranges. Opposite views see nothing in common. The loss lets go of what is occluded (Tukey's biweight).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engine.calibrate.model import Family, relative_poses
from engine.calibrate.observe import Observation
from engine.jit import jit, parallel_map

Floats = NDArray[np.float64]

LEAST_SLOPE: Final = 0.12
"""Levels a pixel: steps of up to 8 pixels are smoothed away."""
MOST_SLOPE: Final = 3.0
"""Of an 8-bit code; steeper are the edges between surfaces."""
CLEAR: Final = 0.999
"""How clear of edges a pixel has to be, see `kernels.accumulate`."""
RISE_PX: Final = 5
"""Rises are means over such a square."""
ALIKE: Final = 0.9
"""Least cosine between two views' normals: at a corner, two faces come near each other that are not the same one."""
SPACING_PX: Final = 5
"""Points are taken from such a grid: nearer ones repeat each other's error."""
SIGMA_PX: Final = 0.45
"""What one of many points counts for. Measured at the truth, points scatter by 0.15 to 0.4 about the other view's
surface, and a pair's mean by more than the points' own scatter explains: neighbours share their error."""
MANY: Final = 6000
"""Meeting points from which on these shared errors even out. Fewer lie on a few slopes, and together they can push all
ranges the same way, which surfaces that meet at 45 degrees don't notice: six hundred on a truck's wheel arches put its
six views 0.14 % of the distance too deep against all its outlines, which cost 1.6 dB in the views between."""
MIN_DEPTH: Final = 0.02


Meeting = tuple[int, int, Floats]
"""View A, view B, and rows as in `_meet`."""


@dataclass(frozen=True, eq=False)
class Slopes:
    """points: for each view [k, 5] on slopes (x, y in half widths, code 0..1, its rise a pixel along u and along v).

    fields: [6, n, n, 3] code and rises, 0 elsewhere.
    """

    points: list[Floats]
    fields: NDArray[np.float32]

    @staticmethod
    def of(observation: Observation) -> Slopes:
        """Find the slopes of the six depth renders."""
        level = 1 / min(observation.fingerprint.code_max, 255)
        fields = np.zeros(observation.fine.shape, np.float32)
        views = range(len(fields))
        return Slopes(parallel_map(lambda i: _slopes(observation.fine[i], level, fields[i]), views), fields)


def _slopes(fine: NDArray[np.float32], level: float, field: NDArray[np.float32]) -> Floats:
    """A view's row of `points`. field: its part of `fields`, all 0, to be filled."""
    n = fine.shape[0]
    rows, columns = (np.nonzero((fine[..., 0] > 0).any(axis))[0] for axis in (1, 0))
    box = np.s_[max(rows[0] - RISE_PX, 0) : rows[-1] + RISE_PX, max(columns[0] - RISE_PX, 0) : columns[-1] + RISE_PX]
    code = np.ascontiguousarray(fine[box][..., 0])
    rises = [np.zeros_like(code), np.zeros_like(code)]
    rises[0][:, 1:-1] = (code[:, 2:] - code[:, :-2]) / 2
    rises[1][1:-1] = (code[2:] - code[:-2]) / 2
    rises = [ndimage.uniform_filter(rise, RISE_PX) for rise in rises]
    steep = np.hypot(*rises) / level
    slope = (fine[box][..., 2] > CLEAR) & (steep > LEAST_SLOPE) & (steep < MOST_SLOPE)
    field[box] = np.where(slope[..., None], np.stack([code, *rises], -1), 0)
    ys, xs = np.nonzero(field[::SPACING_PX, ::SPACING_PX, 0])
    ys, xs = ys * SPACING_PX, xs * SPACING_PX
    centres = np.stack([(xs + 0.5) / (n / 2) - 1, (ys + 0.5) / (n / 2) - 1], 1)
    return np.concatenate([centres, field[ys, xs]], 1)


@jit
def _meet(
    full: Floats,
    points: Floats,
    field: NDArray[np.float32],
    a: int,
    b: int,
    R: Floats,
    t: Floats,
    shift: float,
    disparity: bool,
    ray: bool,
    reach: float,
    out: Floats,
) -> int:
    """Distances of A's points from B's surface, those within `reach` pixels only. Returns how many.

    R [3, 3], t [3]: camera B from camera A. out: [k', 5] residual in pixels, its derivatives by A's and B's g, both
    codes (0..1, in the middle of their intervals).
    """
    n = field.shape[0]
    half = 0.5 * n
    focal = math.exp(full[0])
    scale = half * focal
    count = 0
    for i in range(len(points)):
        x, y, ta = points[i, 0] / focal, points[i, 1] / focal, min(points[i, 2] + shift, 1.0)
        g = full[1 + a] + full[7 + a] * ta
        z, dz = g, 1.0
        if disparity:
            g = max(g, MIN_DEPTH)
            z, dz = 1.0 / g, -1.0 / (g * g)
        bent = 0.0
        if ray:
            s2 = 1.0 + x * x + y * y
            z, dz = z / math.sqrt(s2), dz / math.sqrt(s2)
            bent = z / (s2 * scale)
        # by how much depth grows a pixel, and the normal, away from the camera
        zu = dz * full[7 + a] * points[i, 3] - bent * x
        zv = dz * full[7 + a] * points[i, 4] - bent * y
        m0, m1, m2 = -zu, -zv, x * zu + y * zv + z / scale
        steep_a = math.sqrt(m0 * m0 + m1 * m1 + m2 * m2)
        r0 = R[0, 0] * x + R[0, 1] * y + R[0, 2]
        r1 = R[1, 0] * x + R[1, 1] * y + R[1, 2]
        r2 = R[2, 0] * x + R[2, 1] * y + R[2, 2]
        w = r2 * z + t[2]
        if w < MIN_DEPTH:
            continue
        nx, ny = (r0 * z + t[0]) / w, (r1 * z + t[1]) / w
        u, v = (nx * focal + 1.0) * half - 0.5, (ny * focal + 1.0) * half - 0.5
        if u < 0.0 or v < 0.0 or u > n - 1.001 or v > n - 1.001:
            continue
        x0, y0 = int(u), int(v)
        c00, c01, c10, c11 = field[y0, x0, 0], field[y0, x0 + 1, 0], field[y0 + 1, x0, 0], field[y0 + 1, x0 + 1, 0]
        if c00 <= 0.0 or c01 <= 0.0 or c10 <= 0.0 or c11 <= 0.0:
            continue
        fx, fy = u - x0, v - y0
        tb = min((c00 * (1 - fx) + c01 * fx) * (1 - fy) + (c10 * (1 - fx) + c11 * fx) * fy + shift, 1.0)
        nearest = field[y0 + int(fy + 0.5), x0 + int(fx + 0.5)]
        gb = full[1 + b] + full[7 + b] * tb
        zb, dzb = gb, 1.0
        if disparity:
            gb = max(gb, MIN_DEPTH)
            zb, dzb = 1.0 / gb, -1.0 / (gb * gb)
        bent = 0.0
        if ray:
            s2 = 1.0 + nx * nx + ny * ny
            zb, dzb = zb / math.sqrt(s2), dzb / math.sqrt(s2)
            bent = zb / (s2 * scale)
        zu = dzb * full[7 + b] * nearest[1] - bent * nx
        zv = dzb * full[7 + b] * nearest[2] - bent * ny
        across = math.sqrt((zb / scale) ** 2 + zu * zu + zv * zv)
        e = (w - zb) / across
        if abs(e) > reach:
            continue
        k2 = nx * zu + ny * zv + zb / scale
        facing = (
            k2 * (R[2, 0] * m0 + R[2, 1] * m1 + R[2, 2] * m2)
            - zu * (R[0, 0] * m0 + R[0, 1] * m1 + R[0, 2] * m2)
            - zv * (R[1, 0] * m0 + R[1, 1] * m1 + R[1, 2] * m2)
        )
        if facing < ALIKE * steep_a * math.sqrt(zu * zu + zv * zv + k2 * k2):
            continue
        du, dv = scale * (r0 - nx * r2) / w, scale * (r1 - ny * r2) / w
        out[count, 0] = e
        out[count, 1] = (r2 - zu * du - zv * dv) * dz / across
        out[count, 2] = -dzb / across
        out[count, 3] = ta
        out[count, 4] = tb
        count += 1
    return count


def distances(slopes: Slopes, full: Floats, family: Family, poses: Floats, shift: float, reach: float) -> list[Meeting]:
    """For each ordered pair of neighbouring views that meet, the points within `reach` pixels."""
    rotation, translation = relative_poses(poses)

    def of_view(a: int) -> list[Meeting]:
        found = []
        for b in range(6):
            if a // 2 == b // 2:
                continue
            out = np.empty((len(slopes.points[a]), 5))
            k = _meet(
                full, slopes.points[a], slopes.fields[b], a, b, rotation[a, b], translation[a, b], shift,
                family.kind == "disparity", family.measure == "ray", reach, out,
            )  # fmt: skip
            if k:
                found.append((a, b, out[:k]))
        return found

    return [pair for pairs in parallel_map(of_view, range(6)) for pair in pairs]


def meeting_system(meetings: list[Meeting], reach: float) -> tuple[Floats, Floats]:
    """Gauss-Newton's matrix [13, 13] and gradient [13] of the distances, weighted by Tukey's biweight at `reach`.

    Every point counts alike, whatever pair of views it belongs to. A pair's mean distance is mostly the very error of
    the ranges that is looked for, as long as they are off: a scatter of the pairs taken from these means is too large,
    and pairs weighed down by it leave the ranges where they were. Where there are few points in all, each counts for
    less (see MANY), and the outlines for more.
    """
    A, gradient = np.zeros((13, 13)), np.zeros(13)
    variance = SIGMA_PX**2 * (1 + MANY / max(sum(len(rows) for _, _, rows in meetings), 1))
    for a, b, rows in meetings:
        r, by_a, by_b, ta, tb = rows.T
        weight = (1 - (r / reach) ** 2) ** 2 / variance
        J = np.stack([by_a, by_a * ta, by_b, by_b * tb])
        slots = [1 + a, 7 + a, 1 + b, 7 + b]
        A[np.ix_(slots, slots)] += (J * weight) @ J.T
        gradient[slots] += J @ (weight * r)
    return A, gradient
