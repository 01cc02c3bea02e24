"""The golden tensors' weights and inputs: one formula, so that no weights have to be stored."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from engine.models.reconviagen.decoders import DecoderShape, MeshDecoder
from engine.models.reconviagen.sparse import Lattice, SparseGrid

Network = TypeVar("Network", bound=nn.Module)

GOLDEN = Path(__file__).parent / "golden"


def wave(shape: tuple[int, ...], name: str, amplitude: float = 1.0) -> Tensor:
    """A pseudo-random pattern that depends on its name alone."""
    s = zlib.crc32(name.encode()) % 997
    i = np.arange(math.prod(shape), dtype=np.float64)
    values = amplitude * np.sin(0.7 * s + 1.6180339887 * i + 0.37 * np.sin(0.011 * i + s))
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def fill(module: Network, prefix: str = "") -> Network:
    """Give every parameter its pattern."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            full, shape = prefix + name, tuple(parameter.shape)
            if (parameter.ndim <= 1 and name.endswith("weight")) or name.endswith("gamma"):
                parameter.copy_(1 + wave(shape, full, 0.1))
            elif parameter.ndim <= 1:
                parameter.copy_(wave(shape, full, 0.1))
            else:
                parameter.copy_(wave(shape, full, 1.4 / math.sqrt(parameter[0].numel())))
    return module.eval()


def voxels(count: int, resolution: int, k: int) -> Tensor:
    """Some cells of a grid, each once, in lexicographic order: [N, 3] int64."""
    at = torch.floor((wave((count, 3), f"xyz{k}") * 0.499 + 0.5) * resolution)
    return torch.unique(at.clamp(0, resolution - 1).long(), dim=0)


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return dict(file)


def largest_difference(found: Tensor, expected: np.ndarray) -> float:
    assert tuple(found.shape) == expected.shape
    return float((found.detach().double() - torch.from_numpy(expected).double()).abs().max())


def decoded_cells() -> SparseGrid:
    """What the mesh decoder of the golden tensors says of its cells."""
    decoder = fill(MeshDecoder(DecoderShape(8, 8, 256, 2, 4, 4)))
    cells = voxels(30, 8, 2)
    out: SparseGrid = decoder(SparseGrid(Lattice(cells, 8), wave((len(cells), 8), "g")))
    return out
