"""Cameras and codings of the project's own samples are found; what can't be found is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from calibrate_scenes import masks, nothing, scene, with_depth, with_options

from config.bundle_layout import VIEW_NAMES
from config.errors import CalibrationFailed, ValidationFailed
from engine.bundle import Bundle
from engine.calibrate import Calibration, calibrate

CASES = [
    ("locomotive", 40.0, "view_max", "canonical"),
    ("robot", 30.0, "view_max_16bit", "canonical"),
]
OTHER_CASES = [
    ("teapot", 60.0, "shared", "subject"),
    ("locomotive", 55.0, "near_bright", "subject"),
    ("robot", 50.0, "disparity", "canonical"),
    ("locomotive", 65.0, "view_max_ray", "subject"),
]


@pytest.mark.parametrize(("name", "fov", "encoding", "layout"), CASES)
def test_finds_what_the_sample_was_made_with(name: str, fov: float, encoding: str, layout: str) -> None:
    sample = scene(name, fov, encoding, layout)
    found = calibrate(sample.bundle, masks(sample.bundle), nothing)
    truth = sample.calibration
    assert found.fov_deg == pytest.approx(fov, abs=0.5)
    assert found.layout == truth.layout
    assert found.source == "estimated"
    for view in VIEW_NAMES:
        codes = np.unique(sample.bundle.depth[view])[1:].astype(float)
        ours, theirs = found.depth[view], truth.depth[view]
        assert (ours.kind, ours.measure) == (theirs.kind, theirs.measure)
        difference = ours.decode(codes + (ours.rounding == "floor") / 2) - theirs.decode(
            codes + (theirs.rounding == "floor") / 2
        )
        assert np.abs(difference).max() < 0.012


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fov", "encoding", "layout"), OTHER_CASES)
def test_finds_every_encoding(name: str, fov: float, encoding: str, layout: str) -> None:
    sample = scene(name, fov, encoding, layout)
    found = calibrate(sample.bundle, masks(sample.bundle), nothing)
    assert found.fov_deg == pytest.approx(fov, abs=0.7)
    assert found.ambiguous or found.layout == sample.calibration.layout
    assert found.depth["front"].kind == sample.calibration.depth["front"].kind
    assert found.depth["front"].measure == sample.calibration.depth["front"].measure


def attempt(bundle: Bundle) -> tuple[Calibration | None, CalibrationFailed | None]:
    """What comes of it: a calibration, or the refusal."""
    try:
        return calibrate(bundle, masks(bundle), nothing), None
    except CalibrationFailed as error:
        return None, error


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sphere", "cube"])
def test_a_symmetric_object_is_refused_or_marked(name: str) -> None:
    sample = scene(name, 40.0, "view_max", "canonical")
    found, error = attempt(sample.bundle)
    if error is not None:
        assert "mirrored" not in error.message
        assert "exchanged" not in error.message
        assert "job.toml" in error.suggestion
    else:
        assert found is not None
        assert found.ambiguous
        assert found.layout == sample.calibration.layout


def test_front_and_back_exchanged_is_refused_with_both_readings() -> None:
    bundle = scene("locomotive", 40.0, "view_max", "canonical").bundle
    spoilt = with_depth(bundle, front=bundle.depth["back"], back=bundle.depth["front"])
    with pytest.raises(CalibrationFailed, match=r"front\.png and .*back\.png may be exchanged, or"):
        calibrate(spoilt, masks(spoilt), nothing)


@pytest.mark.slow
def test_top_and_bottom_exchanged_is_named() -> None:
    bundle = scene("locomotive", 40.0, "view_max", "canonical").bundle
    spoilt = with_depth(bundle, top=bundle.depth["bottom"], bottom=bundle.depth["top"])
    with pytest.raises(CalibrationFailed, match="top.*bottom") as caught:
        calibrate(spoilt, masks(spoilt), nothing)
    assert "job.toml" in caught.value.suggestion


@pytest.mark.slow
def test_a_mirrored_view_is_named() -> None:
    bundle = scene("locomotive", 40.0, "view_max", "canonical").bundle
    spoilt = with_depth(bundle, left=np.ascontiguousarray(bundle.depth["left"][:, ::-1]))
    with pytest.raises(CalibrationFailed, match=r"left\.png"):
        calibrate(spoilt, masks(spoilt), nothing)


@pytest.mark.slow
def test_depth_of_another_object_is_named() -> None:
    bundle = scene("locomotive", 40.0, "view_max", "canonical").bundle
    other = scene("teapot", 60.0, "shared", "subject").bundle
    spoilt = with_depth(bundle, right=other.depth["right"])
    with pytest.raises(CalibrationFailed, match=r"right\.png"):
        calibrate(spoilt, masks(spoilt), nothing)


def stated(sample) -> dict[str, object]:
    """The whole truth, as job.toml has it."""
    truth = sample.calibration
    return {
        "cameras": {
            "fov_deg": truth.fov_deg,
            "views": {n: {"world_from_camera": truth.cameras[n].world_from_camera.tolist()} for n in VIEW_NAMES},
        },
        "depth": {
            "kind": "linear",
            "measure": "planar",
            "per_view": {n: {"near": c.at_code_0, "far": c.at_code_max} for n, c in truth.depth.items()},
        },
    }


def test_what_the_job_states_is_used_as_it_is() -> None:
    sample = scene("locomotive", 40.0, "view_max", "canonical")
    bundle = with_options(sample.bundle, **stated(sample))
    found = calibrate(bundle, masks(bundle), nothing)
    assert found.source == "given"
    assert found.layout == sample.calibration.layout
    for view in VIEW_NAMES:
        np.testing.assert_allclose(
            found.cameras[view].world_from_camera, sample.calibration.cameras[view].world_from_camera
        )
        assert found.depth[view].at_code_max == sample.calibration.depth[view].at_code_max


@pytest.mark.parametrize(
    ("encoding", "rounding"), [("view_max", "floor"), ("shared", "floor"), ("view_minmax", "nearest")]
)
def test_how_codes_of_stated_ranges_were_made_is_found(encoding: str, rounding: str) -> None:
    """Taken the wrong way, all surfaces are half a code too near or too far."""
    sample = scene("locomotive", 40.0, encoding, "canonical")
    assert {coding.rounding for coding in sample.calibration.depth.values()} == {rounding}
    options = stated(sample)
    whole = with_options(sample.bundle, **options)
    assert {c.rounding for c in calibrate(whole, masks(whole), nothing).depth.values()} == {rounding}
    depth_alone = with_options(sample.bundle, depth=options["depth"])
    assert {c.rounding for c in calibrate(depth_alone, masks(depth_alone), nothing).depth.values()} == {rounding}


def test_stated_poses_leave_the_rest_to_find() -> None:
    sample = scene("locomotive", 40.0, "view_max", "canonical")
    options = stated(sample)
    bundle = with_options(sample.bundle, cameras={"views": options["cameras"]["views"]})
    found = calibrate(bundle, masks(bundle), nothing)
    assert found.source == "mixed"
    assert found.fov_deg == pytest.approx(40.0, abs=1.0)


def test_stated_angle_and_distance_are_kept() -> None:
    sample = scene("locomotive", 40.0, "view_max", "canonical")
    bundle = with_options(sample.bundle, cameras={"fov_deg": 40.0, "distance": 2.5})
    found = calibrate(bundle, masks(bundle), nothing)
    assert found.fov_deg == 40.0
    assert np.linalg.norm(found.cameras["left"].position) == pytest.approx(2.5)
    truth = sample.calibration.depth["front"].at_code_max
    assert found.depth["front"].at_code_max == pytest.approx(2.5 * truth, rel=0.003)


@pytest.mark.parametrize("stated_deg", [35.0, 42.0, 60.0])
def test_a_stated_angle_that_the_outlines_contradict_is_refused_with_theirs(stated_deg: float) -> None:
    sample = scene("locomotive", 40.0, "view_max", "canonical")
    bundle = with_options(sample.bundle, cameras={"fov_deg": stated_deg})
    with pytest.raises(
        CalibrationFailed, match=rf"of {stated_deg:g} degrees, but .* (39\.[5-9]|40\.[0-4]) ±"
    ) as caught:
        calibrate(bundle, masks(bundle), nothing)
    assert "fov_deg" in caught.value.suggestion


def test_a_stated_angle_that_is_a_little_off_is_used_and_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.calibrate.given.WRONG_DEG", 2.0)
    sample = scene("locomotive", 40.0, "view_max", "canonical")
    bundle = with_options(sample.bundle, cameras={"fov_deg": 41.2})
    found = calibrate(bundle, masks(bundle), nothing)
    assert found.fov_deg == 41.2
    assert found.confidence <= 0.5
    assert "fov_deg = 41.2 was used as stated; the outlines alone say" in found.evidence["notes"][0]


def test_ranges_that_only_outlines_check_halve_the_confidence(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = scene("locomotive", 40.0, "view_max", "canonical")
    sure = calibrate(sample.bundle, masks(sample.bundle), nothing)
    assert sure.evidence["meeting_points"] > 100
    assert sure.evidence["notes"] == []
    monkeypatch.setattr("engine.calibrate.finish.FEW", 10**6)
    unsure = calibrate(sample.bundle, masks(sample.bundle), nothing)
    assert unsure.confidence == pytest.approx(sure.confidence / 2, abs=1e-4)
    assert "only the outlines say how deep each view lies" in unsure.evidence["notes"][0]
    assert not unsure.ambiguous


@pytest.mark.parametrize("what", ["axes", "far"])
def test_cameras_stated_whole_are_held_to_the_images(what: str) -> None:
    sample = scene("locomotive", 40.0, "view_max", "canonical")
    options = stated(sample)
    if what == "axes":
        options["cameras"]["axes"] = "opengl"
    else:
        for view in options["depth"]["per_view"].values():
            view["far"] *= 1.1
    bundle = with_options(sample.bundle, **options)
    with pytest.raises(CalibrationFailed, match="stated in job.toml contradict the depth renders"):
        calibrate(bundle, masks(bundle), nothing)


def test_what_was_estimated_can_be_stated() -> None:
    """job.toml written from a result's cameras gives that result's cameras."""
    sample = scene("locomotive", 40.0, "view_max", "canonical")
    first = calibrate(sample.bundle, masks(sample.bundle), nothing)
    bundle = with_options(sample.bundle, **stated(replace(sample, calibration=first)))
    again = calibrate(bundle, masks(bundle), nothing)
    assert again.source == "given"
    assert again.layout == first.layout
    assert again.fov_deg == pytest.approx(first.fov_deg)
    assert again.confidence > 0.9
    for view in VIEW_NAMES:
        np.testing.assert_allclose(again.cameras[view].world_from_camera, first.cameras[view].world_from_camera)
        assert again.depth[view].at_code_max == pytest.approx(first.depth[view].at_code_max)


@pytest.mark.slow
@pytest.mark.parametrize("code", [255, 200])
def test_a_view_without_relief_is_named(code: int) -> None:
    bundle = scene("locomotive", 40.0, "view_max", "canonical").bundle
    spoilt = with_depth(bundle, top=np.where(bundle.depth["top"] > 0, code, 0).astype(np.uint16))
    with pytest.raises(CalibrationFailed, match=rf"depth_renders/top\.png holds a single code \({code}\)") as caught:
        calibrate(spoilt, masks(spoilt), nothing)
    assert "Render that depth again" in caught.value.suggestion


@pytest.mark.slow
def test_an_exchange_that_can_be_read_in_two_ways_names_both() -> None:
    bundle = scene("locomotive", 40.0, "view_max", "canonical").bundle
    spoilt = with_depth(bundle, left=bundle.depth["back"], back=bundle.depth["left"])
    with pytest.raises(CalibrationFailed, match="are exchanged") as caught:
        calibrate(spoilt, masks(spoilt), nothing)
    assert all(f"{view}.png" in caught.value.message for view in ("left", "back", "front", "right"))


def test_poses_of_some_views_only_are_refused() -> None:
    sample = scene("locomotive", 40.0, "view_max", "canonical")
    options = stated(sample)
    del options["cameras"]["views"]["top"]
    bundle = with_options(sample.bundle, **options)
    with pytest.raises(ValidationFailed, match="top"):
        calibrate(bundle, masks(bundle), nothing)


@pytest.mark.slow
def test_two_runs_are_identical() -> None:
    sample = scene("locomotive", 40.0, "view_max", "canonical")
    first, second = (calibrate(sample.bundle, masks(sample.bundle), nothing) for _ in range(2))
    assert first.fov_deg == second.fov_deg
    assert first.depth == second.depth
    assert first.evidence == second.evidence
