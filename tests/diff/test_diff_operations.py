"""rasterize, interpolate, texture and antialias with their gradients: every back end against readable torch code."""

from __future__ import annotations

from collections.abc import Callable

import diff_reference as reference
import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from config.sections import Engine
from engine import machine
from engine.camera import Camera
from engine.cuda import SIMULATED
from engine.diff import operations
from engine.diff.elements import RINGS
from engine.diff.topology import faces_across
from engine.diff.types import Operations
from engine.render import clip_from_world, look_at
from tests.diff.conftest import Device, Scene, make_scene, noise

SIZE = (24, 24)
FINER = 5 if SIMULATED else 101


def gradients(function: Callable[..., Tensor], weights: Tensor, *inputs: Tensor) -> list[np.ndarray]:
    """The value, and the gradients of (value·weights).sum() with respect to the inputs."""
    given = [i.detach().clone().requires_grad_(True) for i in inputs]
    out = function(*given)
    (out * weights.to(out)).sum().backward()
    return [out.detach().cpu().numpy(), *(g.grad.cpu().numpy() for g in given if g.grad is not None)]


def compare(back_end: Device, ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    assert len(ours) == len(theirs)
    for mine, its in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, its, atol=back_end.tolerance * max(1, np.abs(its).max()))


def test_rasterize_leads_back_to_clip_positions(back_end: Device, rock: Scene) -> None:
    clip, faces = rock.clip(), rock.faces
    weights = noise(1, *SIZE, 4)
    weights[..., 2:] = 0  # z/w and the face carry no gradient
    ours = gradients(
        lambda p: back_end.operations.rasterize(p, faces.to(p.device), SIZE)[0], weights, back_end.tensor(clip)
    )
    theirs = gradients(lambda p: reference.rasterize(p, faces, SIZE), weights, clip)
    compare(back_end, ours, theirs)
    assert np.abs(theirs[1]).max() > 1


def test_a_batch_is_its_pictures_one_by_one(double: Device, rock: Scene) -> None:
    both = double.tensor(torch.cat([rock.clip(), rock.clip(rock.vertices * 0.7)]))
    weights = noise(2, *SIZE, 4)

    def draw(p: Tensor) -> Tensor:
        return double.operations.rasterize(p, rock.faces.to(p.device), SIZE)[0]

    together = gradients(draw, weights, both)
    alone = [gradients(draw, weights[i : i + 1], both[i : i + 1]) for i in range(2)]
    for whole, first, second in zip(together, *alone, strict=True):
        np.testing.assert_array_equal(whole, np.concatenate([first, second]))


def test_interpolate_leads_back_to_attributes_and_weights(back_end: Device, rock: Scene) -> None:
    clip, faces = rock.clip(), rock.faces
    values, weights = noise(1, clip.shape[1], 3, seed=1), noise(1, *SIZE, 3)

    def ours(position: Tensor, attributes: Tensor) -> Tensor:
        raster, _ = back_end.operations.rasterize(position, faces.to(position.device), SIZE)
        return back_end.operations.interpolate(attributes, raster, faces.to(position.device))[0]

    def theirs(position: Tensor, attributes: Tensor) -> Tensor:
        return reference.interpolate(attributes, reference.rasterize(position, faces, SIZE), faces)

    compare(
        back_end,
        gradients(ours, weights, back_end.tensor(clip), back_end.tensor(values)),
        gradients(theirs, weights, clip, values),
    )


def test_slopes_are_the_weights_differences(double: Device) -> None:
    """On a large tilted triangle: attribute slopes against neighbouring pixels of a finer grid."""
    scene = make_scene(trimesh.Trimesh([[-1.0, -1, 0.4], [1.2, -0.8, -0.3], [0.1, 1.3, 0.2]], [[0, 1, 2]]), 16)
    values = noise(1, 3, 2)
    faces, numba = scene.faces.to(double.device), operations("cpu")
    raster, slopes = double.operations.rasterize(double.tensor(scene.clip()), faces, (16, 16))
    _, got = double.operations.interpolate(double.tensor(values), raster, faces, slopes)
    fine, _ = numba.rasterize(scene.clip(), scene.faces, (16 * FINER, 16 * FINER))
    at, _ = numba.interpolate(values, fine, scene.faces)
    centres = torch.arange(16) * FINER + FINER // 2
    assert got is not None
    for axis, (down, across) in enumerate([(0, 1), (1, 0)]):
        ahead = at[0, centres[:, None] + down, centres[None] + across]
        behind = at[0, centres[:, None] - down, centres[None] - across]
        expected = (ahead - behind) * (FINER / 2)
        np.testing.assert_allclose(got.cpu().reshape(16, 16, 2, 2)[..., axis], expected, atol=1e-3 * (101 / FINER) ** 2)


@pytest.mark.parametrize("mipmapped", [False, True])
def test_texture_leads_back_to_texels_and_coordinates(back_end: Device, mipmapped: bool) -> None:
    rng = np.random.default_rng(5)
    shape = (16, 32, 3) if back_end.operations.name == "nvdiffrast" else (37, 52, 3)
    image = torch.tensor(rng.uniform(0, 1, (1, *shape)))
    uv = torch.tensor(rng.uniform(-0.1, 1.1, (2, 9, 7, 2)))
    footprint = torch.tensor(rng.normal(0, 1, (2, 9, 7, 4)) * 10 ** rng.uniform(-3, 0.3, (2, 9, 7, 1)))
    weights = noise(2, 9, 7, 3)

    def ours(i: Tensor, at: Tensor) -> Tensor:
        return back_end.operations.texture(i, at, back_end.tensor(footprint) if mipmapped else None)

    def theirs(i: Tensor, at: Tensor) -> Tensor:
        return reference.texture(i[0], at, footprint if mipmapped else None)

    got = gradients(ours, weights, back_end.tensor(image), back_end.tensor(uv))
    compare(back_end, got, gradients(theirs, weights, image, uv))


def test_each_picture_may_have_its_own_texture(double: Device) -> None:
    image, uv = double.tensor(noise(2, 8, 8, 3)), double.tensor(torch.rand(2, 5, 5, 2, dtype=torch.float64))
    weights = noise(2, 5, 5, 3)
    got = gradients(double.operations.texture, weights, image, uv)
    for n in range(2):
        alone = gradients(double.operations.texture, weights[n : n + 1], image[n : n + 1], uv[n : n + 1])
        for whole, part in zip(got, alone, strict=True):
            np.testing.assert_array_equal(whole[n : n + 1], part)


@pytest.mark.parametrize("walks", [False, True])
def test_antialias_leads_back_to_colours_and_silhouettes(back_end: Device, rock: Scene, walks: bool) -> None:
    """As published on faces without neighbours; elsewhere silhouettes are found across the nearer face's edges too."""
    if walks and back_end.operations.name == "nvdiffrast":
        pytest.skip("nvdiffrast looks at the nearer face's own edges only")
    alone = trimesh.Trimesh(np.random.default_rng(2).uniform(-0.35, 0.35, (12, 3)), np.arange(12).reshape(4, 3))
    scene = rock if walks else make_scene(alone, SIZE[0])
    clip, faces = scene.clip(), scene.faces
    colour, weights = noise(1, *SIZE, 3, seed=2), noise(1, *SIZE, 3)
    raster = reference.rasterize(clip, faces, SIZE)

    def ours(c: Tensor, position: Tensor) -> Tensor:
        there = faces.to(position.device)
        return back_end.operations.antialias(c, back_end.tensor(raster), position, there)

    def theirs(c: Tensor, position: Tensor) -> Tensor:
        return reference.antialias(c, raster, position, faces, RINGS if walks else 1)

    expected = gradients(theirs, weights, colour, clip)
    assert (expected[0] != colour.numpy()).any(-1).sum() > 20
    compare(back_end, gradients(ours, weights, back_end.tensor(colour), back_end.tensor(clip)), expected)


def test_silhouettes_of_faces_that_leave_the_picture_are_found(double: Device) -> None:
    """Edges many pixels long, beyond every side of it, in a picture that is not square."""
    corners = np.random.default_rng(8).uniform(-1, 1, (18, 3)) * [1.5, 1.5, 0.2]
    scene = make_scene(trimesh.Trimesh(corners, np.arange(18).reshape(6, 3), process=False), 24)
    clip, faces, size = scene.clip(), scene.faces, (13, 31)
    clip = clip[:, (clip[0, :, 3] > 0.1).numpy().reshape(-1, 3).all(1).repeat(3)]
    faces = faces[: clip.shape[1] // 3]
    outside = (clip[0, :, :2].abs() > clip[0, :, 3:]).any(-1)
    assert len(faces) > 2
    assert outside.sum() > 4
    colour, weights = noise(1, *size, 3, seed=2), noise(1, *size, 3)
    raster = reference.rasterize(clip, faces, size)

    def ours(c: Tensor, position: Tensor) -> Tensor:
        return double.operations.antialias(c, double.tensor(raster), position, faces.to(position.device))

    expected = gradients(lambda c, p: reference.antialias(c, raster, p, faces, 1), weights, colour, clip)
    assert (expected[0] != colour.numpy()).any(-1).sum() > 10
    compare(double, gradients(ours, weights, double.tensor(colour), double.tensor(clip)), expected)


def test_a_background_of_equal_samples_gathers_in_its_texels(double: Device) -> None:
    """Long runs of one sample, between others: the values and sums are those of each for itself."""
    rng = np.random.default_rng(3)
    image, weights = torch.tensor(rng.uniform(0, 1, (1, 12, 20, 3))), noise(1, 4, 30, 3)
    uv, footprint = torch.zeros(1, 4, 30, 2).double(), torch.zeros(1, 4, 30, 4).double()
    uv[:, :, 10:14] = torch.tensor(rng.uniform(0, 1, (1, 4, 4, 2)))
    uv[:, :, 20:24] = torch.tensor(rng.uniform(0, 1, (1, 4, 1, 2)))
    footprint[:, :, 12:24] = torch.tensor([0.2, 0, 0.1, 0.3])
    weights[:, 2:3, :8] = 0
    got = gradients(
        lambda i, at: double.operations.texture(i, at, double.tensor(footprint)),
        weights,
        double.tensor(image),
        double.tensor(uv),
    )
    compare(double, got, gradients(lambda i, at: reference.texture(i[0], at, footprint), weights, image, uv))


def test_gradcheck(double: Device, rock: Scene) -> None:
    """torch's own finite differences through all four operations."""
    ops, faces = double.operations, rock.faces.to(double.device)
    topology = ops.topology(faces)
    uv = torch.tensor(np.random.default_rng(7).uniform(0.1, 0.9, (1, len(rock.vertices), 2)))

    def picture(clip: Tensor, corners: Tensor, image: Tensor) -> Tensor:
        raster, _ = ops.rasterize(clip, faces, (10, 10))
        at, _ = ops.interpolate(corners, raster, faces)
        colour = ops.texture(image, at) * (raster[..., 3:] > 0)
        out: Tensor = ops.antialias(colour, raster, clip, faces, topology)
        return out

    inputs = tuple(double.tensor(i, grad=True) for i in (rock.clip(), uv, noise(1, 5, 6, 2)))
    assert torch.autograd.gradcheck(picture, inputs, eps=1e-7, atol=1e-4, fast_mode=SIMULATED)


def photo(ops: Operations, scene: Scene, vertices: Tensor, image: Tensor, clip_from_world: Tensor, size: int) -> Tensor:
    """A mip-mapped, antialiased picture [1, size, size, 5]: colour, coverage and depth.

    The footprint is the scene's own, whatever the vertices: no gradient goes through the mip level.
    """
    clip = (vertices @ clip_from_world[:, :3].T + clip_from_world[:, 3])[None]
    raster, _ = ops.rasterize(clip, scene.faces, (size, size))
    uv = scene.vertices[None, :, :2] * 1.7 + 0.5
    at, _ = ops.interpolate(uv, raster, scene.faces)
    still, slopes = ops.rasterize(scene.clip(), scene.faces, (size, size))
    _, footprint = ops.interpolate(uv, still, scene.faces, slopes)
    covered = (raster[..., 3:] > 0).to(vertices.dtype)
    depth, _ = ops.interpolate(clip[..., 3:], raster, scene.faces)
    colour = torch.cat([ops.texture(image, at, footprint) * covered, covered, depth], -1)
    return ops.antialias(colour, raster, clip, scene.faces)


@pytest.mark.parametrize("what", ["vertices", "texture", "camera"])
def test_gradients_of_a_picture_match_finite_differences(back_end: Device, what: str) -> None:
    """Within 1e-3; the differences are float64's, and of the same back end where it takes that."""
    size, subdivisions = (16, 1) if SIMULATED else (48, 3)
    ops, double = back_end.operations, back_end.operations if back_end.operations.name != "nvdiffrast" else None
    scene = make_scene(trimesh.creation.icosphere(subdivisions, 0.25), size, seed=1, noise=0.002)
    weights, image = noise(1, size, size, 5), noise(1, 64, 64, 3, seed=4)
    given = {"vertices": scene.vertices, "texture": image, "camera": scene.clip_from_world}
    direction = noise(*given[what].shape, seed=6)

    def loss(by: Operations, step: float, dtype: torch.dtype) -> tuple[float, Tensor | None]:
        on = "cpu" if by.name == "numba" else back_end.device
        moved = dict(given)
        x = moved[what] = (given[what] + step * direction).to(on, dtype).requires_grad_(True)
        vertices, texture, camera = (moved[k].to(on, dtype) for k in ("vertices", "texture", "camera"))
        still = Scene(scene.vertices.to(on, dtype), scene.faces.to(on), scene.clip_from_world.to(on, dtype))
        out = (photo(by, still, vertices, texture, camera, size) * weights.to(on, dtype)).sum()
        out.backward()
        return float(out.detach()), x.grad

    ahead, behind = (loss(double or operations("cpu"), step, torch.float64)[0] for step in (1e-8, -1e-8))
    grad = loss(ops, 0, back_end.dtype)[1]
    assert grad is not None
    slope = float((grad.double().cpu() * direction).sum())
    # nvdiffrast's silhouettes are fewer: what it lacks of ours is no error of its gradients.
    assert slope == pytest.approx((ahead - behind) / 2e-8, rel=1e-3 if double else 0.1)


@pytest.mark.parametrize("subdivisions", [2, 5])
def test_the_outline_of_a_ball_grows_as_it_should(double: Device, subdivisions: int) -> None:
    """Faces larger and far smaller than a pixel: the covered area and its slope are the disc's."""
    if SIMULATED and subdivisions > 2:
        pytest.skip("too much for the simulator")
    size, ops = 64 if not SIMULATED else 32, double.operations
    camera = Camera.from_fov(4, size, look_at(np.array([0, 0, 20.0]), np.zeros(3), np.array([0, 1.0, 0])))
    ball = trimesh.creation.icosphere(subdivisions, 1)
    faces, M = torch.tensor(np.array(ball.faces, np.int32)).to(double.device), double.tensor(clip_from_world(camera))
    radius = double.tensor(torch.tensor(0.43, dtype=torch.float64), grad=True)
    clip = (double.tensor(np.array(ball.vertices)) * radius @ M[:, :3].T + M[:, 3])[None]
    raster, _ = ops.rasterize(clip, faces, (size, size))
    area = ops.antialias((raster[..., 3:] > 0).double(), raster, clip, faces).sum()
    area.backward()
    flat = trimesh.Trimesh(ball.vertices * [1, 1, 0], ball.faces, process=False)
    polygon, f = flat.area / 2, float(camera.K[0, 0]) / 20
    assert area.item() == pytest.approx(polygon * (0.43 * f) ** 2, rel=6e-3)
    assert radius.grad is not None
    assert float(radius.grad) == pytest.approx(2 * polygon * 0.43 * f**2, rel=0.03)


@pytest.mark.skipif(SIMULATED, reason="of the CPU's threads")
def test_the_thread_count_changes_nothing(request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: machine.use(Engine()))
    scene = make_scene(trimesh.creation.icosphere(4, 0.25), 96)
    results = []
    for threads in (1, 3):
        machine.use(Engine(threads=threads))
        x = scene.vertices.float().requires_grad_(True)
        image = noise(1, 64, 64, 3).float().requires_grad_(True)
        still = Scene(scene.vertices.float(), scene.faces, scene.clip_from_world.float())
        out = photo(operations("cpu"), still, x, image, scene.clip_from_world.float(), 96)
        (out * noise(1, 96, 96, 5).float()).sum().backward()
        assert x.grad is not None
        assert image.grad is not None
        results.append((out.detach().numpy(), x.grad.numpy(), image.grad.numpy()))
    for one, three in zip(*results, strict=True):
        np.testing.assert_array_equal(one, three)


def test_a_floor_under_the_camera_has_finite_gradients(double: Device) -> None:
    floor = trimesh.Trimesh(
        [[-50.0, -0.1, -60], [50, -0.1, -60], [50, -0.1, 60], [-50, -0.1, 60]], [[0, 1, 2], [0, 2, 3]]
    )
    scene = make_scene(floor, 24)
    clip, faces = double.tensor(scene.clip(), grad=True), scene.faces.to(double.device)
    assert (clip[..., 3] < 0).any()
    raster, _ = double.operations.rasterize(clip, faces, SIZE)
    on_cpu, _ = operations("cpu").rasterize(scene.clip(), scene.faces, SIZE)
    np.testing.assert_array_equal(raster[..., 3].detach().cpu(), on_cpu[..., 3])
    assert (raster[..., 3] > 0).any()
    where, _ = double.operations.interpolate(double.tensor(scene.vertices)[None], raster, faces)
    seen = raster[..., 3] > 0
    np.testing.assert_allclose(where[seen].detach().cpu()[:, 1], -0.1, atol=1e-6)
    double.operations.antialias(where, raster, clip, faces).square().sum().backward()
    assert clip.grad is not None
    assert clip.grad.isfinite().all()


def test_an_empty_picture_has_no_gradient(double: Device, rock: Scene) -> None:
    behind, faces = double.tensor(rock.clip() * torch.tensor([1, 1, 1, -1.0]), grad=True), rock.faces.to(double.device)
    raster, _ = double.operations.rasterize(behind, faces, SIZE)
    assert (raster == 0).all()
    double.operations.antialias(raster[..., :2], raster, behind, faces).sum().backward()
    assert behind.grad is not None
    assert (behind.grad == 0).all()


def test_neighbours_across_edges() -> None:
    """Two faces share an edge; three meet at another, which counts as none."""
    faces = np.array([[0, 1, 2], [2, 1, 3], [4, 5, 6], [5, 4, 7], [4, 5, 8]], np.int32)
    np.testing.assert_array_equal(faces_across(faces), [[1, -1, -1], [-1, -1, 0], [-1] * 3, [-1] * 3, [-1] * 3])
    assert faces_across(np.zeros((0, 3), np.int32)).shape == (0, 3)


def test_devices_without_a_back_end_are_refused() -> None:
    with pytest.raises(ValueError, match="meta"):
        operations("meta")
