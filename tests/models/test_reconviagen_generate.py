"""The whole path at a tiny size: from views to a mesh, the same for the same seed, stopped when asked."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
import torch

from config.errors import Cancelled, ModelFailed
from engine.models.reconviagen.flexicubes import RawMesh
from engine.models.reconviagen.generate import TFLOP, Means, Networks, generate
from engine.models.reconviagen.latents import LatentFlow
from engine.models.reconviagen.layers import CrossAttention
from engine.models.reconviagen.preprocess import preprocess
from engine.models.reconviagen.sparse import Lattice, SparseGrid
from engine.models.reconviagen.structure import StructureDecoder
from tests.models.made_up import voxels, wave
from tests.models.tiny import pictures, tiny_networks

CPU = Means(torch.device("cpu"))


def _run(seed: int = 0, means: Means = CPU, networks: Networks | None = None) -> RawMesh:
    return generate(pictures(), networks or tiny_networks(), means, seed, lambda fraction: None)


@pytest.fixture(scope="module")
def mesh() -> RawMesh:
    torch.set_num_threads(1)
    return _run()


def test_it_makes_a_mesh_within_its_cube(mesh: RawMesh) -> None:
    assert len(mesh.faces) > 100
    assert mesh.vertices.isfinite().all()
    assert mesh.vertices.abs().max() <= 0.5 + 1e-6
    assert int(mesh.faces.max()) < len(mesh.vertices)


def test_a_seed_gives_the_same_mesh_and_another_one_another(mesh: RawMesh) -> None:
    again, other = _run(), _run(seed=1)
    assert torch.equal(again.vertices, mesh.vertices)
    assert torch.equal(again.faces, mesh.faces)
    assert other.vertices.shape != mesh.vertices.shape or not torch.equal(other.vertices, mesh.vertices)


def test_the_first_view_counts_as_such(mesh: RawMesh) -> None:
    turned = generate(pictures()[[1, 0, 2, 3, 4, 5]], tiny_networks(), CPU, 0, lambda fraction: None)
    assert turned.vertices.shape != mesh.vertices.shape or not torch.equal(turned.vertices, mesh.vertices)


def test_with_little_memory_weights_come_block_by_block(mesh: RawMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    to = torch.nn.Module.to

    def counting(self: torch.nn.Module, *args: object, **kwargs: object) -> torch.nn.Module:
        moved.append(type(self).__name__)
        return to(self, *args, **kwargs)  # type: ignore[arg-type]

    computed: list[int] = []
    keys_values = CrossAttention.keys_values
    monkeypatch.setattr(torch.nn.Module, "to", counting)
    monkeypatch.setattr(CrossAttention, "keys_values", lambda self, view: computed.append(1) or keys_values(self, view))
    _run()
    kept, at_once = len(computed), set(moved)
    computed.clear()
    moved.clear()
    low = _run(means=Means(torch.device("cpu"), vram_bytes=1000))
    torch.testing.assert_close(low.vertices, mesh.vertices)
    assert torch.equal(low.faces, mesh.faces)
    assert {"LatentFlow", "StructureFlow", "Aggregator"} <= at_once
    assert not {"LatentFlow", "StructureFlow", "Aggregator"} & set(moved)
    assert moved.count("ModulatedBlock") > 2 * 2 * 7  # to and fro, each block, each step
    assert len(computed) > 2 * kept  # at every step, for they aren't kept


def test_progress_rises_to_one_and_is_asked_often() -> None:
    fractions: list[float] = []
    calls: list[float] = []

    def checkpoint(fraction: float) -> None:
        fractions.append(fraction)
        calls.append(time.process_time())

    generate(pictures(), tiny_networks(), CPU, 0, checkpoint)
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)
    assert len(set(fractions)) > len(TFLOP)  # steps, not stages alone
    assert len(calls) > 300  # within each step, too
    assert np.diff(calls).max() < 1.0


@pytest.mark.parametrize("share", [0.3, 0.95])
def test_it_stops_within_a_second_of_being_asked(share: float) -> None:
    asked_s: list[float] = []

    def checkpoint(fraction: float) -> None:
        if asked_s:
            raise Cancelled
        if fraction >= share:
            asked_s.append(time.process_time())

    with pytest.raises(Cancelled):
        generate(pictures(), tiny_networks(), CPU, 0, checkpoint)
    assert time.process_time() - asked_s[0] < 1.0


def test_nothing_found_is_said() -> None:
    def empty() -> StructureDecoder:
        decoder = tiny_networks().structure_decoder()
        with torch.no_grad():
            decoder.out_layer[2].bias.fill_(-100.0)  # type: ignore[union-attr,operator]
        return decoder

    with pytest.raises(ModelFailed, match="found nothing"):
        _run(networks=dataclasses.replace(tiny_networks(), structure_decoder=empty))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_close(dtype: torch.dtype) -> None:
    lattice = Lattice(voxels(60, 8, 1), 8)
    noisy = SparseGrid(lattice, wave((len(lattice.cells), 8), "f"))
    views = [wave((1, 10, 32), f"v{i}") for i in range(3)]

    def velocity(flow: LatentFlow) -> torch.Tensor:
        out: SparseGrid = flow(noisy, torch.tensor([700.0]), flow.contexts(views), flow.mergings(lattice))
        return out.features

    exact = velocity(tiny_networks().latent_flow())
    flow = tiny_networks().latent_flow()
    flow.set_precision(dtype)
    found = velocity(flow)
    assert found.dtype == torch.float32
    assert 0 < (found - exact).abs().max() < 64 * torch.finfo(dtype).eps


def test_the_object_fills_its_picture() -> None:
    rgb = np.zeros((100, 100, 3), np.uint8)
    alpha = np.zeros((100, 100), np.uint8)
    rgb[20:60, 40:60] = (200, 100, 50)
    rgb[80:] = 90  # of the background
    alpha[20:60, 40:60] = 255
    image = preprocess(rgb, alpha, 56)
    assert image.shape == (3, 56, 56)
    covered = torch.nonzero(image[0])
    (top, left), (bottom, right) = covered.min(dim=0).values.tolist(), covered.max(dim=0).values.tolist()
    assert bottom - top + 1 == pytest.approx(56 / 1.1, abs=3)
    assert right - left + 1 == pytest.approx(28 / 1.1, abs=3)
    assert (top + bottom) / 2 == pytest.approx(27.5, abs=1.5)
    assert (left + right) / 2 == pytest.approx(27.5, abs=1.5)
    torch.testing.assert_close(image[:, 28, 28], torch.tensor([200, 100, 50]) / 255)
    assert image[:, 0].max() == 0


def test_an_object_at_the_border_stays_whole_and_square() -> None:
    rgb = np.full((64, 64, 3), 255, np.uint8)
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:, :20] = 255
    covered = preprocess(rgb, alpha, 56)[0] > 0
    assert covered.any(dim=1).float().mean() > 0.85
    assert 0.2 < covered.any(dim=0).float().mean() < 0.4


def test_a_view_without_an_object_is_refused() -> None:
    with pytest.raises(ValueError, match="no object"):
        preprocess(np.zeros((8, 8, 3), np.uint8), np.full((8, 8), 100, np.uint8))
