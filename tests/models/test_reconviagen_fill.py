"""What cameras see stays as measured; a hollow that none of them sees comes from the generated object."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from config.bundle_layout import ViewName
from engine.camera import Camera
from engine.fuse.result import Fusion, SignedDistanceVolume
from engine.mesh import Mesh
from engine.models.reconviagen.fill import (
    fill_unseen,
    generated_faces,
    seen_by_a_camera,
    share_of_area,
    signed_distance,
)
from engine.render import look_at, render_depth
from engine.surface.marching import marching_cubes
from tests.models.objects import FROM

SAMPLES = 73
VOXEL = 0.75 / (SAMPLES - 1)
ORIGIN = np.full(3, -0.375)


def _grid() -> NDArray[np.float64]:
    axis = ORIGIN[0] + VOXEL * np.arange(SAMPLES)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


def _box(place: NDArray[np.float64], low: tuple[float, ...], high: tuple[float, ...]) -> NDArray[np.float64]:
    """Signed distance to a box, near its faces."""
    return np.maximum(np.asarray(low) - place, place - np.asarray(high)).max(axis=-1)


def _hollow(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of the pit that no camera looks into: it leads sideways from the pit's end."""
    return _box(place, (0.05, -0.06, -0.1), (0.2, 0.06, 0.0))


def _true(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """A cube with a pit in its front that bends to the right."""
    pit = _box(place, (-0.08, -0.08, -0.1), (0.08, 0.08, 0.5))
    return np.maximum(_box(place, (-0.3,) * 3, (0.3,) * 3), -np.minimum(pit, _hollow(place)))


def _mesh(values: NDArray[np.float64]) -> Mesh:
    return marching_cubes(values.astype(np.float32), ORIGIN, VOXEL)


@pytest.fixture(scope="module")
def cameras() -> dict[ViewName, Camera]:
    out: dict[ViewName, Camera] = {}
    for name, toward in FROM.items():
        up = (0.0, 0.0, -1.0) if toward[1] > 0 else (0.0, 0.0, 1.0) if toward[1] < 0 else (0.0, 1.0, 0.0)
        pose = look_at(2.0 * np.array(toward, float), np.zeros(3), np.array(up))
        out[name] = Camera.from_fov(25.0, 192, pose)
    return out


@pytest.fixture(scope="module")
def fusion(cameras: dict[ViewName, Camera]) -> Fusion:
    """The cube as the six cameras measure it: free is what is in front of a view's depth."""
    truth, place = _mesh(_true(_grid())), _grid().reshape(-1, 3)
    values = np.full(len(place), -3 * VOXEL)
    depth = {name: render_depth(truth, camera) for name, camera in cameras.items()}
    for name, camera in cameras.items():
        uv_px, z = camera.project(place)
        column, row = np.clip(np.floor(uv_px), 0, camera.size_px - 1).astype(int).T
        measured = np.where(depth[name] > 0, depth[name], np.inf)[row, column]
        values = np.maximum(values, np.clip(measured - z, -3 * VOXEL, 3 * VOXEL))
    shaped = values.reshape((SAMPLES,) * 3).astype(np.float32)
    return Fusion(SignedDistanceVolume(shaped, ORIGIN, VOXEL), depth)


def test_a_hollow_that_no_camera_sees_is_opened(fusion: Fusion, cameras: dict[ViewName, Camera]) -> None:
    deep = _box(_grid(), (0.11, -0.03, -0.08), (0.19, 0.03, -0.02)) < 0
    assert (fusion.volume.values[deep] < 0).all()  # the cameras can't know
    filled = fill_unseen(fusion, cameras, _mesh(_true(_grid())))
    assert (filled.volume.values[deep] > 0).all()
    solid = (_true(_grid()) < -VOXEL) & (_hollow(_grid()) > 2 * VOXEL)
    assert (filled.volume.values[solid] < 0).mean() > 0.999


def test_what_cameras_see_stays_whatever_is_generated(fusion: Fusion, cameras: dict[ViewName, Camera]) -> None:
    # The generated object lacks a quarter of the cube.
    lacking = np.maximum(_true(_grid()), -_box(_grid(), (0.0, 0.0, -1.0), (1.0, 1.0, 1.0)))
    filled = fill_unseen(fusion, cameras, _mesh(lacking))
    place = np.argwhere(np.abs(fusion.volume.values) < 0.5 * VOXEL)
    seen = seen_by_a_camera(ORIGIN + place * VOXEL, cameras, fusion.depth, VOXEL)
    at = tuple(place[seen].T)
    assert seen.sum() > 5_000
    np.testing.assert_array_equal(filled.volume.values[at], fusion.volume.values[at])
    free = fusion.volume.values > 0
    assert (filled.volume.values[free] > 0).all()


def test_a_generated_object_like_the_measured_one_changes_nothing(
    fusion: Fusion, cameras: dict[ViewName, Camera]
) -> None:
    measured = _mesh(fusion.volume.values.astype(np.float64))
    filled = fill_unseen(fusion, cameras, measured)
    changed = (filled.volume.values > 0) != (fusion.volume.values > 0)
    assert changed.mean() < 1e-4


def test_the_hollow_is_what_is_labelled(fusion: Fusion, cameras: dict[ViewName, Camera]) -> None:
    filled = fill_unseen(fusion, cameras, _mesh(_true(_grid())))
    mesh = _mesh(filled.volume.values.astype(np.float64))
    labelled = generated_faces(mesh, cameras, fusion.depth, fusion.volume)
    share = share_of_area(mesh, labelled)
    centres = mesh.vertices[mesh.faces].mean(axis=1)
    hollow = _hollow(centres) < 0.01
    assert labelled[hollow].mean() > 0.85
    outer = _box(centres, (-0.29,) * 3, (0.29,) * 3) > 0
    assert labelled[outer].mean() < 0.001
    assert 0.01 < share < 0.2


def test_the_distance_is_exact_near_the_surface() -> None:
    place = _grid()
    ball = np.linalg.norm(place - (0.03, -0.02, 0.01), axis=-1) - 0.2
    volume = SignedDistanceVolume(np.zeros((SAMPLES,) * 3, np.float32), ORIGIN, VOXEL)
    found = signed_distance(_mesh(ball), volume)
    near = np.abs(ball) < 1.5 * VOXEL
    assert np.abs(found - ball)[near].max() < 0.15 * VOXEL
    assert ((found < 0) == (ball < 0))[np.abs(ball) > 0.1 * VOXEL].all()
    assert np.abs(found).max() <= 3 * VOXEL + 1e-7
