"""rasterize, interpolate and sample_texture: every back end against analytic shapes, and against the reference."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import Delaunay

from engine.camera import Camera
from engine.cuda import SIMULATED
from engine.mesh import Mesh
from engine.render import Rasterizer, near_plane, rasterizer, to_clip
from engine.render.numba_backend import setup


def clip_positions(xy_px: np.ndarray, size_px: tuple[int, int], w: np.ndarray | float = 1.0) -> np.ndarray:
    """Clip coordinates of points [N, 2] on the screen with camera depths w."""
    ndc = xy_px / np.array([size_px[1], size_px[0]]) * 2 - 1
    w = np.broadcast_to(np.asarray(w, np.float64), (len(ndc),))
    return np.column_stack([ndc * w[:, None], np.zeros(len(ndc)), w]).astype(np.float32)


def rays(camera: Camera) -> np.ndarray:
    """[H, W, 3] directions with z = 1, in camera axes."""
    centres = np.arange(camera.size_px) + 0.5
    u, v = np.meshgrid(centres, centres)
    return np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(camera.K).T


def test_tilted_plane_has_exact_depth_and_perspective_correct_uv(back_end: Rasterizer, front_camera: Camera) -> None:
    corners = np.array([[-0.4, -0.4, 0.3], [0.4, -0.4, -0.5], [0.4, 0.4, -0.5], [-0.4, 0.4, 0.3]])
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    uv = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)
    fragments = back_end.rasterize(to_clip(corners, front_camera), faces, (64, 64), derivatives=True)
    got, got_dxy = back_end.interpolate(uv, fragments, faces, derivatives=True)

    # In camera axes: the plane through the corners, met by each pixel's ray.
    M = front_camera.camera_from_world
    p = corners @ M[:3, :3].T + M[:3, 3]
    normal = np.cross(p[1] - p[0], p[3] - p[0])

    def truth(ray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = (p[0] @ normal) / (ray @ normal)
        hit = ray * z[..., None] - p[0]
        across, along = p[1] - p[0], p[3] - p[0]
        return z, np.stack([hit @ across / (across @ across), 1 - hit @ along / (along @ along)], -1)

    depth, expected = truth(rays(front_camera))
    inside = ((expected > 0.01) & (expected < 0.99)).all(-1)
    outside = ((expected < -0.01) | (expected > 1.01)).any(-1)
    assert inside.sum() > 400
    assert fragments.covered[inside].all()
    assert not fragments.covered[outside].any()
    np.testing.assert_allclose(fragments.depth[inside], depth[inside], rtol=2e-6)
    np.testing.assert_allclose(got[inside], expected[inside], atol=2e-4)

    step = np.array([1 / front_camera.K[0, 0], 0, 0])
    ahead, behind = truth(rays(front_camera) + 1e-3 * step)[1], truth(rays(front_camera) - 1e-3 * step)[1]
    np.testing.assert_allclose(got_dxy[inside][..., 0], (ahead - behind)[inside] / 2e-3, atol=2e-5)


def test_sphere_depth(back_end: Rasterizer, ball: Mesh, front_camera: Camera) -> None:
    fragments = back_end.rasterize(to_clip(ball.vertices, front_camera), ball.faces, (64, 64))
    ray = rays(front_camera)
    a = (ray**2).sum(-1)
    b = -ray[..., 2]  # the centre is at (0, 0, 1)
    under = b * b - a * (1 - 0.25**2)
    expected = (-b - np.sqrt(np.maximum(under, 0))) / a
    well_inside = under > 0.01
    assert well_inside.sum() > 500
    np.testing.assert_allclose(fragments.depth[well_inside], expected[well_inside], atol=1.5e-3)
    assert (fragments.depth[under < -0.004] == 0).all()


def test_box_faces_have_constant_depth(back_end: Rasterizer, front_camera: Camera) -> None:
    box = trimesh.creation.box((0.4, 0.3, 0.2))
    fragments = back_end.rasterize(
        to_clip(np.array(box.vertices), front_camera), np.array(box.faces, np.int32), (64, 64)
    )
    assert fragments.covered.sum() > 300
    np.testing.assert_allclose(fragments.depth[fragments.covered], 0.9, rtol=1e-6)


def test_background_is_untouched(back_end: Rasterizer) -> None:
    triangle = clip_positions(np.array([[3.0, 3], [9, 3], [3, 9]]), (16, 24))
    fragments = back_end.rasterize(triangle, np.array([[0, 1, 2]], np.int32), (16, 24), derivatives=True)
    beyond = ~fragments.covered
    assert fragments.covered[3:6, 3:6].all()
    assert beyond[:, 10:].all()
    assert (fragments.face_index[beyond] == -1).all()
    assert fragments.barycentric_dxy is not None
    for values in (fragments.barycentric, fragments.depth, fragments.barycentric_dxy):
        assert (values[beyond] == 0).all()
    colours = np.ones((3, 2), np.float32)
    assert (back_end.interpolate(colours, fragments, np.array([[0, 1, 2]], np.int32))[beyond] == 0).all()


def test_nothing_to_draw(back_end: Rasterizer) -> None:
    nowhere = back_end.rasterize(np.ones((3, 4), np.float32), np.zeros((0, 3), np.int32), (8, 8))
    assert not nowhere.covered.any()


def test_coplanar_faces_show_the_lower_index(back_end: Rasterizer) -> None:
    if back_end.name == "nvdiffrast":
        pytest.skip("its order among equal depths is its own")
    square = clip_positions(np.array([[2.0, 2], [14, 2], [14, 14], [2, 14]]), (16, 16))
    faces = np.array([[0, 1, 2], [0, 1, 2], [0, 2, 3], [2, 3, 0]], np.int32)
    assert set(np.unique(back_end.rasterize(square, faces, (16, 16)).face_index)) == {-1, 0, 2}


@settings(max_examples=3 if SIMULATED else 40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 24), st.booleans())
def test_triangulations_cover_every_pixel_once(seed: int, count: int, on_centres: bool) -> None:
    """Also with vertices and edges exactly on pixel centres, where the top-left rule decides."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(3, 29, (count, 2))
    if on_centres:
        points = np.floor(points) + 0.5
    points = np.unique(np.concatenate([points, [[3, 3], [29, 3], [29, 29], [3, 29]]]), axis=0)
    faces = Delaunay(points).simplices.astype(np.int32)
    position = clip_positions(points, (32, 32), rng.uniform(0.5, 2, len(points)))
    numba = rasterizer("cuda" if SIMULATED else "numba")
    times = np.zeros((32, 32), np.int64)
    for face in faces:
        times += numba.rasterize(position, face[None], (32, 32)).covered
    expected = np.zeros((32, 32), np.int64)
    expected[3:29, 3:29] = 1
    np.testing.assert_array_equal(times, expected)
    whole = numba.rasterize(position, faces, (32, 32))
    np.testing.assert_array_equal(whole.covered, expected == 1)
    reference = rasterizer("reference").rasterize(position, faces, (32, 32), derivatives=True)
    np.testing.assert_array_equal(whole.face_index, reference.face_index)


@settings(max_examples=3 if SIMULATED else 40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_random_triangles_match_the_reference(seed: int, count: int) -> None:
    match_the_reference(rasterizer("cuda" if SIMULATED else "numba"), seed, count)


def test_some_triangles_match_the_reference(compiled: Rasterizer) -> None:
    for seed in range(3):
        match_the_reference(compiled, seed, 12)


def match_the_reference(back_end: Rasterizer, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    xy, w = rng.uniform(-20, 60, (3 * count, 2)), rng.uniform(0.2, 3, 3 * count)
    position = clip_positions(xy, (40, 36), w)
    faces = rng.integers(0, 3 * count, (count, 3)).astype(np.int32)
    ours = back_end.rasterize(position, faces, (40, 36), derivatives=True)
    theirs = rasterizer("reference").rasterize(position, faces, (40, 36), derivatives=True)
    np.testing.assert_array_equal(ours.face_index, theirs.face_index)
    np.testing.assert_allclose(ours.depth, theirs.depth, rtol=1e-6)
    np.testing.assert_allclose(ours.barycentric, theirs.barycentric, atol=1e-6)
    # The reference has its slopes from unsnapped vertices: slivers differ.
    a, b, c = (xy[faces[:, k]] for k in range(3))
    wide = np.abs(np.cross(np.c_[b - a, np.zeros(count)], np.c_[c - a, np.zeros(count)])[:, 2]) > 4
    fine = ours.covered & wide[np.maximum(ours.face_index, 0)]
    assert ours.barycentric_dxy is not None
    assert theirs.barycentric_dxy is not None
    np.testing.assert_allclose(ours.barycentric_dxy[fine], theirs.barycentric_dxy[fine], atol=2e-4, rtol=2e-3)


@settings(max_examples=3 if SIMULATED else 25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_faces_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    position = clip_positions(rng.uniform(-5, 40, (60, 2)), (32, 32), rng.uniform(0.2, 3, 60))
    faces = np.arange(60, dtype=np.int32).reshape(-1, 3)
    order = rng.permutation(len(faces))
    numba = rasterizer("cuda" if SIMULATED else "numba")
    plain, permuted = (numba.rasterize(position, f, (32, 32)) for f in (faces, faces[order]))
    back = np.where(permuted.covered, order[np.maximum(permuted.face_index, 0)], -1)
    np.testing.assert_array_equal(back, plain.face_index)
    np.testing.assert_array_equal(permuted.depth, plain.depth)
    np.testing.assert_array_equal(permuted.barycentric, plain.barycentric)


def test_a_floor_that_passes_under_the_camera(clipping_back_end: Rasterizer, front_camera: Camera) -> None:
    """Its corners lie behind the near plane; attributes stay exact where it is seen."""
    corners = np.array([[-50.0, -0.1, -60], [50, -0.1, -60], [50, -0.1, 60], [-50, -0.1, 60]])
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    fragments = clipping_back_end.rasterize(to_clip(corners, front_camera), faces, (64, 64))
    ray = rays(front_camera)
    down = ray[..., 1] > 0.01
    expected = np.where(down, 0.1 / np.maximum(ray[..., 1], 1e-9), 0)
    seen = down & (expected < 50)
    assert (expected[seen] > near_plane(front_camera)).all()
    assert fragments.covered[seen].all()
    assert not fragments.covered[:32].any()
    np.testing.assert_allclose(fragments.depth[seen], expected[seen], rtol=1e-4)  # a vertex is snapped to 1/4096 px
    where = clipping_back_end.interpolate(corners.astype(np.float32), fragments, faces)
    np.testing.assert_allclose(where[seen][:, 1], -0.1, atol=2e-5)
    np.testing.assert_allclose(where[seen][:, 2], 1 - expected[seen], atol=5e-3)


def test_faces_behind_the_camera_are_not_drawn(clipping_back_end: Rasterizer, front_camera: Camera) -> None:
    behind = np.array([[-1.0, -1, 1.5], [1, -1, 1.5], [0, 1, 1.5]])
    drawn = clipping_back_end.rasterize(to_clip(behind, front_camera), np.array([[0, 1, 2]], np.int32), (64, 64))
    assert not drawn.covered.any()


@pytest.mark.skipif(SIMULATED, reason="too much for the simulator")
def test_far_outside_the_picture_and_8192_pixels_wide() -> None:
    """A fan whose outer vertices lie beyond the guard band, drawn in a strip of a large picture."""
    rng = np.random.default_rng(3)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 24))
    centre = np.array([[4096.37, 4096.61]])
    rim = centre + 3e6 * np.column_stack([np.cos(angle), np.sin(angle)])
    faces = np.array([[0, 1 + k, 1 + (k + 1) % 24] for k in range(24)], np.int32)
    drawing = setup(clip_positions(np.concatenate([centre, rim]), (8192, 8192)), faces, (8192, 8192))
    fragments = drawing.draw(4080, 4112)
    assert fragments.covered.all()
    assert len(np.unique(fragments.face_index)) > 10
    assert (fragments.barycentric >= 0).all()
    assert (fragments.barycentric.sum(-1) <= 1 + 1e-6).all()


@pytest.mark.skipif(SIMULATED, reason="of the CPU's threads")
def test_the_thread_count_changes_nothing(ball: Mesh, front_camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for threads in ("1", "3"):
        monkeypatch.setenv("MESHDROP_ENGINE__THREADS", threads)
        results.append(rasterizer("numba").rasterize(to_clip(ball.vertices, front_camera), ball.faces, (64, 64)))
    np.testing.assert_array_equal(results[0].face_index, results[1].face_index)
    np.testing.assert_array_equal(results[0].barycentric, results[1].barycentric)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_bilinear_sampling(back_end: Rasterizer, dtype: type) -> None:
    values = np.array([[[0], [100]], [[200], [40]]])
    image = values.astype(np.uint8) if dtype is np.uint8 else (values / 255).astype(np.float32)
    uv = np.array([[0.25, 0.25], [0.5, 0.25], [0.5, 0.5], [0, 0], [1, 1], [-3, 0.25]], np.float32)
    expected = np.array([0, 50, 85, 0, 40, 0]) / 255
    np.testing.assert_allclose(back_end.sample_texture(image, uv)[:, 0], expected, atol=1e-3)


def test_mip_level_follows_the_longer_axis_of_the_footprint(back_end: Rasterizer) -> None:
    """A ramp of steps of two texels is grey at level 1 and beyond, untouched at level 0."""
    image = np.zeros((64, 64, 1), np.float32)
    image[:, ::2] = 1
    uv = np.full((3, 2), 32.5 / 64, np.float32)
    footprint = np.zeros((3, 2, 2), np.float32)
    footprint[0] = np.eye(2) / 64  # a texel a pixel
    footprint[1] = np.diag([2, 1]) / 64  # two texels across: level 1
    footprint[2] = np.diag([np.sqrt(2), 1]) / 64  # half way between
    np.testing.assert_allclose(back_end.sample_texture(image, uv, footprint)[:, 0], [1, 0.5, 0.75], atol=0.01)


@settings(max_examples=3 if SIMULATED else 20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([np.uint8, np.float32]))
def test_trilinear_sampling_matches_the_reference(seed: int, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    image = (rng.uniform(0, 1, (37, 52, 3)) * (255 if dtype is np.uint8 else 1)).astype(dtype)
    uv = rng.uniform(-0.2, 1.2, (5, 7, 2)).astype(np.float32)
    uv_dxy = (rng.normal(0, 1, (5, 7, 2, 2)) * 10 ** rng.uniform(-3, 0.5, (5, 7, 1, 1))).astype(np.float32)
    names = ("cuda" if SIMULATED else "numba", "reference")
    ours, theirs = (rasterizer(name).sample_texture(image, uv, uv_dxy) for name in names)
    np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_wrong_shapes_are_refused(compiled: Rasterizer) -> None:
    numba = compiled
    with pytest.raises(ValueError, match=r"\[V, 4\]"):
        numba.rasterize(np.zeros((3, 3), np.float32), np.zeros((1, 3), np.int32), (4, 4))
    with pytest.raises(ValueError, match="vertices 0..3 of 3"):
        numba.rasterize(np.ones((3, 4), np.float32), np.array([[0, 1, 3]], np.int32), (4, 4))
    with pytest.raises(ValueError, match="uint8 or float32"):
        numba.sample_texture(np.zeros((4, 4)), np.zeros((1, 2), np.float32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no back end"):
        rasterizer("opengl")
