"""Common tangents of analytic silhouettes give the focal length back, or say that they can't."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from engine.calibrate.model import all_layouts, fov_deg, log_focal, make_layout
from engine.calibrate.tangency import (
    LOG_FOCAL,
    MARGIN,
    Silhouettes,
    choose,
    contour,
    cost_of,
    outlines_of,
)

SIZE = 256
LAYOUT = make_layout("+X", "+Z", "+Z")


def ellipsoid_levels(fov: float, centre: np.ndarray, radii: np.ndarray, soft: bool) -> list[np.ndarray]:
    """Six silhouettes: pixels whose ray meets the ellipsoid; soft: the covered share of a pixel, from 4 x 4 rays."""
    factor = 4 if soft else 1
    n, focal = SIZE * factor, math.exp(log_focal(fov))
    grid = (np.arange(n) + 0.5) / (n / 2) - 1
    x, y = np.meshgrid(grid / focal, grid / focal)
    rays = np.stack([x, y, np.ones_like(x)], -1)
    out = []
    for pose in LAYOUT.poses():
        d = (rays @ pose[:3, :3].T) / radii
        o = (pose[:3, 3] - centre) / radii
        hit = (d @ o) ** 2 >= (d * d).sum(-1) * (o @ o - 1)
        out.append(hit.reshape(SIZE, factor, SIZE, factor).mean((1, 3)).astype(np.float32))
    return out


def polygon_levels(fov: float, corners: np.ndarray) -> list[np.ndarray]:
    """Six silhouettes of a convex polyhedron: the hull of its projected corners, by half planes."""
    from scipy.spatial import ConvexHull

    focal = math.exp(log_focal(fov))
    grid = (np.arange(SIZE * 4) + 0.5) / (SIZE * 2) - 1
    x, y = np.meshgrid(grid, grid)
    out = []
    for pose in LAYOUT.poses():
        q = (corners - pose[:3, 3]) @ pose[:3, :3]
        planes = ConvexHull(focal * q[:, :2] / q[:, 2:]).equations
        inside = np.ones(x.shape, bool)
        for a, b, c in planes:
            inside &= a * x + b * y + c <= 0
        out.append(inside.reshape(SIZE, 4, SIZE, 4).mean((1, 3)).astype(np.float32))
    return out


def box(centre: tuple[float, float, float], half: tuple[float, float, float]) -> np.ndarray:
    return np.array(centre) + np.array(half) * np.array(list(product((-1, 1), repeat=3)))


SCENES = {
    "sphere beside the centre": lambda fov, soft: ellipsoid_levels(
        fov, np.array([0.07, -0.04, 0.05]), np.full(3, 0.14), soft
    ),
    "ellipsoid": lambda fov, soft: ellipsoid_levels(
        fov, np.array([0.03, 0.05, -0.06]), np.array([0.2, 0.1, 0.14]), soft
    ),
    "box": lambda fov, soft: polygon_levels(fov, box((0.04, 0.06, -0.03), (0.12, 0.07, 0.16))),
}


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("fov", [35.0, 62.0])
@pytest.mark.parametrize("soft", [True, False])
def test_finds_the_focal_length_within_its_stated_error(name: str, fov: float, soft: bool) -> None:
    silhouettes = Silhouettes(outlines_of(SCENES[name](fov, soft)), SIZE)
    found = choose(silhouettes, None, [LAYOUT], None, LOG_FOCAL)[0]
    assert found.sigma_deg < 1.2
    assert abs(fov_deg(found.log_focal) - fov) < max(4 * found.sigma_deg, 0.1)
    assert abs(fov_deg(found.log_focal) - fov) < 1.0
    assert found.rms_px < 0.3


def test_residuals_vanish_at_the_truth_and_nowhere_else() -> None:
    silhouettes = Silhouettes(outlines_of(SCENES["box"](50.0, True)), SIZE)
    at = log_focal(50.0)
    r = silhouettes.residuals_px(LAYOUT.poses(), at + np.array([-0.1, 0.0, 0.1]))
    assert np.isfinite(r).sum() == 3 * 24
    assert np.nanmax(np.abs(r[1])) < 0.4
    cost = cost_of(r)
    assert cost[1] < 0.5 * cost[0]
    assert cost[1] < 0.5 * cost[2]


def test_another_layout_is_ruled_out() -> None:
    rng = np.random.default_rng(1)
    corners = rng.uniform(-0.18, 0.18, (14, 3)) + np.array([0.03, 0.02, -0.04])
    silhouettes = Silhouettes(outlines_of(polygon_levels(45.0, corners)), SIZE)
    found = choose(silhouettes, None, all_layouts(), None, LOG_FOCAL)
    assert found[0].layout == LAYOUT
    assert fov_deg(found[0].log_focal) == pytest.approx(45.0, abs=0.4)
    assert {t.layout for t in found} == {LAYOUT}


def test_a_mirrored_view_does_not_fit() -> None:
    rng = np.random.default_rng(2)
    levels = polygon_levels(45.0, rng.uniform(-0.18, 0.18, (14, 3)))
    sound = choose(Silhouettes(outlines_of(levels), SIZE), None, all_layouts(), None, LOG_FOCAL)[0]
    levels[2] = levels[2][:, ::-1].copy()
    spoilt = choose(Silhouettes(outlines_of(levels), SIZE), None, all_layouts(), None, LOG_FOCAL)[0]
    assert spoilt.cost > sound.cost + MARGIN


def test_a_sphere_in_the_centre_says_nothing() -> None:
    levels = ellipsoid_levels(50.0, np.zeros(3), np.full(3, 0.2), True)
    found = choose(Silhouettes(outlines_of(levels), SIZE), None, all_layouts(), None, LOG_FOCAL)
    assert len({t.layout for t in found}) == 32
    assert found[0].sigma_deg > 5


def test_a_silhouette_cut_off_by_the_border_is_left_out() -> None:
    levels = ellipsoid_levels(50.0, np.array([0.05, 0.0, 0.0]), np.full(3, 0.15), True)
    levels[0][:, :140] = 1.0
    silhouettes = Silhouettes(outlines_of(levels), SIZE)
    r = silhouettes.residuals_px(LAYOUT.poses(), np.array([log_focal(50.0)]))
    assert np.isfinite(r).sum() == 16


def test_the_contour_of_a_soft_edge_lies_between_pixels() -> None:
    level = np.zeros((16, 16), np.float32)
    level[4:12, 5:11] = 1.0
    level[4:12, 11] = 0.25
    hull = contour(level) * 8 + 8
    assert hull[:, 0].min() == pytest.approx(5.0)
    assert hull[:, 0].max() == pytest.approx(10.5 + 2 / 3)
    assert hull[:, 1].min() == pytest.approx(4.0)
    assert hull[:, 1].max() == pytest.approx(12.0)
