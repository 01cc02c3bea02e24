"""A wooden locomotive: an open cab, gaps between wheels and frame, a funnel with a mouth."""

from __future__ import annotations

from engine.sample import pictures
from engine.sample.shapes import box, capsule, cylinder, lathe, sphere, torus, turned
from engine.sample.solid import Decal, Material, Part, Solid

WOOD, RED, GREEN, BLACK, BRASS, CREAM, INSIDE, BLUE = range(8)
_MATERIALS = (
    Material((214, 168, 112), (186, 138, 84), "wood", 22, (0, 0, 1)),
    Material((200, 54, 50), (184, 44, 42), "speckle", 20),
    Material((58, 122, 84), (50, 108, 74), "speckle", 20),
    Material((58, 58, 64), (70, 70, 78), "speckle", 24),
    Material((224, 174, 76), (206, 152, 58), "stripes", 46, (0, 0, 1)),
    Material((242, 230, 204), (230, 214, 182), "speckle", 18),
    Material((150, 104, 66), (128, 86, 52), "wood", 26, (0, 0, 1)),
    Material((62, 108, 170), (54, 94, 152), "speckle", 20),
)


def _wheel(x: float, y: float, z: float, radius: float, material: int) -> list[Part]:
    side = 1 if x > 0 else -1
    parts = [
        Part(cylinder((x, y, z), 0, radius, 0.026, 0.008), material),
        Part(cylinder((x + side * 0.030, y, z), 0, radius * 0.76, 0.016, 0.003), material, "cut", 0.003),
        Part(cylinder((x, y, z), 0, 0.024, 0.036, 0.006), BRASS, blend=0.003),
    ]
    for k in range(3):
        spoke = box((x + side * 0.014, y, z), (0.010, radius * 0.80, 0.011), 0.004)
        parts.append(Part(turned(spoke, 0, 60 * k + 20 * radius, (x, y, z)), CREAM))
    return parts


def locomotive() -> Solid:
    """About 1 long, its front towards +Z."""
    parts = [
        # frame, buffers
        Part(box((0, -0.165, -0.02), (0.105, 0.028, 0.43), 0.012), WOOD),
        Part(box((0, -0.150, 0.415), (0.150, 0.045, 0.022), 0.010), RED, blend=0.004),
        Part(cylinder((-0.095, -0.150, 0.450), 2, 0.030, 0.022, 0.008), BLACK, blend=0.003),
        Part(cylinder((0.095, -0.150, 0.450), 2, 0.030, 0.022, 0.008), BRASS, blend=0.003),
        Part(capsule((0, -0.165, -0.44), (0, -0.150, -0.485), 0.014), BLACK, blend=0.004),
        # boiler with bands
        Part(cylinder((0, -0.005, 0.14), 2, 0.128, 0.235, 0.022), GREEN, blend=0.006),
        Part(cylinder((0, -0.005, 0.14), 2, 0.132, 0.014), BRASS, "paint"),
        Part(cylinder((0, -0.005, 0.265), 2, 0.132, 0.014), BRASS, "paint"),
        Part(cylinder((0, -0.005, 0.375), 2, 0.112, 0.016, 0.008), BLACK, blend=0.006),
        Part(torus((0, -0.005, 0.390), 2, 0.092, 0.010), BRASS, blend=0.003),
        # funnel with a mouth, dome, whistle
        Part(
            lathe((0, 0, 0.285), 1, [(0.046, 0.09), (0.040, 0.16), (0.046, 0.215), (0.078, 0.268), (0.078, 0.292)]),
            BLACK, blend=0.01,
        ),
        Part(lathe((0, 0, 0.285), 1, [(0.028, 0.20), (0.062, 0.275), (0.070, 0.36)]), RED, "cut", 0.006),
        Part(
            lathe((0, 0, 0.09), 1, [(0.060, 0.08), (0.060, 0.145), (0.040, 0.178), (0.012, 0.188)]), BRASS, blend=0.012
        ),
        Part(capsule((0.055, 0.10, 0.195), (0.060, 0.175, 0.195), 0.012), RED, blend=0.004),
        Part(sphere((0.060, 0.185, 0.195), 0.020), CREAM, blend=0.003),
        # lamp, off the middle
        Part(cylinder((-0.055, 0.130, 0.352), 2, 0.036, 0.030, 0.008), RED, blend=0.006),
        Part(cylinder((-0.055, 0.130, 0.384), 2, 0.026, 0.008), CREAM, "cut", 0.002),
        # cab: hollow, open to the back, with windows
        Part(box((0, 0.015, -0.215), (0.150, 0.170, 0.130), 0.012), RED, blend=0.004),
        Part(box((0, 0.035, -0.245), (0.122, 0.130, 0.135), 0.008), INSIDE, "cut", 0.004),
        Part(box((-0.10, 0.070, -0.215), (0.1, 0.060, 0.070), 0.02), INSIDE, "cut", 0.004),
        Part(cylinder((0.10, 0.075, -0.215), 0, 0.062, 0.1, 0.004), INSIDE, "cut", 0.004),
        Part(box((0, -0.045, -0.125), (0.045, 0.045, 0.04), 0.012), BLACK, blend=0.004),
        Part(box((0, 0.205, -0.225), (0.175, 0.020, 0.165), 0.014), BLUE, blend=0.004),
        Part(cylinder((0.06, 0.232, -0.26), 1, 0.034, 0.014, 0.005), BRASS, blend=0.003),
        # coal box
        Part(box((0, -0.075, -0.395), (0.125, 0.068, 0.055), 0.012), WOOD, blend=0.004),
        Part(box((0, -0.020, -0.395), (0.100, 0.042, 0.035), 0.010), BLACK, "cut", 0.003),
        Part(sphere((-0.045, -0.058, -0.395), 0.034), BLACK, blend=0.004),
        Part(sphere((0.030, -0.062, -0.388), 0.040), BLACK, blend=0.004),
        # axles
        *(Part(capsule((-0.13, y, z), (0.13, y, z), 0.017), BLACK)
          for y, z in ((-0.20, 0.30), (-0.20, 0.11), (-0.165, -0.23))),
    ]  # fmt: skip
    for side in (-1, 1):
        parts += _wheel(side * 0.140, -0.205, 0.30, 0.078, BLACK)
        parts += _wheel(side * 0.140, -0.205, 0.11, 0.078, BLUE if side < 0 else BLACK)
        parts += _wheel(side * 0.140, -0.165, -0.23, 0.118, RED)
    parts.append(Part(box((-0.176, -0.198, 0.13), (0.010, 0.012, 0.21), 0.005), BRASS))
    parts.append(Part(box((0.176, -0.198, 0.20), (0.010, 0.012, 0.14), 0.005), BRASS))
    right, up = (1, 0, 0), (0, 1, 0)
    decals = (
        Decal(pictures.disc((200, 54, 50), (242, 230, 204), "5"), (0, -0.005, 0.39), right, up, 0.140, 0.03),
        Decal(pictures.lettering("No 5", (242, 230, 204)), (-0.150, -0.022, -0.215), (0, 0, 1), up, 0.165, 0.008),
        Decal(pictures.star((250, 206, 90)), (0.150, -0.024, -0.260), (0, 0, -1), up, 0.066, 0.008),
        Decal(pictures.lettering("MESH", (242, 230, 204)), (-0.125, 0.005, 0.202), (0, 0, 1), up, 0.100, 0.06),
        Decal(pictures.lettering("DROP", (250, 206, 90)), (0.125, 0.005, 0.202), (0, 0, -1), up, 0.100, 0.06),
        Decal(pictures.lettering("N", (242, 230, 204)), (-0.055, 0.225, -0.215), right, (0, 0, -1), 0.110, 0.03),
        Decal(pictures.star((200, 54, 50), 7), (0.0, -0.193, 0.02), right, (0, 0, 1), 0.110, 0.03),
        Decal(pictures.lettering("W5", (120, 50, 40)), (0.0, -0.193, -0.10), right, (0, 0, 1), 0.110, 0.03),
        Decal(pictures.lettering("B", (120, 50, 40)), (-0.04, -0.085, -0.45), (-1, 0, 0), up, 0.070, 0.03),
    )
    return Solid(tuple(parts), _MATERIALS, decals)
