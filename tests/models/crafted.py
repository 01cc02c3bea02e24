"""The tiny model with weights that know one object of blocks: it generates that one, whatever the views show.

No network is left out. The first flow's last layer is fitted by least squares, so that position tells what latents to
make of the noise; the decoder turns their signs into voxels; the mesh decoder says "inside" of each. Noise, views and
conditions still move the surface a little, as the other weights are made up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.models.reconviagen.decoders import MESH_CHANNELS, DecoderShape, MeshDecoder
from engine.models.reconviagen.generate import Networks
from engine.models.reconviagen.latents import LatentFlow, LatentFlowShape
from engine.models.reconviagen.structure import (
    StructureDecoder,
    StructureDecoderShape,
    StructureFlow,
    StructureFlowShape,
    UpsampleBlock,
)
from engine.sample.shapes import Distance, Points
from engine.sample.solid import Material, Part, Solid
from tests.models.made_up import fill
from tests.models.tiny import tiny_networks

Network = TypeVar("Network", bound=nn.Module)
Box = tuple[tuple[int, int, int], tuple[int, int, int]]

BLOCKS: Final = 8
"""Along each side of the cube that objects are generated in."""
_ADDED: Final[tuple[Box, ...]] = (((1, 2, 2), (6, 6, 5)), ((1, 2, 5), (3, 4, 7)), ((6, 4, 2), (7, 6, 3)))
_CUT: Final[tuple[Box, ...]] = (((4, 3, 3), (5, 5, 5)), ((2, 3, 3), (4, 5, 4)))
"""Corners in blocks, z up: a body with a tower and a foot. A shaft leads in from above and turns: no camera sees its
end.
"""

HEADING: Final = np.radians(77.0)
_LITTLE: Final = 1e-6


def blocks() -> NDArray[np.bool_]:
    """[8, 8, 8]: where the object is."""
    there = np.zeros((BLOCKS,) * 3, np.bool_)
    for value, boxes in ((True, _ADDED), (False, _CUT)):
        for low, high in boxes:
            there[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = value
    return there


def solid() -> Solid:
    """The same as a sample: Y up, turned, its longest side 1."""
    colours = ((196, 78, 60), (240, 196, 80), (70, 120, 170), (90, 90, 96), (90, 90, 96))
    kinds = ["add"] * len(_ADDED) + ["cut"] * len(_CUT)
    parts = tuple(
        Part(_turned_box(box), index, kind)  # type: ignore[arg-type]
        for index, (box, kind) in enumerate(zip(_ADDED + _CUT, kinds, strict=True))
    )
    return Solid(parts, tuple(Material(colour) for colour in colours))


def _turned_box(box: Box) -> Callable[[Points], Distance]:
    centre = np.array([4.0, 4.0, 4.5])
    low, high = (np.array(corner) - centre for corner in box)
    cos, sin = np.cos(HEADING), np.sin(HEADING)
    sample_from_own = np.array([[cos, sin, 0], [0, 0, 1], [sin, -cos, 0]]) / 6

    def distance(points: Points) -> Distance:
        own = points @ (np.linalg.inv(sample_from_own).T).astype(np.float32)
        q = np.maximum(low - own, own - high)
        outside = np.linalg.norm(np.maximum(q, 0), axis=-1)
        return ((outside + np.minimum(q.max(axis=-1), 0)) / 6).astype(np.float32)

    return distance


def crafted_networks() -> Networks:
    """The tiny model, whose weights hold the object."""
    flow = _structure_flow()
    return dataclasses.replace(
        tiny_networks(),
        structure_flow=_kept(lambda: StructureFlow(flow.shape), flow),
        structure_decoder=_structure_decoder,
        latent_flow=lambda: fill(LatentFlow(LatentFlowShape(2 * BLOCKS, 8, 32, 32, 8, 2, 2, 2, (16,)))),
        mesh_decoder=_mesh_decoder,
    )


def _kept(make: Callable[[], Network], like: Network) -> Callable[[], Network]:
    def load() -> Network:
        network = make()
        network.load_state_dict(like.state_dict())
        return network

    return load


def _structure_flow() -> StructureFlow:
    """Velocity to latents that hold 8^3 blocks, eight numbers in each of 4^3 cells: -50 is inside, 50 is outside."""
    flow = fill(StructureFlow(StructureFlowShape(BLOCKS // 2, 8, 96, 32, 8, 1, 4)))
    random = torch.Generator().manual_seed(0)  # the made-up pattern repeats itself: too few directions to fit with
    with torch.no_grad():
        flow.input_layer.weight.zero_()
        for block in flow.blocks:
            block.cross_attn.to_out.weight.mul_(_LITTLE)  # type: ignore[union-attr,operator]
            linear = block.adaLN_modulation[1]  # type: ignore[index]
            linear.weight.zero_()  # type: ignore[union-attr,operator]
            linear.bias.zero_()  # type: ignore[union-attr,operator]
            linear.bias[5 * 96 :] = 1.0  # type: ignore[index,union-attr]  # at all times the feed-forward alone
            for layer in (block.mlp.mlp[0], block.mlp.mlp[2]):  # type: ignore[union-attr,index]
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=random) * layer.in_features**-0.5)
        held: list[Tensor] = []
        hook = flow.out_layer.register_forward_pre_hook(lambda module, args: held.append(args[0][0]))
        flow(torch.zeros(1, 8, *[BLOCKS // 2] * 3), torch.tensor([500.0]), [None])
        hook.remove()
        there = torch.from_numpy(blocks()).reshape([BLOCKS // 2, 2] * 3).permute(0, 2, 4, 1, 3, 5).reshape(-1, 8)
        weight, bias = _fitted(held[0], torch.where(there, 50.0, -50.0))  # what is subtracted from the noise
        flow.out_layer.weight.copy_(weight)
        flow.out_layer.bias.copy_(bias)
    return flow


def _fitted(features: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Weight [C, F] and bias [C] by ridge regression of [N, C] on [N, F]."""
    x, y = features.double(), wanted.double()
    x_mean, y_mean = x.mean(dim=0), y.mean(dim=0)
    x, y = x - x_mean, y - y_mean
    gram = x.T @ x
    gram.diagonal().add_(1e-6 * gram.diagonal().mean())
    weight = torch.linalg.solve(gram, x.T @ y).T
    return weight.float(), (y_mean - weight @ x_mean).float()


def _structure_decoder() -> StructureDecoder:
    """Voxels are where latents are negative, eight to a block. Each number goes in two channels, with either sign."""
    decoder = StructureDecoder(StructureDecoderShape(1, 8, 1, 1, (8, 8, 4)))
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.zero_()
        for k in range(8):
            decoder.input_layer.weight[k, k, 1, 1, 1] = 1.0
        first, second = (block for block in decoder.blocks if isinstance(block, UpsampleBlock))
        for sign, channel in ((1.0, 0), (-1.0, 1)):
            for k in range(8):
                first.conv.weight[8 * channel + k, k, 1, 1, 1] = sign
                second.conv.weight[8 * channel + k, 0, 1, 1, 1] = sign
        decoder.out_layer[0].weight.fill_(1.0)  # type: ignore[union-attr,operator]
        decoder.out_layer[2].weight[0, :2, 1, 1, 1] = torch.tensor([-1.0, 1.0])  # type: ignore[index,union-attr]
    return decoder


def _mesh_decoder() -> MeshDecoder:
    """A little inside at every corner, so that the surface is the voxels' border; no shift, one grey."""
    decoder = fill(MeshDecoder(DecoderShape(2 * BLOCKS, 8, 256, 1, 4, 4)))
    corners = MESH_CHANNELS["sdf"]
    with torch.no_grad():
        decoder.out_layer.weight[:corners] *= 1e-3
        decoder.out_layer.weight[corners:] = 0
        decoder.out_layer.bias.zero_()
        decoder.out_layer.bias[:corners] = 1 / (8 * BLOCKS) - 0.05
    return decoder
