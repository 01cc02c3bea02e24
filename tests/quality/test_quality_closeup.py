"""The views cut to the object."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from config.bundle_layout import VIEW_NAMES
from engine.quality import evaluate
from engine.quality.closeup import closeup, closeup_boxes
from engine.quality.metrics import Box


def _square(size: int, y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
    out = np.zeros((size, size), np.uint8)
    out[y0:y1, x0:x1] = 255
    return out


def test_all_views_are_cut_alike_and_around_their_objects() -> None:
    boxes = closeup_boxes({"front": _square(100, 40, 60, 30, 70), "top": _square(100, 0, 20, 90, 100)})
    sides = {(box.y1 - box.y0, box.x1 - box.x0) for box in boxes.values()}
    assert sides == {(48, 48)}
    assert boxes["front"] == Box(26, 74, 26, 74)
    assert boxes["top"] == Box(0, 48, 52, 100)  # within the frame


def test_an_object_that_fills_the_frame_and_none_at_all() -> None:
    boxes = closeup_boxes({"front": _square(64, 0, 64, 0, 64), "top": _square(64, 0, 0, 0, 0)})
    assert boxes == dict.fromkeys(("front", "top"), Box(0, 64, 0, 64))


def test_depth_differences_are_signed_and_outlines_told_apart() -> None:
    rgb = np.zeros((8, 8, 3), np.uint8)
    drawn, given = np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32)
    drawn[1, 1], given[1, 1] = 1.5, 1.0
    drawn[1, 2], given[2, 1] = 1.0, 1.0
    cut = closeup(rgb, rgb + 9, Box(2, 8, 2, 8), drawn, given)
    assert cut.delivered.shape == (6, 6, 3)
    assert (cut.difference == 9).all()
    assert cut.depth_difference.shape == (3, 3)
    assert cut.depth_difference[0, 0] == 0.5
    assert np.isnan(cut.depth_difference).sum() == 8
    assert cut.surplus.tolist() == [[False, True, False], [False] * 3, [False] * 3]
    assert cut.missing.tolist() == [[False] * 3, [True, False, False], [False] * 3]


def test_large_views_are_shrunk() -> None:
    rgb = np.zeros((2000, 2000, 3), np.uint8)
    depth = np.ones((1600, 1600), np.float32)
    cut = closeup(rgb, rgb, Box(0, 2000, 0, 2000), depth, depth)
    assert cut.render.shape == (768, 768, 3)
    assert max(cut.depth_difference.shape) <= 768


def test_an_evaluation_holds_one_of_each_view(scene: SimpleNamespace) -> None:
    evaluation = evaluate(
        scene.textured, scene.bundle, scene.segmentation, scene.calibration, scene.registrations, scene.depth
    )
    assert tuple(evaluation.closeups) == VIEW_NAMES
    for cut in evaluation.closeups.values():
        assert np.nanmax(np.abs(cut.depth_difference)) < 1e-6
        assert not cut.missing.any()
        assert cut.difference.max() < 60
        assert cut.delivered.std() > 5
