"""The networks at full size hold exactly what the published files hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from engine.models.reconviagen import checkpoints
from engine.models.reconviagen.checkpoints import CHECKPOINTS, GAUSSIAN_DECODER, Checkpoint, TensorForm
from engine.models.reconviagen.conditions import LatentCondition, StructureCondition
from engine.models.reconviagen.decoders import GaussianDecoder, MeshDecoder
from engine.models.reconviagen.latents import LatentFlow
from engine.models.reconviagen.structure import StructureDecoder, StructureFlow
from engine.models.reconviagen.vggt import Aggregator, CameraHead
from engine.models.reconviagen.vit import VisionTransformer

PUBLISHED_BYTES = {
    "ss_flow_img_dit_L_16l8_fp16": 1_130_770_840,
    "slat_flow_img_dit_L_64l8p2_fp16": 1_203_755_136,
    "ss_dec_conv3d_16l8_fp16": 147_591_972,
    "slat_dec_gs_swin8_B_64l8gs32_fp16": 171_450_952,
    "slat_dec_mesh_swin8_B_64l8m256c_fp16": 181_903_412,
}
NETWORKS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "ss_flow_img_dit_L_16l8_fp16": (StructureFlow, ""),
    "ss_dec_conv3d_16l8_fp16": (StructureDecoder, ""),
    "ss_vggt_cond": (StructureCondition, ""),
    "slat_flow_img_dit_L_64l8p2_fp16": (LatentFlow, ""),
    "slat_vggt_cond": (LatentCondition, ""),
    "slat_dec_mesh_swin8_B_64l8m256c_fp16": (MeshDecoder, ""),
    "slat_dec_gs_swin8_B_64l8gs32_fp16": (GaussianDecoder, ""),
    "dinov2_vitl14_reg4_pretrain": (VisionTransformer, ""),
}
FORMS = {torch.float32: "F32", torch.float16: "F16"}


def _forms(network: nn.Module, prefix: str = "") -> dict[str, TensorForm]:
    return {
        prefix + name: TensorForm(FORMS[tensor.dtype], tuple(tensor.shape))
        for name, tensor in network.state_dict().items()
    }


def _named(name: str) -> Checkpoint:
    return next(each for each in (*CHECKPOINTS, GAUSSIAN_DECODER) if each.name == name)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_holds_what_its_file_holds(name: str) -> None:
    with torch.device("meta"):
        network = NETWORKS[name][0]()
    if name.endswith("_fp16") or name.startswith("slat_dec"):
        network.set_precision(torch.float16)  # type: ignore[operator]
    assert _forms(network) == _named(name).tensors


def test_what_is_used_of_vggt_holds_what_its_file_holds() -> None:
    with torch.device("meta"):
        forms = _forms(Aggregator(), "aggregator.") | _forms(CameraHead(), "camera_head.")
    heads = ("point_head.", "depth_head.", "track_head.")
    assert forms == {name: form for name, form in checkpoints.VGGT.tensors.items() if not name.startswith(heads)}


@pytest.mark.parametrize("name", PUBLISHED_BYTES)
def test_the_predicted_size_is_the_published_one(name: str) -> None:
    assert _named(name).nbytes == PUBLISHED_BYTES[name]


def test_every_network_of_a_job_is_held_to_its_file() -> None:
    assert {each.name for each in CHECKPOINTS} | {GAUSSIAN_DECODER.name} == NETWORKS.keys() | {"vggt-object-v0-1"}
