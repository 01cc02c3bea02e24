"""A small result to write pages about."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.bundle_layout import VIEW_NAMES
from config.job import JobOptions
from engine.bundle import Bundle
from engine.camera import Registration
from engine.preview import turntable, write_previews
from engine.quality import cameras_json, dump, evaluate, quality_json
from engine.report import Subject, write_report
from engine.sample import sample_scene
from engine.segment import Segmentation

COVERAGE = {"seen": 0.8, "grazing": 0.05, "unseen": 0.15, "texels_filled": 0.1}
FILES = ["mesh.glb", "quality.json", "cameras.json", "turntable.webp", "thumbnail.webp"]
FILES += [f"preview_{k}.png" for k in range(8)]


@pytest.fixture(scope="session")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Subject]:
    """A folder with the files that a page links to, and what it is about."""
    out = tmp_path_factory.mktemp("result")
    scene = sample_scene("robot", size_px=128, depth_size_px=64, grid=32, supersample=1)
    textured = scene.truth.textured(512)
    alpha = {
        name: np.where(scene.depth[name].repeat(2, 0).repeat(2, 1) > 0, 255, 0).astype(np.uint8) for name in VIEW_NAMES
    }
    segmentation = Segmentation(alpha, {n: scene.depth[n] > 0 for n in VIEW_NAMES}, dict.fromkeys(VIEW_NAMES, 1.0))
    registrations = {name: Registration(1.01, 2.5, -0.25, 0.3) for name in VIEW_NAMES}
    depth = {name: scene.depth[name].astype(np.float32) for name in VIEW_NAMES}
    digests = {f"multi_views/{name}.png": f"{index:064x}" for index, name in enumerate(VIEW_NAMES)}
    bundle = Bundle(
        scene.bundle.path, scene.bundle.rgb, scene.bundle.alpha, scene.bundle.depth, scene.bundle.depth_code_max,
        JobOptions(), digests,
    )  # fmt: skip
    evaluation = evaluate(textured, bundle, segmentation, scene.calibration, registrations, depth)
    timings = {"calibrate": 3.25, "texture": 4.5}
    quality = quality_json(evaluation, bundle, scene.calibration, COVERAGE, "nvdiffrec", timings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turntable, "FRAMES", 2)
        previews = write_previews(textured, out)
    (out / "mesh.glb").write_bytes(b"glTF" * 1000)
    (out / "quality.json").write_text(dump(quality))
    (out / "cameras.json").write_text(dump(cameras_json(scene.calibration, bundle, registrations)))
    confidence = np.linspace(0, 1, len(textured.mesh.faces)).astype(np.float32)
    subject = Subject(
        "red shoe", textured, quality, evaluation, registrations, confidence, previews.poster, JobOptions(), ()
    )
    return out, subject


@pytest.fixture
def page_of(result: tuple[Path, Subject]) -> Callable[..., str]:
    """Write the page with some of its subject changed, and read it."""
    out, subject = result

    def write(**changes: Any) -> str:
        write_report(dataclasses.replace(subject, **changes), out, FILES)
        return (out / "report.html").read_text(encoding="utf-8")

    return write
