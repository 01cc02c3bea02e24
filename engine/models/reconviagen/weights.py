"""The folder of weights: what is there, what is missing, and whether it is what it should be.

Nothing here imports torch, but for the one file that is a pickle.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from config.errors import ModelUnavailable
from config.sections import ReconViaGen
from engine.models.reconviagen.checkpoints import (
    CHECKPOINTS,
    PIPELINE_PATH,
    PIPELINE_SOURCE,
    VGGT_LICENCE,
    Checkpoint,
    TensorForm,
)

_LONGEST_HEADER: Final = 100_000_000
_HUB: Final = "https://huggingface.co"


@dataclass(frozen=True)
class WeightsFile:
    """A file that the model needs. nbytes: its published size; None where it isn't known. checkpoint: None for the
    settings beside the weights.
    """

    path: Path
    nbytes: int | None
    url: str
    licence: str
    checkpoint: Checkpoint | None

    @property
    def is_there(self) -> bool:
        """Whether there is a file of this name."""
        return self.path.is_file()


@dataclass(frozen=True)
class LatentScale:
    """mean, deviation: of the latents, a number for each of their channels. interval: of the second flow's guidance,
    where the file tells it.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    interval: tuple[float, float] | None


def weights_files(folder: Path) -> list[WeightsFile]:
    """Every file that a job needs, in the order of use."""
    files = []
    for each in CHECKPOINTS:
        place, name = each.source
        url = f"{place}/{name}" if place.startswith("https") else f"{_HUB}/{place}/resolve/main/{name}"
        files.append(WeightsFile(folder / each.path, each.nbytes, url, each.licence, each))
    place, name = PIPELINE_SOURCE
    licence = next(each.licence for each in CHECKPOINTS if each.source[0] == place)
    files.append(WeightsFile(folder / PIPELINE_PATH, None, f"{_HUB}/{place}/resolve/main/{name}", licence, None))
    return files


def problems(file: WeightsFile) -> list[str]:
    """Compare a file with what was published: every tensor's name, shape and type.

    Only its header is read. Returns what is wrong, a sentence each; nothing where all is well.
    """
    if not file.is_there:
        return ["is missing"]
    try:
        if file.checkpoint is None:
            latent_scale(file.path)
            return []
        found = pickled_forms(file.path) if file.path.suffix == ".pth" else header_forms(file.path)
    except (OSError, ValueError) as error:
        return [f"can't be read: {error}"]
    return list(_differences(file.checkpoint, found))


def _differences(checkpoint: Checkpoint, found: dict[str, TensorForm]) -> Iterator[str]:
    expected = checkpoint.tensors
    kept = {name: form for name, form in found.items() if not name.startswith(checkpoint.ignored or "\0")}
    for what, names in (("lacks", expected.keys() - kept.keys()), ("holds unknown", kept.keys() - expected.keys())):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield f"{what} {', '.join(sorted(names)[:3])}{more}"
    for name in sorted(expected.keys() & kept.keys()):
        a, b = expected[name], kept[name]
        if a.shape != b.shape:
            yield f"{name} is {list(b.shape)}, not {list(a.shape)}"
        elif a.dtype != b.dtype and not (checkpoint.either_precision and b.dtype in ("F16", "BF16", "F32")):
            yield f"{name} is {b.dtype}, not {a.dtype}"


def header_forms(path: Path) -> dict[str, TensorForm]:
    """Read a safetensors file's header.

    Raises ValueError where it is none, or where the file is not as long as the header says.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= _LONGEST_HEADER:
            raise ValueError("it is no safetensors file")
        text = file.read(length)
    try:
        header: dict[str, Any] = json.loads(text)
        header.pop("__metadata__", None)
        forms = {name: TensorForm(each["dtype"], tuple(each["shape"])) for name, each in header.items()}
        end = max((each["data_offsets"][1] for each in header.values()), default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise ValueError("it is no safetensors file") from None
    if path.stat().st_size != 8 + length + end:
        raise ValueError(f"it is {path.stat().st_size:,} bytes long, not {8 + length + end:,}: it is not whole")
    return forms


def pickled_forms(path: Path) -> dict[str, TensorForm]:
    """Read what a .pth file holds, without running what a pickle may hold.

    Raises ValueError where it is no such file.
    """
    import pickle

    import torch

    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        names = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
        return {
            name: TensorForm(names.get(tensor.dtype, str(tensor.dtype)), tuple(tensor.shape))
            for name, tensor in tensors.items()
        }
    except (RuntimeError, pickle.UnpicklingError, AttributeError, EOFError) as error:
        raise ValueError(f"it is no file of tensors ({type(error).__name__})") from None


def latent_scale(path: Path) -> LatentScale:
    """Read pipeline.json. Raises ValueError where it does not say the latents' mean and deviation."""
    try:
        arguments = json.loads(path.read_text(encoding="utf-8"))["args"]
        scale = arguments["slat_normalization"]
        mean, deviation = (tuple(float(value) for value in scale[key]) for key in ("mean", "std"))
        parameters = arguments.get("slat_sampler", {}).get("params", {})
        told = parameters.get("guidance_interval", parameters.get("cfg_interval"))
        interval = (float(told[0]), float(told[1])) if told else None
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise ValueError("it does not say args.slat_normalization.mean and .std") from None
    if len(mean) != 8 or len(deviation) != 8 or not all(map(math.isfinite, (*mean, *deviation))):
        raise ValueError("args.slat_normalization does not hold eight numbers each")
    return LatentScale(mean, deviation, interval)


def require(settings: ReconViaGen) -> None:
    """Check that the model can run.

    Raises ModelUnavailable: files are missing or are not the published ones, and it names each of them, its size and
    where it goes; or a licence is not accepted.
    """
    wrong = {file: found for file in weights_files(settings.weights) if (found := problems(file))}
    if wrong:
        lines = [f"{_described(file)}: {found[0]}" for file, found in wrong.items()]
        raise ModelUnavailable(
            f"ReconViaGen's weights are not all there: {'; '.join(lines)}.",
            suggestion="`meshdrop weights list` says where each file comes from, `meshdrop weights fetch` gets them.",
            folder=str(settings.weights),
            files=[
                {"path": str(file.path), "bytes": file.nbytes, "from": file.url, "problems": found}
                for file, found in wrong.items()
            ],
        )
    require_licence(settings)


def require_licence(settings: ReconViaGen) -> None:
    """Raises ModelUnavailable where the licence of VGGT's weights is not accepted in the settings."""
    if settings.accept_vggt_licence:
        return
    raise ModelUnavailable(
        f"VGGT's weights, which ReconViaGen uses, are under {VGGT_LICENCE}; it is not accepted in the settings.",
        suggestion="Read it, and set models.reconviagen.accept_vggt_licence = true if you may use them.",
        setting="models.reconviagen.accept_vggt_licence",
    )


def _described(file: WeightsFile) -> str:
    return str(file.path) if file.nbytes is None else f"{file.path} ({file.nbytes:,} bytes)"


Download = Callable[[str, Path], None]
"""Gets an address into a file."""


def fetch(settings: ReconViaGen, download: Download, say: Callable[[str], None]) -> int:
    """Get every file that is missing or damaged.

    A file appears under its name once it is whole and what was published. Returns how many were fetched.
    Raises ModelUnavailable where the licence is not accepted, or a file is not the published one; OSError.
    """
    require_licence(settings)
    fetched = 0
    for file in weights_files(settings.weights):
        if not problems(file):
            continue
        say(f"{_described(file)} from {file.url}")
        file.path.parent.mkdir(parents=True, exist_ok=True)
        part = file.path.with_name(f".{file.path.stem}.part{file.path.suffix}")
        download(file.url, part)
        found = problems(WeightsFile(part, file.nbytes, file.url, file.licence, file.checkpoint))
        if found:
            part.unlink()
            raise ModelUnavailable(f"{file.url} is not the published file: {found[0]}.", url=file.url, problems=found)
        part.replace(file.path)
        fetched += 1
    return fetched
