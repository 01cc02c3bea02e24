"""Whole jobs on a sample whose looks are known apart from its light."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from config.job import JobOptions
from engine import Result, reconstruct
from engine.camera import Camera
from engine.export import load_glb
from engine.quality.documents import SchemaName, schema
from engine.render import render_textured
from engine.sample import make_sample
from engine.srgb import decode_srgb


def looks_error(out: Path, truth: Path) -> float:
    """Root mean square error in %, of the logarithms of linear light in new views, of mesh.glb's colours against the
    object without its light, one factor free.
    """
    textured, parts = load_glb(out / "mesh.glb"), []
    for name, view in json.loads((truth / "novel_cameras.json").read_text()).items():
        camera = Camera(view["size_px"], np.array(view["K"]), np.array(view["world_from_camera"]))
        drawn = render_textured(textured, camera)
        true = np.asarray(Image.open(truth / "novel_unlit" / f"{name}.png").convert("RGB")) / 255
        mask = np.asarray(Image.open(truth / "novel" / f"{name}_mask.png").convert("L")) == 255
        both = mask & (drawn.coverage == 1)
        parts.append(
            np.log(decode_srgb(drawn.rgb[both]) + 0.01).mean(1) - np.log(decode_srgb(true[both]) + 0.01).mean(1)
        )
    ratio = np.concatenate(parts)
    return float(100 * np.sqrt(np.mean((ratio - np.median(ratio)) ** 2)))


def run(bundle: Path, out: Path, materials: str) -> Result:
    options = {"quality": "draft", "materials": materials, "formats": ["obj", "glb"]}
    return reconstruct(bundle, out, JobOptions.model_validate(options))


def documents_are_valid(out: Path) -> None:
    documents: tuple[SchemaName, ...] = ("quality", "light", "job")
    for name in documents:
        jsonschema.Draft202012Validator(schema(name)).validate(json.loads((out / f"{name}.json").read_text()))


@pytest.mark.slow
def test_light_is_taken_out_of_a_lit_sample(tmp_path: Path) -> None:
    bundle = make_sample(tmp_path / "sample", "teapot", size_px=512, light="studio")
    truth = tmp_path / "sample" / "ground_truth"
    baked, separated = (run(bundle, tmp_path / name, name) for name in ("baked", "separated"))
    before, after = looks_error(baked.out, truth), looks_error(separated.out, truth)
    print(f"looks off by {before:.1f} % baked, {after:.1f} % separated")
    assert after < 0.65 * before  # measured: 45.4 and 24.9
    materials = separated.quality["materials"]
    assert materials["delivered"] == "separated"
    assert {"texture_ks.png", "texture_normal.png", "light.json"} <= set(separated.files)
    assert separated.quality["inside"]["psnr"] > baked.quality["inside"]["psnr"] - 1
    assert materials["unlit"]["inside"]["psnr"] < separated.quality["inside"]["psnr"] - 3
    documents_are_valid(separated.out)
    assert "materials" not in baked.quality
    assert "light was taken out" in (separated.out / "report.html").read_text()


@pytest.mark.slow
def test_an_unlit_sample_stays_as_it_is(tmp_path: Path) -> None:
    bundle = make_sample(tmp_path / "sample", "teapot", size_px=512, light="none")
    baked, asked = (run(bundle, tmp_path / name, name) for name in ("baked", "separated"))
    assert (asked.out / "mesh.glb").read_bytes() == (baked.out / "mesh.glb").read_bytes()
    assert asked.quality["materials"]["delivered"] == "baked"
    assert "light was left in the texture" in json.loads((asked.out / "job.json").read_text())["notes"][-1]
    assert not {"texture_ks.png", "light.json"} & set(asked.files)
    figures = ("psnr", "ssim", "on_white", "foreground", "inside", "views")
    assert all(asked.quality[key] == baked.quality[key] for key in figures)


@pytest.mark.slow
def test_highlights_are_taken_off_a_varnished_sample(tmp_path: Path) -> None:
    """Its lamps are two points, of which the patches make wide ones."""
    bundle = make_sample(tmp_path / "sample", "teapot", size_px=512, light="glossy")
    truth = tmp_path / "sample" / "ground_truth"
    baked, separated = (run(bundle, tmp_path / name, name) for name in ("baked", "separated"))
    before, after = looks_error(baked.out, truth), looks_error(separated.out, truth)
    gloss = separated.quality["materials"]["gloss"]
    inside = [result.quality["inside"]["psnr"] for result in (baked, separated)]
    print(f"looks off by {before:.1f} % baked, {after:.1f} % separated; inside {inside}; {gloss}")
    assert gloss["estimated"]
    assert gloss["roughness"] == pytest.approx(0.35, abs=0.1)
    assert after < 0.65 * before
    assert inside[1] > inside[0] - 1
    documents_are_valid(separated.out)
    roughness = np.asarray(Image.open(separated.out / "texture_ks.png"))[..., 1]
    assert np.unique(roughness).tolist() == [round(255 * gloss["roughness"])]
    assert "Roughness: estimated" in (separated.out / "report.html").read_text()
