"""render_depth and render_textured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest
import trimesh

from config.errors import GpuUnavailable
from config.sections import Engine
from engine.camera import Camera, Registration
from engine.machine import thread_count, use
from engine.mesh import Mesh, TexturedMesh
from engine.render import backends, clip_from_world, look_at, orbit, rasterizer, render_depth, render_textured, to_clip
from engine.render.backends import cuda_trouble, default_rasterizer, nvdiffrast_usable, on_cuda
from engine.render.mipmap import mip_chain, whole_halvings
from engine.render.numba_backend import NumbaRasterizer


@pytest.fixture(scope="module")
def textured_ball() -> TexturedMesh:
    sphere = trimesh.creation.icosphere(2, 0.25)
    ball = Mesh(np.array(sphere.vertices, np.float64), np.array(sphere.faces, np.int32))
    rng = np.random.default_rng(5)
    image = np.repeat(np.repeat(rng.integers(0, 256, (32, 32, 3)), 8, 0), 8, 1).astype(np.uint8)
    uv = ball.vertices[:, :2] * 1.9 + 0.5
    return TexturedMesh(ball, uv.astype(np.float32), ball.faces, image)


def test_clip_coordinates_agree_with_the_camera() -> None:
    rng = np.random.default_rng(0)
    pose = look_at(np.array([0.5, 0.7, 1.2]), np.zeros(3), np.array([0, 1.0, 0]))
    camera = Camera.from_fov(50, 300, pose).registered(Registration(1.02, 4, -7, 3))
    points = rng.uniform(-0.3, 0.3, (20, 3))
    clip = to_clip(points, camera).astype(np.float64)
    uv_px, depth = camera.project(points)
    np.testing.assert_allclose((clip[:, :2] / clip[:, 3:] + 1) * 150, uv_px, atol=1e-4)
    np.testing.assert_allclose(clip[:, 3], depth, rtol=1e-6)
    assert clip_from_world(camera).shape == (4, 4)


def test_near_and_infinity_are_at_minus_one_and_one() -> None:
    camera = Camera.from_fov(50, 64, look_at(np.array([0, 0, 2.0]), np.zeros(3), np.array([0, 1.0, 0])))
    clip = to_clip(np.array([[0, 0, 1.75], [0, 0, -1e6]]), camera, near=0.25)
    np.testing.assert_allclose(clip[:, 2] / clip[:, 3], [-1, 1], atol=1e-5)


def test_depth_maps_agree_with_rasterize(ball: Mesh) -> None:
    camera = orbit(30, 20, 1.0, 45, 90)
    drawn = rasterizer("numba").rasterize(to_clip(ball.vertices, camera), ball.faces, (90, 90))
    np.testing.assert_array_equal(render_depth(ball, camera), drawn.depth)


@pytest.mark.parametrize("supersample", [1, 2, 3])
def test_the_fused_picture_is_what_the_operations_give(textured_ball: TexturedMesh, supersample: int) -> None:
    camera = orbit(200, -10, 1.0, 40, 48)
    fused = render_textured(textured_ball, camera, supersample, rasterizer("numba"))
    single = render_textured(textured_ball, camera, supersample, rasterizer("reference"))
    assert 0.2 < fused.coverage.mean() < 0.6
    np.testing.assert_allclose(fused.coverage, single.coverage, atol=1e-6)
    np.testing.assert_allclose(fused.rgb, single.rgb, atol=3e-3)
    np.testing.assert_allclose(fused.depth, single.depth, rtol=1e-6)


def test_rgb_is_premultiplied(textured_ball: TexturedMesh) -> None:
    picture = render_textured(textured_ball, orbit(0, 0, 1.0, 40, 60), 2, rasterizer("numba"))
    rim = (picture.coverage > 0) & (picture.coverage < 1)
    assert rim.sum() > 50
    assert (picture.rgb <= picture.coverage[..., None] + 1e-5).all()
    np.testing.assert_allclose(picture.over(0.25)[picture.coverage == 0], 0.25)


def test_a_texture_is_the_right_way_round() -> None:
    """(0, 0) is the image's top left: four colours on a square that faces the camera."""
    corners = np.array([[-0.2, 0.2, 0], [0.2, 0.2, 0], [0.2, -0.2, 0], [-0.2, -0.2, 0]])
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32, :32], image[:32, 32:], image[32:, :32] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    faces = np.array([[0, 2, 1], [0, 3, 2]], np.int32)
    picture = render_textured(TexturedMesh(Mesh(corners, faces), uv, faces, image), orbit(0, 0, 1.0, 40, 64))
    for (row, column), colour in {
        (24, 24): (1, 0, 0),
        (24, 40): (0, 1, 0),
        (40, 24): (0, 0, 1),
        (40, 40): (0, 0, 0),
    }.items():
        np.testing.assert_allclose(picture.rgb[row, column], colour, atol=0.01)


def test_orbit_goes_from_the_front_to_plus_x() -> None:
    np.testing.assert_allclose(orbit(0, 0, 2, 40, 64).position, [0, 0, 2], atol=1e-12)
    np.testing.assert_allclose(orbit(90, 0, 2, 40, 64).position, [2, 0, 0], atol=1e-12)
    top = orbit(0, 60, 2, 40, 64)
    uv_px, _ = top.project(np.array([[0, 0.1, 0], [0.1, 0, 0]]))
    assert uv_px[0, 1] < 32 < uv_px[1, 0]


@pytest.mark.parametrize(
    ("sides", "times"), [((1, 1), 0), ((2048, 2048), 11), ((1000, 1000), 3), ((999, 1000), 0), ((1, 8), 3), ((6, 4), 1)]
)
def test_how_often_an_image_can_be_halved_without_a_rest(sides: tuple[int, int], times: int) -> None:
    assert whole_halvings(*sides) == times


def test_mip_chain_halves_down_to_a_pixel() -> None:
    image = np.arange(5 * 12 * 3, dtype=np.uint8).reshape(5, 12, 3)
    chain = mip_chain(image)
    assert [chain.level(k).shape[:2] for k in range(len(chain.levels))] == [(5, 12), (3, 6), (2, 3), (1, 2), (1, 1)]
    np.testing.assert_array_equal(chain.level(0), image)
    expected = (image[:2, :2].astype(int).sum((0, 1)) + 2) // 4
    np.testing.assert_array_equal(chain.level(1)[0, 0], expected)


@pytest.fixture
def _default_machine() -> Iterator[None]:
    yield
    use(Engine())


@pytest.mark.usefixtures("_default_machine")
def test_the_back_end_follows_the_settings() -> None:
    use(Engine(device="cpu"))
    assert default_rasterizer().name == "numba"
    ours = "cuda" if cuda_trouble() is None else None
    theirs = "nvdiffrast" if nvdiffrast_usable() else None
    chosen: dict[Literal["auto", "own", "nvdiffrast"], str | None]
    chosen = {"auto": theirs or ours, "own": ours, "nvdiffrast": theirs}
    for setting, name in chosen.items():
        use(Engine(device="auto", cuda_rasterizer=setting))
        assert default_rasterizer().name == (name or "numba")
        use(Engine(device="cuda", cuda_rasterizer=setting))
        if name is not None:
            assert default_rasterizer().name == name
        else:
            with pytest.raises(GpuUnavailable, match="rasteriser|nvdiffrast"):
                default_rasterizer()


@pytest.mark.usefixtures("_default_machine")
@pytest.mark.parametrize("fault", ["an exception", "another picture", None])
def test_our_own_back_end_for_cuda_has_to_draw_as_the_cpu_does(
    monkeypatch: pytest.MonkeyPatch, fault: str | None
) -> None:
    class Other(NumbaRasterizer):
        def sample_texture(self, image: Any, uv: Any, uv_dxy: Any = None) -> Any:
            if fault == "an exception":
                raise RuntimeError("no kernel image is available for execution on the device")
            return super().sample_texture(image, uv, uv_dxy) * (1 if fault is None else 0.9)

    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: name == "numba_cuda" or None)
    monkeypatch.setattr(backends, "rasterizer", lambda name: Other() if name == "cuda" else NumbaRasterizer())
    cuda_trouble.cache_clear()
    nvdiffrast_usable.cache_clear()
    try:
        reason = cuda_trouble()
        assert (reason is None) == (fault is None)
        assert on_cuda() == ("cuda" if fault is None else None)
        if reason is not None:
            assert "kernel image" in reason or "draw" in reason
            use(Engine(device="cuda", cuda_rasterizer="own"))
            with pytest.raises(GpuUnavailable) as failure:
                default_rasterizer()
            assert reason in failure.value.message
    finally:
        cuda_trouble.cache_clear()
        nvdiffrast_usable.cache_clear()


@pytest.mark.usefixtures("_default_machine")
def test_the_number_of_threads_follows_the_settings() -> None:
    use(Engine(threads=3))
    assert thread_count() == 3
