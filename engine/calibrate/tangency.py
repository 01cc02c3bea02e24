"""The angle of view from silhouettes alone: planes through two cameras that touch the object touch both silhouettes.

A plane through two centres of projection that is tangent to the object is tangent to its silhouettes in both views (at
the images of a frontier point: Cipolla, Åström & Giblin, "Motion from the frontier of curved surfaces", ICCV 1995; Wong
& Cipolla, "Reconstruction of sculpture from its profiles with unknown camera positions", IEEE TIP 2004). So in the
pencil of planes about the baseline the two silhouettes have the same extreme angles. Where the cameras stand on known
axes, the focal length is the only unknown, and each pair of adjacent views gives two equations for it, without any
depth. (Opposite views look along their baseline and give none.)

Only a silhouette's convex hull can touch such a plane as long as the baseline passes beside it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from config.bundle_layout import VIEW_NAMES
from engine.bundle import Bundle
from engine.calibrate.model import Floats, Layout, fov_deg
from engine.jit import parallel_map
from engine.segment import Segmentation

STEP: Final = 0.018
LOG_FOCAL: Final = np.arange(-0.25, 2.75, STEP)
"""The grid: angles of 7 to 104 degrees, 1.8 % apart in the focal length."""
SIGMA_PX: Final = 0.5
"""Scale of the Cauchy loss, in pixels of the depth render."""
NOISE_PX: Final = 0.12
"""A contour's least error, in pixels of the depth render: what pixels leave open even where all residuals vanish."""
COMMON_PX: Final = 0.2
"""How far off all contours may be together."""
NOTHING: Final = math.log1p((3.0 / SIGMA_PX) ** 2)
MARGIN: Final = 8.0
"""Layouts whose cost is higher than the best one's by more are ruled out."""
MOST: Final = 48
FOLLOWS: Final = 0.98
"""From this IoU on, the RGB's silhouette may be taken for the depth's."""
LEAST_TURN: Final = 0.12
"""Sine of the least angle between a silhouette's rays and the baseline: nearer to the epipole nothing can be told."""
BORDER_PX: Final = 1.5


def contour(level: NDArray[np.float32]) -> Floats:
    """[k, 2] (x, y) corners of the convex hull of the contour at 0.5, in half widths from the centre.

    level: [n, n] coverage 0..1. The contour's points lie between neighbouring pixels, by linear interpolation.
    """
    n = level.shape[0]
    inside = level >= 0.5
    rows, columns = np.nonzero(inside.any(1))[0], np.nonzero(inside.any(0))[0]
    if not len(rows):
        return np.zeros((0, 2))
    top, left = max(rows[0] - 1, 0), max(columns[0] - 1, 0)
    part = np.pad(level[top : rows[-1] + 2, left : columns[-1] + 2], 1)
    found = []
    for image, swap in ((part, False), (part.T, True)):
        own = image >= 0.5
        filled = np.nonzero(own.any(1))[0]
        first = own[filled].argmax(1)
        last = own.shape[1] - 1 - own[filled, ::-1].argmax(1)
        for at, beyond in ((first, first - 1), (last, last + 1)):
            a, b = image[filled, at].astype(np.float64), image[filled, beyond].astype(np.float64)
            along = at + (beyond - at) * (a - 0.5) / np.maximum(a - b, 1e-9)
            found.append(np.stack([filled, along] if swap else [along, filled], 1))
    points = np.concatenate(found) + np.array([left - 0.5, top - 0.5])
    with contextlib.suppress(QhullError):
        points = points[ConvexHull(points).vertices]
    return np.asarray(points / (n / 2) - 1)


@dataclass(frozen=True, eq=False)
class Outlines:
    """hulls: for each view [k, 2] in half widths. size_px: the width of the images that the contours were found in."""

    hulls: list[Floats]
    size_px: int

    def touches_border(self, view: int) -> bool:
        """Whether a silhouette is cut off (or missing): its extremes are not the object's."""
        hull = self.hulls[view]
        return len(hull) < 3 or float(np.abs(hull).max()) > 1 - 2 * BORDER_PX / self.size_px

    def mirrored(self, view: int) -> Outlines:
        """With one view flipped left to right."""
        hulls = list(self.hulls)
        hulls[view] = hulls[view] * [-1, 1]
        return Outlines(hulls, self.size_px)


def outlines_of(levels: Sequence[NDArray[np.float32]]) -> Outlines:
    """Hulls of six coverage images [n, n], 0..1."""
    return Outlines(parallel_map(contour, levels), levels[0].shape[0])


def pair_residuals(a: Floats, b: Floats, pose_a: Floats, pose_b: Floats, log_focal: Floats) -> Floats:
    """[F, 2] signed distance of the tangents of A from those of B in half widths, at every focal length; NaN: none.

    a, b: hulls. The two tangents are the upper and the lower end of the pencil. The distance is by how much both
    contours together (root of the sum of squares) would have to move.
    """
    focal = np.exp(log_focal)
    out = np.full((len(focal), 2), np.nan)
    base = pose_b[:3, 3] - pose_a[:3, 3]
    length = float(np.linalg.norm(base))
    if length < 1e-6:
        return out
    base = base / length
    ahead = -(pose_a[:3, 3] + pose_b[:3, 3]) / 2
    ahead = ahead - base * float(ahead @ base)
    if float(np.linalg.norm(ahead)) < LEAST_TURN:
        return out
    e1 = ahead / np.linalg.norm(ahead)
    e2 = np.cross(base, e1)
    ends, slopes = [], []
    good = np.ones(len(focal), bool)
    for hull, pose in ((a, pose_a), (b, pose_b)):
        d1, d2, d3 = pose[:3, :3].T @ e1, pose[:3, :3].T @ e2, pose[:3, :3].T @ base
        x, y = hull[:, 0] / focal[:, None], hull[:, 1] / focal[:, None]
        forward = d1[0] * x + d1[1] * y + d1[2]
        up = d2[0] * x + d2[1] * y + d2[2]
        along = d3[0] * x + d3[1] * y + d3[2]
        good &= (forward > LEAST_TURN * np.sqrt(1 + x * x + y * y)).all(1)
        good &= (forward**2 + up**2 > LEAST_TURN**2 * along**2).all(1)
        forward = np.maximum(forward, 1e-3)
        tangent = up / forward
        gx, gy = (d2[0] - tangent * d1[0]) / forward, (d2[1] - tangent * d1[1]) / forward
        pick = np.stack([tangent.argmax(1), tangent.argmin(1)], 1)
        ends.append(np.take_along_axis(tangent, pick, 1))
        slopes.append(np.take_along_axis(np.hypot(gx, gy) / focal[:, None], pick, 1))
    distance = (ends[0] - ends[1]) / np.hypot(slopes[0], slopes[1])
    out[good] = distance[good]
    return out


@dataclass(frozen=True, eq=False)
class Tangency:
    """A focal length that silhouettes allow.

    log_focal: log of the focal length in half widths. sigma: its standard error, inf where nothing can be told.
    common: what one pixel of error common to all contours does to log_focal. An object that looks alike from several
    sides repeats its error, so this is part of sigma then.
    cost: sum of log(1 + (r / SIGMA_PX)²), lowest is best. residuals_px: [12, 2] of each pair of views (as in PAIRS), in
    pixels of the depth render; NaN: none.
    """

    layout: Layout
    log_focal: float
    sigma: float
    common: float
    cost: float
    residuals_px: Floats

    @property
    def rms_px(self) -> float:
        """Root mean square of the residuals within three times the robust scale."""
        r = self.residuals_px[np.isfinite(self.residuals_px)]
        r = r[np.abs(r) < 6 * SIGMA_PX]
        return float(np.sqrt((r**2).mean())) if len(r) else math.inf

    @property
    def sigma_deg(self) -> float:
        """The standard error of the angle of view in degrees."""
        return math.degrees(self.sigma * math.sin(math.radians(fov_deg(self.log_focal))))


PAIRS: Final = tuple(p for p in combinations(range(6), 2) if p[0] // 2 != p[1] // 2)
"""Views of neighbouring sides. Opposite ones look along their baseline."""


class Silhouettes:
    """The tangents of six silhouettes, for any rig. depth_size_px: residuals are in its pixels."""

    def __init__(self, outlines: Outlines, depth_size_px: int) -> None:
        """Keep the hulls; what the grid needs is computed when first asked for, once per pair of poses."""
        self.outlines = outlines
        self.scale_px = depth_size_px / 2
        self._kept: dict[tuple[object, ...], Floats] = {}

    def residuals_px(self, poses: Floats, log_focal: Floats, keep: bool = False) -> Floats:
        """[F, 12, 2] in pixels of the depth render, NaN where a pair says nothing. poses: [6, 4, 4]."""
        out = []
        for a, b in PAIRS:
            key = (a, b, poses[a].tobytes(), poses[b].tobytes(), log_focal.tobytes())
            found = self._kept.get(key) if keep else None
            if found is None:
                hulls = self.outlines.hulls
                if self.outlines.touches_border(a) or self.outlines.touches_border(b):
                    found = np.full((len(log_focal), 2), np.nan)
                else:
                    found = self.scale_px * pair_residuals(hulls[a], hulls[b], poses[a], poses[b], log_focal)
                if keep:
                    self._kept[key] = found
            out.append(found)
        return np.stack(out, 1)

    def lows(self, poses: Floats, log_focal: Floats = LOG_FOCAL, most: int = 3) -> list[tuple[float, float]]:
        """The lowest local minima on the grid as (cost, log f), best first."""
        grid = cost_of(self.residuals_px(poses, log_focal, keep=True))
        padded = np.concatenate([[np.inf], grid, [np.inf]])
        at = np.nonzero((grid <= padded[:-2]) & (grid < padded[2:]))[0] if len(grid) > 1 else np.zeros(1, int)
        at = at[np.argsort(grid[at], kind="stable")][:most]
        return [(float(grid[k]), float(log_focal[k])) for k in at]

    def refined(self, layout: Layout, poses: Floats, log_focal: float, width: float = STEP) -> Tangency:
        """The minimum within `width` of log_focal (0: there)."""
        for span in (width, width / 8):
            if span > 0:
                fine = np.linspace(log_focal - span, log_focal + span, 17)
                log_focal = float(fine[int(cost_of(self.residuals_px(poses, fine, keep=True)).argmin())])
        step = 0.004
        r = self.residuals_px(poses, log_focal + np.array([-step, 0.0, step]))
        slope, value = (r[2] - r[0]) / (2 * step), r[1]
        known = np.isfinite(slope) & np.isfinite(value)
        slope, weight = slope[known], 1 / (1 + (value[known] / SIGMA_PX) ** 2)
        noise2 = NOISE_PX**2 + float((weight * value[known] ** 2).sum() / max(weight.sum() - 1, 1))
        information = float((weight**2 * slope**2).sum())
        sigma = common = math.inf
        if information > 1e-3:
            sigma = math.sqrt(noise2 / information)
            common = float((weight * np.abs(slope)).sum()) / information
        return Tangency(layout, log_focal, sigma, common, float(cost_of(r[1:2])[0]), value)


def cost_of(residuals_px: Floats) -> Floats:
    """[F] the robust cost of residuals [F, 12, 2]; a pair that says nothing costs what one three pixels off does."""
    loss = np.log1p((residuals_px / SIGMA_PX) ** 2)
    return np.asarray(np.where(np.isfinite(loss), loss, NOTHING).sum((1, 2)))


@dataclass(frozen=True, eq=False)
class Outlook:
    """The silhouettes of the depth renders and, where these follow them, of the RGB views: finer, with soft rims."""

    coarse: Silhouettes
    fine: Silhouettes | None

    @staticmethod
    def of(bundle: Bundle, segmentation: Segmentation) -> Outlook:
        """Find the contours."""
        n = bundle.depth_size_px
        coarse = Silhouettes(outlines_of([segmentation.depth_mask[v].astype(np.float32) for v in VIEW_NAMES]), n)
        if min(segmentation.agreement.values()) < FOLLOWS:
            return Outlook(coarse, None)
        soft = outlines_of([segmentation.rgb_alpha[v].astype(np.float32) / np.float32(255) for v in VIEW_NAMES])
        return Outlook(coarse, Silhouettes(soft, n))

    def tangencies(self, layouts: list[Layout], poses: Floats | None, log_focal: Floats) -> list[Tangency]:
        """The focal lengths and layouts that the silhouettes allow, most likely first; never empty.

        layouts: to choose from; poses: [6, 4, 4] in place of theirs. log_focal: the grid, or the one that is stated.
        """
        return choose(self.coarse, self.fine, layouts, poses, log_focal)


def choose(
    coarse: Silhouettes, fine: Silhouettes | None, layouts: list[Layout], poses: Floats | None, log_focal: Floats
) -> list[Tangency]:
    """See `Outlook.tangencies`; coarse: of the depth renders, fine: of the RGB views."""
    where = {m: m.poses() if poses is None else poses for m in layouts}
    ranked = [(rank, c, x, m) for m in layouts for rank, (c, x) in enumerate(coarse.lows(where[m], log_focal))]
    least = min(c for _, c, _, _ in ranked)
    # every layout's best goes before anyone's second
    ranked = sorted((t for t in ranked if t[1] < least + 2 * MARGIN), key=lambda t: (t[0], t[1]))
    lows = [(c, x, m) for _, c, x, m in ranked[:MOST]]
    width = STEP if len(log_focal) > 1 else 0.0
    found = parallel_map(lambda t: coarse.refined(t[2], where[t[2]], t[1], width), lows)
    if fine is not None:
        finer = parallel_map(lambda t: fine.refined(t.layout, where[t.layout], t.log_focal, 5 * width / 2), found)
        best = min(t.cost for t in found)
        repeated = sum(t.cost < best + 1.0 for t in found) > 3
        if min(t.cost for t in finer) < best + (3.0 if repeated else 0.5):
            found = finer
    found = sorted(found, key=lambda t: t.cost)
    found = [t for t in found if t.cost < found[0].cost + MARGIN]
    alike = sum(t.cost < found[0].cost + 1.0 for t in found)
    if alike > 3:
        found = [replace(t, sigma=math.hypot(t.sigma, COMMON_PX * t.common)) for t in found]
    return found
