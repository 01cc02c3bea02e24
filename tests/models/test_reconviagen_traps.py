"""Four things that shapes and names of weights don't show: each one done the obvious way is no longer the reference.

The third of them, how guidance weighs, is in test_reconviagen_sampler.py: the sampler has no golden tensor.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from engine.models.reconviagen.latents import LatentFlow, LatentFlowShape
from engine.models.reconviagen.sparse import Lattice, Merging, PointGroupNorm, SparseGrid, SubmanifoldConv
from tests.models.made_up import decoded_cells, fill, golden, largest_difference, voxels, wave

WRONG = 1e-3
"""A hundred times the bar of parity."""


def _mesh_difference() -> float:
    return largest_difference(decoded_cells().features[:64], golden("mesh_dec")["feats_head"])


def test_a_convolution_of_one_tap_reinterprets_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = SubmanifoldConv.forward

    def transposed(self: SubmanifoldConv, x: SparseGrid) -> SparseGrid:
        if self.weight.shape[1] > 1:
            return forward(self, x)
        return x.with_features(functional.linear(x.features, self.weight.flatten(1), self.bias))

    assert _mesh_difference() < WRONG
    monkeypatch.setattr(SubmanifoldConv, "forward", transposed)
    assert _mesh_difference() > 0.3


def test_merging_divides_by_one_more_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def plain_mean(self: Merging, features: Tensor) -> Tensor:
        total = features.new_zeros(len(self.coarse.cells), features.shape[1]).index_add_(0, self.rows, features)
        return total / torch.bincount(self.rows)[:, None]

    def difference() -> float:
        flow = fill(LatentFlow(LatentFlowShape(64, 8, 64, 48, 8, 2, 4, 2, (32,))))
        cells = voxels(300, 8, 1)
        lattice = Lattice(cells, 64)
        views = [wave((1, 10, 48), f"v{i}") for i in range(3)]
        noisy = SparseGrid(lattice, wave((len(cells), 8), "f"))
        out = flow(noisy, torch.tensor([700.0]), flow.contexts(views), flow.mergings(lattice))
        return largest_difference(out.features, golden("slat_flow")["out"])

    assert difference() < WRONG
    monkeypatch.setattr(Merging, "down", plain_mean)
    assert difference() > 0.05


def test_group_norm_takes_its_statistics_over_all_voxels(monkeypatch: pytest.MonkeyPatch) -> None:
    def each_voxel_apart(self: PointGroupNorm, input: Tensor) -> Tensor:
        return functional.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    assert _mesh_difference() < WRONG
    monkeypatch.setattr(PointGroupNorm, "forward", each_voxel_apart)
    assert _mesh_difference() > 0.05
