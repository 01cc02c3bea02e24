"""Scenes for the tests: the project's own samples and changes that spoil them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from config.bundle_layout import VIEW_NAMES
from config.job import JobOptions
from engine.bundle import Bundle
from engine.sample import Scene, sample_scene
from engine.segment import Segmentation


@cache
def scene(name: str, fov_deg: float, encoding: str, layout: str) -> Scene:
    return sample_scene(
        name, fov_deg, encoding, layout, 256, depth_size_px=512, background="transparent", supersample=1, grid=128
    )  # type: ignore[arg-type]


def masks(bundle: Bundle) -> Segmentation:
    """The foreground as the depth has it: calibration is tested apart from segmentation."""
    depth_mask = {name: bundle.depth[name] > 0 for name in VIEW_NAMES}
    alpha = {name: np.full(bundle.rgb[name].shape[:2], 255, np.uint8) for name in VIEW_NAMES}
    return Segmentation(alpha, depth_mask, dict.fromkeys(VIEW_NAMES, 1.0))


def with_depth(bundle: Bundle, **views: np.ndarray) -> Bundle:
    return replace(bundle, depth={**bundle.depth, **views})


def with_options(bundle: Bundle, **options: object) -> Bundle:
    return replace(bundle, options=JobOptions.model_validate(options))


def nothing(_: float) -> None:
    """A checkpoint that lets everything pass."""
