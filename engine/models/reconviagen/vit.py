"""DINOv2's vision transformer with registers.

Sources: Oquab et al. 2023, "DINOv2", arXiv:2304.07193; Darcet et al. 2023, "Vision Transformers Need Registers",
arXiv:2309.16588. VGGT uses the same network, with weights of its own, to turn patches into tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

PATCH_PX: Final = 14

Rotate = Callable[[Tensor], Tensor]


class Attention(nn.Module):
    """Multi-head self-attention; queries and keys may be normalised, and turned by their position."""

    def __init__(self, channels: int, heads: int, *, normalised: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        width = channels // heads
        self.q_norm: nn.Module = nn.LayerNorm(width) if normalised else nn.Identity()
        self.k_norm: nn.Module = nn.LayerNorm(width) if normalised else nn.Identity()
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor, rotate: Rotate | None = None) -> Tensor:
        """x: [B, L, C]; rotate: turns [B, heads, L, width] by position. Returns [B, L, C]."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        q, k = self.q_norm(q), self.k_norm(k)
        if rotate is not None:
            q, k = rotate(q), rotate(k)
        out: Tensor = self.proj(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class Mlp(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, channels: int, hidden: int, out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., C]. Returns [..., out]."""
        out: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return out


class LayerScale(nn.Module):
    """A learned factor for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., C]; the same comes out."""
        return x * self.gamma


class Block(nn.Module):
    """Attention and feed-forward, each normalised before, scaled after and added."""

    def __init__(self, channels: int, heads: int, *, eps: float, normalised: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=eps)
        self.attn = Attention(channels, heads, normalised=normalised)
        self.ls1 = LayerScale(channels)
        self.norm2 = nn.LayerNorm(channels, eps=eps)
        self.mlp = Mlp(channels, 4 * channels, channels)
        self.ls2 = LayerScale(channels)

    def forward(self, x: Tensor, rotate: Rotate | None = None) -> Tensor:
        """x: [B, L, C]; the same comes out."""
        x = x + self.ls1(self.attn(self.norm1(x), rotate))
        out: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return out


class PatchEmbedding(nn.Module):
    """Patches of an image as tokens."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, PATCH_PX, stride=PATCH_PX)

    def forward(self, images: Tensor) -> Tensor:
        """images: [B, 3, H, W]. Returns [B, H W / 14^2, C], row by row."""
        return self.proj(images).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class VisionShape:
    """The network's measures; the defaults are ViT-L/14's."""

    image_px: int = 518
    channels: int = 1024
    blocks: int = 24
    heads: int = 16
    registers: int = 4


class VisionTransformer(nn.Module):
    """Images of one size to tokens: class, registers, patches."""

    def __init__(self, shape: VisionShape = VisionShape()) -> None:
        super().__init__()
        self.shape = shape
        width = shape.channels
        patches = (shape.image_px // PATCH_PX) ** 2
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + patches, width))
        self.register_tokens = nn.Parameter(torch.zeros(1, shape.registers, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # of the training alone; the checkpoints hold it
        self.patch_embed = PatchEmbedding(width)
        self.blocks = nn.ModuleList(Block(width, shape.heads, eps=1e-6) for _ in range(shape.blocks))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def tokens(self, images: Tensor) -> Tensor:
        """Compute the tokens before the last norm.

        images: [B, 3, S, S], normalised, S the size that the network is for. Returns [B, 1 + registers + P, C].
        """
        if images.shape[-2:] != (self.shape.image_px,) * 2:
            raise ValueError(f"the images are {tuple(images.shape[-2:])} px, not {self.shape.image_px}")
        batch = images.shape[0]
        x = torch.cat([self.cls_token.expand(batch, -1, -1), self.patch_embed(images)], dim=1) + self.pos_embed
        x = torch.cat([x[:, :1], self.register_tokens.expand(batch, -1, -1), x[:, 1:]], dim=1)
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, images: Tensor) -> Tensor:
        """The tokens, normalised without learned factors, as TRELLIS takes them; see `tokens`."""
        x = self.tokens(images)
        return functional.layer_norm(x, x.shape[-1:])

    def patch_tokens(self, images: Tensor) -> Tensor:
        """The patches' tokens after the last norm, [B, P, C]; see `tokens`."""
        x: Tensor = self.norm(self.tokens(images))
        return x[:, 1 + self.shape.registers :]
