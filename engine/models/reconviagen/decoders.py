"""The third stage: the voxels' latents to the parameters of a mesh, or to Gaussians.

Source: TRELLIS (Xiang et al. 2024), section 3.2: shifted-window transformers; the mesh decoder splits each voxel
twice. Gaussian splatting: Kerbl et al. 2023; its low-pass filter: Yu et al. 2024, "Mip-Splatting".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.models.reconviagen.layers import (
    FeedForward,
    Float32LayerNorm,
    SelfAttention,
    position_embedding,
    set_torso_precision,
)
from engine.models.reconviagen.sparse import Conv, PointGroupNorm, SparseGrid, Windows, subdivide, windows

MESH_CHANNELS: Final = {"sdf": 8, "deform": 24, "weights": 21, "color": 48}
"""What a cell of the mesh decoder says: per corner, per corner and axis, per cell, per corner and colour channel."""

_GAUSSIAN_CHANNELS: Final = {"offset": 3, "color": 3, "scale": 3, "rotation": 4, "opacity": 1}
_ROTATION_RATE: Final = 0.1


@dataclass(frozen=True)
class DecoderShape:
    """A decoder's measures; the defaults are the published checkpoints'."""

    resolution: int = 64
    latent_channels: int = 8
    model_channels: int = 768
    blocks: int = 12
    heads: int = 12
    window: int = 8


class WindowBlock(nn.Module):
    """Attention within windows, feed-forward."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1 = Float32LayerNorm(channels, eps=1e-6, elementwise_affine=False)
        self.norm2 = Float32LayerNorm(channels, eps=1e-6, elementwise_affine=False)
        self.attn = SelfAttention(channels, heads)
        self.mlp = FeedForward(channels)

    def forward(self, features: Tensor, parts: Windows) -> Tensor:
        """features: [N, C]; the same comes out."""
        features = features + parts.attend(self.norm1(features), self.attn)
        out: Tensor = features + self.mlp(self.norm2(features))
        return out


class LatentDecoder(nn.Module):
    """The transformer that both decoders share; every other block's windows are shifted by half a window."""

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.shape = shape
        self.input_layer = nn.Linear(shape.latent_channels, shape.model_channels)
        self.blocks = nn.ModuleList(WindowBlock(shape.model_channels, shape.heads) for _ in range(shape.blocks))
        self.dtype = torch.float32

    def set_precision(self, dtype: torch.dtype) -> None:
        """Set the precision of the blocks' matrices."""
        set_torso_precision([self.blocks], dtype)
        self.dtype = dtype

    def decode(self, x: SparseGrid) -> SparseGrid:
        """x: latents, float32. Returns features in the blocks' precision."""
        size = self.shape.window
        h = self.input_layer(x.features) + position_embedding(x.lattice.cells, self.shape.model_channels)
        h = h.to(self.dtype)
        parts = [windows(x.lattice, size, shift) for shift in (0, size // 2)]
        for number, block in enumerate(self.blocks):
            h = block(h, parts[number % 2])
        return x.with_features(h)


class SubdivideBlock(nn.Module):
    """Split each voxel into eight, then two convolutions."""

    def __init__(self, in_channels: int, out_channels: int, groups: int = 32) -> None:
        super().__init__()
        self.act_layers = nn.Sequential(PointGroupNorm(groups, in_channels), nn.SiLU())
        self.out_layers = nn.Sequential(
            Conv(in_channels, out_channels), PointGroupNorm(groups, out_channels), nn.SiLU(),
            Conv(out_channels, out_channels),
        )  # fmt: skip
        self.skip_connection = Conv(in_channels, out_channels, taps=1)

    def forward(self, x: SparseGrid) -> SparseGrid:
        """Returns eight times as many voxels."""
        first, norm, activation, second = self.out_layers
        lattice = subdivide(x.lattice)
        h: SparseGrid = SparseGrid(lattice, self.act_layers(x.features).repeat_interleave(8, dim=0))
        h = first(h)
        h = second(h.with_features(activation(norm(h.features))))
        # A convolution of one tap looks at nothing else: it can run before the split, at an eighth of the work.
        skipped = self.skip_connection(x).features.repeat_interleave(8, dim=0)
        return h.with_features(h.features + skipped)


class MeshDecoder(LatentDecoder):
    """Latents at R^3 to the parameters of FlexiCubes at (4 R)^3; see `MESH_CHANNELS`."""

    def __init__(self, shape: DecoderShape = DecoderShape()) -> None:
        super().__init__(shape)
        width = shape.model_channels
        self.upsample = nn.ModuleList(
            [SubdivideBlock(width, width // 4), SubdivideBlock(width // 4, width // 8)],
        )
        self.out_layer = nn.Linear(width // 8, sum(MESH_CHANNELS.values()))

    def set_precision(self, dtype: torch.dtype) -> None:
        """Set the precision of the blocks' matrices and convolutions."""
        set_torso_precision([self.blocks, self.upsample], dtype)
        self.dtype = dtype

    def forward(self, x: SparseGrid) -> SparseGrid:
        """x: latents, float32. Returns 64 cells for each voxel, 101 channels, float32."""
        h = self.decode(x)
        for block in self.upsample:
            h = block(h)
        return SparseGrid(h.lattice, self.out_layer(h.features.to(x.features.dtype)))


@dataclass(frozen=True)
class GaussianShape:
    """How Gaussians come from features; the defaults are the published checkpoint's."""

    per_voxel: int = 32
    voxel_size: float = 1.5
    scaling_bias: float = 0.004
    opacity_bias: float = 0.1
    smallest_scale: float = 0.0009


@dataclass(frozen=True)
class Gaussians:
    """centre [N, 3] in [-0.5, 0.5]; scale [N, 3]; rotation [N, 4] (w, x, y, z); opacity [N, 1]; color [N, 3], the
    constant term of the spherical harmonics.
    """

    centre: Tensor
    scale: Tensor
    rotation: Tensor
    opacity: Tensor
    color: Tensor


class GaussianDecoder(LatentDecoder):
    """Latents to some Gaussians a voxel."""

    offset_perturbation: Tensor

    def __init__(self, shape: DecoderShape = DecoderShape(), gaussian: GaussianShape = GaussianShape()) -> None:
        super().__init__(shape)
        self.gaussian = gaussian
        self.out_layer = nn.Linear(shape.model_channels, sum(_GAUSSIAN_CHANNELS.values()) * gaussian.per_voxel)
        spread = (2 * hammersley(gaussian.per_voxel) - 1) / gaussian.voxel_size
        self.register_buffer("offset_perturbation", torch.atanh(spread).float())

    def forward(self, x: SparseGrid) -> Gaussians:
        """x: latents, float32. Returns `per_voxel` Gaussians for each voxel, in the voxels' order."""
        h = self.decode(x).features.to(x.features.dtype)
        h = self.out_layer(functional.layer_norm(h, h.shape[-1:]))
        count, given = self.gaussian.per_voxel, self.gaussian
        widths = [width * count for width in _GAUSSIAN_CHANNELS.values()]
        offset, color, scale, rotation, opacity = (
            part.unflatten(1, (count, -1)).flatten(0, 1) for part in h.split(widths, dim=1)
        )
        resolution = self.shape.resolution
        voxel = ((x.lattice.cells + 0.5) / resolution - 0.5).repeat_interleave(count, dim=0)
        spread = self.offset_perturbation.repeat(len(x.features), 1)
        centre = voxel + torch.tanh(offset + spread) / resolution * 0.5 * given.voxel_size
        scale = functional.softplus(scale + math.log(math.expm1(given.scaling_bias)))
        scale = torch.sqrt(scale**2 + given.smallest_scale**2)
        turned = _ROTATION_RATE * rotation + rotation.new_tensor([1.0, 0.0, 0.0, 0.0])
        bias = math.log(given.opacity_bias / (1 - given.opacity_bias))
        return Gaussians(centre, scale, functional.normalize(turned, dim=1), torch.sigmoid(opacity + bias), color)


def hammersley(count: int) -> Tensor:
    """Points spread evenly in the unit cube (Hammersley 1960): number / count, radical inverses to bases 2 and 3.

    Returns [count, 3] float64.
    """
    points = [[n / count, _radical_inverse(n, 2), _radical_inverse(n, 3)] for n in range(count)]
    return torch.tensor(points, dtype=torch.float64)


def _radical_inverse(number: int, base: int) -> float:
    value, digit = 0.0, 1.0 / base
    while number:
        number, rest = divmod(number, base)
        value += rest * digit
        digit /= base
    return value
