"""A toy robot: thin parts (antenna, arms, claws), one arm up and one down."""

from __future__ import annotations

from engine.sample import pictures
from engine.sample.shapes import both, box, capsule, cylinder, lathe, sphere, torus, turned
from engine.sample.solid import Decal, Material, Part, Solid

TEAL, CREAM, DARK, ORANGE, STEEL, RED, YELLOW, SCREEN = range(8)
_MATERIALS = (
    Material((52, 150, 158), (44, 134, 144), "speckle", 22),
    Material((240, 226, 196), (228, 210, 176), "speckle", 18),
    Material((62, 66, 78), (78, 82, 94), "stripes", 34, (0, 1, 0)),
    Material((236, 124, 52), (222, 106, 40), "speckle", 20),
    Material((172, 180, 188), (142, 150, 160), "stripes", 44, (0, 1, 0)),
    Material((206, 58, 62), (190, 46, 52), "speckle", 16),
    Material((246, 198, 72), (62, 66, 78), "stripes", 13, (0.7071, 0.7071, 0)),
    Material((34, 44, 56), (44, 58, 72), "stripes", 40, (0, 1, 0)),
)


def robot() -> Solid:
    """About 0.95 high; its front towards +Z."""
    parts = [
        # legs and feet
        Part(capsule((-0.085, -0.20, 0), (-0.095, -0.40, 0), 0.040), DARK),
        Part(capsule((0.085, -0.20, 0), (0.095, -0.40, 0.015), 0.040), DARK),
        Part(box((-0.105, -0.435, 0.025), (0.066, 0.035, 0.105), 0.028), ORANGE, blend=0.01),
        Part(box((0.112, -0.435, 0.050), (0.066, 0.035, 0.105), 0.028), ORANGE, blend=0.01),
        # body, belt, backpack
        Part(box((0, -0.075, 0), (0.165, 0.165, 0.118), 0.100), TEAL, blend=0.008),
        Part(box((0, -0.185, 0), (0.172, 0.026, 0.122), 0.018), YELLOW, "paint"),
        Part(box((-0.03, -0.045, -0.135), (0.105, 0.105, 0.060), 0.055), CREAM, blend=0.012),
        Part(cylinder((0.055, 0.075, -0.140), 1, 0.026, 0.035, 0.008), RED),
        Part(cylinder((-0.085, -0.155, -0.175), 2, 0.024, 0.022, 0.006), STEEL),
        # neck and head
        Part(cylinder((0, 0.105, 0), 1, 0.05, 0.03, 0.005), DARK),
        Part(box((0, 0.225, 0.005), (0.152, 0.107, 0.118), 0.090), CREAM, blend=0.008),
        Part(both(box((0, 0.228, 0.16), (0.125, 0.068, 0.075), 0.03)), SCREEN, "cut", 0.006),
        Part(cylinder((-0.165, 0.235, 0.0), 0, 0.050, 0.022, 0.012), ORANGE, blend=0.006),
        Part(box((0.165, 0.225, 0.0), (0.02, 0.055, 0.035), 0.012), RED, blend=0.006),
        # antenna
        Part(lathe((0.075, 0, -0.01), 1, [(0.034, 0.315), (0.034, 0.338), (0.014, 0.352)]), DARK, blend=0.006),
        Part(capsule((0.075, 0.33, -0.01), (0.092, 0.455, -0.03), 0.0095), STEEL),
        Part(sphere((0.094, 0.468, -0.032), 0.028), RED),
        # its right arm, raised, with a claw
        Part(sphere((-0.19, 0.02, 0), 0.048), DARK, blend=0.006),
        Part(capsule((-0.205, 0.02, 0), (-0.315, 0.055, 0.03), 0.028), TEAL, blend=0.006),
        Part(sphere((-0.320, 0.058, 0.032), 0.036), ORANGE, blend=0.004),
        Part(capsule((-0.320, 0.058, 0.032), (-0.345, 0.200, 0.075), 0.026), TEAL, blend=0.004),
        Part(cylinder((-0.348, 0.215, 0.08), 1, 0.036, 0.016, 0.006), DARK),
        Part(capsule((-0.372, 0.225, 0.082), (-0.388, 0.275, 0.092), 0.014), RED),
        Part(capsule((-0.388, 0.275, 0.092), (-0.365, 0.315, 0.100), 0.014, 0.009), RED),
        Part(capsule((-0.326, 0.225, 0.082), (-0.310, 0.275, 0.092), 0.014), RED),
        Part(capsule((-0.310, 0.275, 0.092), (-0.334, 0.315, 0.100), 0.014, 0.009), RED),
        # its left arm, lowered, with a ring hand
        Part(sphere((0.19, 0.02, 0), 0.048), DARK, blend=0.006),
        Part(capsule((0.205, 0.01, 0), (0.270, -0.100, 0.03), 0.028), TEAL, blend=0.006),
        Part(sphere((0.272, -0.104, 0.031), 0.036), ORANGE, blend=0.004),
        Part(capsule((0.272, -0.104, 0.031), (0.285, -0.215, 0.100), 0.026), TEAL, blend=0.004),
        Part(
            turned(torus((0.288, -0.262, 0.130), 0, 0.040, 0.0145), 1, -20, (0.288, -0.262, 0.130)), STEEL, blend=0.004
        ),
        # knobs on the chest
        Part(cylinder((0.095, -0.105, 0.118), 2, 0.024, 0.014, 0.005), RED),
        Part(cylinder((0.035, -0.105, 0.118), 2, 0.017, 0.012, 0.004), YELLOW),
    ]
    right, up = (1, 0, 0), (0, 1, 0)
    decals = (
        Decal(pictures.face(), (0, 0.228, 0.09), right, up, 0.215, 0.02),
        Decal(pictures.lettering("7", (250, 244, 228)), (-0.070, -0.050, 0.115), right, up, 0.060),
        Decal(pictures.gauge(35), (0.068, -0.015, 0.115), right, up, 0.088, 0.03),
        Decal(pictures.lettering("M-D", (150, 60, 40)), (-0.03, -0.030, -0.19), (-1, 0, 0), up, 0.150, 0.03),
        Decal(pictures.star((250, 204, 84)), (0.165, -0.06, 0.0), (0, 0, -1), up, 0.130, 0.03),
        Decal(pictures.lettering("R2", (250, 244, 228)), (-0.165, -0.06, 0.005), (0, 0, 1), up, 0.110, 0.03),
        Decal(pictures.lettering("A", (42, 92, 104)), (-0.055, 0.33, 0.015), right, (0, 0, -1), 0.085, 0.05),
        Decal(pictures.lettering("K4", (60, 40, 40)), (-0.105, -0.47, 0.025), right, (0, 0, 1), 0.080, 0.03),
        Decal(pictures.lettering("9", (60, 40, 40)), (0.112, -0.47, 0.045), right, (0, 0, 1), 0.050, 0.03),
        Decal(pictures.disc((246, 198, 72), (62, 66, 78)), (0.0, -0.24, 0.0), right, (0, 0, 1), 0.075, 0.03),
    )
    return Solid(tuple(parts), _MATERIALS, decals)
