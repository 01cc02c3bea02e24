"""Round objects: depth and outlines leave the orientation open, what is painted on them may tell it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.bundle import Bundle
from engine.calibrate import calibrate
from engine.sample import Scene, sample_scene
from engine.segment import segment

pytestmark = pytest.mark.slow


def ring() -> Scene:
    return sample_scene("torus", 40.0, "shared", "subject", size_px=512, background="transparent", grid=96)


def painted(sample: Scene) -> Bundle:
    """Another colour at each point, smoothly: as the cameras see it."""
    rgb: dict[ViewName, NDArray[np.uint8]] = {}
    waves = np.random.default_rng(3).normal(0, 12, (3, 4, 3))
    for view in VIEW_NAMES:
        depth = sample.depth[view]
        camera = sample.calibration.cameras[view].scaled_to(depth.shape[0])
        row, column = np.nonzero(depth > 0)
        points = camera.unproject(np.stack([column + 0.5, row + 0.5], 1), depth[row, column])
        colour = np.stack([np.sin(points @ wave.T + phase).mean(1) for phase, wave in enumerate(waves)], 1)
        image = np.zeros((*depth.shape, 3), np.uint8)
        image[row, column] = 128 + 120 * colour
        times = sample.bundle.rgb_size_px // len(depth)
        rgb[view] = image.repeat(times, 0).repeat(times, 1)
    return replace(sample.bundle, rgb=rgb)


def test_a_painted_ring_is_turned_as_its_colours_say() -> None:
    """Every turn about the ring's axis fits, and either side up."""
    sample = ring()
    bundle = painted(sample)
    found = calibrate(bundle, segment(bundle), lambda fraction: None)
    assert not found.ambiguous
    assert len(found.evidence["tied_layouts"]) > 6
    for view in VIEW_NAMES:
        truth = sample.calibration.cameras[view].world_from_camera[:3, :3]
        assert np.allclose(found.cameras[view].world_from_camera[:3, :3], truth, atol=1e-6), view


def test_a_plain_ring_is_ambiguous_and_takes_the_default() -> None:
    sample = ring()
    found = calibrate(sample.bundle, segment(sample.bundle), lambda fraction: None)
    assert found.ambiguous
    assert found.confidence < 0.5
    assert found.layout["left"].toward == "-X"
