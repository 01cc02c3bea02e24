"""Creases that fusing rounded are made sharp, and nothing else is moved."""

from __future__ import annotations

import numpy as np
import pytest
from trimesh import Trimesh
from trimesh.creation import box, icosphere
from trimesh.smoothing import filter_laplacian

from engine.mesh import Mesh
from engine.refine.creases import filtered_normals, sharpened, spared
from engine.surface.verify import defects

HALF = 0.5


def of(made: Trimesh) -> Mesh:
    return Mesh(np.asarray(made.vertices, np.float64), np.asarray(made.faces, np.int32))


def rounded_box(noise: float = 0.0) -> Mesh:
    """A cube of side 1 with its edges and corners rounded by smoothing, over about as many faces as by fusing."""
    made = box((1.0, 1.0, 1.0))
    for _ in range(5):
        made = made.subdivide()
    filter_laplacian(made, iterations=1)
    if noise:
        made.vertices += np.random.default_rng(3).normal(0, noise, made.vertices.shape)
    return of(made)


def off_the_cube(mesh: Mesh) -> np.ndarray:
    """[V] how far vertices stand from the cube's surface."""
    v = np.abs(mesh.vertices)
    inside = HALF - v.max(1)
    outside = np.linalg.norm(np.maximum(v - HALF, 0), axis=1)
    return np.asarray(np.where(inside > 0, inside, outside))


def test_a_rounded_cube_has_edges_again() -> None:
    rounded = rounded_box()
    found, share = sharpened(rounded)
    before, after = off_the_cube(rounded), off_the_cube(found)
    assert 0.1 < share < 0.9
    edges = before > 0.3 * before.max()
    assert after[edges].mean() < 0.7 * before[edges].mean()
    assert after.max() < before.max()
    assert not defects(found)
    assert np.array_equal(found.faces, rounded.faces)


def test_the_middle_of_a_face_stays() -> None:
    rounded = rounded_box(noise=5e-4)
    found, _ = sharpened(rounded)
    far = (np.sort(np.abs(rounded.vertices), axis=1)[:, 1] < 0.25) & (np.abs(rounded.vertices).max(1) > 0.49)
    assert far.sum() > 500
    moved = np.abs(found.vertices - rounded.vertices)[far]
    assert moved.max() < 1e-6, "float32 is all that changes it"


def test_a_ball_has_none() -> None:
    ball = of(icosphere(subdivisions=4, radius=0.3))
    found, share = sharpened(ball)
    assert found is ball
    assert share == 0


def test_creases_that_make_it_worse_are_given_up_and_the_others_kept() -> None:
    rounded = rounded_box()
    rounded = Mesh(rounded.vertices.astype(np.float32).astype(np.float64), rounded.faces)
    sharp, _ = sharpened(rounded)
    moved = np.linalg.norm(sharp.vertices - rounded.vertices, axis=1)
    worse = np.where(rounded.vertices[:, 0] > 0.45, 1.0, -1.0) * (moved > 0)
    found, share = spared(rounded, sharp, worse)
    end = rounded.vertices[:, 0] > 0.47
    assert np.linalg.norm(found.vertices - rounded.vertices, axis=1)[end].sum() < 0.1 * moved[end].sum()
    away = rounded.vertices[:, 0] < 0.3
    assert np.allclose(found.vertices[away], sharp.vertices[away], atol=1e-7)
    assert share == pytest.approx((np.abs(found.vertices - rounded.vertices).max(1) > 0).mean(), abs=0.02)
    assert not defects(found)
    same, all_of_it = spared(rounded, sharp, -np.ones(len(worse)))
    assert np.allclose(same.vertices, sharp.vertices, atol=1e-7)
    assert all_of_it > share
    nothing, none = spared(rounded, sharp, np.ones(len(worse)))
    assert nothing is rounded
    assert none == 0


def test_a_thin_plate_keeps_its_two_sides_apart() -> None:
    made = box((1.0, 1.0, 0.01))
    for _ in range(5):
        made = made.subdivide()
    plate = of(made)
    found, share = sharpened(plate)
    assert share > 0
    assert not defects(found)
    sides = np.abs(plate.vertices[:, :2]).max(1) < 0.49
    assert np.abs(np.abs(found.vertices[sides, 2]) - 0.005).max() < 5e-4
    assert np.abs(found.vertices - plate.vertices).max() < 0.01


def test_it_comes_out_the_same_each_time_and_wherever_it_stands() -> None:
    rounded = rounded_box(noise=1e-3)
    found, share = sharpened(rounded)
    again, _ = sharpened(rounded)
    assert np.array_equal(found.vertices, again.vertices)
    turned = Mesh(rounded.vertices[:, [1, 2, 0]] * 2, rounded.faces)  # a rotation by 120 degrees, and twice the size
    there, share_there = sharpened(turned)
    assert share_there == pytest.approx(share)
    assert np.allclose(there.vertices, found.vertices[:, [1, 2, 0]] * 2, atol=1e-5)


def test_filtered_normals_are_unit_and_agree_beside_a_crease() -> None:
    rounded = rounded_box()
    normals = filtered_normals(rounded)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1)
    along = np.abs(normals).max(1)  # 1 where it is that of one of the cube's sides
    start = np.abs(rounded.face_normals()).max(1)
    assert (along > 0.99).mean() > (start > 0.99).mean() + 0.05
