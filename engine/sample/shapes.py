"""Signed distance functions: points [N, 3] float32 to distances [N] float32, negative inside.

The formulas are the usual ones (Inigo Quilez, "Distance functions"); all are exact or never too large, so that a point
further away than its distance from a block of space can be skipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
Distance = NDArray[np.float32]
Shape = Callable[[Points], Distance]
Vector = Sequence[float]


def _v(value: Vector) -> NDArray[np.float32]:
    return np.asarray(value, np.float32)


def _norm(points: Points) -> Distance:
    return np.asarray(np.sqrt(sum(points[..., k] ** 2 for k in range(points.shape[-1]))), np.float32)


def _across(points: Points, axis: int) -> Distance:
    """Distance from an axis."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    return np.asarray(np.sqrt(points[..., i] ** 2 + points[..., j] ** 2), np.float32)


def sphere(centre: Vector, radius: float) -> Shape:
    """A ball."""
    return lambda p: np.asarray(_norm(p - _v(centre)) - np.float32(radius))


def ellipsoid(centre: Vector, radii: Vector) -> Shape:
    """An ellipsoid with its axes along x, y, z. A lower bound of the distance: (|p/r| - 1)·min r."""
    return lambda p: np.asarray((_norm((p - _v(centre)) / _v(radii)) - 1) * np.float32(min(radii)))


def box(centre: Vector, half: Vector, rounding: float = 0.0) -> Shape:
    """A box of the half sizes given, its edges rounded inwards."""
    inner = _v(half) - np.float32(rounding)

    def distance(p: Points) -> Distance:
        q = np.abs(p - _v(centre)) - inner
        return np.asarray(_norm(np.maximum(q, 0)) + np.minimum(q.max(-1), 0) - np.float32(rounding))

    return distance


def cylinder(centre: Vector, axis: int, radius: float, half: float, rounding: float = 0.0) -> Shape:
    """A cylinder along an axis (0 = x ...), half its length, its rims rounded inwards."""

    def distance(p: Points) -> Distance:
        q = p - _v(centre)
        across = _across(q, axis) - np.float32(radius - rounding)
        along = np.abs(q[..., axis]) - np.float32(half - rounding)
        inside = np.minimum(np.maximum(across, along), 0)
        outside = np.sqrt(np.maximum(across, 0) ** 2 + np.maximum(along, 0) ** 2)
        return np.asarray(inside + outside - np.float32(rounding))

    return distance


def capsule(a: Vector, b: Vector, radius_a: float, radius_b: float | None = None) -> Shape:
    """A stick with round ends; with two radii it tapers (a slight underestimate along the taper)."""
    start, step = _v(a), _v(b) - _v(a)
    grow = np.float32((radius_a if radius_b is None else radius_b) - radius_a)
    length2 = np.float32(step @ step)

    def distance(p: Points) -> Distance:
        q = p - start
        t = np.clip(q @ step / length2, 0, 1)
        return np.asarray(_norm(q - t[..., None] * step) - (np.float32(radius_a) + grow * t))

    return distance


def tube(points: Sequence[Vector], radii: Sequence[float]) -> Shape:
    """A tube through points, by capsules between them."""
    pieces = [capsule(points[i], points[i + 1], radii[i], radii[i + 1]) for i in range(len(points) - 1)]
    return union(*pieces)


def bezier(a: Vector, b: Vector, c: Vector, d: Vector, count: int = 14) -> list[tuple[float, float, float]]:
    """Points on a cubic Bézier curve."""
    t = np.linspace(0, 1, count)[:, None]
    points = (1 - t) ** 3 * _v(a) + 3 * (1 - t) ** 2 * t * _v(b) + 3 * (1 - t) * t * t * _v(c) + t**3 * _v(d)
    return [(float(x), float(y), float(z)) for x, y, z in points]


def torus(centre: Vector, axis: int, ring: float, radius: float) -> Shape:
    """A ring around an axis."""

    def distance(p: Points) -> Distance:
        q = p - _v(centre)
        across = _across(q, axis) - np.float32(ring)
        return np.asarray(np.sqrt(across**2 + q[..., axis] ** 2) - np.float32(radius))

    return distance


def lathe(centre: Vector, axis: int, profile: Sequence[tuple[float, float]]) -> Shape:
    """A solid of revolution around an axis; profile: (radius, height along the axis) from one end to the other."""
    outline = np.array([(0.0, profile[0][1]), *profile, (0.0, profile[-1][1])], np.float32)

    def distance(p: Points) -> Distance:
        q = p - _v(centre)
        point = np.stack([_across(q, axis), q[..., axis]], -1)
        best = np.full(len(point), np.inf, np.float32)
        crossings = np.zeros(len(point), np.bool_)
        for a, b in pairwise(outline):
            edge, w = b - a, point - a
            t = np.clip(w @ edge / max(float(edge @ edge), 1e-12), 0, 1)
            best = np.minimum(best, _norm(w - t[:, None] * edge))
            between = (a[1] <= point[:, 1]) != (b[1] <= point[:, 1])
            rise = edge[1] if edge[1] != 0 else np.float32(1)
            crossings ^= between & (point[:, 0] < a[0] + (point[:, 1] - a[1]) / rise * edge[0])
        return np.where(crossings, -best, best)

    return distance


def union(*shapes: Shape) -> Shape:
    """All of them."""

    def distance(p: Points) -> Distance:
        out = shapes[0](p)
        for shape in shapes[1:]:
            out = np.minimum(out, shape(p))
        return out

    return distance


def both(*shapes: Shape) -> Shape:
    """What is in all of them."""

    def distance(p: Points) -> Distance:
        out = shapes[0](p)
        for shape in shapes[1:]:
            out = np.maximum(out, shape(p))
        return out

    return distance


def shell(shape: Shape, thickness: float) -> Shape:
    """The surface, with a thickness to either side."""
    return lambda p: np.asarray(np.abs(shape(p)) - np.float32(thickness))


def turned(shape: Shape, axis: int, degrees: float, about: Vector = (0, 0, 0)) -> Shape:
    """Turned about an axis through a point, right-handed."""
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    R = np.eye(3, dtype=np.float32)
    R[i, i], R[i, j], R[j, i], R[j, j] = c, -s, s, c
    return lambda p: shape(np.ascontiguousarray((p - _v(about)) @ R + _v(about)))


def smooth_min(a: Distance, b: Distance, width: float) -> Distance:
    """Union with a fillet of about `width`."""
    if width <= 0:
        return np.minimum(a, b)
    h = np.maximum(np.float32(width) - np.abs(a - b), 0) / np.float32(width)
    return np.asarray(np.minimum(a, b) - h * h * np.float32(width / 4))
