"""Files exchanged in one folder only are told by their outlines; sound bundles never are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.bundle_layout import VIEW_NAMES
from config.errors import ValidationFailed
from engine.sample import OBJECT_NAMES, Scene, sample_scene
from engine.segment import segment
from engine.segment.mixed_up import refuse_mixed_up


def scene(name: str, background: str = "off_white") -> Scene:
    return sample_scene(name, size_px=256, background=background, grid=96, supersample=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("background", ["off_white", "grey", "transparent"])
@pytest.mark.parametrize("name", OBJECT_NAMES)
def test_sound_bundles_pass(name: str, background: str) -> None:
    bundle = scene(name, background).bundle
    refuse_mixed_up(bundle, {view: bundle.depth[view] > 0 for view in VIEW_NAMES})


def test_two_rgb_views_exchanged_are_named() -> None:
    bundle = scene("locomotive").bundle
    rgb = {**bundle.rgb, "front": bundle.rgb["top"], "top": bundle.rgb["front"]}
    with pytest.raises(ValidationFailed, match=r"multi_views/front\.png shows the outline of depth_renders/top\.png"):
        segment(replace(bundle, rgb=rgb))


def test_an_inverted_alpha_channel_is_named() -> None:
    sample = sample_scene("robot", 40.0, "view_max", "canonical", 256, background="transparent", supersample=1, grid=96)
    alpha = {v: 255 - a if v in ("left", "top") and a is not None else a for v, a in sample.bundle.alpha.items()}
    with pytest.raises(ValidationFailed, match="alpha channel is inverted") as caught:
        segment(replace(sample.bundle, alpha=alpha))
    assert caught.value.details["files"] == ["left", "top"]
