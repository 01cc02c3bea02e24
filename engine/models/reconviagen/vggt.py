"""VGGT: what several images of one thing say about its geometry, in features and in cameras.

Source: Wang et al. 2025, "VGGT: Visual Geometry Grounded Transformer", arXiv:2503.11651: attention within each image
and over all images in turn (section 3.2), and the camera head (3.3). Positions enter by two-dimensional rotary
embeddings (Heo et al. 2024, arXiv:2403.13298).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.models.reconviagen.vit import PATCH_PX, Block, Mlp, Rotate, VisionShape, VisionTransformer

_MEAN: Final = (0.485, 0.456, 0.406)
_DEVIATION: Final = (0.229, 0.224, 0.225)
"""ImageNet's, in RGB."""

_ROTARY_BASE: Final = 100.0


def normalised(images: Tensor) -> Tensor:
    """images: [..., 3, H, W], 0 to 1. Returns them with ImageNet's mean and deviation taken out."""
    mean = torch.tensor(_MEAN, dtype=images.dtype, device=images.device).view(3, 1, 1)
    deviation = torch.tensor(_DEVIATION, dtype=images.dtype, device=images.device).view(3, 1, 1)
    return (images - mean) / deviation


def rotation(position: Tensor, width: int) -> Rotate:
    """Turn the halves of each head's vector by the row and the column of its patch.

    position: [L, 2], row and column. width: the vectors'. Returns a function of [B, heads, L, width].
    """
    half = width // 2
    exponent = torch.arange(0, half, 2, dtype=torch.float32, device=position.device) / half
    angle = position.float()[:, :, None] * (1.0 / _ROTARY_BASE**exponent)  # [L, 2, half / 2]
    angle = torch.cat([angle, angle], dim=-1)  # [L, 2, half]
    cos, sin = angle.cos(), angle.sin()

    def turn(x: Tensor) -> Tensor:
        pair = x.reshape(*x.shape[:-1], 2, half)
        a, b = pair.chunk(2, dim=-1)
        turned: Tensor = pair * cos + torch.cat([-b, a], dim=-1) * sin
        return turned.flatten(-2).to(x.dtype)

    return turn


@dataclass(frozen=True)
class AggregatorShape:
    """The measures; the defaults are the published checkpoint's."""

    image_px: int = 518
    channels: int = 1024
    blocks: int = 24
    heads: int = 16
    registers: int = 4
    vision: VisionShape = field(default_factory=VisionShape)


class Aggregator(nn.Module):
    """Attention within each image and over all images, in turn."""

    def __init__(self, shape: AggregatorShape = AggregatorShape()) -> None:
        super().__init__()
        self.shape = shape
        width = shape.channels
        self.camera_token = nn.Parameter(torch.zeros(1, 2, 1, width))
        self.register_token = nn.Parameter(torch.zeros(1, 2, shape.registers, width))
        self.patch_embed = VisionTransformer(shape.vision)
        self.frame_blocks = self._blocks()
        self.global_blocks = self._blocks()

    def _blocks(self) -> nn.ModuleList:
        shape = self.shape
        return nn.ModuleList(Block(shape.channels, shape.heads, eps=1e-5, normalised=True) for _ in range(shape.blocks))

    def forward(self, images: Tensor, keep: Collection[int] | None = None) -> list[Tensor]:
        """Compute the features.

        images: [1, V, 3, S, S], 0 to 1; the first is the one that the others are seen from. keep: the layers whose
        outputs are wanted; None: all. Returns for each of them [1, V, 1 + registers + P, 2 C]: within, over all.
        """
        batch, views = images.shape[:2]
        patches = self.patch_embed.patch_tokens(normalised(images.flatten(0, 1)))
        x = torch.cat([self._first_apart(self.camera_token, batch, views),
                       self._first_apart(self.register_token, batch, views), patches], dim=1)  # fmt: skip
        length, width = x.shape[1:]
        position = self._positions(images.shape[-2] // PATCH_PX, images.shape[-1] // PATCH_PX, images.device)
        within = rotation(position, width // self.shape.heads)
        over_all = rotation(position.repeat(views, 1), width // self.shape.heads)
        outputs = []
        for layer, (frame, overall) in enumerate(zip(self.frame_blocks, self.global_blocks, strict=True)):
            x = frame(x.view(batch * views, length, width), within)
            by_frame = x.view(batch, views, length, width)
            x = overall(x.view(batch, views * length, width), over_all)
            if keep is None or layer in keep:
                outputs.append(torch.cat([by_frame, x.view(batch, views, length, width)], dim=-1))
        return outputs

    @staticmethod
    def _first_apart(token: Tensor, batch: int, views: int) -> Tensor:
        """token: [1, 2, T, C], for the first image and for the others. Returns [batch * views, T, C]."""
        others = token[:, 1:].expand(batch, views - 1, -1, -1)
        return torch.cat([token[:, :1].expand(batch, 1, -1, -1), others], dim=1).flatten(0, 1)

    def _positions(self, rows: int, columns: int, device: torch.device) -> Tensor:
        """Row and column of each token, from 1; 0 for the tokens that are no patches."""
        axes = torch.arange(rows, device=device), torch.arange(columns, device=device)
        patches = torch.cartesian_prod(*axes) + 1
        return torch.cat([patches.new_zeros(1 + self.shape.registers, 2), patches])


class CameraHead(nn.Module):
    """The cameras from their tokens, improved in four rounds."""

    def __init__(self, channels: int = 2048, heads: int = 16, blocks: int = 4) -> None:
        super().__init__()
        self.empty_pose_tokens = nn.Parameter(torch.zeros(1, 1, 9))
        self.trunk = nn.Sequential(*(Block(channels, heads, eps=1e-5) for _ in range(blocks)))
        self.token_norm = nn.LayerNorm(channels)
        self.trunk_norm = nn.LayerNorm(channels)
        self.embed_pose = nn.Linear(9, channels)
        self.poseLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(channels, 3 * channels))
        self.pose_branch = Mlp(channels, channels // 2, 9)

    def forward(self, aggregated: Tensor, rounds: int = 4) -> Tensor:
        """Estimate the cameras.

        aggregated: [1, V, T, C], the last layer of `Aggregator`. Returns [1, V, 9]: translation, quaternion
        (x, y, z, w, not normalised), vertical and horizontal field of view in radians.
        """
        tokens = self.token_norm(aggregated[:, :, 0])
        pose = self.empty_pose_tokens.expand(*tokens.shape[:2], -1)
        delta = torch.zeros_like(pose)
        for _ in range(rounds):
            shift, scale, gate = self.poseLN_modulation(self.embed_pose(pose)).chunk(3, dim=-1)
            plain = functional.layer_norm(tokens, tokens.shape[-1:], eps=1e-6)
            h = self.trunk(gate * (plain * (1 + scale) + shift) + tokens)
            delta = delta + self.pose_branch(self.trunk_norm(h))
            pose = delta
        return torch.cat([pose[..., :7], functional.relu(pose[..., 7:])], dim=-1)
