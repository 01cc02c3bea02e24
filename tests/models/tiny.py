"""A model of the whole shape and of hardly any size, with made-up weights: it generates something, and quickly."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from engine.models.reconviagen.conditions import LatentCondition, StructureCondition, StructureConditionShape
from engine.models.reconviagen.decoders import DecoderShape, MeshDecoder
from engine.models.reconviagen.generate import Networks
from engine.models.reconviagen.latents import LatentFlow, LatentFlowShape
from engine.models.reconviagen.sampler import Schedule
from engine.models.reconviagen.structure import (
    StructureDecoder,
    StructureDecoderShape,
    StructureFlow,
    StructureFlowShape,
)
from engine.models.reconviagen.vggt import Aggregator, AggregatorShape
from engine.models.reconviagen.vit import VisionShape, VisionTransformer
from tests.models.made_up import fill

IMAGE_PX = 56
_VISION = VisionShape(image_px=IMAGE_PX, channels=32, blocks=2, heads=2)

Network = TypeVar("Network", bound=nn.Module)


def _made(make: Callable[[], Network]) -> Callable[[], Network]:
    return lambda: fill(make())


def tiny_networks() -> Networks:
    return Networks(
        aggregator=_made(lambda: Aggregator(AggregatorShape(IMAGE_PX, 32, 4, 2, 4, _VISION))),
        vision=_made(lambda: VisionTransformer(_VISION)),
        structure_condition=_made(lambda: StructureCondition(StructureConditionShape(32, 96, 2, 16))),
        structure_flow=_made(lambda: StructureFlow(StructureFlowShape(2, 8, 32, 32, 8, 2, 2))),
        structure_decoder=_made(lambda: StructureDecoder(StructureDecoderShape(1, 8, 1, 1, (16, 8, 4)))),
        latent_condition=_made(lambda: LatentCondition(32, 96)),
        latent_flow=_made(lambda: LatentFlow(LatentFlowShape(8, 8, 32, 32, 8, 2, 2, 2, (16,)))),
        mesh_decoder=_made(lambda: MeshDecoder(DecoderShape(8, 8, 256, 2, 4, 4))),
        layers=(0, 1, 2, 3),
        mean=(0.0,) * 8,
        deviation=(1.0,) * 8,
        structure_schedule=Schedule(4, 7.5, (0.6, 1.0), 0.7, 5.0, "unbiased"),
        latent_schedule=Schedule(3, 7.5, (0.0, 1.0), 0.5, 3.0, "biased"),
        image_px=IMAGE_PX,
    )


def pictures() -> torch.Tensor:
    """Six views that differ: [6, 3, S, S]."""
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, IMAGE_PX), torch.linspace(-1, 1, IMAGE_PX), indexing="ij")
    views = []
    for view in range(6):
        disc = ((rows**2 + (columns * (1 + 0.1 * view)) ** 2) < 0.6).float()
        views.append(torch.stack([disc * (0.3 + 0.1 * view), disc * (rows + 1) / 2, disc * (columns + 1) / 2]))
    return torch.stack(views)
