"""Samples in memory and on disk: what they claim to be, they are."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.ndimage import binary_dilation

from config.bundle_layout import VIEW_NAMES
from engine.camera import Camera
from engine.mesh import Mesh
from engine.render import render_depth, render_textured
from engine.sample import BACKGROUNDS, ENCODINGS, LAYOUTS, OBJECT_NAMES, Scene, make_sample, novel_cameras, sample_scene
from engine.sample.coding import encode, ray_lengths

GRID = 96


def scene(name: str = "robot", **changes: object) -> Scene:
    return sample_scene(name, size_px=256, grid=GRID, **changes)  # type: ignore[arg-type]


def is_closed_manifold(mesh: Mesh) -> bool:
    """Every directed edge once, its opposite once."""
    edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    both, counts = np.unique(edges, axis=0, return_counts=True)
    opposite = np.unique(edges[:, ::-1], axis=0)
    return bool((counts == 1).all() and np.array_equal(both, opposite))


@pytest.mark.parametrize("name", OBJECT_NAMES)
def test_objects_are_closed_in_one_piece_and_in_view(name: str) -> None:
    s = scene(name)
    mesh = s.truth.mesh
    assert is_closed_manifold(mesh)
    as_trimesh = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert as_trimesh.body_count == 1
    assert as_trimesh.volume > 0
    low, high = mesh.bounds()
    np.testing.assert_allclose((low + high) / 2, 0, atol=1e-9)
    for view in VIEW_NAMES:
        rows, columns = np.nonzero(s.bundle.depth[view])
        extent = max(abs(rows + 0.5 - 128).max(), abs(columns + 0.5 - 128).max())
        assert extent < 0.87 * 128
        assert (s.bundle.depth[view][0] == 0).all()


def test_the_teapot_has_a_handle_and_the_robot_a_ring_for_a_hand() -> None:
    for name in ("teapot", "robot"):
        mesh = trimesh.Trimesh(*_arrays(scene(name).truth.mesh), process=False)
        assert mesh.euler_number == 0  # genus 1
    assert trimesh.Trimesh(*_arrays(scene("locomotive").truth.mesh), process=False).euler_number < 0


def _arrays(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    return mesh.vertices, mesh.faces


@pytest.mark.parametrize("name", OBJECT_NAMES)
def test_objects_are_asymmetric(name: str) -> None:
    """Neither a mirrored nor a half-turned view could be taken for the right one."""
    s = scene(name)
    for view in VIEW_NAMES:
        picture = s.bundle.rgb[view].astype(np.float64)
        depth = s.bundle.depth[view] > 0
        for changed, outline in ((picture[:, ::-1], depth[:, ::-1]), (picture[::-1, ::-1], depth[::-1, ::-1])):
            either = np.kron(depth | outline, np.ones((1, 1))).astype(bool)
            apart = np.abs(picture - changed).mean(-1)[either]
            assert np.sqrt((apart**2).mean()) > 8


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_truth_explains_the_codes(encoding: str, layout: str) -> None:
    """Every code, decoded in the middle of its interval, is within half a step of the true depth."""
    s = scene(encoding=encoding, layout=layout)
    for view in VIEW_NAMES:
        coding, camera = s.calibration.depth[view], s.calibration.cameras[view]
        codes = s.bundle.depth[view]
        covered = s.depth[view] > 0
        np.testing.assert_array_equal(codes > 0, covered)
        assert codes.max() <= coding.code_max == s.bundle.depth_code_max
        middle = codes.astype(np.float64) + (0.5 if coding.rounding == "floor" else 0.0)
        middle = np.where(codes == coding.code_max, coding.code_max, middle)
        decoded = coding.decode(middle)
        measured = s.depth[view] * (ray_lengths(camera) if coding.measure == "ray" else 1)
        step = np.abs(coding.decode(middle + 0.5) - coding.decode(middle - 0.5))
        assert (np.abs(decoded - measured) <= 0.51 * step + 1e-9)[covered & (codes < coding.code_max)].all()
        assert (np.abs(decoded - measured) <= 1.01 * step)[covered].all()


def test_every_view_reaches_the_top_only_where_the_encoding_says_so() -> None:
    for encoding, expected in (("view_max", True), ("shared", False), ("view_minmax", True), ("near_bright", False)):
        tops = [scene(encoding=encoding).bundle.depth[view].max() == 255 for view in VIEW_NAMES]
        assert all(tops) == expected
        assert any(tops)


def test_views_agree_with_each_other_through_the_true_cameras() -> None:
    s = scene("teapot", layout="subject", offset=(0.1, -0.05, 0.07))
    for view in VIEW_NAMES:
        camera, depth = s.calibration.cameras[view], s.depth[view]
        rows, columns = np.nonzero(depth)
        points = camera.unproject(np.stack([columns + 0.5, rows + 0.5], 1), depth[rows, columns])
        for other in VIEW_NAMES:
            uv_px, z = s.calibration.cameras[other].project(points)
            u, v = np.floor(uv_px).astype(int).T
            front = s.depth[other][v, u]
            known = front > 0
            # Points on a rim fall beside the outline of a view that sees them edge-on, by a pixel or two.
            assert binary_dilation(s.depth[other] > 0, iterations=2)[v, u].mean() > 0.995
            assert known.mean() > 0.9
            assert (z[known] > front[known] - 0.02).mean() > 0.98


def test_layouts_place_left_and_top() -> None:
    for layout, left_x, top_up_z in (("canonical", -1, -1), ("subject", 1, 1)):
        s = scene(layout=layout)
        np.testing.assert_allclose(s.calibration.cameras["left"].position, [left_x, 0, 0], atol=1e-12)
        image_up = -s.calibration.cameras["top"].world_from_camera[:3, 1]
        np.testing.assert_allclose(image_up, [0, 0, top_up_z], atol=1e-12)
        assert s.calibration.layout["right"].toward == ("+X" if left_x < 0 else "-X")
    np.testing.assert_array_equal(
        scene(layout="canonical").bundle.rgb["left"], scene(layout="subject").bundle.rgb["right"]
    )


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_backgrounds(background: str) -> None:
    s = scene(background=background)
    corner = s.bundle.rgb["front"][0, 0]
    if background == "transparent":
        alpha = s.bundle.alpha["front"]
        assert alpha is not None
        assert alpha[0, 0] == 0
        assert alpha.max() == 255
        opaque = scene().bundle.rgb["front"]
        np.testing.assert_array_equal(s.bundle.rgb["front"][alpha == 255], opaque[alpha == 255])
    else:
        assert s.bundle.alpha["front"] is None
        np.testing.assert_array_equal(corner, BACKGROUNDS[background])  # type: ignore[index]


def test_the_atlas_shows_what_the_solid_texture_does() -> None:
    s = scene("teapot")
    textured = s.truth.textured(2048)
    for camera in list(novel_cameras(s.truth, 40, 640).values())[:2]:
        truth, drawn = s.truth.render(camera), render_textured(textured, camera)
        np.testing.assert_array_equal(drawn.coverage, truth.coverage)
        error = np.mean((drawn.over(1.0) - truth.over(1.0)) ** 2)
        assert -10 * np.log10(error) > 33


def test_plain_shapes_for_tests() -> None:
    for name, components in (("sphere", 1), ("cube", 1), ("torus", 1), ("two_balls", 2)):
        s = scene(name)
        assert is_closed_manifold(s.truth.mesh)
        assert trimesh.Trimesh(*_arrays(s.truth.mesh), process=False).body_count == components
    ball = scene("sphere").truth
    radius = np.linalg.norm(ball.mesh.vertices, axis=1) * ball.units_per_world
    np.testing.assert_allclose(radius, 0.5, atol=1e-4)
    with pytest.raises(ValueError, match="no object is called 'dodo'"):
        scene("dodo")


def test_disparity_codes_of_a_known_depth() -> None:
    s = scene("sphere", encoding="disparity")
    coding = s.calibration.depth["front"]
    near, far = coding.at_code_max, float(coding.decode(np.array(1.0)))
    middle = 2 / (1 / near + 1 / far)
    codes = encode(coding, np.array([[near, far, middle, 0.0]]))
    np.testing.assert_array_equal(codes, [[255, 1, 128, 0]])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sample")
    assert make_sample(out, "robot", size_px=256, encoding="view_max_16bit") == out / "bundle"
    return out


def test_files(written: Path) -> None:
    for view in VIEW_NAMES:
        with Image.open(written / "bundle" / "multi_views" / f"{view}.png") as rgb:
            assert (rgb.size, rgb.mode) == ((256, 256), "RGB")
        with Image.open(written / "bundle" / "depth_renders" / f"{view}.png") as depth:
            assert depth.size == (256, 256)
            assert np.asarray(depth).max() == 65535
    folders = {path.name for path in (written / "ground_truth").rglob("*") if path.is_dir()}
    assert folders.isdisjoint({"multi_views", "depth_renders"})
    assert len(list((written / "ground_truth" / "novel").glob("*_mask.png"))) == 8


def test_the_written_truth_renders_the_written_depth(written: Path) -> None:
    mesh = trimesh.load(written / "ground_truth" / "mesh.ply", process=False)
    assert mesh.is_watertight
    assert mesh.visual.vertex_colors[:, :3].std(0).min() > 20
    cameras = json.loads((written / "ground_truth" / "cameras.json").read_text())
    for view, given in cameras["views"].items():
        camera = Camera(given["size_px"], np.array(given["K"]), np.array(given["world_from_camera"])).scaled_to(256)
        drawn = render_depth(Mesh(np.array(mesh.vertices), np.array(mesh.faces, np.int32)), camera)
        codes = np.asarray(Image.open(written / "bundle" / "depth_renders" / f"{view}.png")).astype(np.float64)
        both = (drawn > 0) & (codes > 0)
        assert both.sum() / max((drawn > 0).sum(), (codes > 0).sum()) > 0.999
        decoded = (
            given["depth"]["at_code_0"] + (given["depth"]["at_code_max"] - given["depth"]["at_code_0"]) * codes / 65535
        )
        assert np.median(np.abs(drawn - decoded)[both]) < 1e-4


def test_two_samples_are_alike_to_the_byte(written: Path, tmp_path: Path) -> None:
    make_sample(tmp_path, "robot", size_px=256, encoding="view_max_16bit")
    files = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert len(files) == 12 + 16 + 3
    assert all((tmp_path / f).read_bytes() == (written / f).read_bytes() for f in files)
    assert all(a < b for a, b in pairwise(files))
