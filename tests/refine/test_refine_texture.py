"""Fitting a baked texture to the views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES
from config.errors import Cancelled
from config.sections import Engine
from engine import machine
from engine.camera import Camera
from engine.diff import operations
from engine.mesh import TexturedMesh
from engine.refine import Refined, refine_texture, texture_device
from engine.refine import texture as room
from engine.refine.observations import Observations, observe
from engine.refine.sirt import solve
from engine.refine.texture import _OnCpu
from engine.render import interpolate, look_at, rasterize, render_textured, to_clip
from engine.texture import texture
from tests.texture.conftest import RGB, Scene, shape_mesh, view_camera
from tests.texture.conftest import scene as plain_scene  # noqa: F401 - a fixture

SIZE = 256


def pattern(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB values 0..255 [N, 3]: waves of about ten pixels of a view."""
    x, y, z = points.T
    return np.stack([120 + 70 * np.sin(300 * a) for a in (x + y, y - z, x + z)], 1)


def photograph(camera: Camera, samples: int = 3) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The patterned shape [S, S, 3] 0..255 on white, and where it fills the pixel."""
    mesh, size = shape_mesh(), camera.size_px
    fragments = rasterize(to_clip(mesh.vertices, camera), mesh.faces, (size * samples, size * samples))
    points = interpolate(mesh.vertices.astype(np.float32), fragments, mesh.faces).astype(np.float64)
    image = np.where(fragments.covered[..., None], pattern(points.reshape(-1, 3)).reshape(points.shape), 255.0)
    shape = (size, samples, size, samples)
    return image.reshape(*shape, 3).mean((1, 3)), fragments.covered.reshape(shape).all((1, 3))


@pytest.fixture(scope="module")
def scene(plain_scene: Scene) -> Scene:  # noqa: F811
    rgb = {v: np.rint(photograph(view_camera(v, RGB))[0]).astype(np.uint8) for v in VIEW_NAMES}
    return replace(plain_scene, bundle=replace(plain_scene.bundle, rgb=rgb))


@pytest.fixture(scope="module")
def baked(scene: Scene) -> TexturedMesh:
    return texture(scene.mesh, scene.bundle, scene.segmentation, scene.calibration, {}, SIZE).textured


def refine(scene: Scene, baked: TexturedMesh, steps: int = 4, **changes: Any) -> Refined:
    bundle = replace(scene.bundle, **changes)
    return refine_texture(baked, bundle, scene.segmentation, scene.calibration, {}, steps)


def errors(camera: Camera, *textured: TexturedMesh) -> list[float]:
    """Root mean square in sRGB steps against the true picture, where both fill the pixel."""
    truth, whole = photograph(camera)
    out = []
    for one in textured:
        drawn = render_textured(one, camera, with_depth=False)
        both = whole & (drawn.coverage == 1)
        assert both.sum() > 3000
        out.append(float(np.sqrt(((drawn.rgb * 255 - truth)[both] ** 2).mean())))
    return out


def test_the_views_and_views_between_are_drawn_better(scene: Scene, baked: TexturedMesh) -> None:
    refined = refine(scene, baked)
    for v in VIEW_NAMES:
        after, before = errors(view_camera(v, RGB), refined.textured, baked)
        assert after < 0.8 * before
    between = Camera.from_fov(40, RGB, look_at(np.array([0.6, 0.35, 0.72]), np.zeros(3), np.array([0, 1.0, 0])))
    after, before = errors(between, refined.textured, baked)
    assert after < 0.9 * before
    assert list(refined.psnr_db) == sorted(refined.psnr_db)
    assert refined.psnr_db[-1] > refined.psnr_db[0] + 2
    assert refined.textured.mesh is baked.mesh
    np.testing.assert_array_equal(refined.textured.uv, baked.uv)


def test_texels_that_no_view_sees_stay(scene: Scene, baked: TexturedMesh) -> None:
    alone = {"front": scene.bundle.rgb["front"]}
    refined = refine(scene, baked, rgb=alone)
    changed = (refined.textured.texture_kd != baked.texture_kd).any(-1)
    assert changed.any()
    back = view_camera("back", RGB)
    away = shape_mesh().vertex_normals()[:, 2] < -0.3  # turned away from the front camera
    uv = np.zeros((len(away), 2), np.float32)
    uv[baked.mesh.faces.ravel()] = baked.uv[baked.faces_uv.ravel()]
    texel = np.minimum((uv[away] * SIZE).astype(int), SIZE - 1)
    assert changed[texel[:, 1], texel[:, 0]].mean() < 0.01
    np.testing.assert_allclose(render_textured(refined.textured, back).rgb, render_textured(baked, back).rgb, atol=0.4)


def test_a_view_of_something_else_loses_its_weight(scene: Scene, baked: TexturedMesh) -> None:
    painted = dict(scene.bundle.rgb)
    painted["top"] = 255 - painted["top"]
    refined = refine(scene, baked, rgb=painted)
    assert refined.agreement["top"] < 0.4
    assert min(share for v, share in refined.agreement.items() if v != "top") > 0.8
    after, before = errors(view_camera("left", RGB), refined.textured, baked)
    assert after < before
    (note,) = refined.notes()
    assert note.startswith("The colours of top (")
    assert refine(scene, baked).notes() == ()


def test_white_on_white_stays_white(scene: Scene, baked: TexturedMesh) -> None:
    white = TexturedMesh(baked.mesh, baked.uv, baked.faces_uv, np.full_like(baked.texture_kd, 255))
    refined = refine(scene, white, rgb={v: np.full_like(rgb, 255) for v, rgb in scene.bundle.rgb.items()})
    assert (refined.textured.texture_kd == 255).all()


def test_no_steps_change_nothing(scene: Scene, baked: TexturedMesh) -> None:
    np.testing.assert_array_equal(refine(scene, baked, steps=0).textured.texture_kd, baked.texture_kd)


def test_the_way_back_is_the_adjoint_of_drawing(scene: Scene, baked: TexturedMesh) -> None:
    view = observe(baked, view_camera("left", RGB), scene.bundle.rgb["left"], scene.segmentation.rgb_alpha["left"])
    assert view is not None
    rng = np.random.default_rng(0)
    image = rng.normal(size=(SIZE, SIZE, 3)).astype(np.float32)
    values = rng.normal(size=(len(view.uv), 3)).astype(np.float32)
    levels = room.chain(image, full=True)
    drawn, spots = room.look_up(levels, view.uv, view.uv_dxy)
    total = np.zeros_like(levels[0])
    room.to_texels(levels, spots, values, total)
    back = room.chain_backward(total, levels[1]).reshape(image.shape)
    forth = float((drawn.astype(np.float64) * values).sum())
    assert float((back.astype(np.float64) * image).sum()) == pytest.approx(forth, rel=1e-3, abs=1e-2)


def test_a_view_that_shows_nothing_is_left_out(scene: Scene, baked: TexturedMesh) -> None:
    nothing = np.zeros((RGB, RGB), np.uint8)
    assert observe(baked, view_camera("front", RGB), scene.bundle.rgb["front"], nothing) is None


def test_the_thread_count_changes_nothing(scene: Scene, baked: TexturedMesh, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: machine.use(Engine()))
    results = []
    for threads in (1, 3):
        machine.use(Engine(threads=threads))
        results.append(refine(scene, baked, steps=2).textured.texture_kd)
    np.testing.assert_array_equal(*results)


def test_a_gpu_gives_the_same_to_a_step_of_srgb(
    scene: Scene, baked: TexturedMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By torch's operations on the CPU; test_refine_device has those on CUDA."""
    here = refine(scene, baked)
    monkeypatch.setattr(room, "choose", lambda: "cuda")
    monkeypatch.setattr(texture_device, "_back_end", lambda: (operations("cpu"), torch.device("cpu")))
    there = refine(scene, baked)
    assert there.device == "cuda"
    apart = np.abs(there.textured.texture_kd.astype(int) - here.textured.texture_kd)
    assert (apart <= 1).mean() >= 0.999
    assert there.psnr_db == pytest.approx(here.psnr_db, abs=0.002)
    assert there.notes() == here.notes() == ()


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_cancel_is_felt_at_every_step(
    scene: Scene, baked: TexturedMesh, threads: int, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(lambda: machine.use(Engine()))
    machine.use(Engine(threads=threads))
    seen: list[float] = []

    def stop_at(limit: float) -> Callable[[float], None]:
        def checkpoint(fraction: float) -> None:
            seen.append(fraction)
            if fraction >= limit:
                raise Cancelled

        return checkpoint

    s = scene
    refine_texture(baked, s.bundle, s.segmentation, s.calibration, {}, 2, stop_at(2))
    assert seen == sorted(seen)
    looked = [fraction for fraction in seen if fraction <= 0.4]
    assert len(looked) == -(-len(s.bundle.rgb) // threads), "as many views at a time as there are threads"
    assert len(seen) - len(looked) >= 3
    with pytest.raises(Cancelled):
        refine_texture(baked, s.bundle, s.segmentation, s.calibration, {}, 2, stop_at(0.7))


def test_what_is_hardly_seen_stays_near_the_bake() -> None:
    """Two texels that views want 20 brighter: one in the middle of a pixel, the other in a hundredth of one."""
    start = np.full((8, 8, 3), 100, np.float32)
    at = np.array([[1, 1], [5, 5]])  # column, row
    seen = Observations(
        uv=((at + 0.5) / 8).astype(np.float32),
        uv_dxy=np.zeros((2, 2, 2), np.float32),
        rgb=np.full((2, 3), 120, np.uint8),
        trust=np.array([1, 0.01], np.float32),
        row=at[:, 1].astype(np.int32) * 40,
        column=at[:, 0].astype(np.int32) * 40,
        size_px=(320, 320),
    )
    views = _OnCpu(start, {"front": seen})
    best, told = solve(views, 1, lambda fraction: None)
    moved = (best - start)[at[:, 1], at[:, 0]].mean(1)
    assert len(told) == 2
    assert 10 < moved[0] < 19
    assert 0 < moved[1] < 2
    assert np.abs(best - start).sum() == pytest.approx(3 * moved.sum()), "no other texel moves"


def test_no_step_is_begun_after_its_time(scene: Scene, baked: TexturedMesh) -> None:
    ticks = iter(np.arange(100.0))

    def within(budget_s: float) -> Refined:
        views = scene.bundle, scene.segmentation, scene.calibration, {}
        return refine_texture(baked, *views, 2, budget_s=budget_s, clock=lambda: float(next(ticks)))

    late = within(0.5)
    assert late.facts()["steps"] == 0
    assert np.array_equal(late.textured.texture_kd, baked.texture_kd)
    assert within(1.5).facts()["steps"] == 1
