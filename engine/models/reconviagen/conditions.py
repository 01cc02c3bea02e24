"""What the two flows are told about the views: VGGT's features for geometry, DINOv2's for appearance.

Source: ReconViaGen (2025), its global geometry condition (`StructureCondition`) and local per-view condition
(`LatentCondition`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from engine.models.reconviagen.layers import ConditionedBlock, Context

LAYERS: Final = (4, 11, 17, 23)
"""The aggregator's layers that both conditions look at, one for each of their four parts."""

SPECIAL_TOKENS: Final = 5
"""A camera token and four registers come before an image's patches."""


@dataclass(frozen=True)
class StructureConditionShape:
    """The measures; the defaults are the published checkpoint's."""

    channels: int = 1024
    context_channels: int = 3072
    heads: int = 16
    tokens: int = 4096


class StructureCondition(nn.Module):
    """Learned tokens that gather, layer by layer, what all views show."""

    def __init__(self, shape: StructureConditionShape = StructureConditionShape()) -> None:
        super().__init__()
        self.multiview_cond_tokens = nn.Parameter(torch.zeros(1, shape.tokens, shape.channels))
        self.cond_blocks = nn.ModuleList(
            ConditionedBlock(shape.channels, shape.context_channels, shape.heads) for _ in LAYERS
        )

    def forward(self, aggregated: Sequence[Tensor], patches: Tensor) -> Tensor:
        """Condense the views.

        aggregated: the aggregator's outputs at `LAYERS`, [1, V, 5 + P, C]. patches: DINOv2's, [1, V, P, C'].
        Returns [1, tokens, channels].
        """
        h: Tensor = self.multiview_cond_tokens
        for block, layer in zip(self.cond_blocks, aggregated, strict=True):
            context = torch.cat([layer[:, :, SPECIAL_TOKENS:], patches], dim=-1).flatten(1, 2)
            h = block(h, Context([context]))
        return h


class LatentCondition(nn.Module):
    """All tokens of each view: appearance, corrected layer by layer by what the geometry says."""

    def __init__(self, channels: int = 1024, context_channels: int = 3072) -> None:
        super().__init__()
        self.linear_blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(context_channels, channels), nn.ReLU()) for _ in LAYERS
        )

    def forward(self, aggregated: Sequence[Tensor], tokens: Tensor) -> Tensor:
        """Condense each view by itself.

        aggregated: the aggregator's outputs at `LAYERS`, [1, V, T, C]. tokens: DINOv2's, [1, V, T, C'].
        Returns [V, T, channels].
        """
        h = tokens
        for block, layer in zip(self.linear_blocks, aggregated, strict=True):
            h = tokens + block(torch.cat([layer, h], dim=-1))
        return h[0]
