"""The published weights into the networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import torch
from safetensors import safe_open
from torch import Tensor, nn

from config.errors import ModelUnavailable
from config.sections import ReconViaGen
from engine.models.reconviagen import checkpoints
from engine.models.reconviagen.checkpoints import Checkpoint
from engine.models.reconviagen.conditions import LAYERS, LatentCondition, StructureCondition
from engine.models.reconviagen.decoders import MeshDecoder
from engine.models.reconviagen.generate import Means, Networks
from engine.models.reconviagen.latents import LatentFlow
from engine.models.reconviagen.sampler import LATENTS
from engine.models.reconviagen.structure import StructureDecoder, StructureFlow
from engine.models.reconviagen.vggt import Aggregator
from engine.models.reconviagen.vit import VisionTransformer
from engine.models.reconviagen.weights import latent_scale, problems, require, weights_files

Network = TypeVar("Network", bound=nn.Module)

_DTYPES: Final = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
_AGGREGATOR: Final = "aggregator."


def load(
    make: Callable[[], Network],
    checkpoint: Checkpoint,
    folder: Path,
    dtype: torch.dtype | None = None,
    prefix: str = "",
) -> Network:
    """Make a network with its published weights, in host memory.

    folder: of the weights. dtype: the precision of the network's middle, for those that have a choice; None: float32.
    prefix: of the network's tensors in the file. Raises ModelUnavailable where the file is not the published one:
    nothing of it is loaded then.
    """
    file = next(each for each in weights_files(folder) if each.checkpoint == checkpoint)
    found = problems(file)
    if found:
        raise ModelUnavailable(f"{file.path}: {found[0]}.", path=str(file.path), problems=found)
    with torch.device("meta"):
        network = make()
    network.load_state_dict(_read(file.path, prefix, network.state_dict().keys()), assign=True)
    network.float()
    set_precision: Any = getattr(network, "set_precision", None)
    if set_precision is not None and dtype is not None:
        set_precision(dtype)
    return network.requires_grad_(False)


def _read(path: Path, prefix: str, names: Any) -> dict[str, Tensor]:
    if path.suffix == ".pth":
        tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return {name: tensors[prefix + name] for name in names}
    with safe_open(path, framework="pt", device="cpu") as file:
        return {name: file.get_tensor(prefix + name) for name in names}


def published(settings: ReconViaGen, device: torch.device) -> tuple[Networks, Means]:
    """The model with its published weights, and what it may use.

    Raises ModelUnavailable where weights are missing or not the published ones, or a licence is not accepted.
    """
    require(settings)
    folder = settings.weights
    on_gpu = device.type == "cuda"
    dtype = _DTYPES["float16" if on_gpu else "float32"] if settings.precision == "auto" else _DTYPES[settings.precision]
    scale = latent_scale(folder / checkpoints.PIPELINE_PATH)
    networks = Networks(
        aggregator=lambda: load(Aggregator, checkpoints.VGGT, folder, prefix=_AGGREGATOR),
        vision=lambda: load(VisionTransformer, checkpoints.DINOV2, folder),
        structure_condition=lambda: load(StructureCondition, checkpoints.STRUCTURE_CONDITION, folder),
        structure_flow=lambda: load(StructureFlow, checkpoints.STRUCTURE_FLOW, folder, dtype),
        structure_decoder=lambda: load(StructureDecoder, checkpoints.STRUCTURE_DECODER, folder, dtype),
        latent_condition=lambda: load(LatentCondition, checkpoints.LATENT_CONDITION, folder),
        latent_flow=lambda: load(LatentFlow, checkpoints.LATENT_FLOW, folder, dtype),
        mesh_decoder=lambda: load(MeshDecoder, checkpoints.MESH_DECODER, folder, dtype),
        layers=LAYERS,
        mean=scale.mean,
        deviation=scale.deviation,
        latent_schedule=dataclasses.replace(LATENTS, interval=scale.interval or LATENTS.interval),
    )
    vram_bytes = settings.vram_mb * 1_000_000 or None
    return networks, Means(device, vram_bytes, dtype if on_gpu and dtype != torch.float32 else None)
