"""Surfaces whose roughness is known, under lamps that are summed one by one: what is found, and when nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES
from engine.camera import Camera, Registration
from engine.materials.decide import matt_because, metal_because
from engine.materials.environment import patches, points
from engine.materials.evidence import halves
from engine.materials.gloss import Shine, compare, differences, find_gloss
from engine.materials.light import fit_light, fit_light_and_gloss
from engine.materials.reflection import F0, Gloss, Under, added, reflected, without_gloss
from engine.materials.samples import SurfaceSamples, pair_up
from engine.materials.shade import Shape
from engine.materials.stage import separate
from engine.materials.views import Observed
from engine.mesh import Mesh
from engine.occlusion import sky_directions
from engine.preview.studio import corner_normals
from engine.render import Render, look_at
from engine.sample import sample_scene
from engine.sample.lighting import varnish
from engine.segment import segment
from engine.srgb import decode_srgb
from engine.texture import texture
from tests.materials.test_materials_light import looks_error, patchwork

Float = NDArray[np.float64]
COUNT = 2500
SKY = 600
CAMERAS = 2.5 * np.concatenate([np.eye(3), -np.eye(3)])


def spread(towards: tuple[float, float, float], half_angle_deg: float, count: int) -> Float:
    """[L, 3] directions spread evenly over a disc on the sky."""
    sky = sky_directions(round(count * 2 / (1 - np.cos(np.radians(half_angle_deg)))))
    centre = np.array(towards) / np.linalg.norm(towards)
    return np.asarray(sky[sky @ centre > np.cos(np.radians(half_angle_deg))])


LIGHTS = {
    "soft": [(spread((-0.5, 0.7, 0.5), 25, 40), 0.8), (spread((0.8, 0.2, -0.5), 20, 30), 0.5)],
    "spotty": [(np.array([[-0.52, 0.68, 0.52]]), 0.6), (np.array([[0.85, 0.18, -0.5]]), 0.5),
               (np.array([[0.2, -0.6, 0.77]]), 0.4)],
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Made:
    samples: SurfaceSamples
    observed: Observed
    looks: Float


def made(kind: str, roughness: float | None, seed: int = 0, f0: float = 0.04, carried: bool = False) -> Made:
    """A ring as six cameras see it, each lamp and its reflection by itself; in between it is as light from all sides.

    carried: the one lamp goes round with the camera.
    """
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, COUNT)) * 2 * np.pi
    normal = np.stack([np.cos(b) * np.cos(a), np.sin(b), np.cos(b) * np.sin(a)], 1)
    position = np.stack([np.cos(a), np.zeros(COUNT), np.sin(a)], 1) * 0.5 + 0.3 * normal
    looks = patchwork(position * 2, seed)
    towards = CAMERAS[:, None] - position
    towards /= np.linalg.norm(towards, axis=2, keepdims=True)
    cosine = (towards * normal).sum(2)
    linear = np.empty((6, COUNT, 3))
    for k in range(6):
        irradiance, gloss = np.full(COUNT, 0.2), np.zeros(COUNT)
        if roughness is not None:
            # Of light from all sides, by the same sum over many lamps.
            for lamp in sky_directions(SKY):
                gloss += 0.2 * 4 / SKY * varnish(normal, towards[k], lamp, roughness, f0)
        for directions, power in LIGHTS[kind]:
            for lamp in directions:
                irradiance += np.maximum(normal @ lamp, 0) * power / len(directions)
                if roughness is not None:
                    gloss += varnish(normal, towards[k], lamp, roughness, f0) * power / len(directions)
        shade = 0.1 + 0.8 * cosine[k] if carried else irradiance
        linear[k] = (looks * shade[:, None] + gloss[:, None]) * np.exp(0.01 * rng.normal(size=(COUNT, 3)))
    seen = np.where((cosine > 0.25) & (linear.max(2) < 1), cosine, 0)
    best = linear[np.argmax(seen, 0), np.arange(COUNT)]
    keep = seen.max(0) > 0
    samples = pair_up(position[keep], normal[keep], np.clip(best[keep], 1e-4, None), np.ones(keep.sum()), rng)
    return Made(samples, Observed(linear[:, keep], seen[:, keep], towards[:, keep]), looks[keep])


def shine_of(scene: Made) -> Shine:
    return find_gloss(scene.samples, compare(scene.samples, scene.observed, 0), 0)


@pytest.mark.parametrize(
    ("kind", "roughness"),
    [pytest.param("soft", 0.5, marks=pytest.mark.ci)] + [
        pytest.param(kind, r, marks=pytest.mark.slow)
        for kind, r in (("soft", 0.3), ("soft", 0.7), ("spotty", 0.3), ("spotty", 0.5), ("spotty", 0.7))
    ],
)  # fmt: skip
def test_a_known_roughness_is_found_and_the_highlights_leave_the_looks(kind: str, roughness: float) -> None:
    scene = made(kind, roughness)
    shine = shine_of(scene)
    print(kind, roughness, shine)
    assert shine.roughness == pytest.approx(roughness, abs=0.1)
    if (kind, roughness) == ("spotty", 0.3):  # small highlights of small lamps are the hardest: may be left untold
        return
    assert matt_because(shine) is None
    places = compare(scene.samples, scene.observed, 0)
    light, strength = fit_light_and_gloss(scene.samples, differences(places, scene.samples, shine.roughness))
    gloss = Gloss(shine.roughness, strength)
    print("reflectance", gloss.reflectance)
    assert metal_because(gloss.reflectance) is None
    best = np.argmax(scene.observed.cosine, 0)
    towards = scene.observed.towards[best, np.arange(len(best))]
    sent = reflected(scene.samples.normal, towards, gloss.roughness) @ (light.radiance * strength)
    n, o = scene.samples.normal, scene.samples.openness
    before = looks_error(scene.samples.linear / fit_light(scene.samples).shading(n, o), scene.looks)
    after = looks_error(np.maximum(scene.samples.linear - sent, 1e-3) / light.shading(n, o), scene.looks)
    print("looks off by", before, after)
    assert after < before


@pytest.mark.ci
@pytest.mark.parametrize("roughness", [None, 0.5], ids=["matt", "glossy"])
def test_no_gloss_is_made_of_a_lamp_that_goes_round_with_the_camera(roughness: float | None) -> None:
    shine = shine_of(made("soft", roughness, carried=True))
    assert shine.difference > 0.1
    assert "too little" in str(matt_because(shine))


@pytest.mark.parametrize("kind", ["soft", pytest.param("spotty", marks=pytest.mark.slow)])
def test_a_matt_surface_stays_matt(kind: str) -> None:
    shine = shine_of(made(kind, None))
    print(shine)
    assert matt_because(shine) is not None


def test_what_is_no_varnish_is_not_said_to_be_one() -> None:
    assert metal_because(0.011) is metal_because(0.04) is metal_because(0.099) is None
    assert "6" in str(metal_because(0.6))
    assert metal_because(0.009) is not None
    assert metal_because(0.101) is not None


def test_hollows_mirror_as_much_less_as_they_are_open() -> None:
    scene = made("soft", None)
    places = compare(scene.samples, scene.observed, 0)
    hollow = dataclasses.replace(scene.samples, openness=np.full(len(scene.samples.openness), 0.5))
    free, dim = (differences(places, samples, 0.5).reflected for samples in (scene.samples, hollow))
    assert free.max() > 0
    assert dim == pytest.approx(0.5 * free)
    ball = sample_scene("sphere", size_px=64, grid=32, light="none").truth.mesh
    camera = Camera.from_fov(40.0, 64, look_at(np.array([0, 0, 1.0]), np.zeros(3), np.array([0, 1.0, 0])))
    count = len(ball.vertices)
    free_view, dim_view = (
        added(Shape(ball, corner_normals(ball), openness, np.ones(count, np.float32)), camera, Gloss(0.5, np.ones(3)),
              np.ones((96, 3)))[0] for openness in (np.ones(count), np.full(count, 0.5))
    )  # fmt: skip
    assert free_view.max() > 0.03
    assert dim_view == pytest.approx(0.5 * free_view, abs=1e-6)


def test_each_reason_to_call_it_matt_is_given() -> None:
    sure = Shine(3000, 0.05, 0.7, 0.5, (0.48, 0.52))
    assert matt_because(sure) is None
    for unsure, words in (
        (dataclasses.replace(sure, places=20), "only 20 places"),
        (dataclasses.replace(sure, difference=0.002), "alike"),
        (dataclasses.replace(sure, explained=0.44), "44 %"),
        (dataclasses.replace(sure, halves=(0.4, 0.53)), "0.40 and 0.53"),
    ):
        assert words in str(matt_because(unsure))
    assert (
        matt_because(dataclasses.replace(sure, places=500, difference=0.011, explained=0.46, halves=(0.4, 0.51)))
        is None
    )


@pytest.mark.ci
def test_a_gloss_of_one_half_of_the_surface_is_none() -> None:
    """Each half's fit is judged by the other half: here what makes it bright from one side makes this one dark."""
    scene = made("soft", 0.5)
    places = compare(scene.samples, scene.observed, 0)
    other = halves(scene.samples.position, 0)[places.sample] == 1
    torn = dataclasses.replace(places, change=np.where(other[:, None], -places.change, places.change))
    assert find_gloss(scene.samples, torn, 0).explained < 0.1


def test_few_places_tell_nothing_and_cost_nothing() -> None:
    scene = made("soft", None)
    alone = Observed(
        scene.observed.linear, scene.observed.cosine * (np.arange(6) == 0)[:, None], scene.observed.towards
    )
    assert find_gloss(scene.samples, compare(scene.samples, alone, 0), 0).places == 0


def test_even_light_is_reflected_as_by_the_sum_of_many_lamps() -> None:
    """The integral over the cube map, against the sample's own formula."""
    normal = np.tile([0.0, 0, 1], (4, 1))
    angle = np.radians([5, 35, 60, 75])
    towards = np.stack([np.sin(angle), 0 * angle, np.cos(angle)], 1)
    lamps = sky_directions(8_000)
    for roughness in (0.3, 0.6, 1.0):
        wanted = sum(varnish(normal, towards, lamp, roughness) for lamp in lamps) * 4 / len(lamps)
        assert np.allclose(reflected(normal, towards, roughness).sum(1), wanted, rtol=0.03 if roughness > 0.3 else 0.1)
    assert reflected(normal, -towards, 0.5).max() == 0


def test_points_cover_the_patches() -> None:
    directions, angles, patch = points(24)
    centres, solid = patches()
    assert angles.sum() == pytest.approx(4 * np.pi, rel=1e-3)
    assert np.allclose(np.bincount(patch, angles), solid, rtol=0.01)
    assert (directions * centres[patch]).sum(1).min() > np.cos(np.radians(20))


def test_a_highlight_is_taken_off_a_view_and_put_on_a_render() -> None:
    ball = sample_scene("sphere", size_px=128, grid=48, light="none").truth.mesh
    shape = Shape(ball, corner_normals(ball), np.ones(len(ball.vertices)), np.ones(len(ball.vertices), np.float32))
    camera = Camera.from_fov(40.0, 128, look_at(np.array([0, 0, 1.0]), np.zeros(3), np.array([0, 1.0, 0])))
    radiance = np.where(patches()[0][:, [1]] > 0.8, 3.0, 0.3) * np.ones(3)
    light, gloss = dataclasses.replace(fit_light(made("soft", None).samples), radiance=radiance), Gloss(0.4, np.ones(3))
    extra, there = added(shape, camera, gloss, radiance)
    assert extra[there].max() > 3 * np.median(extra[there])
    assert extra[there].min() >= 0
    assert not extra[~there].any()
    matt = Render(
        np.repeat(np.where(there[..., None], 0.5, 0), 3, 2).astype(np.float32), there.astype(np.float32), extra[..., 0]
    )
    under = Under(light, np.ones((4, 4, 3), np.float32), shape, gloss)
    shining = under.shining(matt, camera)
    picture = np.rint(255 * shining.rgb).astype(np.uint8)
    assert picture[there].max() > 150
    again = without_gloss(picture, extra, there)
    assert np.abs(again[there].astype(int) - 128).max() <= 2
    assert np.array_equal(again[~there], picture[~there])
    assert dataclasses.replace(under, gloss=None).shining(matt, camera) is matt


def test_a_highlight_takes_three_quarters_of_a_view_at_most() -> None:
    """What is brighter than the picture itself is a lamp taken for too strong: some looks are left."""
    grey = np.full((1, 1, 3), 120, np.uint8)
    left = without_gloss(grey, np.full((1, 1, 3), 9, np.float32), np.ones((1, 1), np.bool_))
    assert decode_srgb(left / 255) == pytest.approx(0.25 * decode_srgb(grey / 255), rel=0.03)


def test_uneven_places_are_not_compared() -> None:
    """Where neighbours differ in colour or bend away, a pixel's shift would be taken for gloss."""
    scene = made("soft", None)
    position, rng = scene.samples.position, np.random.default_rng(0)
    loud = position[:, 0] > np.percentile(position[:, 0], 85)
    speckled = scene.samples.linear * np.exp(np.where(loud, rng.choice([-0.5, 0.5], len(loud)), 0))[:, None]
    crumpled = scene.samples.normal + np.where(loud[:, None], rng.normal(0, 0.4, (len(loud), 3)), 0)
    crumpled /= np.linalg.norm(crumpled, axis=1, keepdims=True)
    for samples in (
        dataclasses.replace(scene.samples, linear=speckled), dataclasses.replace(scene.samples, normal=crumpled)
    ):  # fmt: skip
        chosen = compare(samples, scene.observed, 0).sample
        assert loud[chosen].mean() < 0.02
        assert len(np.unique(chosen)) > 0.3 * len(loud)
    assert loud[compare(scene.samples, scene.observed, 0).sample].mean() > 0.05


def test_corners_of_a_box_are_shaded_once_for_each_side() -> None:
    vertices = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)
    quads = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    box = Mesh(vertices, np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))], np.int32))
    normals = np.repeat(box.face_normals()[:, None], 3, 1).astype(np.float32)
    vertex, normal, faces = Shape(box, normals, np.ones(8), np.ones(8, np.float32)).spots
    assert len(vertex) == 24
    assert np.array_equal(vertex[faces], box.faces)
    assert np.array_equal(normal[faces], normals)


def clock(*at_s: float) -> Iterator[float]:
    yield from at_s
    while True:
        yield at_s[-1]


def test_when_the_time_is_over_the_texture_stays_as_baked() -> None:
    scene = sample_scene("torus", size_px=192, grid=64, light="studio")
    segmentation = segment(scene.bundle)
    registrations = {v: Registration() for v in VIEW_NAMES}
    views = (scene.bundle, segmentation, scene.calibration, registrations)
    mesh: Mesh = scene.truth.mesh
    texturing = texture(mesh, *views, 256)
    depth = {v: scene.depth[v].astype(np.float32) for v in VIEW_NAMES}
    seen: list[float] = []
    ticks = clock(0, 1, 2, 3, 50)
    late = separate(
        texturing, *views, depth, lambda bundle, checkpoint: texturing, 0, seen.append, 10.0, lambda: next(ticks)
    )
    assert late.delivered == "baked"
    assert late.textured is texturing.textured
    assert "within the 10 s" in late.note
    assert late.facts["reason"] in late.note
    assert len(seen) == 4  # at the first checkpoint that is late


def test_glass_is_reflected_as_gltf_has_it() -> None:
    """From the front, smooth and in even light, what is reflected is `F0`."""
    front = np.array([[0.0, 0, 1]])
    assert reflected(front, front, 0.3).sum() == pytest.approx(F0, rel=0.03)
