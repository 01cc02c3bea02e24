"""Puts report.html together from what the stages hand on."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from config.bundle_layout import VIEW_NAMES, ViewName
from config.job import JobOptions
from config.text import shown
from engine.camera import Registration
from engine.export.files import write_file
from engine.export.glb import generator
from engine.jit import parallel_map
from engine.mesh import TexturedMesh
from engine.preview import DISTANCE_RADII, ELEVATION_DEG, FIRST_AZIMUTH_DEG, FOV_DEG, THUMBNAIL, TURNTABLE
from engine.preview.studio import CREASE_DEG
from engine.progress import Checkpoint
from engine.quality import REASON, Comparison, Evaluation
from engine.report import pictures, words
from engine.report.document import as_json, render
from engine.report.model import pack_model, visibility

REPORT: Final = "report.html"
_PREVIEWS: Final = tuple(f"preview_{k}.png" for k in range(8))
_PREVIEW_BYTES: Final = 20_000
_ICON_PX: Final = 32
_VARYING: Final = ("quality.json", "job.json")  # they hold times, so their sizes differ from run to run


@dataclass(frozen=True, eq=False)
class Peer:
    """The other model of the same views, for the comparison.

    quality: its quality.json's content. poster: as in `Subject`. address: of its page, from this one.
    """

    quality: Mapping[str, Any]
    poster: NDArray[np.uint8]
    address: str
    comparison: Comparison


@dataclass(frozen=True, eq=False)
class Subject:
    """What the page is about.

    name: of the bundle, as it was dropped. textured: as read back from mesh.glb. quality: quality.json's content.
    face_confidence: [F] float32, texturing's, in the order of the faces. poster: [S, S, 4] uint8, the model as the
    viewer first shows it, cut out. notes: in sentences. generated: [F] bool, the faces that a model has imagined; None
    where none did. peer: where the job made two models, the other one.
    """

    name: str
    textured: TexturedMesh
    quality: Mapping[str, Any]
    evaluation: Evaluation
    registrations: Mapping[ViewName, Registration]
    face_confidence: NDArray[np.float32]
    poster: NDArray[np.uint8]
    options: JobOptions
    notes: Sequence[str]
    generated: NDArray[np.bool_] | None = None
    peer: Peer | None = None


def write_report(
    subject: Subject, out: Path, files: Sequence[str], checkpoint: Checkpoint = lambda fraction: None
) -> list[str]:
    """Write report.html beside the `files` of the result in `out`, which it links to; returns its name in a list.

    The bytes depend on the arguments and this program's version alone; what depends on times stands in elements with
    the attribute data-varies. Raises DiskFull or ShareUnavailable.
    """
    data = _data(subject, out)
    checkpoint(0.4)
    context = _context(subject, out, files)
    checkpoint(0.9)
    write_file(out / REPORT, render(context, data).encode("utf-8", "backslashreplace"))
    checkpoint(1.0)
    return [REPORT]


def _data(subject: Subject, out: Path) -> dict[str, str]:
    """What the viewer needs."""
    model = pack_model(subject.textured, visibility(subject.face_confidence, subject.generated))
    layout = subject.quality["calibration"]["layout"]
    facts = model.facts() | {
        "closed": subject.quality["mesh"]["watertight"],
        "crease_deg": CREASE_DEG,
        "fov_deg": FOV_DEG,
        "azimuth_deg": FIRST_AZIMUTH_DEG,
        "elevation_deg": ELEVATION_DEG,
        "distance_radii": DISTANCE_RADII,
        "views": [
            {"name": name, "toward": _axis(layout[name]["toward"]), "up": _axis(layout[name]["image_up"])}
            for name in VIEW_NAMES
        ],
    }
    return {
        "model-facts": as_json(facts),
        "model-data": _base64(model.data),
        "texture-data": _base64(pictures.texture_jpeg(subject.textured.texture_kd)),
        "turntable-data": _base64((out / TURNTABLE).read_bytes()),
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _axis(name: str) -> list[int]:
    """ "-Y" to [0, -1, 0]."""
    return [(1 if name[0] == "+" else -1) if letter == name[1] else 0 for letter in "XYZ"]


def _context(subject: Subject, out: Path, files: Sequence[str]) -> dict[str, Any]:
    """What the template shows."""
    quality, options = subject.quality, subject.options
    calibration, limits = quality["calibration"], options.thresholds
    low, high = (np.array(corner) for corner in quality["mesh"]["bounds"])
    diagonal = float(np.linalg.norm(high - low))
    distance = options.cameras.distance or 1.0
    unit = "camera distances" if options.cameras.distance is None else "units of job.toml"
    listed = _files(out, files, is_second=subject.peer is not None and subject.peer.address.startswith(".."))
    values = [
        figure
        for view in quality["views"].values()
        for figure in (view["psnr"], view["foreground"]["psnr"], view["inside"]["psnr"])
    ]
    scale = pictures.depth_scale(subject.evaluation.closeups.values(), diagonal)
    return {
        "name": shown(subject.name),
        "generator": generator(),
        "icon": _icon(out),
        "poster": pictures.data_uri(pictures.cut_out(subject.poster), "webp"),
        "previews": _previews(out),
        "quality": quality,
        "limits": limits,
        "verdict_word": words.VERDICT[quality["status"]],
        "headline": words.headline(dict(quality)),
        "verdict": words.verdict_sentence(dict(quality)),
        "advice": words.ADVICE[quality["status"]],
        "alerts": [words.ambiguity_sentence(calibration)] if calibration["ambiguous"] else [],
        "worst": words.worst_view(dict(quality)),
        "views": _views(subject.evaluation, diagonal, scale),
        "amount_colours": [pictures.css_colour(c) for c in pictures.ramp(pictures.AMOUNT, 24)],
        "signed_colours": [pictures.css_colour(c) for c in pictures.ramp(pictures.SIGNED, 25)],
        "difference_full": pictures.DIFFERENCE_FULL,
        "depth_scale": scale,
        "diagonal": diagonal,
        "distance": distance,
        "unit": unit,
        "unit_sentence": "the camera’s distance from the centre is 1"
        if options.cameras.distance is None
        else f"as in job.toml: the camera’s distance is {distance:g}",
        "mean": {
            key: float(np.mean([view[key] for view in quality["views"].values()]))
            for key in ("rgb_iou", "depth_iou", "depth_error")
        },
        "gauge_high": max(45.0, quality["psnr"], limits.normal_psnr + 5),
        "plot_low": min(10, 5 * int(min(values) // 5)),
        "plot_high": max(30, 5 * -int(-max(values) // 5)),
        "stage_name": {stage: words.STAGE.get(stage) for stage in quality["timings_s"]},
        "total_s": sum(quality["timings_s"].values()),
        "source_sentence": f"The cameras were {words.SOURCE[calibration['source']]}.",
        "confidence": words.confidence_sentence(calibration),
        "agreeing_from": words.AGREEING_FROM,
        "ambiguity": words.ambiguity_sentence(calibration),
        "encoding": {
            "kind": words.KIND[calibration["depth_encoding"]["kind"]],
            "measure": words.MEASURE[calibration["depth_encoding"]["measure"]],
            "structure": words.STRUCTURE[calibration["depth_encoding"]["structure"]],
        },
        "registrations": {name: asdict(subject.registrations[name]) for name in VIEW_NAMES},
        "vertices": len(subject.textured.mesh.vertices),
        "extent": (high - low).tolist(),
        "texture_px": subject.textured.texture_kd.shape[0],
        "notes": [shown(note) for note in subject.notes],
        "options": json.dumps(options.model_dump(mode="json", exclude_none=True), indent=1, ensure_ascii=False),
        "files": listed,
        "generated": quality.get("generated"),
        "comparison": _comparison(subject),
        "sizes": {file["name"]: file["size"] for file in listed},
    }


def _comparison(subject: Subject) -> dict[str, Any] | None:
    """Both models of a job that asked for both: the better one first."""
    peer = subject.peer
    if peer is None:
        return None
    own: dict[str, Any] = {"quality": subject.quality, "poster": subject.poster, "address": None}
    other: dict[str, Any] = {"quality": peer.quality, "poster": peer.poster, "address": peer.address}
    both = sorted((own, other), key=lambda each: each["quality"]["model"] != peer.comparison.better)
    return {
        "reason": REASON[peer.comparison.rule],
        "models": [
            {
                "name": each["quality"]["model"],
                "quality": each["quality"],
                "verdict": words.VERDICT[each["quality"]["status"]],
                "poster": pictures.data_uri(pictures.cut_out(each["poster"]), "webp"),
                "address": each["address"],
            }
            for each in both
        ],
    }


def _files(out: Path, names: Sequence[str], *, is_second: bool) -> list[dict[str, Any]]:
    """The result's files: those that people open first, then by name. is_second: job.json lies above."""
    order = {name: place for place, name in enumerate(words.FILE)}
    listed = []
    own = {*names} if is_second else {*names, "job.json"}
    for name in sorted(own, key=lambda name: (order.get(name, len(order)), name)):
        # job.json is written last: it holds this page's digest
        size = words.size_text((out / name).stat().st_size) if name != "job.json" else ""
        listed.append({"name": name, "meaning": words.file_meaning(name), "size": size, "varies": name in _VARYING})
    return listed


def _views(evaluation: Evaluation, diagonal: float, scale: float) -> dict[str, dict[str, Any]]:
    """Each view's pictures as addresses."""

    def encode(name: ViewName) -> dict[str, Any]:
        cut = evaluation.closeups[name]
        return {
            "size": cut.delivered.shape[0],
            "depth_size": cut.depth_difference.shape[0],
            "input": pictures.data_uri(pictures.jpeg(cut.delivered), "jpeg"),
            "render": pictures.data_uri(pictures.jpeg(cut.render), "jpeg"),
            "difference": pictures.data_uri(pictures.difference_png(cut.difference), "png"),
            "depth": pictures.data_uri(pictures.depth_png(cut, diagonal, scale), "png"),
        }

    return dict(zip(VIEW_NAMES, parallel_map(encode, VIEW_NAMES), strict=True))


def _previews(out: Path) -> list[str]:
    """The previews, small: for where no script runs."""

    def small(name: str) -> str:
        with Image.open(out / name) as picture:
            return pictures.data_uri(
                pictures.jpeg(np.asarray(picture.convert("RGB").reduce(2)), _PREVIEW_BYTES), "jpeg"
            )

    return parallel_map(small, _PREVIEWS)


def _icon(out: Path) -> str:
    with Image.open(out / THUMBNAIL) as picture:
        data = io.BytesIO()
        picture.convert("RGB").resize((_ICON_PX, _ICON_PX), Image.Resampling.LANCZOS).save(data, "PNG")
    return pictures.data_uri(data.getvalue(), "png")
