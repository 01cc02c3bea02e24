"""Each kernel against a plain NumPy reference or an exhaustive search."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from engine.camera import Camera
from engine.texture.fill import harmonic_fill, pad, smooth, vertex_graph
from engine.texture.labels import energy, face_adjacency, solve_labels
from engine.texture.sampling import FULL_DISTANCE, edge_distance, repair_rim, sample_points


def disc(size: int, radius: float) -> NDArray[np.bool_]:
    y, x = np.indices((size, size)) - (size - 1) / 2
    return np.asarray(x**2 + y**2 < radius**2)


def test_edge_distance_is_close_to_the_euclidean() -> None:
    inside = disc(60, 22)
    alpha = np.where(inside, 255, 0).astype(np.uint8)
    distance = np.empty(alpha.shape, np.float32)
    edge_distance(alpha, np.ones(alpha.shape, np.float32), 1e-3, distance)
    true = ndimage.distance_transform_edt(inside)
    near = true < FULL_DISTANCE
    np.testing.assert_allclose(distance[near], true[near], rtol=0.09)


def test_a_jump_in_depth_is_an_edge_on_both_sides_and_a_slope_is_none() -> None:
    alpha = np.full((20, 40), 255, np.uint8)
    depth = np.ones((20, 40), np.float32) + 0.003 * np.arange(40, dtype=np.float32)
    depth[:, 20:] += 0.1
    distance = np.empty(alpha.shape, np.float32)
    edge_distance(alpha, depth, 1e-3, distance)
    assert (distance[:, 19:21] == 0.5).all()
    assert (distance[:, 17:19] < 3).all()
    assert (distance[:, [5, 35]] > FULL_DISTANCE).all()


def test_rims_take_the_colour_from_within_and_not_across_a_jump() -> None:
    alpha = np.full((24, 40), 255, np.uint8)
    alpha[:3] = 0
    alpha[3] = 120
    depth = np.where(np.arange(40) < 20, 1.0, 1.5).astype(np.float32)[None].repeat(24, 0)
    rgb = np.where(np.arange(40)[None, :, None] < 20, (200, 30, 30), (30, 30, 200)).astype(np.uint8).repeat(24, 0)
    rgb[:, 19:21] = 115
    rgb[3] = rgb[3] // 2 + 127
    rgb[:3] = 255
    distance = np.empty(alpha.shape, np.float32)
    edge_distance(alpha, depth, 1e-3, distance)
    out = np.empty_like(rgb)
    repair_rim(rgb, alpha, depth, distance, np.full(3, 255.0), 1e-3, out)
    assert (out[3:, :20] == (200, 30, 30)).all()
    assert (out[3:, 20:] == (30, 30, 200)).all()


def test_a_thin_part_loses_what_it_holds_of_the_background() -> None:
    alpha = np.zeros((20, 20), np.uint8)
    alpha[:, 10] = 160
    share = 160 / 255
    rgb = np.full((20, 20, 3), 255, np.uint8)
    rgb[:, 10] = np.round(share * np.array([40, 80, 120]) + (1 - share) * 255).astype(np.uint8)
    distance = np.zeros((20, 20), np.float32)
    out = np.empty_like(rgb)
    repair_rim(rgb, alpha, np.ones((20, 20), np.float32), distance, np.full(3, 255.0), 1e-3, out)
    assert np.abs(out[:, 10].astype(int) - (40, 80, 120)).max() <= 2


def sample_reference(
    points: NDArray[np.float32],
    normals: NDArray[np.float32],
    camera: Camera,
    depth: NDArray[np.float32],
    rgb: NDArray[np.uint8],
    trust: NDArray[np.uint8],
) -> NDArray[np.float64]:
    """`sample_points`, point by point."""
    out = np.zeros((len(points), 4))
    angle = 1 / camera.K[0, 0]
    for i, (p, n) in enumerate(zip(points.astype(np.float64), normals.astype(np.float64), strict=True)):
        uv, z = camera.project(p[None])
        (u, v), z = uv[0] - 0.5, z[0]
        ray = camera.position - p
        cosine = n @ ray / np.linalg.norm(ray)
        if cosine < 0.03:
            continue
        tolerance = angle * z * (2 + 1.5 * min(np.sqrt(1 - cosine**2) / cosine, 10))
        shares, colours, trusts, seen = [], [], [], 0.0
        for dy, dx in itertools.product((0, 1), (0, 1)):
            x, y = int(np.floor(u)) + dx, int(np.floor(v)) + dy
            share = (1 - abs(u - x)) * (1 - abs(v - y))
            if not (0 <= x < depth.shape[1] and 0 <= y < depth.shape[0]) or abs(depth[y, x] - z) > tolerance:
                continue
            seen += share
            if trust[y, x]:
                shares.append(share)
                colours.append(rgb[y, x])
                trusts.append(trust[y, x])
        if sum(shares) > 0.05 and seen > 0.2:
            w = np.array(shares)
            out[i, :3] = w @ np.array(colours) / w.sum()
            out[i, 3] = w @ np.array(trusts) / 255 * cosine / z**2
    return out


def test_samples_equal_the_reference() -> None:
    rng = np.random.default_rng(3)
    camera = Camera.from_fov(50, 64, np.eye(4))
    depth = np.where(rng.random((64, 64)) < 0.2, 0, 1 + 0.1 * (rng.random((64, 64)) < 0.3)).astype(np.float32)
    rgb = rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)
    trust = np.where(rng.random((64, 64)) < 0.2, 0, rng.integers(5, 255, (64, 64))).astype(np.uint8)
    points = np.concatenate([rng.uniform(-0.5, 0.5, (400, 2)), rng.choice([1.0, 1.02, 1.1], (400, 1))], 1)
    normals = rng.normal(size=(400, 3)) - (0, 0, 1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    p, n = points.astype(np.float32), normals.astype(np.float32)
    out = np.empty((400, 4), np.float32)
    projection = np.ascontiguousarray(camera.K @ camera.camera_from_world[:3])
    sample_points(p, n, projection, np.zeros(3), 1 / camera.K[0, 0], depth, rgb, trust, out)
    reference = sample_reference(p, n, camera, depth, rgb, trust)
    assert (reference[:, 3] > 0).sum() > 100
    np.testing.assert_allclose(out, reference, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_labels_are_nearly_as_good_as_the_best(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = rng.random((8, 3)).astype(np.float32)
    pairs = np.array([(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (0, 4), (2, 6)], np.int32)
    table = rng.random((len(pairs), 3, 3)).astype(np.float32) * 0.6
    table = table + table.transpose(0, 2, 1)
    table[:, range(3), range(3)] = 0
    best = min(
        energy(data, pairs, table, np.array(labels, np.int32)) for labels in itertools.product(range(3), repeat=8)
    )
    found = energy(data, pairs, table, solve_labels(data, pairs, table))
    assert best - 1e-5 <= found <= 1.05 * best + 1e-6


def test_labels_on_a_tree_are_the_best() -> None:
    rng = np.random.default_rng(9)
    data = rng.random((9, 3)).astype(np.float32)
    pairs = np.array([(i, i + 1) for i in range(8)], np.int32)
    table = np.broadcast_to((1 - np.eye(3, dtype=np.float32)) * np.float32(0.3), (8, 3, 3)).copy()
    best = min(
        energy(data, pairs, table, np.array(labels, np.int32)) for labels in itertools.product(range(3), repeat=9)
    )
    assert energy(data, pairs, table, solve_labels(data, pairs, table)) == pytest.approx(best, abs=1e-5)


def test_adjacency_of_a_tetrahedron() -> None:
    faces = np.array([[0, 1, 2], [0, 3, 1], [1, 3, 2], [2, 3, 0]], np.int32)
    pairs, edges = face_adjacency(faces)
    assert sorted(map(tuple, np.sort(pairs, 1))) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    for (f, g), edge in zip(pairs, edges, strict=True):
        assert set(edge) == set(faces[f]) & set(faces[g])


def strip(count: int) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    at = np.arange(count, dtype=np.float64)
    vertices = np.concatenate([np.stack([at, 0 * at, 0 * at], 1), np.stack([at, 0 * at + 1, 0 * at], 1)])
    i = np.arange(count - 1)
    faces = np.concatenate([np.stack([i, i + 1, i + count], 1), np.stack([i + 1, i + count + 1, i + count], 1)])
    return vertices, faces.astype(np.int32)


def test_unknown_colours_lie_between_the_known() -> None:
    vertices, faces = strip(21)
    colour = np.zeros((42, 3), np.float32)
    known = np.zeros(42, bool)
    known[[0, 20, 21, 41]] = True
    colour[[20, 41]] = 100
    out = harmonic_fill(vertex_graph(faces, 42), vertices, colour, known)
    along = out[:21, 0]
    assert (np.diff(along) > 0).all()
    assert along[10] == pytest.approx(50, abs=4)


def test_a_part_that_nobody_sees_takes_the_nearest_known_colour() -> None:
    vertices, faces = strip(5)
    both = np.concatenate([vertices, vertices + np.array([0, 5, 0])])
    colour = np.zeros((20, 3), np.float32)
    colour[:10] = 70
    known = np.arange(20) < 10
    out = harmonic_fill(vertex_graph(np.concatenate([faces, faces + 10]).astype(np.int32), 20), both, colour, known)
    assert (out == 70).all()


def test_smoothing_keeps_constants_and_ignores_what_has_no_weight() -> None:
    _, faces = strip(10)
    values = np.full((20, 1), 7, np.float32)
    weight = np.zeros(20, np.float32)
    weight[:5] = 1
    values[5:] = 1e6
    out, reached = smooth(vertex_graph(faces, 20), values, weight, 30)
    assert (reached > 0).all()
    np.testing.assert_allclose(out, 7, rtol=1e-4)


def test_padding_repeats_the_border_and_reaches_everywhere() -> None:
    texture = np.zeros((64, 64, 3), np.uint8)
    known = np.zeros((64, 64), bool)
    known[10:30, 10:30] = True
    known[50:60, 50:60] = True
    texture[10:30, 10:30] = (200, 10, 10)
    texture[50:60, 50:60] = (10, 10, 200)
    pad(texture, known, 6)
    away = ndimage.distance_transform_cdt(~known, "chessboard")
    first = np.zeros((64, 64), bool)
    first[4:36, 4:36] = True
    assert (texture[first & (away <= 6)] == (200, 10, 10)).all()
    assert (texture.sum(2) > 0).all()
