"""quality.json and cameras.json, and the schemas that they keep to."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Literal

from config.bundle_layout import VIEW_NAMES, ViewName
from config.job import Model
from engine.bundle import Bundle
from engine.calibrate.result import Calibration, DepthCoding
from engine.camera import Registration
from engine.quality.score import Evaluation
from engine.quality.verdict import Verdict, judge

SCHEMA_VERSION: Final = 1
SchemaName = Literal["quality", "cameras", "error", "job", "light"]
WORLD: Final = "right-handed, Y up, front camera on +Z, origin at the rig's centre"
DECIMALS: Final = 6
COVERAGE: Final = ("seen", "grazing", "unseen", "texels_filled")
PACKAGES: Final = ("meshdrop", "numpy", "scipy", "scikit-image", "numba", "pillow", "fast-simplification")


def schema(name: SchemaName) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `<name>.json`; job.toml's is `$defs/JobOptions` of `job`."""
    text = resources.files("engine.quality").joinpath("schemas", f"{name}.schema.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def dump(document: Mapping[str, Any]) -> str:
    """A document as text. Raises ValueError for NaN and infinity, which JSON lacks."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return dict(sorted(found.items()))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


def quality_json(
    evaluation: Evaluation,
    bundle: Bundle,
    calibration: Calibration,
    coverage: Mapping[str, float],
    model: Model,
    timings_s: Mapping[str, float],
    materials: Mapping[str, Any] | None = None,
    generated: Mapping[str, float | None] | None = None,
    refinement: Mapping[str, Any] | None = None,
    texture_fit: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of quality.json; the limits are the job's (`bundle.options.thresholds`).

    coverage: shares, the keys of COVERAGE. model: what made the mesh. timings_s: seconds by stage. materials: what came
    of separating them, where that was asked for. generated: what a generative model says of its part, where there is
    one. refinement, texture_fit: what refining the shape and fitting the texture came to, where that was done
    (`Refinement.facts`, `Refined.facts`).
    """
    verdict = verdict_on(evaluation, bundle, calibration)
    first = calibration.depth["front"]
    document = {
        "schema_version": SCHEMA_VERSION,
        "status": verdict.status,
        "rule": verdict.rule,
        **asdict(evaluation.headline),
        "psnr_expected": verdict.psnr_expected,
        "ssim_expected": verdict.ssim_expected,
        **{name: asdict(evaluation.domain(name)) for name in ("on_white", "foreground", "inside")},
        "views": {name: asdict(evaluation.views[name]) for name in VIEW_NAMES},
        "calibration": {
            "source": calibration.source,
            "fov_deg": float(calibration.fov_deg),
            "confidence": float(calibration.confidence),
            "depth_encoding": {"kind": first.kind, "measure": first.measure, "structure": calibration.structure},
            "layout": {name: asdict(calibration.layout[name]) for name in VIEW_NAMES},
            "ambiguous": bool(calibration.ambiguous),
        },
        "coverage": {key: float(coverage[key]) for key in COVERAGE},
        **({} if generated is None else {"generated": dict(generated)}),
        "mesh": asdict(evaluation.mesh),
        "model": model,
        "timings_s": {stage: float(seconds) for stage, seconds in timings_s.items()},
        "versions": versions(),
        "inputs": dict(sorted(bundle.sha256.items())),
    }
    if materials is not None:
        document["materials"] = materials
    if refinement is not None:
        document["refinement"] = refinement
    if texture_fit is not None:
        document["texture_fit"] = texture_fit
    rounded: dict[str, Any] = _rounded(document)
    return rounded


def verdict_on(evaluation: Evaluation, bundle: Bundle, calibration: Calibration) -> Verdict:
    """The verdict by the job's own limits."""
    headline = evaluation.headline
    return judge(headline.psnr, headline.ssim, calibration.ambiguous, bundle.options.thresholds)


def cameras_json(
    calibration: Calibration, bundle: Bundle, registrations: Mapping[ViewName, Registration]
) -> dict[str, Any]:
    """The content of cameras.json: each view's camera at the RGB's size, its correction and its depth coding."""
    views = {}
    for name in VIEW_NAMES:
        camera = calibration.cameras[name].scaled_to(bundle.rgb_size_px)
        views[name] = {
            "size_px": camera.size_px,
            "K": camera.K.tolist(),
            "world_from_camera": camera.world_from_camera.tolist(),
            "registration": {key: float(value) for key, value in asdict(registrations[name]).items()},
            "depth": _coding(calibration.depth[name]),
        }
    unit = bundle.options.cameras.distance or 1.0
    return {"schema_version": SCHEMA_VERSION, "world": WORLD, "unit": float(unit), "views": views}


def _coding(coding: DepthCoding) -> dict[str, Any]:
    def finite(value: float) -> float | None:
        return float(value) if math.isfinite(value) else None

    return {
        "kind": coding.kind,
        "measure": coding.measure,
        "at_code_0": finite(coding.at_code_0),
        "at_code_max": finite(coding.at_code_max),
        "rounding": coding.rounding,
    }
