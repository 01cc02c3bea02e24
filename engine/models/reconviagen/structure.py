"""The first stage: where is there anything? A flow over a dense 16^3 grid of latents, and its decoder to 64^3 voxels.

Source: TRELLIS (Xiang et al. 2024), section 3.3 "sparse structure generation".
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


@dataclass(frozen=True)
class StructureFlowShape:
    """The flow's measures; the defaults are the published checkpoint's."""

    resolution: int = 16
    in_channels: int = 8
    model_channels: int = 1024
    context_channels: int = 1024
    out_channels: int = 8
    blocks: int = 24
    heads: int = 16


class StructureFlow(nn.Module):
    """The velocity of the structure's latents: a transformer over all cells of the grid."""

    pos_emb: Tensor

    def __init__(self, shape: StructureFlowShape = StructureFlowShape()) -> None:
        super().__init__()
        self.shape = shape
        width = shape.model_channels
        self.t_embedder = TimeEmbedding(width)
        with torch.device("cpu"):  # also where the network is built without memory: it is a constant
            axis = torch.arange(shape.resolution)
            cells = torch.cartesian_prod(axis, axis, axis)
            self.register_buffer("pos_emb", position_embedding(cells, width))
        self.input_layer = nn.Linear(shape.in_channels, width)
        self.blocks = nn.ModuleList(
            ModulatedBlock(width, shape.context_channels, shape.heads) for _ in range(shape.blocks)
        )
        self.out_layer = nn.Linear(width, shape.out_channels)
        self.dtype = torch.float32

    def set_precision(self, dtype: torch.dtype) -> None:
        """Set the precision of the blocks' matrices."""
        set_torso_precision([self.blocks], dtype)
        self.dtype = dtype

    def contexts(self, views: Sequence[Tensor], *, keep: bool = True) -> list[Context | None]:
        """What the blocks look at, to be used in all steps.

        views: [1, L, C'] each. keep: see `Context`. Returns a context for each block.
        """
        return [Context(views, keep=keep) for _ in self.blocks]

    def forward(self, x: Tensor, time: Tensor, contexts: Sequence[Context | None]) -> Tensor:
        """Predict the velocity.

        x: [1, C, R, R, R] float32. time: [1], 0 to 1000. contexts: one for each block; None is the zero condition.
        Returns [1, C, R, R, R] float32.
        """
        size = x.shape[2:]
        h = self.input_layer(x.flatten(2).transpose(1, 2)) + self.pos_emb
        h = h.to(self.dtype)
        embedded = self.t_embedder(time).to(self.dtype)
        for block, context in zip(_modulated(self.blocks), contexts, strict=True):
            h = block(h, context, embedded)
        h = h.to(x.dtype)
        out: Tensor = self.out_layer(functional.layer_norm(h, h.shape[-1:]))
        return out.transpose(1, 2).reshape(x.shape[0], -1, *size)


def _modulated(blocks: nn.ModuleList) -> list[ModulatedBlock]:
    return [block for block in blocks if isinstance(block, ModulatedBlock)]


class ChannelNorm(Float32LayerNorm):
    """A layer norm over the channels of [B, C, X, Y, Z]."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise axis 1."""
        return super().forward(input.movedim(1, -1)).movedim(-1, 1).contiguous()


class ResidualBlock(nn.Module):
    """Norm, SiLU, convolution, twice, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(channels)
        self.norm2 = ChannelNorm(channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, X, Y, Z]; the same comes out."""
        h = self.conv1(functional.silu(self.norm1(x)))
        out: Tensor = x + self.conv2(functional.silu(self.norm2(h)))
        return out


class UpsampleBlock(nn.Module):
    """A convolution to eight times the channels, which then become two cells along each axis (pixel shuffle)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, 8 * out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, X, Y, Z]. Returns [B, C', 2X, 2Y, 2Z]."""
        batch, _, *size = x.shape
        h: Tensor = self.conv(x).reshape(batch, -1, 2, 2, 2, *size).permute(0, 1, 5, 2, 6, 3, 7, 4)
        return h.reshape(batch, -1, *(2 * n for n in size)).contiguous()


@dataclass(frozen=True)
class StructureDecoderShape:
    """The decoder's measures; the defaults are the published checkpoint's."""

    out_channels: int = 1
    latent_channels: int = 8
    residual_blocks: int = 2
    middle_blocks: int = 2
    channels: tuple[int, ...] = (512, 128, 32)


class StructureDecoder(nn.Module):
    """Latents to occupancy: a convolutional network that doubles the grid twice."""

    def __init__(self, shape: StructureDecoderShape = StructureDecoderShape()) -> None:
        super().__init__()
        first, last = shape.channels[0], shape.channels[-1]
        self.input_layer = nn.Conv3d(shape.latent_channels, first, 3, padding=1)
        self.middle_block = nn.Sequential(*(ResidualBlock(first) for _ in range(shape.middle_blocks)))
        blocks: list[nn.Module] = []
        for level, channels in enumerate(shape.channels):
            blocks += [ResidualBlock(channels) for _ in range(shape.residual_blocks)]
            if level + 1 < len(shape.channels):
                blocks.append(UpsampleBlock(channels, shape.channels[level + 1]))
        self.blocks = nn.ModuleList(blocks)
        self.out_layer = nn.Sequential(ChannelNorm(last), nn.SiLU(), nn.Conv3d(last, shape.out_channels, 3, padding=1))
        self.dtype = torch.float32

    def set_precision(self, dtype: torch.dtype) -> None:
        """Set the precision of the blocks' convolutions."""
        set_torso_precision([self.middle_block, self.blocks], dtype)
        self.dtype = dtype

    def forward(self, latents: Tensor) -> Tensor:
        """Decode.

        latents: [1, C, R, R, R] float32. Returns [1, 1, 4R, 4R, 4R] float32: above 0 there is something.
        """
        h = self.input_layer(latents).to(self.dtype)
        h = self.middle_block(h)
        for block in self.blocks:
            h = block(h)
        out: Tensor = self.out_layer(h.to(latents.dtype))
        return out
