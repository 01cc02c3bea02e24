"""The files that hold the weights: what they are called, how large they are, what they contain, whose they are.

Nothing here imports torch: whether the weights are there can be told without it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

TRELLIS_LICENCE: Final = "MIT"
DINOV2_LICENCE: Final = "Apache-2.0"
VGGT_LICENCE: Final = "VGGT's own licence (non-commercial in its first release)"

_BYTES: Final = {"F32": 4, "F16": 2}


@dataclass(frozen=True)
class TensorForm:
    """A tensor as a file's header describes it. dtype: "F32" or "F16"."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return math.prod(self.shape) * _BYTES[self.dtype]


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights.

    name: what it is called here, and its manifest. path: where it goes in the weights' folder. source: the repository
    on the Hugging Face hub and the file's path in it, or an address. ignored: prefixes of tensors that may stand in it
    besides the manifest's. unused: prefixes of the manifest's tensors that are checked and never loaded.
    either_precision: it may as well be stored in half precision.
    """

    name: str
    path: str
    source: tuple[str, str]
    licence: str
    ignored: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    either_precision: bool = False

    @property
    def tensors(self) -> dict[str, TensorForm]:
        """Every tensor in it, by name."""
        return _manifest(self.name)

    @property
    def nbytes(self) -> int:
        """The file's size: exact for safetensors, the tensors alone for a .pth."""
        data = sum(form.nbytes for form in self.tensors.values())
        return data if self.path.endswith(".pth") else 8 + header_bytes(self.tensors) + data


@cache
def _manifest(name: str) -> dict[str, TensorForm]:
    text = files(__package__).joinpath("manifests", f"{name}.json").read_text(encoding="utf-8")
    return {key: TensorForm(dtype, tuple(shape)) for key, (dtype, shape) in json.loads(text).items()}


def header_bytes(tensors: dict[str, TensorForm]) -> int:
    """The length of a safetensors header: JSON, widest types first, then by name; filled up to a multiple of eight."""
    at, header = 0, {}
    for name, form in sorted(tensors.items(), key=lambda item: (-_BYTES[item[1].dtype], item[0])):
        header[name] = {"dtype": form.dtype, "shape": form.shape, "data_offsets": [at, at + form.nbytes]}
        at += form.nbytes
    return -(-len(json.dumps(header, separators=(",", ":"))) // 8) * 8


_TRELLIS: Final = "Stable-X/trellis-vggt-v0-2"


def _of_trellis(name: str, *, ignored: tuple[str, ...] = (), either_precision: bool = False) -> Checkpoint:
    file = f"ckpts/{name}.safetensors"
    path = f"trellis-vggt-v0-2/{file}"
    return Checkpoint(name, path, (_TRELLIS, file), TRELLIS_LICENCE, ignored, (), either_precision)


STRUCTURE_FLOW: Final = _of_trellis("ss_flow_img_dit_L_16l8_fp16")
STRUCTURE_DECODER: Final = _of_trellis("ss_dec_conv3d_16l8_fp16")
STRUCTURE_CONDITION: Final = _of_trellis("ss_vggt_cond", either_precision=True)
LATENT_FLOW: Final = _of_trellis("slat_flow_img_dit_L_64l8p2_fp16")
LATENT_CONDITION: Final = _of_trellis("slat_vggt_cond", ignored=("fuse_blocks.",), either_precision=True)
MESH_DECODER: Final = _of_trellis("slat_dec_mesh_swin8_B_64l8m256c_fp16")
GAUSSIAN_DECODER: Final = _of_trellis("slat_dec_gs_swin8_B_64l8gs32_fp16")
VGGT: Final = Checkpoint(
    "vggt-object-v0-1", "vggt-object-v0-1/model.safetensors", ("Stable-X/vggt-object-v0-1", "model.safetensors"),
    VGGT_LICENCE, unused=("camera_head.", "point_head.", "depth_head.", "track_head."),
)  # fmt: skip
DINOV2: Final = Checkpoint(
    "dinov2_vitl14_reg4_pretrain", "dinov2_vitl14_reg4_pretrain.pth",
    ("https://dl.fbaipublicfiles.com", "dinov2/dinov2_vitl14/dinov2_vitl14_reg4_pretrain.pth"), DINOV2_LICENCE,
)  # fmt: skip

CHECKPOINTS: Final = (
    VGGT, DINOV2, STRUCTURE_CONDITION, STRUCTURE_FLOW, STRUCTURE_DECODER, LATENT_CONDITION, LATENT_FLOW, MESH_DECODER,
)  # fmt: skip
"""What a job needs, in the order of use. The Gaussians' decoder isn't needed for a mesh."""

PIPELINE_PATH: Final = "trellis-vggt-v0-2/pipeline.json"
PIPELINE_SOURCE: Final = (_TRELLIS, "pipeline.json")
"""The latents' mean and deviation stand in it."""
