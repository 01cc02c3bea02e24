"""Voxels that are there, and what networks do with them: convolve, merge, split, attend.

A submanifold convolution (Graham et al. 2018, "3D Semantic Segmentation with Submanifold Sparse Convolutional
Networks") is a dense grid of row numbers and a gather, a matrix product and a scatter for each of its 27 taps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

Pairs = list[tuple[int, Tensor, Tensor]]


class Lattice:
    """Which voxels there are; neighbours are looked up once.

    cells: [N, 3] int64, each once, 0 <= cell < resolution.
    """

    def __init__(self, cells: Tensor, resolution: int) -> None:
        if cells.numel() and (int(cells.min()) < 0 or int(cells.max()) >= resolution):
            raise ValueError("cells lie outside of the grid")
        self.cells = cells
        self.resolution = resolution
        self._pairs: Pairs | None = None

    def neighbours(self) -> Pairs:
        """List (tap, rows of the neighbour, rows of the centre) for each of the 27 taps; the centre's own is 13."""
        if self._pairs is None:
            side = self.resolution + 2  # a rim of nothing saves the check for the border
            stride = torch.tensor([side * side, side, 1], device=self.cells.device)
            at = ((self.cells + 1) * stride).sum(dim=1)
            rows = torch.full((side**3,), -1, dtype=torch.int32, device=self.cells.device)
            rows[at] = torch.arange(len(at), dtype=torch.int32, device=self.cells.device)
            pairs: Pairs = []
            for tap in range(27):
                step = (tap // 9 - 1) * side * side + (tap // 3 % 3 - 1) * side + tap % 3 - 1
                neighbour = rows[at + step]
                centre = torch.nonzero(neighbour >= 0)[:, 0].to(torch.int32)
                pairs.append((tap, neighbour[centre], centre))
            self._pairs = pairs
        return self._pairs


@dataclass(frozen=True)
class SparseGrid:
    """Features at voxels. features: [N, C], a row for each of the lattice's cells."""

    lattice: Lattice
    features: Tensor

    def with_features(self, features: Tensor) -> SparseGrid:
        """Give other features at the same voxels."""
        return replace(self, features=features)


class SubmanifoldConv(nn.Module):
    """The weights of a convolution, as the checkpoints hold them: [out, k, k, k, in]."""

    is_convolution = True

    def __init__(self, in_channels: int, out_channels: int, taps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(out_channels, taps, taps, taps, in_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: SparseGrid) -> SparseGrid:
        """Convolve at the voxels that are there; all others count as zero."""
        out_channels, taps, _, _, in_channels = self.weight.shape
        if taps == 1:
            # The library that trained these weights takes a convolution of one tap for a matrix product and reads
            # the [out, 1, 1, 1, in] numbers as an [in, out] matrix: reinterpreted, not transposed.
            return x.with_features(x.features @ self.weight.view(in_channels, out_channels) + self.bias)
        kernel = self.weight.reshape(out_channels, 27, in_channels)
        out = self.bias.expand(len(x.features), -1).clone()
        for tap, neighbour, centre in x.lattice.neighbours():
            out.index_add_(0, centre, x.features[neighbour] @ kernel[:, tap].T)
        return x.with_features(out)


class Conv(nn.Module):
    """A submanifold convolution, under the name that it has in the checkpoints."""

    def __init__(self, in_channels: int, out_channels: int, taps: int = 3) -> None:
        super().__init__()
        self.conv = SubmanifoldConv(in_channels, out_channels, taps)

    def forward(self, x: SparseGrid) -> SparseGrid:
        """Convolve."""
        out: SparseGrid = self.conv(x)
        return out


class PointGroupNorm(nn.GroupNorm):
    """A group norm whose statistics are taken over all voxels and each group's channels, in float32."""

    def forward(self, input: Tensor) -> Tensor:
        """input: [N, C]; the same comes out."""
        columns = input.float().T.unsqueeze(0)  # [1, C, N]: all voxels are one sample
        out = functional.group_norm(columns, self.num_groups, self.weight.float(), self.bias.float(), self.eps)
        return out[0].T.to(input.dtype)


@dataclass(frozen=True)
class Merging:
    """How voxels merge by twos along each axis. rows: [N] int64, the merged voxel that each one becomes part of."""

    fine: Lattice
    coarse: Lattice
    rows: Tensor

    def down(self, features: Tensor) -> Tensor:
        """Merge. features: [N, C]. Returns [M, C]: the sum over the voxels, divided by one more than they are.

        That is what the checkpoints were trained with: a mean that counts its own starting zero.
        """
        total = features.new_zeros(len(self.coarse.cells), features.shape[1]).index_add_(0, self.rows, features)
        count = torch.bincount(self.rows, minlength=len(total)) + 1
        return total / count[:, None].to(features.dtype)

    def up(self, features: Tensor) -> Tensor:
        """Give each voxel what the merged one has. features: [M, C]. Returns [N, C]."""
        return features[self.rows]


def merging(fine: Lattice) -> Merging:
    """Halve a lattice's resolution; the merged voxels stand in lexicographic order."""
    cells, rows = torch.unique(fine.cells // 2, dim=0, return_inverse=True)
    return Merging(fine, Lattice(cells, -(-fine.resolution // 2)), rows)


def subdivide(lattice: Lattice) -> Lattice:
    """Split each voxel into eight, which follow each other in lexicographic order."""
    corner = torch.arange(8, device=lattice.cells.device)
    corners = torch.stack([corner // 4, corner // 2 % 2, corner % 2], dim=1)
    cells = (2 * lattice.cells[:, None] + corners).reshape(-1, 3)
    return Lattice(cells, 2 * lattice.resolution)


@dataclass(frozen=True)
class Windows:
    """Voxels in cubes, each cube filled up to the fullest one's count.

    slots: [W, L] int64, rows of the features; where `taken` [W, L] is False there is none, and row 0 stands there.
    """

    slots: Tensor
    taken: Tensor

    def attend(self, features: Tensor, attention: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Attend within each cube.

        features: [N, C]. attention: of [W, L, C] and a mask [W, 1, 1, L]. Returns [N, C].
        """
        h = attention(features[self.slots], self.taken[:, None, None])
        out = torch.empty_like(features)
        out[self.slots[self.taken]] = h[self.taken]
        return out


def windows(lattice: Lattice, size: int, shift: int) -> Windows:
    """Part voxels into cubes of `size` voxels, shifted by `shift` (Swin: Liu et al. 2021, in three dimensions)."""
    cubes = (lattice.cells + shift) // size
    _, cube, counts = torch.unique(cubes, dim=0, return_inverse=True, return_counts=True)
    order = torch.argsort(cube, stable=True)
    first = torch.cumsum(counts, 0) - counts
    place = torch.arange(len(order), device=order.device) - first[cube[order]]
    slots = order.new_zeros(len(counts), int(counts.max()))
    taken = torch.zeros_like(slots, dtype=torch.bool)
    slots[cube[order], place] = order
    taken[cube[order], place] = True
    return Windows(slots, taken)
