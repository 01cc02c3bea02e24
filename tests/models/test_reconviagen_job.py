"""Whole jobs with the tiny model, through engine.reconstruct: nothing but the weights is made up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import torch
import trimesh

from config.errors import Cancelled, ModelUnavailable
from config.job import JobOptions
from config.sections import Models, ReconViaGen, Settings
from engine import Progress, reconstruct
from engine.models.reconviagen.generate import Means, Networks
from engine.models.reconviagen.placing import AlignmentAmbiguous
from engine.quality import schema
from engine.sample import make_sample
from engine.sample.scene import _SOLIDS
from tests.models import crafted
from tests.models.tiny import tiny_networks

OPTIONS = JobOptions(quality="draft", model="reconviagen", formats=("glb", "obj"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample of the object that the crafted weights hold."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(_SOLIDS, "blocks", crafted.solid)
        return make_sample(tmp_path_factory.mktemp("sample"), "blocks", size_px=512, grid=128)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Networks], None]:
    """Have a job load other networks: what `published` does with files, and the only thing that is replaced."""

    def install(networks: Networks) -> None:
        def published(settings: ReconViaGen, device: torch.device) -> tuple[Networks, Means]:
            return networks, Means(torch.device("cpu"), settings.vram_mb * 1_000_000 or None)

        monkeypatch.setattr("engine.models.reconviagen.weights.require", lambda settings: None)
        monkeypatch.setattr("engine.models.reconviagen.load.published", published)

    return install


def _read(path: Path) -> dict[str, object]:
    document: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return document


@pytest.mark.slow
def test_a_job_generates_places_and_fills(bundle: Path, use: Callable[[Networks], None], tmp_path: Path) -> None:
    use(crafted.crafted_networks())
    steps: list[Progress] = []
    result = reconstruct(bundle, tmp_path / "a", OPTIONS, steps.append)
    assert result.status == "normal", result.quality["rule"]
    (mesh,) = trimesh.load_scene(tmp_path / "a" / "mesh.glb", process=False).geometry.values()
    assert mesh.visual.material.baseColorTexture is not None
    assert result.quality["mesh"]["watertight"]
    jsonschema.validate(result.quality, schema("quality"))
    assert result.quality["model"] == "reconviagen"
    generated = result.quality["generated"]
    assert 0.001 < generated["surface"] < 0.3
    assert generated["silhouette_iou"] > 0.85
    job = _read(tmp_path / "a" / "job.json")
    jsonschema.validate(job, schema("job"))
    share = f"{100 * generated['surface']:.1f} % of the surface is generated"
    assert any(share in note for note in job["notes"])  # type: ignore[attr-defined]
    assert any("ran on the CPU" in note for note in job["notes"])  # type: ignore[attr-defined]
    assert share in (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    # The time that is left is told from the start, though hardly anything is done.
    ours = [step for step in steps if step.stage == "generate"]
    assert ours[0].eta_s is not None
    assert ours[0].eta_s > 60
    assert len({step.fraction for step in ours}) > 10
    assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)
    assert steps[-1].fraction == pytest.approx(1)

    # The same once more, and with little memory, block by block: the same bytes.
    little = Settings(models=Models(reconviagen=ReconViaGen(vram_mb=1)))
    for name, settings in (("b", None), ("c", little)):
        reconstruct(bundle, tmp_path / name, OPTIONS, settings=settings)
        for file in result.files:
            if file not in ("quality.json", "job.json", "report.html"):  # they hold times
                assert (tmp_path / name / file).read_bytes() == (tmp_path / "a" / file).read_bytes(), (name, file)


@pytest.mark.slow
def test_both_models_lie_in_one_result_the_better_one_first(
    bundle: Path, use: Callable[[Networks], None], tmp_path: Path
) -> None:
    use(crafted.crafted_networks())
    out = tmp_path / "out"
    steps: list[Progress] = []
    result = reconstruct(bundle, out, OPTIONS.model_copy(update={"model": "both"}), steps.append)
    comparison = result.quality["comparison"]
    better, other = comparison["better"], comparison["other"]
    assert {better, other} == {"reconviagen", "nvdiffrec"}
    assert result.quality["model"] == better
    second = _read(out / other / "quality.json")
    for quality in (result.quality, second):
        jsonschema.validate(quality, schema("quality"))
        assert ("generated" in quality) == (quality["model"] == "reconviagen")
        assert set(quality["timings_s"]) >= {"calibrate", "texture"}  # type: ignore[call-overload]
    assert second["model"] == other
    assert "generate" not in (second if other == "nvdiffrec" else result.quality)["timings_s"]  # type: ignore[operator]
    top = {path.name for path in out.iterdir()}
    assert top == {other, *(file for file in result.files if "/" not in file)}
    inner = {path.name for path in (out / other).iterdir()}
    assert inner == top - {other, "job.json"}
    job = _read(out / "job.json")
    assert {f"{other}/mesh.glb", "mesh.glb", f"{other}/report.html"} <= set(job["files"])  # type: ignore[call-overload]
    page, page_of_other = ((folder / "report.html").read_text(encoding="utf-8") for folder in (out, out / other))
    assert f'href="{other}/report.html"' in page
    assert 'href="../report.html"' in page_of_other
    assert 'href="job.json"' not in page_of_other
    stages = list(dict.fromkeys(step.stage for step in steps))
    assert stages.index("generate") < stages.index("surface")
    assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)


def test_what_made_up_weights_generate_is_refused(
    bundle: Path, use: Callable[[Networks], None], tmp_path: Path
) -> None:
    use(tiny_networks())
    with pytest.raises(AlignmentAmbiguous, match="alignment ambiguous") as caught:
        reconstruct(bundle, tmp_path / "out", OPTIONS)
    assert caught.value.code == "MODEL_FAILED"
    assert "another seed" in caught.value.suggestion
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "after"), [("generate", 0), ("generate", 200), ("place", 0), ("place", 30)])
def test_a_job_stops_within_a_second_of_being_asked(
    bundle: Path, use: Callable[[Networks], None], tmp_path: Path, stage: str, after: int
) -> None:
    use(crafted.crafted_networks())
    asked_s: list[float] = []
    told: list[float] = []

    def watch(progress: Progress) -> None:
        if progress.stage == stage and not asked_s:
            told.append(progress.fraction)
            if len(told) > after:
                asked_s.append(time.process_time())

    with pytest.raises(Cancelled):
        reconstruct(bundle, tmp_path / "out", OPTIONS, watch, lambda: bool(asked_s))
    assert time.process_time() - asked_s[0] < 1.0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", ["reconviagen", "both"])
def test_without_weights_each_file_is_named(bundle: Path, tmp_path: Path, model: str) -> None:
    settings = Settings(models=Models(reconviagen=ReconViaGen(weights=tmp_path / "weights")))
    with pytest.raises(ModelUnavailable) as caught:
        reconstruct(bundle, tmp_path / "out", JobOptions(model=model), settings=settings)
    told = caught.value.message
    assert "5,026,367,224 bytes" in told
    assert len(caught.value.details["files"]) == 9
    for file in caught.value.details["files"]:
        assert file["path"].startswith(str(tmp_path / "weights"))
        assert file["path"] in told
    assert list(tmp_path.iterdir()) == []
