"""What stands in for `engine.reconstruct`: see the package's own words on what it can be told."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never

from config.bundle_layout import IMAGE_DIRS, VIEW_NAMES
from config.errors import Cancelled, ModelFailed, QualityThresholdFailed, error_classes
from config.job import JobOptions
from config.sections import Settings
from tests.daemon_stand_in.bundles import png_bytes, words_of

STEP_S = 0.05
FIGURE = {"psnr": 30.0, "ssim": 0.95}
TOWARD = {"front": "+Z", "back": "-Z", "left": "-X", "right": "+X", "top": "+Y", "bottom": "-Y"}
PICTURES = ("texture_kd.png", "contact_sheet.png", *(f"preview_{n}.png" for n in range(8)))


@dataclass(frozen=True)
class Progress:
    stage: str
    fraction: float
    eta_s: float | None = None


@dataclass(frozen=True)
class Result:
    out: Path
    status: str


class OutOfMemoryError(RuntimeError):
    """What torch raises when the GPU's memory is used up has this name."""


def reconstruct(
    bundle: Path,
    out: Path,
    options: JobOptions,
    on_progress: Callable[[Any], None],
    should_cancel: Callable[[], bool],
    *,
    settings: Settings,
    name: str | None = None,
) -> Result:
    """Do what the bundle says."""
    words = words_of(bundle)
    attempt = _count(bundle)
    _misbehave(words)
    held = bytearray(os.urandom(1 << 20) * int(words.get("memory_mb", 0)))
    on_progress(Progress("bundle", 0.0))
    for number in range(int(words.get("flood", 0))):
        on_progress(Progress("flood", min(0.9, number / 1e6)))
    seconds, began_s = float(words.get("seconds", 0.0)), time.monotonic()
    while (passed_s := time.monotonic() - began_s) < seconds:
        if should_cancel() and not words.get("ignore_cancel"):
            raise Cancelled
        on_progress(Progress("texture", 0.9 * passed_s / seconds, seconds - passed_s))
        time.sleep(STEP_S)
    if should_cancel() and not words.get("ignore_cancel"):
        raise Cancelled
    del held
    counts = not words.get("first") or attempt <= int(words["first"])
    if counts and options.quality != words.get("unless_quality"):
        _end(str(words.get("end", "succeed")), bundle)
    status = str(words.get("verdict", "normal"))
    _write_result(bundle, out, options, status, name, complete=words.get("end") != "incomplete")
    on_progress(Progress("quality", 1.0))
    return Result(out, status)


def _count(bundle: Path) -> int:
    """Which attempt at this copy this is, from 1."""
    path = bundle / "stand-in.attempts"
    attempt = int(path.read_text() or 0) + 1 if path.exists() else 1  # empty: its disk died before it was written
    path.write_text(str(attempt))
    return attempt


def _misbehave(words: dict[str, Any]) -> None:
    if words.get("garbage"):
        print("this is no message", flush=True)
        os.write(1, b'\xff\x00{"type": "done", "job": "none of yours"}\n')
    if words.get("say"):
        print(words["say"], file=sys.stderr, flush=True)
    if words.get("ignore_sigterm"):
        # SIG_IGN may be set from the main thread alone, which is where jobs run.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if words.get("grandchild"):
        subprocess.Popen(["sleep", "600"], start_new_session=words["grandchild"] == "session")


def _end(end: str, bundle: Path) -> None:
    classes = error_classes()
    if end in classes:
        raise classes[end](f"{bundle.name}: the stand-in was told to raise {end}.", told=True)
    match end:
        case "succeed" | "incomplete":
            return
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "abort":
            os.abort()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            sys.exit(3)
        case "hang":
            _for_ever()
        case "spin":
            sys.setswitchinterval(1e6)
            while True:
                pass
        case "memory_error":
            raise MemoryError
        case "eat_memory":
            _eat()
        case "exception":
            raise ZeroDivisionError("division by zero")
        case "vram":
            raise ModelFailed("The engine failed: OutOfMemoryError: CUDA out of memory.", error="OutOfMemoryError")
        case _:
            raise ValueError(f"the stand-in knows no end called {end!r}")


def _for_ever() -> Never:
    while True:
        time.sleep(60)


def _eat() -> Never:
    pieces = []
    while True:
        pieces.append(b"\1" * (16 << 20))


def _write_result(
    bundle: Path, out: Path, options: JobOptions, status: str, name: str | None, *, complete: bool
) -> None:
    """Appears whole, by one rename, as the engine's do."""
    partial = out.with_name(f".{out.name}.partial-stand-in")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    inputs = {
        f"{folder}/{view}.png": hashlib.sha256((bundle / folder / f"{view}.png").read_bytes()).hexdigest()
        for folder in IMAGE_DIRS
        for view in VIEW_NAMES
    }
    documents = {"quality.json": _quality(status, inputs), "cameras.json": _cameras()}
    if status == "failure":
        documents["error.json"] = QualityThresholdFailed("PSNR 12.0 dB; at least 20.0 dB is wanted.").as_json()
    (partial / "mesh.glb").write_bytes(b"glTF\x02\x00\x00\x00\x14\x00\x00\x00\x00\x00\x00\x00JSON")
    (partial / "mesh.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    (partial / "mesh.ply").write_text("ply\nformat ascii 1.0\nelement vertex 0\nend_header\n")
    (partial / "material.mtl").write_text("newmtl material\nmap_Kd texture_kd.png\n")
    for picture in PICTURES:
        (partial / picture).write_bytes(png_bytes(16))
    for file, document in documents.items():
        (partial / file).write_text(json.dumps(document))
    files = {}
    for path in sorted(partial.iterdir()):
        data = path.read_bytes()
        files[path.name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    job = {
        "schema_version": 1,
        "name": name or bundle.resolve().name,
        "options": options.model_dump(mode="json"),
        "notes": ["made by a stand-in"],
        "files": files,
        "inputs": inputs,
        "versions": {"meshdrop": "0.0.0"},
    }
    (partial / "job.json").write_text(json.dumps(job))
    if not complete:
        (partial / "quality.json").unlink()
    partial.rename(out)


def _quality(status: str, inputs: dict[str, str]) -> dict[str, Any]:
    figure = {"normal": 30.0, "warning": 22.0, "failure": 12.0}[status]
    view = {**FIGURE, "on_white": FIGURE, "foreground": FIGURE, "inside": FIGURE}
    view |= {"rgb_iou": 0.98, "depth_iou": 0.98, "depth_error": 0.001}
    return {
        "schema_version": 1,
        "status": status,
        "rule": {
            "normal": "meets_normal",
            "warning": "psnr_below_normal",
            "failure": "psnr_below_warning",
        }[status],
        "psnr": figure,
        "ssim": 0.95,
        "psnr_expected": 25.0 if status == "normal" else 20.0,
        "ssim_expected": 0.85 if status == "normal" else 0.75,
        "on_white": FIGURE,
        "foreground": FIGURE,
        "inside": FIGURE,
        "views": dict.fromkeys(VIEW_NAMES, view),
        "calibration": {
            "source": "estimated",
            "fov_deg": 40.0,
            "confidence": 0.99,
            "depth_encoding": {"kind": "linear", "measure": "planar", "structure": "view_max"},
            "layout": {
                name: {"toward": axis, "image_up": "+Y" if axis[1] != "Y" else "-Z"} for name, axis in TOWARD.items()
            },
            "ambiguous": False,
        },
        "coverage": {"seen": 0.9, "grazing": 0.05, "unseen": 0.05, "texels_filled": 0.05},
        "mesh": {"faces": 1, "watertight": True, "components": 1, "bounds": [[0.0, 0.0, 0.0], [1.0, 1.0, 0.0]]},
        "model": "nvdiffrec",
        "timings_s": {"texture": 0.1},
        "versions": {"meshdrop": "0.0.0"},
        "inputs": inputs,
    }


def _cameras() -> dict[str, Any]:
    view = {
        "size_px": 256,
        "K": [[350.0, 0.0, 128.0], [0.0, 350.0, 128.0], [0.0, 0.0, 1.0]],
        "world_from_camera": [[1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 1.0], [0.0, 0.0, 0.0, 1.0]],
        "registration": {"scale": 1.0, "dx_px": 0.0, "dy_px": 0.0, "rotation_deg": 0.0},
        "depth": {"kind": "linear", "measure": "planar", "at_code_0": 0.0, "at_code_max": 1.0, "rounding": "floor"},
    }
    world = "right-handed, Y up, front camera on +Z, origin at the rig's centre"
    return {"schema_version": 1, "world": world, "unit": 1.0, "views": dict.fromkeys(VIEW_NAMES, view)}
