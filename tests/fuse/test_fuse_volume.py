from __future__ import annotations

import numpy as np
import pytest
import trimesh
from fuse_scenes import box, camera, cup, scene, sphere, torus

from config.errors import Cancelled
from engine.fuse import fuse
from engine.fuse.integrate import TRUNCATION_VOXELS, integrate
from engine.fuse.view_maps import edge_maps, put_surface, stack
from engine.surface import extract_surface
from engine.surface.components import label_components
from engine.surface.verify import defects


def solid_of(solid, grid=48, faces=5000, **how):
    bundle, segmentation, calibration, _ = scene(solid, **how)
    fused = fuse(bundle, segmentation, calibration, grid, lambda _: None)
    return fused, extract_surface(fused, faces, lambda _: None)


def samples(volume):
    index = np.stack(np.meshgrid(*(np.arange(n) for n in volume.values.shape), indexing="ij"), -1)
    return volume.origin + index * volume.voxel_size


@pytest.mark.parametrize("solid", [sphere, box, torus])
def test_values_are_signed_distances_near_the_surface(solid):
    fused, _ = solid_of(solid)
    truth = solid(samples(fused.volume))
    near = np.abs(truth) < fused.volume.voxel_size
    error = np.abs(fused.volume.values - truth)[near]
    assert error.mean() < 0.15 * fused.volume.voxel_size
    assert np.quantile(error, 0.95) < 0.6 * fused.volume.voxel_size


@pytest.mark.parametrize(
    "how", [{}, {"measure": "ray"}, {"kind": "disparity"}, {"rounding": "nearest"}, {"code_max": 65535}]
)
def test_sphere_in_every_coding(how):
    fused, mesh = solid_of(sphere, **how)
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - 0.25).mean() < 0.1 * fused.volume.voxel_size
    assert not defects(mesh)


@pytest.mark.parametrize(("solid", "handles"), [(sphere, 0), (box, 0), (torus, 1), (cup, 0)])
def test_topology(solid, handles):
    _, mesh = solid_of(solid)
    assert not defects(mesh)
    assert label_components(mesh)[0] == 1
    assert len(mesh.vertices) - len(mesh.faces) // 2 == 2 - 2 * handles


def test_an_open_cup_stays_open():
    fused, mesh = solid_of(cup)
    truth = 0.04 * np.pi * 0.3 - 0.15**2 * np.pi * 0.26
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).volume == pytest.approx(truth, rel=0.05)
    assert np.abs(cup(mesh.vertices)).mean() < 0.2 * fused.volume.voxel_size


def test_two_parts_stay_two():
    _, mesh = solid_of(
        lambda p: np.minimum(sphere(p - np.array([0.17, 0, 0]), 0.1), sphere(p + np.array([0.17, 0, 0]), 0.1))
    )
    assert label_components(mesh)[0] == 2


def test_a_thin_plate_keeps_its_thickness():
    """Two voxels thick: an average over views would eat it or fatten it."""
    fused, mesh = solid_of(lambda p: box(p, (0.25, 0.008, 0.2)), code_max=65535)
    assert np.ptp(mesh.vertices[:, 1]) == pytest.approx(0.016, abs=0.4 * fused.volume.voxel_size)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).volume == pytest.approx(
        8 * 0.25 * 0.008 * 0.2, rel=0.15
    )


def test_silhouettes_are_kept():
    bundle, segmentation, calibration, exact = scene(torus)
    fused = fuse(bundle, segmentation, calibration, 96, lambda _: None)
    for view, depth in exact.items():
        assert np.array_equal(fused.depth[view] > 0, depth > 0)


def test_the_volume_is_outside_on_its_border():
    fused, _ = solid_of(box, 32)
    for axis in range(3):
        assert np.take(fused.volume.values, [0, -1], axis).min() > 0


def test_the_same_twice_and_on_one_thread(monkeypatch):
    first, _ = solid_of(torus, 32)
    monkeypatch.setenv("MESHDROP_ENGINE__THREADS", "1")
    second, _ = solid_of(torus, 32)
    assert np.array_equal(first.volume.values, second.volume.values)


def test_cancel_is_heard():
    bundle, segmentation, calibration, _ = scene(sphere, size=64)

    def checkpoint(_: float) -> None:
        raise Cancelled()

    with pytest.raises(Cancelled):
        fuse(bundle, segmentation, calibration, 16, checkpoint)


def test_one_view_of_a_plane_against_the_formula():
    """Reference: behind a plane 1/z = a + b·u + c·v the distance is (1 - z(a + b·u + c·v)) over the plane's norm."""
    size, cam = 128, camera("front", 128)
    v, u = np.mgrid[:size, :size]
    a, b, c = 1.05, 0.0008, -0.0005
    disparity = (a + b * (u + 0.5) + c * (v + 0.5)).astype(np.float32)
    jump = np.full(disparity.shape, 0.02, np.float32)
    pixels = edge_maps(disparity, jump)
    put_surface(pixels, disparity)
    maps = stack([pixels], [(0, 0)], [cam])
    origin, voxel = np.array([-0.06, -0.06, 0.0]), 0.004
    values = integrate(maps, origin, voxel, (30, 30, 40), lambda _: None)
    points = origin + voxel * np.stack(np.meshgrid(np.arange(30), np.arange(30), np.arange(40), indexing="ij"), -1)
    uv, z = cam.project(points.reshape(-1, 3))
    f, centre = cam.K[0, 0], size / 2
    norm = np.sqrt((b * f) ** 2 + (c * f) ** 2 + (a + b * centre + c * centre) ** 2)
    expected = ((1 - z * (a + b * uv[:, 0] + c * uv[:, 1])) / norm).reshape(values.shape)
    limit = TRUNCATION_VOXELS * voxel
    inner = np.s_[1:-1, 1:-1, 1:-1]
    assert np.allclose(values[inner], np.clip(expected, -limit, limit)[inner], atol=2e-5)
