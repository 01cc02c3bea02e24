"""Plain solids for tests: symmetric or degenerate on purpose, and so not offered to users."""

from __future__ import annotations

from engine.sample.shapes import box, sphere, torus, union
from engine.sample.solid import Material, Part, Solid


def plain_sphere() -> Solid:
    """A ball of one colour: no view tells where it looks from."""
    return Solid((Part(sphere((0, 0, 0), 0.5), 0),), (Material((190, 120, 90)),))


def plain_cube() -> Solid:
    """A cube of one colour: every view is of a constant depth, but for its rims."""
    return Solid((Part(box((0, 0, 0), (0.5, 0.5, 0.5), 0.02), 0),), (Material((120, 150, 190)),))


def plain_torus() -> Solid:
    """A ring of one colour around the Y axis."""
    return Solid((Part(torus((0, 0, 0), 1, 0.35, 0.15), 0),), (Material((130, 170, 110)),))


def two_balls() -> Solid:
    """Two balls that don't touch: two components, mirror-symmetric but for their size."""
    return Solid(
        (Part(union(sphere((-0.28, 0, 0), 0.22), sphere((0.3, 0.05, 0.02), 0.17)), 0),), (Material((180, 170, 100)),)
    )
