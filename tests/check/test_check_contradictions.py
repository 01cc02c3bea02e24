"""RGB and depth that don't belong together are told by colours and outlines; sound bundles never are.

The cameras are the true ones: what is tested is apart from calibration.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from config.bundle_layout import VIEW_NAMES, ViewName
from config.errors import ValidationFailed
from engine.bundle import Bundle
from engine.calibrate import Calibration
from engine.calibrate.photo import Floats, Look, looks_of
from engine.calibrate.shared import SIZE_PX, Shared, shared_surface
from engine.check import refuse_contradictions
from engine.check.colours import agreement, better_reading
from engine.sample import OBJECT_NAMES, Scene, sample_scene
from engine.segment import segment


@cache
def scene(name: str, background: str = "off_white", encoding: str = "view_max") -> Scene:
    return sample_scene(name, 40.0, encoding, size_px=256, background=background, grid=96, supersample=1)  # type: ignore[arg-type]


def check(bundle: Bundle, calibration: Calibration) -> None:
    refuse_contradictions(bundle, segment(bundle), calibration)


def exchanged(bundle: Bundle, a: ViewName, b: ViewName, *kinds: str) -> Bundle:
    out = {}
    for kind in kinds:
        images = dict(getattr(bundle, kind))
        images[a], images[b] = images[b], images[a]
        out[kind] = images
    return replace(bundle, **out)  # type: ignore[arg-type]


def flipped(bundle: Bundle, view: ViewName) -> Bundle:
    return replace(bundle, rgb={**bundle.rgb, view: np.ascontiguousarray(bundle.rgb[view][:, ::-1])})


@pytest.mark.parametrize("background", ["off_white", "transparent"])
@pytest.mark.parametrize("name", OBJECT_NAMES)
def test_sound_bundles_pass(name: str, background: str) -> None:
    sample = scene(name, background)
    check(sample.bundle, sample.calibration)


@pytest.mark.parametrize("name", ["sphere", "cube", "torus", "two_balls"])
def test_plain_symmetric_objects_pass(name: str) -> None:
    sample = scene(name)
    check(sample.bundle, sample.calibration)


@pytest.mark.parametrize("encoding", ["disparity", "view_max_ray"])
def test_other_codings_pass(encoding: str) -> None:
    sample = scene("teapot", encoding=encoding)
    check(sample.bundle, sample.calibration)
    found = agreement(looks_of(sample.bundle, segment(sample.bundle)), shared(sample))
    assert found is not None
    assert found > 0.5


def shared(sample: Scene) -> list:  # type: ignore[type-arg]
    return shared_surface(sample.bundle, segment(sample.bundle), sample.calibration.cameras, sample.calibration.depth)


@pytest.mark.parametrize("background", ["off_white"])
@pytest.mark.parametrize(("rgb", "depth"), [("locomotive", "teapot"), ("teapot", "robot"), ("robot", "locomotive")])
def test_the_depth_of_another_object_is_refused(rgb: str, depth: str, background: str) -> None:
    ours, theirs = scene(rgb, background), scene(depth, background)
    with pytest.raises(ValidationFailed, match=r"multi_views and depth_renders show different objects: .*front \d+%"):
        check(replace(ours.bundle, depth=theirs.bundle.depth), theirs.calibration)


@pytest.mark.parametrize("view", ["front", "top"])
def test_one_view_of_another_object_is_named(view: ViewName) -> None:
    ours, theirs = scene("locomotive"), scene("robot")
    bundle = replace(ours.bundle, rgb={**ours.bundle.rgb, view: theirs.bundle.rgb[view]})
    with pytest.raises(
        ValidationFailed, match=rf"multi_views/{view}\.png does not show what depth_renders/{view}\.png"
    ):
        check(bundle, ours.calibration)


def test_an_object_that_looks_like_its_background_passes() -> None:
    """What stands out is little of it then, and no sign of another object."""
    sample = scene("teapot")
    pale = {view: (255 - (255 - image.astype(int)) // 6).astype(np.uint8) for view, image in sample.bundle.rgb.items()}
    check(replace(sample.bundle, rgb=pale), sample.calibration)


def test_a_background_with_a_gradient_is_no_other_object() -> None:
    """Brighter in the middle than at the border by far more than what counts as standing out."""
    sample = scene("sphere", "transparent")
    n = sample.bundle.rgb_size_px
    y, x = np.mgrid[:n, :n] / n - 0.5
    glow = 60 + 180 * np.exp(-(x * x + y * y) / 0.18)
    rgb = {}
    for view in VIEW_NAMES:
        alpha = sample.bundle.alpha[view]
        assert alpha is not None
        share = alpha[..., None] / 255
        rgb[view] = (share * sample.bundle.rgb[view] + (1 - share) * glow[..., None]).astype(np.uint8)
    check(replace(sample.bundle, rgb=rgb, alpha=dict.fromkeys(VIEW_NAMES)), sample.calibration)


@pytest.mark.parametrize("kinds", [("rgb", "alpha"), ("depth",)])
@pytest.mark.parametrize("pair", [("left", "right"), ("front", "back"), ("top", "bottom")])
def test_views_exchanged_in_one_folder_are_named_by_their_colours(
    kinds: tuple[str, ...], pair: tuple[ViewName, ViewName]
) -> None:
    """A ball's outlines and depth are the same from everywhere."""
    sample = painted_ball()
    with pytest.raises(ValidationFailed, match=rf"multi_views/{pair[0]}\.png and multi_views/{pair[1]}\.png are exch"):
        check(exchanged(sample.bundle, *pair, *kinds), as_exchanged(sample.calibration, *pair, kinds))


def as_exchanged(calibration: Calibration, a: ViewName, b: ViewName, kinds: tuple[str, ...]) -> Calibration:
    """What calibration finds of depth renders that are exchanged: the cameras are, too."""
    if "depth" not in kinds:
        return calibration
    cameras, depth = dict(calibration.cameras), dict(calibration.depth)
    cameras[a], cameras[b], depth[a], depth[b] = cameras[b], cameras[a], depth[b], depth[a]
    return replace(calibration, cameras=cameras, depth=depth)


@pytest.mark.parametrize("view", VIEW_NAMES)
def test_a_mirrored_view_of_a_symmetric_side_is_named_by_its_colours(view: ViewName) -> None:
    sample = painted_ball()
    with pytest.raises(ValidationFailed, match=rf"multi_views/{view}\.png is mirrored") as caught:
        check(flipped(sample.bundle, view), sample.calibration)
    assert f"depth_renders/{view}.png" in caught.value.suggestion


def test_a_ring_turned_by_half_is_named() -> None:
    sample = painted_ball()
    turned = exchanged(exchanged(sample.bundle, "left", "right", "rgb"), "front", "back", "rgb")
    with pytest.raises(ValidationFailed, match="turned by half"):
        check(turned, sample.calibration)


def test_nothing_is_called_exchanged_where_the_layout_was_taken_by_default() -> None:
    """The images are right; the cameras are another layout's, as they may be then."""
    sample = painted_ball()
    other = as_exchanged(sample.calibration, "left", "right", ("depth",))
    check(sample.bundle, replace(other, ambiguous=True))
    with pytest.raises(ValidationFailed):
        check(sample.bundle, other)


def test_two_names_that_are_right_are_never_called_exchanged() -> None:
    sample = painted_ball()
    check(sample.bundle, sample.calibration)
    for name in OBJECT_NAMES:
        sample = scene(name)
        assert better_reading(looks_of(sample.bundle, segment(sample.bundle)), shared(sample)) is None


@cache
def painted_ball() -> Scene:
    """A ball with another colour in each direction, smoothly: as its cameras see it."""
    sample = scene("sphere", "transparent")
    rgb = {}
    rng = np.random.default_rng(3)
    waves = rng.normal(0, 5, (3, 4, 3))
    for view in VIEW_NAMES:
        camera = sample.calibration.cameras[view].scaled_to(sample.bundle.rgb_size_px)
        depth = sample.depth[view]
        row, column = np.nonzero(depth > 0)
        scale = sample.bundle.rgb_size_px / depth.shape[0]
        assert scale == 1
        points = camera.unproject(np.stack([column + 0.5, row + 0.5], 1), depth[row, column])
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        colour = np.stack([np.sin(points @ wave.T + phase).mean(1) for phase, wave in enumerate(waves)], 1)
        image = np.zeros((*depth.shape, 3), np.uint8)
        image[row, column] = 128 + 120 * colour
        rgb[view] = image
    alpha = {view: ((sample.depth[view] > 0) * 255).astype(np.uint8) for view in VIEW_NAMES}
    return replace(sample, bundle=replace(sample.bundle, rgb=rgb, alpha=alpha))


@pytest.mark.parametrize(
    ("witnesses", "squarely", "said"),
    [(("left", "right"), True, True), (("left",), True, False), (("left", "right"), False, False)],
)
def test_rims_and_single_witnesses_say_nothing(witnesses: tuple[ViewName, ...], squarely: bool, said: bool) -> None:
    """A top view that agrees with its neighbours when it is flipped: what it takes to believe them."""
    painted, other = np.random.default_rng(3).normal(size=(2, SIZE_PX, SIZE_PX, 3))
    shown: dict[ViewName, Floats] = {name: painted if name in ("left", "right") else other for name in VIEW_NAMES} | {
        "top": painted[:, ::-1]
    }
    whole = np.ones((SIZE_PX, SIZE_PX), np.bool_)
    looks: dict[ViewName, Look] = {name: Look(shown[name], whole) for name in VIEW_NAMES}
    at = tuple(np.random.default_rng(4).integers(0, SIZE_PX, (2, 400)))
    pairs = [Shared("top", view, at, at, np.full(400, squarely)) for view in witnesses]
    found = better_reading(looks, pairs)
    assert (found is not None) == said
    assert not found or found.reading.views == ("top",)
