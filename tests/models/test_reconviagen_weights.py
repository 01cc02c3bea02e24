"""The folder of weights: what is missing or wrong is named; nothing is loaded that is not the published file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from config.errors import ModelUnavailable
from config.sections import ReconViaGen
from engine.models.reconviagen.checkpoints import (
    DINOV2,
    LATENT_CONDITION,
    MESH_DECODER,
    STRUCTURE_DECODER,
    Checkpoint,
    TensorForm,
)
from engine.models.reconviagen.conditions import LatentCondition
from engine.models.reconviagen.load import load
from engine.models.reconviagen.weights import (
    WeightsFile,
    fetch,
    latent_scale,
    problems,
    require,
    weights_files,
)

SCALE = {"args": {"slat_normalization": {"mean": [0.5] * 8, "std": [2.0] * 8}}}
WIDTH = {"F32": 4, "F16": 2}


def _write(path: Path, tensors: dict[str, TensorForm]) -> None:
    """A safetensors file with a hole in place of its numbers: whole, and of no weight."""
    at, header = 0, {}
    for name, form in sorted(tensors.items(), key=lambda item: (-WIDTH[item[1].dtype], item[0])):
        header[name] = {"dtype": form.dtype, "shape": form.shape, "data_offsets": [at, at + form.nbytes]}
        at += form.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + at)


def _file(folder: Path, checkpoint: Checkpoint) -> WeightsFile:
    return next(file for file in weights_files(folder) if file.checkpoint == checkpoint)


def _all(folder: Path) -> None:
    """Every file but DINOv2's, which is a pickle."""
    for file in weights_files(folder):
        if file.checkpoint is None:
            file.path.write_text(json.dumps(SCALE))
        elif file.checkpoint != DINOV2:
            _write(file.path, file.checkpoint.tensors)


def test_without_weights_each_file_is_named_with_its_size_and_place(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        require(ReconViaGen(weights=tmp_path, accept_vggt_licence=True))
    for file in weights_files(tmp_path):
        assert str(file.path) in caught.value.message
        if file.nbytes is not None:
            assert f"{file.nbytes:,} bytes" in caught.value.message
    assert "1,130,770,840 bytes" in caught.value.message
    assert len(caught.value.details["files"]) == 9
    json.dumps(caught.value.as_json())


def test_the_published_files_are_in_order(tmp_path: Path) -> None:
    _all(tmp_path)
    for file in weights_files(tmp_path):
        assert problems(file) == (["is missing"] if file.checkpoint == DINOV2 else [])
        if file.nbytes is not None and file.checkpoint != DINOV2:
            assert file.path.stat().st_size == file.nbytes


def test_a_licence_must_be_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.models.reconviagen.weights.problems", lambda file: [])
    require(ReconViaGen(weights=tmp_path, accept_vggt_licence=True))
    with pytest.raises(ModelUnavailable, match="licence"):
        require(ReconViaGen(weights=tmp_path))


@pytest.mark.parametrize("change", ["lacks", "unknown", "shape", "type", "cut", "text"])
def test_any_other_file_is_refused_and_said_why(tmp_path: Path, change: str) -> None:
    file = _file(tmp_path, MESH_DECODER)
    tensors = dict(MESH_DECODER.tensors)
    name = "blocks.3.attn.to_out.weight"
    if change == "lacks":
        del tensors[name]
    elif change == "unknown":
        tensors["fuse_blocks.0.weight"] = TensorForm("F16", (3,))
    elif change == "shape":
        tensors[name] = TensorForm("F16", (768, 767))
    elif change == "type":
        tensors[name] = TensorForm("F32", (768, 768))
    _write(file.path, tensors)
    if change == "cut":
        os.truncate(file.path, 1000)
        os.truncate(file.path, 100_000_000)
    if change == "text":
        file.path.write_text("<html>not found</html>")
    (found,) = problems(file)
    expected = {
        "lacks": f"lacks {name}", "unknown": "holds unknown fuse_blocks.0.weight",
        "shape": f"{name} is [768, 767], not [768, 768]", "type": f"{name} is F32, not F16",
        "cut": "can't be read", "text": "no safetensors file",
    }[change]  # fmt: skip
    assert expected in found


def test_one_prefix_is_tolerated_in_one_file_alone(tmp_path: Path) -> None:
    for checkpoint, accepted in ((LATENT_CONDITION, True), (STRUCTURE_DECODER, False)):
        file = _file(tmp_path, checkpoint)
        _write(file.path, {**checkpoint.tensors, "fuse_blocks.0.weight": TensorForm("F32", (2, 2))})
        assert (problems(file) == []) is accepted
    _write(file.path, {**checkpoint.tensors, "fuse_block": TensorForm("F32", (2, 2))})
    assert problems(file)


def test_a_condition_may_be_stored_in_half_precision(tmp_path: Path) -> None:
    file = _file(tmp_path, LATENT_CONDITION)
    _write(file.path, {name: TensorForm("F16", form.shape) for name, form in LATENT_CONDITION.tensors.items()})
    assert problems(file) == []


def test_the_pickle_is_read_without_being_run(tmp_path: Path) -> None:
    file = _file(tmp_path, DINOV2)
    torch.save({"cls_token": torch.zeros(1, 1, 1024), "norm.weight": torch.zeros(3)}, file.path)
    found = problems(file)
    assert any("lacks" in each for each in found)
    assert any("norm.weight is [3], not [1024]" in each for each in found)
    torch.save({"cls_token": Path("/")}, file.path)
    assert "no file of tensors" in problems(file)[0]
    file.path.write_bytes(b"nothing")
    assert "can't be read" in problems(file)[0]


def test_the_latents_scale_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.json"
    path.write_text(json.dumps(SCALE))
    assert latent_scale(path).mean == (0.5,) * 8
    assert latent_scale(path).interval is None
    table = {**SCALE["args"], "slat_sampler": {"params": {"cfg_interval": [0.5, 1]}}}
    path.write_text(json.dumps({"args": table}))
    assert latent_scale(path).interval == (0.5, 1.0)
    for wrong in ("[]", "{", '{"args": {"slat_normalization": {"mean": [1], "std": [1]}}}'):
        path.write_text(wrong)
        with pytest.raises(ValueError, match=r"args\.slat_normalization"):
            latent_scale(path)


def test_what_is_stored_is_what_runs(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    stored = LatentCondition()
    path = tmp_path / LATENT_CONDITION.path
    path.parent.mkdir(parents=True)
    save_file({**stored.state_dict(), "fuse_blocks.0.weight": torch.zeros(2, 2)}, path)
    network = load(LatentCondition, LATENT_CONDITION, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(stored.parameters(), network.parameters(), strict=True))
    assert all(parameter.device.type == "cpu" for parameter in network.parameters())
    half = load(LatentCondition, LATENT_CONDITION, tmp_path, torch.float16)
    assert half.linear_blocks[0][0].weight.dtype == torch.float32  # it has no torso: all of it stays as it is
    save_file({"linear_blocks.0.0.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(ModelUnavailable, match="lacks"):
        load(LatentCondition, LATENT_CONDITION, tmp_path)


def test_fetch_asks_for_the_licence_first_and_takes_whole_files_alone(tmp_path: Path) -> None:
    asked: list[str] = []

    def download(url: str, path: Path) -> None:
        asked.append(url)
        file = next(each for each in weights_files(tmp_path) if each.url == url)
        if file.checkpoint is None:
            path.write_text(json.dumps(SCALE))
        elif file.checkpoint == DINOV2:
            torch.save({name: torch.zeros(1).expand(form.shape) for name, form in DINOV2.tensors.items()}, path)
        else:
            _write(path, file.checkpoint.tensors)

    with pytest.raises(ModelUnavailable, match="licence"):
        fetch(ReconViaGen(weights=tmp_path), download, lambda line: None)
    assert not asked
    settings = ReconViaGen(weights=tmp_path, accept_vggt_licence=True)
    said: list[str] = []
    assert fetch(settings, download, said.append) == 9
    assert len(said) == 9
    require(settings)
    assert fetch(settings, download, said.append) == 0
    spoilt = _file(tmp_path, MESH_DECODER)
    spoilt.path.unlink()
    with pytest.raises(ModelUnavailable, match="not the published file"):
        fetch(settings, lambda url, path: path.write_bytes(b"<html>") and None, lambda line: None)
    assert sorted(path.name for path in spoilt.path.parent.iterdir()).count(spoilt.path.name) == 0
    assert not list(tmp_path.rglob("*.part*"))


def test_telling_what_is_missing_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from engine.models.reconviagen import weights;"
        f"print(len(weights.weights_files(Path({str(tmp_path)!r})))); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "9"
