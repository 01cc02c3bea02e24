"""Whole jobs on bundles with a known truth: cameras, geometry and unseen views."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.errors import Cancelled, GpuUnavailable, ModelFailed
from config.job import JobOptions, Quality
from config.sections import Engine, Settings
from engine import Progress, machine, reconstruct
from engine.bundle import Bundle
from engine.materials import Materials
from engine.sample import OBJECT_NAMES, make_sample
from engine.texture import Texturing
from tests.whole.truth import measure


@pytest.mark.parametrize(
    "name", [name if name == "teapot" else pytest.param(name, marks=pytest.mark.ci) for name in OBJECT_NAMES]
)
def test_a_small_sample_is_found_and_rebuilt(name: str, tmp_path: Path) -> None:
    bundle = make_sample(tmp_path / "sample", name, size_px=512)
    steps: list[Progress] = []
    result = reconstruct(bundle, tmp_path / "out", JobOptions(quality="draft"), steps.append)
    assert result.status == "normal", result.quality["rule"]
    score = measure(result.out, tmp_path / "sample" / "ground_truth")
    assert score.poses_equal
    assert score.fov_error_deg < 0.5
    assert score.chamfer < 0.007  # most of it is the distance between samples, and what no camera sees
    assert score.novel_psnr_db > 19
    assert score.novel_iou > 0.96
    assert result.quality["mesh"]["watertight"]
    assert steps[0].fraction == 0
    assert steps[-1].fraction == pytest.approx(1)
    assert all(b.fraction >= a.fraction for a, b in pairwise(steps))
    assert set(result.files) == {path.name for path in result.out.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["shared", "near_bright", "disparity", "view_minmax", "view_max_ray"])
def test_every_coding_and_layout_gives_the_same_quality(encoding: str, tmp_path: Path) -> None:
    bundle = make_sample(
        tmp_path / "sample", "locomotive", fov_deg=52, encoding=encoding, layout="subject", size_px=1024,
        offset=(0.03, -0.02, 0.04),
    )  # fmt: skip
    result = reconstruct(bundle, tmp_path / "out")
    score = measure(result.out, tmp_path / "sample" / "ground_truth")
    assert score.poses_equal
    assert score.fov_error_deg < 1
    assert score.chamfer < 0.005
    assert score.normals > 0.9
    assert score.novel_psnr_db > 21
    assert not result.quality["calibration"]["ambiguous"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("small"), "teapot", size_px=512)


@pytest.mark.ci
@pytest.mark.parametrize("quality", ["draft", "standard"])
def test_two_runs_give_the_same_bytes(small: Path, tmp_path: Path, quality: Quality) -> None:
    options = JobOptions(quality=quality, formats=("obj", "glb", "ply", "stl"))
    unhurried = Settings.model_validate({"quality": {"standard": {"refine_s": 1000, "texture_s": 1000}}})
    first, second = (reconstruct(small, tmp_path / name, options, settings=unhurried) for name in ("a", "b"))
    for name in first.files:
        if name not in ("quality.json", "job.json", "report.html"):  # they hold times and digests of times
            assert (first.out / name).read_bytes() == (second.out / name).read_bytes(), name
    pages = [(run.out / "report.html").read_text() for run in (first, second)]
    assert '<div class="card pad stack" data-varies>' in pages[0]
    a, b = (re.sub(r"<(\w+)[^>]*data-varies>.*?</\1>", "", page, flags=re.S) for page in pages)
    assert a == b
    a, b = (json.loads((run.out / "quality.json").read_text()) for run in (first, second))
    del a["timings_s"], b["timings_s"]
    assert a == b


@pytest.mark.parametrize("after", ["bundle", "calibrate", "fuse", "texture", "preview"])
def test_cancel_in_any_stage_leaves_nothing(small: Path, tmp_path: Path, after: str) -> None:
    seen: list[str] = []
    with pytest.raises(Cancelled):
        reconstruct(
            small, tmp_path / "out", JobOptions(quality="draft"), lambda p: seen.append(p.stage), lambda: after in seen
        )
    assert list(tmp_path.iterdir()) == []


def test_a_gpu_that_is_asked_for_is_missed_at_once(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(lambda: machine.use(Engine()))
    monkeypatch.setattr("engine.device.on_cuda", lambda: None)
    seen: list[str] = []
    with pytest.raises(GpuUnavailable, match="CUDA is asked for"):
        reconstruct(
            small, tmp_path / "out", on_progress=lambda p: seen.append(p.stage),
            settings=Settings(engine=Engine(device="cuda")),
        )  # fmt: skip
    assert set(seen) == {"bundle"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ci
def test_taking_the_light_out_gets_the_time_that_the_preset_has(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*arguments: object) -> None:
        raise ZeroDivisionError(f"within {arguments[-1]} s")

    monkeypatch.setattr("engine.pipeline.separate", late)
    options = JobOptions.model_validate({"quality": "draft", "materials": "separated"})
    with pytest.raises(ModelFailed, match="within 17"):
        reconstruct(small, tmp_path / "out", options, settings=Settings(quality={"draft": {"materials_s": 17}}))


@pytest.mark.ci
def test_a_texture_that_was_baked_anew_in_vain_leaves_no_trace(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_vain(texturing: Texturing, bundle: Bundle, *given: Any) -> Materials:
        rebake = given[4]
        dark = rebake(replace(bundle, rgb={view: rgb // 2 for view, rgb in bundle.rgb.items()}), lambda fraction: None)
        assert not np.array_equal(dark.textured.texture_kd, texturing.textured.texture_kd)
        facts = {"asked": "separated", "delivered": "baked", "reason": "in vain"}
        return Materials(texturing.textured, "baked", None, facts, "in vain.")

    monkeypatch.setattr("engine.pipeline.separate", in_vain)
    settings = Settings(quality={"draft": {"texture_steps": 1}})
    baked, asked = (
        reconstruct(
            small,
            tmp_path / name,
            JobOptions.model_validate({"quality": "draft", "materials": name}),
            settings=settings,
        )
        for name in ("baked", "separated")
    )
    assert (asked.out / "mesh.glb").read_bytes() == (baked.out / "mesh.glb").read_bytes()
    assert asked.quality["inside"] == baked.quality["inside"]
    assert asked.quality["texture_fit"] == baked.quality["texture_fit"]
    assert asked.quality["materials"]["reason"] == "in vain"


def test_a_fault_of_the_engine_is_reported_as_one(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("no light")

    monkeypatch.setattr("engine.pipeline.segment", broken)
    with pytest.raises(ModelFailed, match="no light"):
        reconstruct(small, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ci
def test_a_result_below_the_threshold_is_complete_and_says_so(small: Path, tmp_path: Path) -> None:
    options = JobOptions.model_validate({"quality": "draft", "thresholds": {"warning_psnr": 90, "normal_psnr": 95}})
    result = reconstruct(small, tmp_path / "out", options)
    assert result.status == "failure"
    error = json.loads((result.out / "error.json").read_text())
    assert error["code"] == "QUALITY_THRESHOLD_FAILED"
    assert "90" in error["message"]
    assert (result.out / "mesh.glb").is_file()
