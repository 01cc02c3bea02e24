"""A teapot: a handle to see through, a spout, a lid with a knob; painted differently on every side."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from engine.sample import pictures
from engine.sample.shapes import bezier, both, box, cylinder, ellipsoid, lathe, sphere, torus, tube
from engine.sample.solid import Decal, Material, Part, Solid

GLAZE, BLUE, STRIPE, GOLD, CORAL, INSIDE, FOOT = range(7)
_MATERIALS = (
    Material((246, 242, 230), (236, 229, 212), "speckle", 40),
    Material((44, 84, 148), (54, 98, 164), "speckle", 20),
    Material((44, 84, 148), (240, 234, 218), "stripes", 9.0, (1, 0, 0)),
    Material((212, 158, 62), (196, 140, 48), "speckle", 24),
    Material((222, 98, 78), (206, 82, 64), "speckle", 18),
    Material((92, 62, 48), (80, 52, 40), "speckle", 20),
    Material((150, 106, 74), (136, 94, 64), "wood", 26, (0, 1, 0)),
)
# Radius and height: a smooth belly through these.
_BODY = (
    (0.130, -0.272),
    (0.205, -0.255),
    (0.277, -0.165),
    (0.292, -0.070),
    (0.272, 0.035),
    (0.215, 0.120),
    (0.150, 0.158),
)


def _belly(steps: int = 40) -> list[tuple[float, float]]:
    spline = CubicSpline(np.linspace(0, 1, len(_BODY)), np.array(_BODY))
    return [(float(r), float(y)) for r, y in spline(np.linspace(0, 1, steps))]


def teapot() -> Solid:
    """About 1 from spout (+X) to handle (-X)."""
    shift = -0.03
    spout = bezier(
        (0.21 + shift, -0.13, 0), (0.38 + shift, -0.12, 0.0), (0.34 + shift, 0.12, 0), (0.50 + shift, 0.175, 0)
    )
    handle = bezier(
        (-0.20 + shift, 0.10, 0), (-0.52 + shift, 0.22, 0), (-0.52 + shift, -0.22, 0), (-0.225 + shift, -0.175, 0)
    )
    body = lathe((shift, 0, 0), 1, _belly())
    parts = [
        Part(body, GLAZE),
        Part(both(box((shift, -0.205, 0), (0.5, 0.026, 0.5))), BLUE, "paint"),
        Part(lathe((shift, 0, 0), 1, [(0.31, 0.045), (0.31, 0.068)]), BLUE, "paint"),
        Part(torus((shift, -0.262, 0), 1, 0.150, 0.022), FOOT, blend=0.01),
        # spout, open at its end
        Part(tube(spout, [0.078 - 0.0034 * k for k in range(len(spout))]), BLUE, blend=0.035),
        Part(sphere((0.512 + shift, 0.196, 0), 0.0235), INSIDE, "cut", 0.004),
        Part(sphere((0.500 + shift, 0.176, 0), 0.019), INSIDE, "cut", 0.004),
        # handle
        Part(tube(handle, [0.030 + 0.006 * abs(k - 7) / 7 for k in range(len(handle))]), CORAL, blend=0.02),
        Part(ellipsoid((-0.44 + shift, 0.105, 0), (0.034, 0.026, 0.026)), GOLD, blend=0.01),
        # lid
        Part(
            lathe((shift, 0, 0), 1, [(0.166, 0.146), (0.162, 0.168), (0.110, 0.196), (0.03, 0.208)]),
            STRIPE,
            blend=0.004,
        ),
        Part(cylinder((0.02 + shift, 0.218, 0.012), 1, 0.022, 0.024, 0.006), GOLD, blend=0.012),
        Part(ellipsoid((0.02 + shift, 0.258, 0.012), (0.046, 0.036, 0.046)), CORAL, blend=0.004),
        Part(sphere((-0.085 + shift, 0.196, 0.055), 0.020), GOLD, blend=0.008),
    ]
    up = (0, 1, 0)
    decals = (
        Decal(
            pictures.flower((226, 96, 78), (242, 196, 80), (66, 128, 84)),
            (-0.10, -0.075, 0.25),
            (1, 0, 0),
            up,
            0.125,
            0.2,
        ),
        Decal(
            pictures.flower((92, 120, 196), (242, 196, 80), (66, 128, 84)),
            (0.055, -0.085, 0.25),
            (1, 0, 0),
            up,
            0.105,
            0.2,
        ),
        Decal(pictures.lettering("TEA", (44, 84, 148)), (shift, -0.075, -0.25), (-1, 0, 0), up, 0.300, 0.2),
        Decal(pictures.star((212, 158, 62)), (-0.13 + shift, 0.012, -0.25), (-1, 0, 0), up, 0.075, 0.2),
        Decal(pictures.lettering("MD 42", (90, 60, 40)), (shift, -0.265, 0.03), (1, 0, 0), (0, 0, 1), 0.190, 0.05),
        Decal(pictures.star((44, 84, 148), 6), (shift + 0.02, -0.265, -0.055), (1, 0, 0), (0, 0, 1), 0.070, 0.05),
    )
    return Solid(tuple(parts), _MATERIALS, decals)
