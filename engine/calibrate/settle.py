"""Settles the depth ranges: the reach that one view's depth states must be what its neighbours' outlines show.

The costs of `kernels` are one-sided: a point may not leave a silhouette, but nothing pulls a surface out to it, so that
fits come out up to one per cent too deep. Here the two sides are weighed alike. Take view B, a direction n in its
image, and the neighbour A that looks at the object from that side. The outermost point along n (the support of the
outline) lies on the object's convex hull, so A sees it face on; hence the support of A's surface points, projected
into B, has to equal the support of B's outline: six views, four neighbours, a fan of directions. One pixel of
disagreement is about 0.1 % of the camera distance. (Frontier points, Cipolla, Astrom & Giblin 1995, with depth.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage.measure import find_contours

from engine.calibrate.model import Family
from engine.calibrate.observe import Observation
from engine.calibrate.problem import project
from engine.jit import jit, parallel_map

Floats = NDArray[np.float64]

FAN_DEG: Final = (-40.0, -31.0, -23.0, -15.0, -7.0, 7.0, 15.0, 23.0, 31.0, 40.0)
"""Not 0: along the pixel rows an outline is known to half a pixel only, as all of its rows end on the same lattice."""
STEPS: Final = 14
REGATHER: Final = 4
"""After so many steps the points that can be outermost are gathered anew."""
FACES: Final = 0.5
"""Least length, in B's image plane, of the direction towards A: the sine of the angle between their axes."""
HUBER_PX: Final = 1.0
SLOPE_SIGMA: Final = 0.01
"""How far a view's depth range may stretch against the start, where its codes allow that, in camera distances."""
BLUR_PX: Final = 0.7
KEEP_PX: Final = 6.0
"""Points within this of a support are kept while the ranges move."""
GRID_PX: Final = 512
"""The surface's inside is looked at on about such a grid; the outermost point of a smooth surface loses nothing."""
NOISE_PX: Final = 0.25
"""The least error that an outline's support is credited with."""
SHARED_DIRECTIONS: Final = 4.0
"""About as many directions of a fan end on the same piece of surface: their errors are not independent."""


@dataclass(frozen=True, eq=False)
class Fan:
    """View B's outline held against the neighbour A that faces that side.

    directions: [n, 2] unit, in B's image (u right, v down). outline: [n] support of B's outline along them, in half
    widths. points: [k, 3] A's points that can be outermost (x, y in half widths, code 0..1).
    """

    view_b: int
    view_a: int
    directions: Floats
    outline: Floats
    points: Floats


@dataclass(frozen=True, eq=False)
class Settled:
    """full: [13] parameters. residuals_px: one for each direction of each fan, A's support less B's outline's.

    sigma_log_f: standard error of log f (infinite where it was held).
    """

    full: Floats
    residuals_px: Floats
    sigma_log_f: float

    @property
    def rms_px(self) -> float:
        """Root mean square of the residuals, each counted as 4 px at most."""
        return float(np.sqrt((np.minimum(np.abs(self.residuals_px), 4) ** 2).mean()))


@dataclass(frozen=True, eq=False)
class Rims:
    """What the depth renders show of their rims, whatever they are calibrated to: made once for all fans.

    outlines: for each view [k, 2] corners of its outline's convex hull, in half widths. surfaces: for each [n, 3]
    points of its surface (x, y in half widths, code 0..1).
    """

    outlines: list[Floats]
    surfaces: list[Floats]

    @staticmethod
    def of(observation: Observation) -> Rims:
        """Find them in the six depth renders."""
        return Rims(parallel_map(_outline, observation.fine), parallel_map(_surface_points, observation.fine))


def _box(fine: NDArray[np.float32], margin: int) -> tuple[slice, slice]:
    """The part of a view that its outline lies in, and `margin` pixels around; begins at whole multiples of that."""
    inside = fine[..., 1] <= 0
    rows, columns = (np.nonzero(inside.any(axis))[0] for axis in (1, 0))
    first = [max(int(index[0]) // margin - 1, 0) * margin for index in (rows, columns)]
    return slice(first[0], int(rows[-1]) + margin + 1), slice(first[1], int(columns[-1]) + margin + 1)


def _surface_points(fine: NDArray[np.float32]) -> Floats:
    """[n, 3] pixels of a view's foreground; those at the rim also half a pixel outwards, where the edge lies."""
    n = fine.shape[0]
    stride = max(1, n // GRID_PX)
    box = _box(fine, 4 * stride)
    code = fine[box][..., 0]
    mask = (fine[box][..., 1] <= 0) & (code > 0)
    ys, xs = np.nonzero(mask[::stride, ::stride])
    ys, xs = ys * stride, xs * stride
    parts = [np.stack([xs, ys, code[ys, xs]], 1).astype(np.float64)]
    rows, columns = mask.shape
    padded = np.pad(mask, 1)
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        rim = mask & ~padded[1 + dy : rows + 1 + dy, 1 + dx : columns + 1 + dx]
        ry, rx = np.nonzero(rim)
        parts.append(np.stack([rx + 0.5 * dx, ry + 0.5 * dy, code[ry, rx]], 1))
    points = np.concatenate(parts)
    points[:, :2] = (points[:, :2] + (box[1].start, box[0].start) + 0.5) / (n / 2) - 1
    return points


def _outline(fine: NDArray[np.float32]) -> Floats:
    """[k, 2] corners of the outline's convex hull, in half widths, from the 0.5 contour of the blurred mask."""
    n = fine.shape[0]
    around = _box(fine, 1)
    mask = np.pad((fine[around][..., 1] <= 0).astype(np.float32), 3)
    contours = find_contours(ndimage.gaussian_filter(mask, BLUR_PX), 0.5)  # type: ignore[no-untyped-call]
    points = np.concatenate(contours)[:, ::-1] + (around[1].start - 3, around[0].start - 3)
    hull = ConvexHull(points)
    return np.asarray((points[hull.vertices] + 0.5) / (n / 2) - 1)


def middle_of(code: Floats, shift: float) -> Floats:
    """The middle of a code's interval, 0..1; cut-off codes (shift > 0) reach the highest only at the very end."""
    return np.minimum(code + shift, 1.0)


def _depth(points: Floats, full: Floats, view: int, family: Family, shift: float) -> tuple[Floats, Floats, Floats]:
    """Rays [k, 3] at unit z, planar depth [k] and its derivative by g [k]."""
    focal = np.exp(full[0])
    rays = np.concatenate([points[:, :2] / focal, np.ones((len(points), 1))], 1)
    g = full[1 + view] + full[7 + view] * middle_of(points[:, 2], shift)
    if family.kind == "disparity":
        g = np.maximum(g, 0.02)
        z, dz = 1 / g, -1 / g**2
    else:
        z, dz = np.maximum(g, 0.02), np.ones_like(g)
    if family.measure == "ray":
        length = np.linalg.norm(rays, axis=1)
        z, dz = z / length, dz / length
    return rays, z, dz


def _relative(poses: Floats, a: int, b: int) -> tuple[Floats, Floats]:
    """Rotation [3, 3] and translation [3] of camera B from camera A."""
    inverse = poses[b, :3, :3].T
    return np.ascontiguousarray(inverse @ poses[a, :3, :3]), inverse @ (poses[a, :3, 3] - poses[b, :3, 3])


def _outermost(rays: Floats, z: Floats, R: Floats, t: Floats, directions: Floats, margin: float) -> NDArray[np.bool_]:
    """[k] which points at rays·z lie, in the other camera, within `margin` of the outermost along a direction."""
    count, fan = len(z), len(directions)
    kept = np.zeros(count, np.bool_)
    _find_outermost(rays, z, R, t, directions, margin, np.empty((count, fan)), np.full(fan, -np.inf), kept)
    return kept


@jit
def _find_outermost(
    rays: Floats,
    z: Floats,
    R: Floats,
    t: Floats,
    directions: Floats,
    margin: float,
    along: Floats,
    most: Floats,
    kept: NDArray[np.bool_],
) -> None:
    """`_outermost` into kept, False before; along [k, fan] and most [fan] of -inf: to work in."""
    count, fan = len(z), len(directions)
    for i in range(count):
        x, y, w = rays[i, 0] * z[i], rays[i, 1] * z[i], rays[i, 2] * z[i]
        depth = max(R[2, 0] * x + R[2, 1] * y + R[2, 2] * w + t[2], 0.02)
        u = (R[0, 0] * x + R[0, 1] * y + R[0, 2] * w + t[0]) / depth
        v = (R[1, 0] * x + R[1, 1] * y + R[1, 2] * w + t[1]) / depth
        for d in range(fan):
            along[i, d] = directions[d, 0] * u + directions[d, 1] * v
            most[d] = max(most[d], along[i, d])
    for i in range(count):
        for d in range(fan):
            kept[i] |= along[i, d] > most[d] - margin


def _project(rays: Floats, z: Floats, a: int, b: int, poses: Floats, focal: float) -> tuple[Floats, Floats]:
    """Points of view A in view B: [k, 2] in half widths, and their derivative by depth [k, 2]."""
    R, t = _relative(poses, a, b)
    turned = rays @ R.T
    q = turned * z[:, None] + t
    w = np.maximum(q[:, 2:], 0.02)
    uv = q[:, :2] / w
    return focal * uv, focal * (turned[:, :2] - uv * turned[:, 2:]) / w


def gather_fans(rims: Rims, family: Family, full: Floats, poses: Floats, shift: float, half: float) -> list[Fan]:
    """Each view's outline held against its four neighbours, with the surface points that can be outermost.

    half: half the views' width in pixels.
    """
    focal = float(np.exp(full[0]))

    def of_view(a: int) -> list[Fan]:
        surface = rims.surfaces[a]
        toward = -poses[a, :3, 2]
        rays, z, _ = _depth(surface, full, a, family, shift)
        found = []
        for b in range(6):
            side = np.array([toward @ poses[b, :3, 0], toward @ poses[b, :3, 1]])
            if np.linalg.norm(side) < FACES:  # A looks along B's axis: it sees B's outline edge on
                continue
            angles = np.radians(FAN_DEG) + np.arctan2(side[1], side[0])
            directions = np.stack([np.cos(angles), np.sin(angles)], 1)
            R, t = _relative(poses, a, b)
            near = _outermost(rays, z, R, t, focal * directions, KEEP_PX / half)
            found.append(Fan(b, a, directions, (rims.outlines[b] @ directions.T).max(0), surface[near]))
        return found

    return [fan for fans in parallel_map(of_view, range(6)) for fan in fans]


def outline_system(
    fans: list[Fan], full: Floats, family: Family, poses: Floats, shift: float, half: float
) -> tuple[Floats, Floats]:
    """Residuals in pixels [n] and their Jacobian [n, 13] by the full parameters."""
    focal = float(np.exp(full[0]))
    residuals, rows = [], []
    for fan in fans:
        rays, z, dz = _depth(fan.points, full, fan.view_a, family, shift)
        uv, slope = _project(rays, z, fan.view_a, fan.view_b, poses, focal)
        outermost = (uv @ fan.directions.T).argmax(0)
        rays, z, dz, uv, slope = (v[outermost] for v in (rays, z, dz, uv, slope))
        residuals.append(((uv * fan.directions).sum(1) - fan.outline) * half)
        J = np.zeros((len(outermost), 13))
        J[:, 1 + fan.view_a] = (slope * fan.directions).sum(1) * dz * half
        J[:, 7 + fan.view_a] = J[:, 1 + fan.view_a] * middle_of(fan.points[outermost, 2], shift)
        e = 1e-6  # log f enters by the rays, by their length and by the projection: a difference is simplest
        moved = full.copy()
        moved[0] += e
        rays_e, z_e, _ = _depth(fan.points[outermost], moved, fan.view_a, family, shift)
        uv_e, _ = _project(rays_e, z_e, fan.view_a, fan.view_b, poses, focal * float(np.exp(e)))
        J[:, 0] = ((uv_e - uv) * fan.directions).sum(1) / e * half
        rows.append(J)
    return np.concatenate(residuals), np.concatenate(rows)


def range_prior(observation: Observation) -> Floats:
    """[6, 13] a weak pull of how far each view's range stretches: its offset is well seen by outlines, this is not."""
    width = np.maximum(observation.spread[:, 1] - observation.spread[:, 0], 1e-3)
    stretch = np.zeros((6, 13))
    stretch[np.arange(6), 7 + np.arange(6)] = width / SLOPE_SIGMA
    return stretch


def settle(
    observation: Observation,
    family: Family,
    full: Floats,
    poses: Floats,
    *,
    free_fov: bool = False,
    rims: Rims | None = None,
) -> Settled:
    """Settle the parameters of a fit by iteratively reweighted Gauss-Newton (Huber's loss).

    Args:
        observation: the six depth renders.
        family: the coding's family; its structure is kept.
        full: [13] the fit's parameters, see kernels; within a few per cent of the truth.
        poses: [6, 4, 4] world_from_camera, distance 1.
        free_fov: whether the angle of view may move too (it is known better from the silhouettes' common tangents, but
            comes out within a fraction of a degree here too, which checks both).
        rims: the observation's, where they are there already.

    """
    shift = family.code_shift_levels / observation.fingerprint.code_max
    half = observation.fine.shape[1] / 2
    basis, theta = family.basis(), project(family.basis(), full, observation.spread)
    base = np.zeros(13)
    if free_fov:
        column = np.eye(13)[:, :1]
        basis, theta = np.hstack([column, basis]), np.concatenate([[full[0]], theta])
    else:
        base[0] = full[0]
    stretch = range_prior(observation)
    start = base + basis @ theta
    prior = stretch @ basis
    rims = rims or Rims.of(observation)
    fans = gather_fans(rims, family, start, poses, shift, half)
    for step_number in range(STEPS):
        now = base + basis @ theta
        if step_number == REGATHER:
            fans = gather_fans(rims, family, now, poses, shift, half)
        residuals, J = outline_system(fans, now, family, poses, shift, half)
        weight = np.minimum(1, HUBER_PX / np.maximum(np.abs(residuals), 1e-9))
        J = J @ basis
        A = J.T @ (J * weight[:, None]) + prior.T @ prior
        gradient = J.T @ (weight * residuals) + prior.T @ (stretch @ (now - start))
        step = np.linalg.solve(A + 1e-6 * np.diag(np.diag(A) + 1e-9), -gradient)
        theta = theta + step
        if np.abs(basis @ step).max() < 2e-5 and step_number > REGATHER:
            break
    full = base + basis @ theta
    residuals, _ = outline_system(fans, full, family, poses, shift, half)
    sigma = np.inf
    if free_fov:
        noise = max(NOISE_PX, 1.4826 * float(np.median(np.abs(residuals))))
        sigma = noise * float(np.sqrt(SHARED_DIRECTIONS * np.linalg.inv(A + 1e-9 * np.eye(len(A)))[0, 0]))
    return Settled(full, residuals, float(sigma))
