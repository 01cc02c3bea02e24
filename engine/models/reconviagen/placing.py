"""The generated object, placed where the six cameras see the real one.

It comes in a frame of its own: z up, the front unknown, of any size. From each of a grid of headings a trimmed
iterative-closest-point fit (Chetverikov et al. 2002), point to plane (Chen and Medioni 1992), finds rotation, scale and
translation; the best few are then judged by what the cameras would see of them: silhouette, depth and colour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from config.bundle_layout import ViewName
from config.errors import ModelFailed
from engine.camera import Camera
from engine.mesh import Mesh
from engine.render import interpolate, rasterize, to_clip

Float = NDArray[np.float64]

_HEADINGS: Final = 30
_CANDIDATES: Final = 5
_DISTINCT_DEG: Final = 8.0
"""Fits whose rotations are closer than this are the same one."""

_COARSE: Final = (250, 8)
_FINE: Final = (900, 8)
_LAST: Final = (2500, 8)
"""Points and rounds of the first fits, of the best ones, and of the very best one."""

_KEPT_SEEN: Final = 0.85
_KEPT_MODEL: Final = 0.6
"""Shares of the closest pairs that count. The cameras saw all that they say of; much of the model may be hidden."""

_SAME_SIDE: Final = 0.3
"""Least cosine between the normals of a pair."""

_JUDGED_PX: Final = 128
_LEAST_IOU: Final = 0.85
_LEAST_LEAD: Final = 0.02
"""How much better than the second fit the first one has to be."""

_SEED: Final = 0


class AlignmentAmbiguous(ModelFailed):
    """The generated object can't be placed: it doesn't look like the real one, or fits in more than one way."""


@dataclass(frozen=True, eq=False)
class ObservedView:
    """What a camera sees. depth: [h, w] float32 planar z, world units, 0 = background, at the camera's size.
    rgb: [h, w, 3] uint8 at the same size; None where colour shall not count.
    """

    camera: Camera
    depth: NDArray[np.float32]
    rgb: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class Placement:
    """world_from_model: [4, 4], rotation times scale, and translation. scale: its factor. iou: of the silhouettes, mean
    over the views. cost: 0 where the cameras would see just what they see. lead: by how much more the next best fit
    that is another one costs.
    """

    world_from_model: Float
    scale: float
    iou: float
    cost: float
    lead: float


@dataclass(frozen=True, eq=False)
class _Points:
    """place, normal: [N, 3]."""

    place: Float
    normal: Float

    def some(self, count: int) -> _Points:
        step = max(1, len(self.place) // count)
        return _Points(self.place[::step], self.normal[::step])


@dataclass(frozen=True, eq=False)
class _Fit:
    """x_world = scale · rotation · x_model + shift. residual: trimmed mean distance, world units."""

    rotation: Float
    scale: float
    shift: Float
    residual: float = np.inf

    def apply(self, place: Float) -> Float:
        return np.asarray(self.scale * place @ self.rotation.T + self.shift)

    def undo(self, place: Float) -> Float:
        return np.asarray((place - self.shift) @ self.rotation / self.scale)

    @property
    def matrix(self) -> Float:
        out = np.eye(4)
        out[:3, :3] = self.scale * self.rotation
        out[:3, 3] = self.shift
        return out


def place(
    mesh: Mesh,
    colors: NDArray[np.floating[Any]] | None,
    views: Mapping[ViewName, ObservedView],
    check: Callable[[], None] = lambda: None,
) -> Placement:
    """Find where the generated object stands.

    mesh: in its own frame, z up; a few ten thousand faces do. colors: [V, 3], 0..1, of its vertices; None where they
    shall not count. views: what the cameras see, Y up. check: called between the fits; may raise to stop.
    Raises AlignmentAmbiguous where the best fit covers the silhouettes by less than 0.85, or leads by too little.
    """
    seen = _seen_points(views)
    model = _model_points(mesh)
    trees = cKDTree(seen.place), cKDTree(model.place)
    diagonal = float(np.linalg.norm(np.ptp(seen.place, axis=0)))
    starts = [_start(model, seen, 2 * np.pi * n / _HEADINGS) for n in range(_HEADINGS)]

    def fitted(fits: list[_Fit], effort: tuple[int, int]) -> list[_Fit]:
        found = []
        for fit in fits:
            check()
            found.append(_fit(fit, model, seen, trees, *effort))
        return _distinct(sorted(found, key=lambda fit: fit.residual))

    fine = fitted(fitted(starts, _COARSE)[:_CANDIDATES], _FINE)
    judged = []
    for rank, fit in enumerate(fine):
        check()
        judged.append((_judge(fit, mesh, colors, views, diagonal), rank))
    judged.sort()
    lead = judged[1][0][0] - judged[0][0][0] if len(judged) > 1 else np.inf
    fit = _fit(fine[judged[0][1]], model, seen, trees, *_LAST)
    cost, iou = _judge(fit, mesh, colors, views, diagonal)
    if iou < _LEAST_IOU or lead < _LEAST_LEAD:
        why = (
            f"its silhouettes cover the views by {iou:.2f}, less than {_LEAST_IOU}"
            if iou < _LEAST_IOU
            else "it fits in more than one way"
        )
        raise AlignmentAmbiguous(
            f"The generated object can't be placed, alignment ambiguous: {why}.",
            suggestion='Try another seed, or ask for model = "nvdiffrec".',
            iou=round(iou, 4),
            lead=None if np.isinf(lead) else round(lead, 4),
        )
    return Placement(fit.matrix, fit.scale, iou, cost, lead)


def _seen_points(views: Mapping[ViewName, ObservedView]) -> _Points:
    """The views' surfaces, without their rims, as points."""
    places, normals = [], []
    for view in views.values():
        step = max(1, view.camera.size_px // 160)
        depth = view.depth[step // 2 :: step, step // 2 :: step].astype(np.float64)
        rows, columns = np.mgrid[: depth.shape[0], : depth.shape[1]]
        uv_px = np.stack([columns, rows], axis=-1) * step + step // 2 + 0.5
        surface = view.camera.unproject(uv_px.reshape(-1, 2), depth.ravel()).reshape(*depth.shape, 3)
        normal = np.cross(np.gradient(surface, axis=0), np.gradient(surface, axis=1))
        normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-300)
        normal *= -np.sign(np.sum(normal * (surface - view.camera.position), axis=-1, keepdims=True))
        inside = ndimage.binary_erosion(depth > 0, iterations=2)
        size = 2.0 * step / view.camera.K[0, 0] * depth  # how far apart two pixels are
        steep = np.maximum(np.abs(np.gradient(depth, axis=0)), np.abs(np.gradient(depth, axis=1))) > 3 * size
        keep = inside & ~steep
        places.append(surface[keep])
        normals.append(normal[keep])
    place, normal = np.concatenate(places), np.concatenate(normals)
    if len(place) < 50:
        raise AlignmentAmbiguous("The generated object can't be placed: the views show too little.")
    order = np.random.default_rng(_SEED).permutation(len(place))[:12_000]
    return _Points(place[order], normal[order])


def _model_points(mesh: Mesh, count: int = 8_000) -> _Points:
    """Points spread evenly over the surface."""
    random = np.random.default_rng(_SEED)
    a, b, c = (mesh.vertices[mesh.faces[:, corner]] for corner in range(3))
    area = np.cumsum(np.linalg.norm(np.cross(b - a, c - a), axis=1))
    face = np.minimum(np.searchsorted(area, random.random(count) * area[-1]), len(area) - 1)
    u, v = random.random((2, count, 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    place = a[face] + u * (b[face] - a[face]) + v * (c[face] - a[face])
    return _Points(place, mesh.face_normals()[face])


def _start(model: _Points, seen: _Points, heading: float) -> _Fit:
    """Upright, turned by a heading, and as large as what is seen. heading: radians about the world's Y."""
    upright = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # z up becomes Y up
    cos, sin = np.cos(heading), np.sin(heading)
    rotation = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]) @ upright
    turned = model.place @ rotation.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    seen_low, seen_high = seen.place.min(axis=0), seen.place.max(axis=0)
    scale = float(np.linalg.norm(seen_high - seen_low) / np.linalg.norm(high - low))
    return _Fit(rotation, scale, (seen_low + seen_high) / 2 - scale * (low + high) / 2)


def _fit(fit: _Fit, model: _Points, seen: _Points, trees: tuple[Any, Any], points: int, rounds: int) -> _Fit:
    """Improve a fit: each point of either side pulls towards the plane of its closest one on the other."""
    some_seen, some_model = seen.some(points), model.some(points)
    seen_tree, model_tree = trees
    residual = np.inf
    for _ in range(rounds):
        _, at = model_tree.query(fit.undo(some_seen.place))
        a = _pairs(fit, model.place[at], model.normal[at], some_seen.place, some_seen.normal, _KEPT_SEEN)
        _, at = seen_tree.query(fit.apply(some_model.place))
        b = _pairs(fit, some_model.place, some_model.normal, seen.place[at], seen.normal[at], _KEPT_MODEL)
        residual = (a[3] + b[3]) / 2
        x, n, distance = (np.concatenate([a[i], b[i]]) for i in range(3))
        centre = x.mean(axis=0)
        rows = np.column_stack([np.cross(x - centre, n), np.sum(n * (x - centre), axis=1), n])
        step, *_ = np.linalg.lstsq(rows.T @ rows + 1e-9 * np.eye(7), -rows.T @ distance, rcond=None)
        turn, grow, shift = _rotation(step[:3]), 1 + float(np.clip(step[3], -0.2, 0.2)), step[4:]
        moved = grow * turn @ (fit.shift - centre) + centre + shift
        fit = _Fit(turn @ fit.rotation, grow * fit.scale, moved)
    return _Fit(fit.rotation, fit.scale, fit.shift, residual)


def _pairs(
    fit: _Fit, model: Float, normal: Float, seen: Float, seen_normal: Float, kept: float
) -> tuple[Float, Float, Float, float]:
    """The closest pairs whose normals agree.

    Returns the model's points and normals in the world, their signed distances to the planes, and the mean distance of
    the pairs, with those that disagree as far as the farthest that count.
    """
    x, n = fit.apply(model), normal @ fit.rotation.T
    apart = np.linalg.norm(x - seen, axis=1)
    farthest = np.quantile(apart, kept)
    good = (apart <= farthest) & (np.sum(n * seen_normal, axis=1) > _SAME_SIDE)
    if np.count_nonzero(good) < 20:
        good = apart <= farthest
    mean = float(np.where(good, apart, farthest).mean())
    return x[good], n[good], np.sum(n * (x - seen), axis=1)[good], mean


def _rotation(vector: Float) -> Float:
    """Rodrigues' formula: the rotation about a vector by its length."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K)


def _angle_deg(a: Float, b: Float) -> float:
    cosine = (np.trace(a.T @ b) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _distinct(fits: list[_Fit]) -> list[_Fit]:
    """Of fits that are the same one, the first."""
    out: list[_Fit] = []
    for fit in fits:
        if all(_angle_deg(fit.rotation, other.rotation) > _DISTINCT_DEG for other in out):
            out.append(fit)
    return out


def _judge(
    fit: _Fit,
    mesh: Mesh,
    colors: NDArray[np.floating[Any]] | None,
    views: Mapping[ViewName, ObservedView],
    diagonal: float,
) -> tuple[float, float]:
    """Compare what the cameras would see with what they see. Returns the cost, and the silhouettes' IoU."""
    vertices = fit.apply(mesh.vertices)
    overlaps, costs = [], []
    for view in views.values():
        size = min(_JUDGED_PX, view.camera.size_px)
        camera = view.camera.scaled_to(size)
        at = ((np.arange(size) + 0.5) * view.camera.size_px / size).astype(np.intp)
        depth = view.depth[np.ix_(at, at)]
        fragments = rasterize(to_clip(vertices, camera), mesh.faces, (size, size))
        covered, mask = fragments.depth > 0, depth > 0
        both, either = covered & mask, covered | mask
        iou = float(both.sum()) / max(float(either.sum()), 1.0)
        overlaps.append(iou)
        off = np.minimum(np.abs(fragments.depth - depth)[both] / diagonal, 0.2)
        cost = (1 - iou) + 2 * (float(off.mean()) if len(off) else 0.2)
        if colors is not None and view.rgb is not None and both.any():
            shown = interpolate(colors.astype(np.float32), fragments, mesh.faces)[both]
            real = view.rgb[np.ix_(at, at)][both] / 255
            cost += 0.5 * float(np.abs(shown - real).mean())
        costs.append(cost)
    return float(np.mean(costs)), float(np.mean(overlaps))
