"""The second stage: what is it like? A flow over the latents of the voxels that are there.

Source: TRELLIS (Xiang et al. 2024), section 3.3 "structured latents generation"; ReconViaGen (2025) lets each voxel
look at all views, by the mean of one cross-attention a view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.models.reconviagen.layers import (
    Context,
    Float32LayerNorm,
    ModulatedBlock,
    TimeEmbedding,
    position_embedding,
    set_torso_precision,
)
from engine.models.reconviagen.sparse import Conv, Lattice, Merging, SparseGrid, merging


@dataclass(frozen=True)
class LatentFlowShape:
    """The flow's measures; the defaults are the published checkpoint's."""

    resolution: int = 64
    in_channels: int = 8
    model_channels: int = 1024
    context_channels: int = 1024
    out_channels: int = 8
    blocks: int = 24
    heads: int = 16
    io_blocks: int = 2
    io_channels: tuple[int, ...] = (128,)


class ResidualBlock(nn.Module):
    """Two convolutions, shifted and scaled by the time; voxels may merge before, or split."""

    def __init__(self, in_channels: int, out_channels: int, time_channels: int) -> None:
        super().__init__()
        self.norm1 = Float32LayerNorm(in_channels, eps=1e-6)
        self.norm2 = Float32LayerNorm(out_channels, eps=1e-6, elementwise_affine=False)
        self.conv1 = Conv(in_channels, out_channels)
        self.conv2 = Conv(out_channels, out_channels)
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time_channels, 2 * out_channels))
        self.skip_connection: nn.Module = (
            nn.Identity() if in_channels == out_channels else nn.Linear(in_channels, out_channels)
        )

    def forward(self, x: SparseGrid, time: Tensor) -> SparseGrid:
        """x: the voxels, already merged or split; time: [1, C], the embedded time."""
        scale, shift = self.emb_layers(time).to(x.features.dtype).chunk(2, dim=-1)
        h = self.conv1(x.with_features(functional.silu(self.norm1(x.features))))
        h = h.with_features(functional.silu(self.norm2(h.features) * (1 + scale) + shift))
        return x.with_features(self.conv2(h).features + self.skip_connection(x.features))


class LatentFlow(nn.Module):
    """The velocity of the voxels' latents: convolutions at full resolution, a transformer at half of it."""

    def __init__(self, shape: LatentFlowShape = LatentFlowShape()) -> None:
        super().__init__()
        self.shape = shape
        width, io = shape.model_channels, shape.io_channels
        self.t_embedder = TimeEmbedding(width)
        self.input_layer = nn.Linear(shape.in_channels, io[0])
        down: list[nn.Module] = []
        for channels, after in zip(io, (*io[1:], width), strict=True):
            down += [ResidualBlock(channels, channels, width) for _ in range(shape.io_blocks - 1)]
            down.append(ResidualBlock(channels, after, width))
        self.input_blocks = nn.ModuleList(down)
        self.blocks = nn.ModuleList(
            ModulatedBlock(width, shape.context_channels, shape.heads) for _ in range(shape.blocks)
        )
        up: list[nn.Module] = []
        for channels, before in zip(reversed(io), (width, *reversed(io[1:])), strict=True):
            up.append(ResidualBlock(2 * before, channels, width))
            up += [ResidualBlock(2 * channels, channels, width) for _ in range(shape.io_blocks - 1)]
        self.out_blocks = nn.ModuleList(up)
        self.out_layer = nn.Linear(io[0], shape.out_channels)
        self.dtype = torch.float32

    def set_precision(self, dtype: torch.dtype) -> None:
        """Set the precision of the blocks' matrices and convolutions."""
        set_torso_precision([self.input_blocks, self.blocks, self.out_blocks], dtype)
        self.dtype = dtype

    def contexts(self, views: Sequence[Tensor], *, keep: bool = True) -> list[Context | None]:
        """What the blocks look at, to be used in all steps.

        views: [1, L, C'] each. keep: see `Context`. Returns a context for each block.
        """
        return [Context(views, keep=keep) for _ in self.blocks]

    def _modulated(self) -> list[ModulatedBlock]:
        return [block for block in self.blocks if isinstance(block, ModulatedBlock)]

    def mergings(self, lattice: Lattice) -> list[Merging]:
        """Compute how the voxels merge, once for all steps: one for each of the io levels."""
        steps: list[Merging] = []
        for _ in self.shape.io_channels:
            steps.append(merging(lattice))
            lattice = steps[-1].coarse
        return steps

    def forward(
        self, x: SparseGrid, time: Tensor, contexts: Sequence[Context | None], mergings: Sequence[Merging]
    ) -> SparseGrid:
        """Predict the velocity.

        x: the noisy latents, float32. time: [1], 0 to 1000. contexts: one for each block; None is the zero condition.
        mergings: of `mergings`. Returns latents, float32.
        """
        per_level = self.shape.io_blocks
        embedded = self.t_embedder(time).to(self.dtype)
        h = x.with_features(self.input_layer(x.features).to(self.dtype))
        skips = []
        for number, block in enumerate(self.input_blocks):
            if number % per_level == per_level - 1:
                step = mergings[number // per_level]
                h = SparseGrid(step.coarse, step.down(h.features))
            h = block(h, embedded)
            skips.append(h.features)
        tokens = h.features + position_embedding(h.lattice.cells, h.features.shape[1]).to(self.dtype)
        tokens = tokens[None]
        for inner, context in zip(self._modulated(), contexts, strict=True):
            tokens = inner(tokens, context, embedded)
        h = h.with_features(tokens[0])
        for number, block in enumerate(self.out_blocks):
            h = h.with_features(torch.cat([h.features, skips.pop()], dim=1))
            if number % per_level == 0:
                step = mergings[-1 - number // per_level]
                h = SparseGrid(step.fine, step.up(h.features))
            h = block(h, embedded)
        out = h.features.to(x.features.dtype)
        return x.with_features(self.out_layer(functional.layer_norm(out, out.shape[-1:])))
