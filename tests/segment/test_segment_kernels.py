import numpy as np
import pytest
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import maximum_flow

from engine.distance import squared_distance
from engine.segment.fields import colour_density, local_statistics, resize_mask, signed_distance, window_around
from engine.segment.kernels import describe, matte
from engine.segment.silhouette import drop_specks
from engine.segment.solve import minimise_cut


@pytest.mark.parametrize("share", [0.001, 0.1, 0.9])
def test_squared_distance_is_the_euclidean_one(share: float) -> None:
    mask = np.random.default_rng(1).random((61, 47)) < share
    mask[30, 20] = True
    assert np.allclose(np.sqrt(squared_distance(mask)), ndimage.distance_transform_edt(~mask), atol=1e-4)


def test_signed_distance_of_a_half_plane() -> None:
    mask = np.zeros((8, 10), np.bool_)
    mask[:, 4:] = True
    assert np.allclose(signed_distance(mask), np.broadcast_to(np.arange(10) - 3.5, (8, 10)))


@pytest.mark.parametrize("seed", range(5))
def test_minimise_cut_finds_a_minimum_cut(seed: int) -> None:
    """Against an exact maximum flow, on a line of pixels (a width of 0 leaves nothing above or below)."""
    n = 24
    rng = np.random.default_rng(seed)
    cost = np.round(rng.normal(0, 6, n)).astype(np.float32)
    edge = np.round(rng.random(n) * 8).astype(np.float32)
    u = np.zeros(n, np.float32)
    u[-1] = 1
    active = np.arange(1, n - 1).astype(np.int32)
    minimise_cut(u, cost, edge, active, np.arange(n - 1).astype(np.int32), 0, 20_000)
    found = u > 0.5

    source, sink = n, n + 1
    big = 10_000
    rows, columns, weights = [source, 0], [n - 1, sink], [big, big]
    for i in range(n - 1):
        rows += [i, i + 1]
        columns += [i + 1, i]
        weights += [int(edge[i])] * 2
    for i in range(1, n - 1):
        c = int(cost[i])
        rows.append(i if c > 0 else source)
        columns.append(sink if c > 0 else i)
        weights.append(abs(c))
    graph = coo_matrix((weights, (rows, columns)), shape=(n + 2, n + 2)).tocsr().astype(np.int32)
    least = maximum_flow(graph, source, sink).flow_value
    taken = sum(edge[i] for i in range(n - 1) if found[i] != found[i + 1])
    taken += sum(abs(cost[i]) for i in range(1, n - 1) if (cost[i] > 0) == found[i])
    assert taken == pytest.approx(least)


def _reference_description(rgb: np.ndarray, b: np.ndarray, f: np.ndarray) -> list[np.ndarray]:
    c = rgb.astype(np.float64)
    padded = np.pad(c, ((1, 1), (1, 1), (0, 0)), mode="edge")
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    gx = np.stack([ndimage.correlate(padded[..., k], kernel)[1:-1, 1:-1] for k in range(3)], -1)
    gy = np.stack([ndimage.correlate(padded[..., k], kernel.T)[1:-1, 1:-1] for k in range(3)], -1)
    slope = np.sqrt((gx**2 + gy**2).max(-1))
    to_b = np.sqrt(((c - b[..., :3]) ** 2).mean(-1)) / np.maximum(1.5 * b[..., 3], 3)
    to_f = np.sqrt(((c - f[..., :3]) ** 2).mean(-1)) / np.maximum(1.5 * f[..., 3], 6)
    return [slope, to_b, to_f]


def test_describe_against_numpy() -> None:
    rng = np.random.default_rng(2)
    rgb = rng.integers(0, 256, (20, 24, 3)).astype(np.uint8)
    b, f = (rng.uniform(5, 250, (20, 24, 4)).astype(np.float32) for _ in range(2))
    slope, bins, to_b, to_f, dark, shade = describe(rgb, b, f, 1)
    for ours, reference in zip((slope, to_b, to_f), _reference_description(rgb, b, f), strict=True):
        assert np.allclose(ours, reference, rtol=1e-4, atol=1e-3)
    assert bins.min() >= 0
    assert bins.max() < 64**3
    assert not (dark & ~shade).any()


def test_shades_of_the_background_are_told_from_colours() -> None:
    rgb = np.array([[[120, 120, 119], [120, 20, 20], [240, 240, 240], [10, 10, 10]]], np.uint8)
    white = np.full((1, 4, 4), 250, np.float32)
    _, _, _, _, dark, shade = describe(rgb, white, white, 1)
    assert dark[0].tolist() == [True, False, False, True]
    assert shade[0].tolist() == [True, False, True, True]


def test_local_statistics_of_a_constant_colour() -> None:
    rgb = np.full((30, 30, 3), (10, 100, 200), np.uint8)
    weight = np.zeros((30, 30), np.float32)
    weight[:3] = 1
    statistics = local_statistics(rgb, weight, 2.0)
    assert np.allclose(statistics[..., :3], (10, 100, 200), atol=0.5)
    assert statistics[..., 3].max() < 1


def test_colour_density_sums_to_one() -> None:
    bins = np.random.default_rng(0).integers(0, 64**3, (40, 40)).astype(np.int32)
    assert colour_density(bins, np.ones((40, 40), np.float32)).sum() == pytest.approx(1, abs=1e-3)
    assert colour_density(bins, np.zeros((40, 40), np.float32)).sum() == 0


def test_matte_of_a_known_mixture() -> None:
    """A disc whose rim is mixed by its true coverage: found to four levels in a hundred."""
    n, factor = 64, 2
    y, x = np.mgrid[: n * factor * 4, : n * factor * 4] + 0.5
    fine = np.hypot(x - 256, y - 256) < 150
    coverage = fine.reshape(n * factor, 4, n * factor, 4).mean((1, 3))
    inside, outside = np.array([200, 30, 30.0]), np.array([245, 240, 250.0])
    rgb = np.round(coverage[..., None] * inside + (1 - coverage[..., None]) * outside).astype(np.uint8)
    small = rgb.reshape(n, factor, n, factor, 3).mean((1, 3)).round().astype(np.uint8)
    mask = coverage.reshape(n, factor, n, factor).mean((1, 3)) > 0.5
    out = np.repeat(np.repeat(mask.astype(np.uint8) * 255, factor, 0), factor, 1)
    matte(rgb, small, signed_distance(mask), factor, out)
    assert np.abs(out / 255 - coverage).max() < 0.04


def test_drop_specks_keeps_thin_parts() -> None:
    mask = np.zeros((1024, 1024), np.bool_)
    mask[300:700, 300:700] = True
    mask[10:12, 10:14] = True
    mask[100, 100:160] = True
    kept = drop_specks(mask)
    assert not kept[10:12].any()
    assert kept[100].sum() == 60
    assert kept[300:700, 300:700].all()


def test_window_lies_in_the_image_and_holds_the_object() -> None:
    mask = np.zeros((100, 100), np.bool_)
    mask[2:30, 60:99] = True
    window = window_around(mask, 800, 50, 8)
    assert window.x >= 0
    assert window.x + window.side <= 800
    assert window.side % 8 == window.x % 8 == window.y % 8 == 0
    assert resize_mask(mask, 800)[window.rows, window.columns].sum() == resize_mask(mask, 800).sum()
