from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.bundle_layout import VIEW_NAMES
from config.errors import error_classes
from config.job import JobOptions, Thresholds
from engine.camera import Registration
from engine.quality import MEANING, cameras_json, dump, evaluate, judge, quality_json, schema
from engine.quality.documents import SchemaName
from engine.quality.verdict import Rule

RESULTS = Path(__file__).parents[2] / "docs" / "results.md"
COVERAGE = {"seen": 0.8, "grazing": 0.15, "unseen": 0.05, "texels_filled": 0.07}


def check(document: Any, name: SchemaName) -> None:
    jsonschema.Draft202012Validator(schema(name)).validate(json.loads(dump(document)))


@pytest.fixture(scope="module")
def quality(scene: SimpleNamespace) -> dict[str, Any]:
    return quality_json(
        evaluate(**vars(scene)), scene.bundle, scene.calibration, COVERAGE, "nvdiffrec", {"bundle": 0.5, "fuse": 2.0}
    )


@pytest.mark.parametrize("name", get_args(SchemaName))
def test_schemas_are_valid_draft_2020_12(name: SchemaName) -> None:
    document = schema(name)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(document)


# --- quality.json


def test_quality_json_keeps_to_its_schema(quality: dict[str, Any]) -> None:
    check(quality, "quality")


def test_quality_json_says_what_was_found(quality: dict[str, Any], scene: SimpleNamespace) -> None:
    assert quality["status"] == "normal"
    assert quality["rule"] == "meets_normal"
    assert (quality["psnr_expected"], quality["ssim_expected"]) == (25.0, 0.85)
    assert quality["mesh"]["faces"] == 12
    assert quality["mesh"]["watertight"] is True
    assert quality["coverage"] == COVERAGE
    assert quality["inputs"] == scene.bundle.sha256
    assert quality["timings_s"] == {"bundle": 0.5, "fuse": 2.0}
    assert quality["calibration"]["layout"]["top"] == {"toward": "+Y", "image_up": "-Z"}
    assert quality["versions"]["python"].startswith("3.")
    assert quality["psnr"] == pytest.approx(np.mean([v["psnr"] for v in quality["views"].values()]), abs=1e-5)


def test_an_ambiguous_orientation_is_a_warning(scene: SimpleNamespace) -> None:
    calibration = replace(scene.calibration, ambiguous=True)
    document = quality_json(evaluate(**vars(scene)), scene.bundle, calibration, COVERAGE, "nvdiffrec", {})
    check(document, "quality")
    assert (document["status"], document["rule"]) == ("warning", "orientation_ambiguous")
    assert document["psnr_expected"] == 20.0


def test_the_jobs_own_limits_count(scene: SimpleNamespace) -> None:
    options = JobOptions(thresholds=Thresholds(normal_psnr=99, warning_psnr=98))
    bundle = replace(scene.bundle, options=options)
    document = quality_json(evaluate(**vars(scene)), bundle, scene.calibration, COVERAGE, "nvdiffrec", {})
    check(document, "quality")
    assert (document["status"], document["rule"], document["psnr_expected"]) == ("failure", "psnr_below_warning", 98)


@pytest.mark.parametrize("damage", ["views", "rule", "calibration", "mesh"])
def test_the_schema_notices_what_is_missing(quality: dict[str, Any], damage: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check({key: value for key, value in quality.items() if key != damage}, "quality")
    with pytest.raises(jsonschema.ValidationError):
        check({**quality, "surprise": 1}, "quality")


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        dump({"psnr": float("nan")})


# --- the verdict


@pytest.mark.parametrize(
    ("psnr", "ssim", "ambiguous", "status", "rule"),
    [
        (25.0, 0.85, False, "normal", "meets_normal"),
        (24.99, 0.99, False, "warning", "psnr_below_normal"),
        (40.0, 0.849, False, "warning", "ssim_below_normal"),
        (40.0, 0.99, True, "warning", "orientation_ambiguous"),
        (20.0, 0.75, False, "warning", "psnr_below_normal"),
        (19.99, 0.99, False, "failure", "psnr_below_warning"),
        (40.0, 0.7, True, "failure", "ssim_below_warning"),
    ],
)
def test_verdict(psnr: float, ssim: float, ambiguous: bool, status: str, rule: str) -> None:
    verdict = judge(psnr, ssim, ambiguous, Thresholds())
    assert (verdict.status, verdict.rule) == (status, rule)
    assert verdict.psnr_expected == (25 if status == "normal" else 20)
    assert verdict.ssim_expected == (0.85 if status == "normal" else 0.75)


RANK = {"failure": 0, "warning": 1, "normal": 2}


@given(st.floats(0, 100), st.floats(0, 100), st.floats(-1, 1), st.floats(-1, 1), st.booleans())
def test_better_figures_never_make_a_worse_verdict(p: float, q: float, s: float, t: float, ambiguous: bool) -> None:
    low = judge(min(p, q), min(s, t), ambiguous, Thresholds())
    high = judge(max(p, q), max(s, t), ambiguous, Thresholds())
    assert RANK[low.status] <= RANK[high.status]


def test_every_rule_has_a_meaning_and_is_in_the_schema() -> None:
    assert set(MEANING) == set(get_args(Rule)) == set(schema("quality")["properties"]["rule"]["enum"])


# --- cameras.json


def test_cameras_json_keeps_to_its_schema_and_projects_the_same(scene: SimpleNamespace) -> None:
    moved = {name: Registration(1.01, 2.0, -1.0, 0.25) for name in VIEW_NAMES}
    document = cameras_json(scene.calibration, scene.bundle, moved)
    check(document, "cameras")
    assert document["unit"] == 1.0
    for name in VIEW_NAMES:
        view = document["views"][name]
        assert view["size_px"] == scene.bundle.rgb_size_px
        assert view["registration"] == {"scale": 1.01, "dx_px": 2.0, "dy_px": -1.0, "rotation_deg": 0.25}
        point = np.array([[0.03, -0.02, 0.05]])
        camera = scene.calibration.cameras[name].scaled_to(scene.bundle.rgb_size_px)
        inverse = np.linalg.inv(np.array(view["world_from_camera"]))
        ray = np.array(view["K"]) @ (inverse[:3, :3] @ point[0] + inverse[:3, 3])
        assert np.allclose(ray[:2] / ray[2], camera.project(point)[0][0])


def test_a_disparity_that_begins_at_infinity_is_null(scene: SimpleNamespace) -> None:
    coding = replace(scene.calibration.depth["front"], kind="disparity", at_code_0=float("inf"))
    calibration = replace(scene.calibration, depth=dict.fromkeys(VIEW_NAMES, coding))
    document = cameras_json(calibration, scene.bundle, scene.registrations)
    check(document, "cameras")
    assert document["views"]["top"]["depth"]["at_code_0"] is None


def test_the_unit_is_the_distance_given(scene: SimpleNamespace) -> None:
    bundle = replace(scene.bundle, options=JobOptions.model_validate({"cameras": {"distance": 2.5}}))
    assert cameras_json(scene.calibration, bundle, scene.registrations)["unit"] == 2.5


# --- error.json and job.json


@pytest.mark.parametrize("code", sorted(error_classes()))
def test_every_error_keeps_to_its_schema(code: str) -> None:
    check(error_classes()[code]("It went wrong.", file="a.png").as_json(), "error")


def test_the_job_schema_is_the_models() -> None:
    """After a change to config/job.py: python -m engine.quality.job_schema."""
    from engine.quality.job_schema import job_schema

    assert schema("job") == job_schema()


def test_job_json_keeps_to_its_schema() -> None:
    document = {
        "schema_version": 1,
        "name": "red shoe",
        "options": JobOptions().model_dump(mode="json"),
        "notes": ["multi_views/top.png had an alpha channel that is all opaque."],
        "files": {"mesh.glb": {"bytes": 12, "sha256": "0" * 64}},
        "inputs": {"multi_views/top.png": "a" * 64},
        "versions": {"meshdrop": "0.1.0"},
    }
    check(document, "job")
    with pytest.raises(jsonschema.ValidationError):
        check({**document, "options": {"qualty": "draft"}}, "job")
    with pytest.raises(jsonschema.ValidationError):
        check({**document, "files": {"mesh.glb": {"bytes": -1, "sha256": "0"}}}, "job")


# --- the documentation


def field_names(document: Any) -> set[str]:
    if isinstance(document, list):
        return set().union(*map(field_names, document)) if document else set()
    if not isinstance(document, dict):
        return set()
    own = document.get("properties")
    names = set(own) if isinstance(own, dict) else set()
    return names.union(*(field_names(value) for value in document.values()))


@pytest.mark.parametrize("name", get_args(SchemaName))
def test_every_field_is_documented(name: SchemaName) -> None:
    described = schema(name)
    if name == "job":  # the options are job.toml's, described with it
        described["$defs"] = {"File": described["$defs"]["File"]}
    text = RESULTS.read_text("utf-8")
    section = text[text.index(f"## {name}.json") :]
    section = section[: section.find("\n## ", 1)] if "\n## " in section[1:] else section
    documented = set(re.findall(r"`([A-Za-z_][A-Za-z0-9_]*)`", section))
    assert field_names(described) <= documented


def test_every_rule_and_file_is_documented() -> None:
    text = RESULTS.read_text("utf-8")
    for rule in get_args(Rule):
        assert f"`{rule}`" in text
    for file in (
        "mesh.glb",
        "mesh.obj",
        "material.mtl",
        "texture_kd.png",
        "texture_ks.png",
        "texture_normal.png",
        "light.json",
        "mesh.ply",
        "mesh.stl",
        "mesh.usdz",
    ):
        assert f"`{file}`" in text
