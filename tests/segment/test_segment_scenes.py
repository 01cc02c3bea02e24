"""Segmentation of drawn bundles whose coverage is known."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from config.bundle_layout import VIEW_NAMES
from config.errors import ValidationFailed
from config.job import JobOptions
from engine.bundle import Bundle
from engine.segment import Segmentation, segment

SIZE = 512


def _coverage(grow: float = 0.0, size: int = SIZE) -> np.ndarray:
    """A disc with a bar that is 4 px thin, [size, size] coverage, at four samples a pixel."""
    y, x = (np.mgrid[: size * 2, : size * 2] + 0.5) / 2 / size * 512
    shape = np.hypot(x - 256, y - 270) < 110 + grow
    shape |= (np.abs(x - 256) < 2 + grow) & (y > 80) & (y < 270)
    return shape.reshape(size, 2, size, 2).mean((1, 3))


def _bundle(rgb: np.ndarray, depth: np.ndarray, alpha: np.ndarray | None = None) -> Bundle:
    return Bundle(
        Path("drawn"),
        dict.fromkeys(VIEW_NAMES, rgb),
        dict.fromkeys(VIEW_NAMES, alpha),
        dict.fromkeys(VIEW_NAMES, depth),
        255,
        JobOptions(),
    )


def _paint(coverage: np.ndarray, texture: np.ndarray, background: np.ndarray) -> np.ndarray:
    mixed = coverage[..., None] * texture + (1 - coverage[..., None]) * background
    return np.clip(np.round(mixed), 0, 255).astype(np.uint8)


def _texture(colour: tuple[int, int, int]) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(4).normal(0, 60, (SIZE, SIZE)), 3)[..., None]
    return np.clip(np.array(colour) + noise * 4, 0, 250)


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def _depth(coverage: np.ndarray) -> np.ndarray:
    return np.where(coverage >= 0.5, 200, 0).astype(np.uint16)


@pytest.mark.parametrize("background", [255, 128, 0])
@pytest.mark.parametrize("colour", [(180, 60, 40), (230, 230, 235), (30, 30, 30)])
def test_plain_backgrounds(background: int, colour: tuple[int, int, int]) -> None:
    coverage = _coverage()
    rgb = _paint(coverage, _texture(colour), np.full((SIZE, SIZE, 3), background))
    result = segment(_bundle(rgb, _depth(coverage)))
    mask = result.rgb_mask("front")
    assert _iou(mask, coverage >= 0.5) > 0.99
    assert mask[90:150, 256].all(), "the thin bar is cut"
    assert result.agreement["front"] > 0.99


def test_white_on_white_follows_the_depth() -> None:
    """Two views tell that RGB and depth agree; in the others the object is as white as the background."""
    coverage = _coverage()
    bundle = _bundle(_paint(coverage, _texture((180, 60, 40)), np.full((SIZE, SIZE, 3), 255)), _depth(coverage))
    white = np.full((SIZE, SIZE, 3), 255, np.uint8)
    white[250:290, 240:270] = 90
    bundle.rgb["top"] = bundle.rgb["left"] = white
    result = segment(bundle)
    assert _iou(result.rgb_mask("top"), coverage >= 0.5) > 0.985


def _photo(coverage: np.ndarray) -> np.ndarray:
    """Off-white with a gradient, a tile seam, noise and a soft shadow to the lower right of the object."""
    rng = np.random.default_rng(8)
    y, x = np.mgrid[:SIZE, :SIZE]
    background = 250 - 6 * x / SIZE - 5 * (y > 400) + rng.normal(0, 0.7, (SIZE, SIZE))
    shadow = ndimage.gaussian_filter(np.roll(coverage, (8, 8), (0, 1)), 9)
    background = background * (1 - 0.45 * shadow)
    return _paint(coverage, _texture((190, 50, 40)), np.repeat(background[..., None], 3, 2))


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-4, 2)])
def test_shadow_seam_and_a_contour_that_is_off(shift: tuple[int, int]) -> None:
    coverage = _coverage(grow=1.5)
    depth = np.roll(_depth(_coverage()), shift, (0, 1))
    result = segment(_bundle(_photo(coverage), depth))
    truth = coverage >= 0.5
    assert _iou(result.rgb_mask("front"), truth) > 0.975
    assert _iou(result.rgb_mask("front"), truth) > _iou(depth > 0, truth)
    assert result.agreement["front"] == pytest.approx(_iou(result.rgb_mask("front"), depth > 0), abs=1e-6)


def test_alpha_says_it_itself_but_for_specks() -> None:
    coverage = _coverage()
    alpha = np.round(coverage * 255).astype(np.uint8)
    speckled = alpha.copy()
    speckled[20:22, 20] = 255
    depth = _depth(coverage)
    depth[480, 480:482] = 9
    rgb = _paint(coverage, _texture((90, 90, 90)), np.zeros((SIZE, SIZE, 3)))
    result = segment(_bundle(rgb, depth, speckled))
    assert np.array_equal(result.rgb_alpha["top"], alpha)
    assert not result.depth_mask["top"][480].any()


def test_rgb_larger_than_depth() -> None:
    coverage = _coverage(size=1024)
    y, x = np.mgrid[:1024, :1024]
    texture = np.stack([150 + 40 * np.sin(x / 9), 60 + 30 * np.cos(y / 7), 80 + 0 * x], -1)
    rgb = _paint(coverage, texture, np.full((1024, 1024, 3), 255))
    result = segment(_bundle(rgb, _depth(_coverage(size=256))))
    assert result.rgb_alpha["front"].shape == (1024, 1024)
    assert _iou(result.rgb_mask("front"), coverage >= 0.5) > 0.985


def test_two_runs_are_identical() -> None:
    bundle = _bundle(_photo(_coverage(grow=2)), _depth(_coverage()))
    first, second = segment(bundle), segment(bundle)
    assert isinstance(first, Segmentation)
    for view in VIEW_NAMES:
        assert np.array_equal(first.rgb_alpha[view], second.rgb_alpha[view])


def test_an_object_elsewhere_is_refused() -> None:
    alpha = np.zeros((SIZE, SIZE), np.uint8)
    alpha[:60, :60] = 255
    bundle = _bundle(np.full((SIZE, SIZE, 3), 90, np.uint8), _depth(_coverage()), alpha)
    with pytest.raises(ValidationFailed, match=r"multi_views/front.png and depth_renders/front.png"):
        segment(bundle)


def test_a_depth_of_specks_alone_is_refused() -> None:
    depth = np.zeros((SIZE, SIZE), np.uint16)
    depth[::40, ::40] = 7
    with pytest.raises(ValidationFailed, match="nothing but specks"):
        segment(_bundle(np.full((SIZE, SIZE, 3), 90, np.uint8), depth))


def test_a_sheet_seen_edge_on_is_kept() -> None:
    coverage = _coverage()
    bundle = _bundle(_paint(coverage, _texture((180, 60, 40)), np.zeros((SIZE, SIZE, 3))), _depth(coverage))
    edge = np.zeros((SIZE, SIZE), np.float64)
    edge[250, 100:400] = 1
    bundle.rgb["top"] = _paint(edge, _texture((180, 60, 40)), np.zeros((SIZE, SIZE, 3)))
    bundle.depth["top"] = _depth(edge)
    result = segment(bundle)
    assert _iou(result.rgb_mask("top"), edge > 0) > 0.9
