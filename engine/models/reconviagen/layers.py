"""What the transformers share: attention, feed-forward, norms, and the embeddings of time and position.

Parameter names and shapes are the published checkpoints' (TRELLIS: Xiang et al. 2024, "Structured 3D Latents for
Scalable and Versatile 3D Generation", arXiv:2412.01506; its transformer blocks are DiT's, Peebles and Xie 2023).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

_LONGEST_PERIOD = 10_000.0


class Float32LayerNorm(nn.LayerNorm):
    """A layer norm whose statistics are taken in float32, whatever precision comes in; that precision goes out."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise the last axis."""
        weight = None if self.weight is None else self.weight.float()
        bias = None if self.bias is None else self.bias.float()
        return functional.layer_norm(input.float(), self.normalized_shape, weight, bias, self.eps).to(input.dtype)


class HeadRMSNorm(nn.Module):
    """Scale each head's vectors to a learned length (RMSNorm: Zhang and Sennrich 2019)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(heads, width))
        self.length = math.sqrt(width)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, L, heads, width]; the same comes out."""
        return (functional.normalize(x.float(), dim=-1) * self.gamma * self.length).to(x.dtype)


class SelfAttention(nn.Module):
    """Multi-head self-attention; queries and keys are normalised where asked."""

    def __init__(self, channels: int, heads: int, *, rms_norm: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(channels, 3 * channels)
        if rms_norm:
            self.q_rms_norm = HeadRMSNorm(channels // heads, heads)
            self.k_rms_norm = HeadRMSNorm(channels // heads, heads)
        self.rms_norm = rms_norm
        self.to_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend.

        x: [B, L, C]. mask: [B, 1, 1, L] bool, the keys that count; None: all. Returns [B, L, C].
        """
        q, k, v = self.to_qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(2)
        if self.rms_norm:
            q, k = self.q_rms_norm(q), self.k_rms_norm(k)
        h = functional.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask
        )
        out: Tensor = self.to_out(h.transpose(1, 2).flatten(2))
        return out


class Context:
    """What one cross-attention looks at; it stays the same over all steps of a flow.

    views: [1, L, C'] each; attention to several is the plain mean over them. keep: compute their keys and values at the
    first look and keep them, or anew at each, which takes no memory.
    """

    def __init__(self, views: Sequence[Tensor], *, keep: bool = True) -> None:
        self.views = views
        self.keep = keep
        self._kept: list[tuple[Tensor, Tensor]] = []

    def keys_values(self, attention: CrossAttention) -> Iterable[tuple[Tensor, Tensor]]:
        """Keys and values [1, heads, L, width] of each view."""
        if not self.keep:
            return (attention.keys_values(view) for view in self.views)
        if not self._kept:
            self._kept = [attention.keys_values(view) for view in self.views]
        return self._kept


class CrossAttention(nn.Module):
    """Multi-head attention to a condition."""

    def __init__(self, channels: int, context_channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels)
        self.to_kv = nn.Linear(context_channels, 2 * channels)
        self.to_out = nn.Linear(channels, channels)

    def keys_values(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """context: [B, L, C']. Returns keys and values, [B, heads, L, C / heads] each."""
        k, v = self.to_kv(context.to(self.to_kv.weight.dtype)).unflatten(-1, (2, self.heads, -1)).unbind(2)
        return k.transpose(1, 2), v.transpose(1, 2)

    def forward(self, x: Tensor, context: Context | None) -> Tensor:
        """x: [B, L, C]; context: None is the zero condition. Returns [B, L, C].

        All keys of the zero condition are the same, and so are its values: it comes to the values' bias, and no
        attention has to be computed.
        """
        if context is None:
            constant: Tensor = self.to_out(self.to_kv.bias[self.to_q.out_features :])
            return constant.to(x.dtype).expand_as(x)
        q = self.to_q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        total = torch.zeros_like(q)
        for k, v in context.keys_values(self):
            total = total + functional.scaled_dot_product_attention(q, k, v)
        h = total / len(context.views)
        out: Tensor = self.to_out(h.transpose(1, 2).flatten(2))
        return out


class FeedForward(nn.Module):
    """Two linear layers, four times as wide between, with a tanh-approximated GELU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU("tanh"), nn.Linear(4 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., C]; the same comes out."""
        out: Tensor = self.mlp(x)
        return out


class ConditionedBlock(nn.Module):
    """Self-attention, attention to a condition, feed-forward; without modulation."""

    def __init__(self, channels: int, context_channels: int, heads: int) -> None:
        super().__init__()
        self.norm1 = Float32LayerNorm(channels, eps=1e-6, elementwise_affine=False)
        self.norm2 = Float32LayerNorm(channels, eps=1e-6)
        self.norm3 = Float32LayerNorm(channels, eps=1e-6, elementwise_affine=False)
        self.self_attn = SelfAttention(channels, heads, rms_norm=True)
        self.cross_attn = CrossAttention(channels, context_channels, heads)
        self.mlp = FeedForward(channels)

    def forward(self, x: Tensor, context: Context | None) -> Tensor:
        """x: [B, L, C]; the same comes out."""
        x = x + self.self_attn(self.norm1(x))
        x = x + self.cross_attn(self.norm2(x), context)
        out: Tensor = x + self.mlp(self.norm3(x))
        return out


class ModulatedBlock(ConditionedBlock):
    """`ConditionedBlock` whose first and last parts are shifted, scaled and gated by the time (DiT's adaLN)."""

    def __init__(self, channels: int, context_channels: int, heads: int) -> None:
        super().__init__(channels, context_channels, heads)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(channels, 6 * channels))

    def forward(self, x: Tensor, context: Context | None, time: Tensor | None = None) -> Tensor:
        """x: [B, L, C]; time: [B, C], the embedded time. Returns [B, L, C]."""
        if time is None:
            raise TypeError("a modulated block needs the time")
        modulation = self.adaLN_modulation(time).unsqueeze(1)
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = modulation.chunk(6, dim=-1)
        x = x + gate * self.self_attn(self.norm1(x) * (1 + scale) + shift)
        x = x + self.cross_attn(self.norm2(x), context)
        out: Tensor = x + mlp_gate * self.mlp(self.norm3(x) * (1 + mlp_scale) + mlp_shift)
        return out


class TimeEmbedding(nn.Module):
    """Cosines and sines of the time at 128 periods, then two linear layers (DiT's timestep embedding)."""

    def __init__(self, channels: int, frequencies: int = 256) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.mlp = nn.Sequential(nn.Linear(frequencies, channels), nn.SiLU(), nn.Linear(channels, channels))

    def forward(self, time: Tensor) -> Tensor:
        """time: [B] float32, 0 to 1000. Returns [B, C]."""
        half = self.frequencies // 2
        exponent = torch.arange(half, dtype=torch.float32, device=time.device) / half
        angle = time.float()[:, None] * torch.exp(-math.log(_LONGEST_PERIOD) * exponent)[None]
        out: Tensor = self.mlp(torch.cat([angle.cos(), angle.sin()], dim=-1))
        return out


def position_embedding(position: Tensor, channels: int) -> Tensor:
    """Sines and cosines of three coordinates, side by side, filled up with zeros.

    position: [N, 3], in voxels. Returns [N, channels] float32.
    """
    width = channels // 6
    exponent = torch.arange(width, dtype=torch.float32, device=position.device) / width
    angle = position.float()[:, :, None] * (1.0 / _LONGEST_PERIOD**exponent)
    waves = torch.cat([angle.sin(), angle.cos()], dim=-1).flatten(1)
    return functional.pad(waves, (0, channels - waves.shape[1]))


def set_torso_precision(torso: Iterable[nn.Module], dtype: torch.dtype) -> None:
    """Turn the matrices of a network's middle to another precision; its norms stay in float32.

    That is what the half-precision checkpoints hold: linear layers and convolutions in float16, all else in float32.
    """
    for part in torso:
        for module in part.modules():
            if isinstance(module, nn.Linear | nn.Conv3d) or getattr(module, "is_convolution", False):
                module.to(dtype)
