"""docs/blender_export.py against the project's own renderer: what it can do without Blender."""

from __future__ import annotations

import importlib.util
import io
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from config.bundle_layout import DEPTH_DIR, RGB_DIR, VIEW_NAMES
from config.job import parse_job_options, read_job_options
from engine import reconstruct
from engine.calibrate.given import read_given
from engine.sample import Scene, sample_scene

SCRIPT = Path(__file__).parent.parent / "docs" / "blender_export.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("blender_export", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scene() -> Scene:
    return sample_scene("locomotive", fov_deg=35.0, size_px=256, background="transparent", grid=128)


def test_the_cameras_stand_where_the_samples_do(script: ModuleType, scene: Scene) -> None:
    for view, pose in script.view_poses(1.0).items():
        np.testing.assert_allclose(pose, scene.calibration.cameras[view].world_from_camera, atol=1e-12)
    assert set(script.VIEWS) == set(VIEW_NAMES)


def test_blender_sees_the_front_from_minus_y_and_the_top_with_y_up(script: ModuleType) -> None:
    poses = script.view_poses(2.0)
    centre = np.array([10.0, 20.0, 30.0])
    front = script.blender_matrix(poses["front"], centre)
    # Blender's cameras look along their own -Z, with Y up and X right.
    np.testing.assert_allclose(front[:3, 3], [10, 18, 30])
    np.testing.assert_allclose(front[:3, :3], [[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    top = script.blender_matrix(poses["top"], centre)
    np.testing.assert_allclose(top[:3, 3], [10, 20, 32])
    np.testing.assert_allclose(top[:3, :3], np.eye(3))
    for pose in poses.values():
        assert np.linalg.det(script.blender_matrix(pose, centre)[:3, :3]) == pytest.approx(1)


def test_a_point_falls_on_the_same_pixel_in_both_worlds(script: ModuleType, scene: Scene) -> None:
    points = np.random.default_rng(0).uniform(-0.2, 0.2, (50, 3))
    centre = np.array([1.0, -2.0, 0.5])
    in_blender = points @ script.BLENDER_FROM_WORLD.T + centre
    for view, pose in script.view_poses(1.0).items():
        camera = scene.calibration.cameras[view]
        uv_px, depth = camera.project(points)
        matrix = script.blender_matrix(pose, centre)
        seen = (in_blender - matrix[:3, 3]) @ matrix[:3, :3]
        np.testing.assert_allclose(-seen[:, 2], depth)
        np.testing.assert_allclose(camera.K[0, 0] * seen[:, 0] / -seen[:, 2] + camera.K[0, 2], uv_px[:, 0])
        np.testing.assert_allclose(camera.K[1, 1] * seen[:, 1] / seen[:, 2] + camera.K[1, 2], uv_px[:, 1])


def test_the_object_fills_the_frame_and_its_depth_the_range(script: ModuleType, scene: Scene) -> None:
    points = scene.truth.mesh.vertices * 7
    distance = script.fit_distance(points, 35.0, 0.9)
    near, far = script.depth_range(points, distance)
    farthest = 0.0
    for view, pose in script.view_poses(distance).items():
        inverse = np.linalg.inv(pose)
        seen = points @ inverse[:3, :3].T + inverse[:3, 3]
        assert near < seen[:, 2].min() < seen[:, 2].max() < far, view
        farthest = max(farthest, (np.abs(seen[:, :2]).max(1) / seen[:, 2]).max() / np.tan(np.radians(17.5)))
    assert farthest == pytest.approx(0.9)


def test_job_toml_says_what_was_done(script: ModuleType) -> None:
    text = script.job_toml(40.0, 5.25, 3.9, 6.7)
    options = parse_job_options(tomllib.loads(text))
    given = read_given(options, script.CODE_MAX)
    assert given.everything
    assert given.fov_deg == 40.0
    assert given.poses is not None
    np.testing.assert_allclose(given.poses, [script.view_poses(5.25)[view] for view in VIEW_NAMES])
    assert given.unit == pytest.approx(5.25)
    assert given.coding is not None
    for coding in given.coding.values():
        assert (coding.kind, coding.measure, coding.at_code_0, coding.at_code_max) == ("linear", "planar", 3.9, 6.7)


def test_codes_give_the_depth_back_and_only_the_background_is_0(script: ModuleType) -> None:
    depth = np.array([[2.0, 2.5, 3.999], [4.0, 1e10, 1.0]])
    covered = np.array([[True, True, True], [True, False, True]])
    codes = script.depth_codes(depth, covered, 2.0, 4.0)
    assert codes.dtype == np.uint16
    assert codes.tolist()[0][0] == 1  # nearest of all, but a surface
    assert codes[1].tolist() == [script.CODE_MAX, 0, 1]
    back = 2.0 + 2.0 * codes.astype(float) / script.CODE_MAX
    assert np.abs(back - depth)[0, 1:].max() <= 2.0 / script.CODE_MAX / 2


def test_the_png_holds_the_codes(script: ModuleType) -> None:
    codes = np.random.default_rng(1).integers(0, 65536, (257, 257)).astype(np.uint16)
    image = Image.open(io.BytesIO(script.png_16bit(codes)))
    assert image.mode.startswith("I;16")
    np.testing.assert_array_equal(np.asarray(image), codes)


def test_it_needs_no_blender_to_be_read(script: ModuleType) -> None:
    assert "bpy" not in sys.modules
    options = script.arguments(["out", "--fov", "30"])
    assert (options.fov, options.size, options.depth_size) == (30.0, 2048, 1024)


@pytest.mark.slow
def test_what_it_writes_is_reconstructed_with_the_cameras_it_states(
    script: ModuleType, scene: Scene, tmp_path: Path
) -> None:
    """The sample's pictures and exact depth in the script's coding and with its job.toml, at a scale of its own."""
    unit = 5.25
    points = scene.truth.mesh.vertices * unit
    near, far = script.depth_range(points, unit)
    bundle, out = tmp_path / "bundle", tmp_path / "out"
    for name in (RGB_DIR, DEPTH_DIR):
        (bundle / name).mkdir(parents=True)
    for view in VIEW_NAMES:
        alpha = scene.bundle.alpha[view]
        assert alpha is not None
        Image.fromarray(np.dstack([scene.bundle.rgb[view], alpha])).save(bundle / RGB_DIR / f"{view}.png")
        depth = scene.depth[view] * unit
        png = script.png_16bit(script.depth_codes(depth, depth > 0, near, far))
        (bundle / DEPTH_DIR / f"{view}.png").write_bytes(png)
    (bundle / "job.toml").write_text(script.job_toml(35.0, unit, near, far))
    options = read_job_options(bundle / "job.toml").model_copy(update={"quality": "draft"})
    result = reconstruct(bundle, out, options)
    calibration = result.quality["calibration"]
    assert calibration["source"] == "given"
    assert calibration["fov_deg"] == pytest.approx(35.0, abs=1e-6)
    assert result.status == "normal"
    for view, figures in result.quality["views"].items():
        assert figures["depth_iou"] > 0.97, view
        assert figures["depth_error"] < 0.002, view
    low, high = points.min(0), points.max(0)
    bounds = np.array(result.quality["mesh"]["bounds"])
    np.testing.assert_allclose(bounds, [low, high], atol=0.01 * float((high - low).max()))
