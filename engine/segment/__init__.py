"""Stage 2: what belongs to the object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import DEPTH_DIR, RGB_DIR, VIEW_NAMES, ViewName
from config.errors import ValidationFailed
from engine.bundle import Bundle
from engine.jit import parallel_map
from engine.segment.fields import Colour, Mask, Window, resize_mask, shrink_colours, signed_distance, window_around
from engine.segment.kernels import matte
from engine.segment.mixed_up import refuse_mixed_up
from engine.segment.silhouette import drop_specks
from engine.segment.types import Segmentation
from engine.segment.view import INSIDE_PX, LOOSE_PRIOR_PX, TIGHT_PRIOR_PX, Scene, cut, edges_near_silhouette, look

__all__ = ["Segmentation", "segment"]

Value = TypeVar("Value")
_COARSE = 512
_FINE = 1024
_MARGIN_PX = 64  # at 1024²
_STRAY_EDGES = 0.01
_STRAY_EDGES_OF_ONE = 0.03
_EDGES_AT_CONTOUR = 0.15
_NOT_ITS, _FOLLOWS = 0.1, 0.8
"""Overlap (IoU) of an alpha channel with the depth's silhouette: below the first it is not the object's, and where the
reverse is over the second it is inverted."""


@dataclass(frozen=True, eq=False)
class _Look:
    """A view before anything is decided.

    rgb: the window at full size. silhouette: the depth's, whole. scene: at the
    coarse size.
    """

    window: Window
    rgb: Colour
    silhouette: Mask
    scene: Scene
    stray_edges: float
    edges_at_contour: float


def segment(bundle: Bundle) -> Segmentation:
    """Find the foreground of every view, in the RGB and in the depth render.

    A view with an alpha channel says it itself. In the others the depth's silhouette is the prior and the colours
    decide near it. Whether the RGB follows the depth to the pixel is told from its edges. Where it does, a cut at
    1024² keeps to the silhouette; where it does not, one at 512² looks for the contour further away, and one at 1024²
    refines it. At last the rim is made soft at full size.

    Raises ValidationFailed where nothing is left of a view, or where a view's RGB and depth have nothing in common, or
    where the RGB plainly shows another view's outline.
    """
    depth_mask = _by_view(lambda view: drop_specks(bundle.depth[view] > 0))
    empty = [view for view in VIEW_NAMES if not depth_mask[view].any()]
    if empty:
        names = ", ".join(f"{DEPTH_DIR}/{view}.png" for view in empty)
        raise ValidationFailed(f"{names}: nothing but specks has a code above 0.", files=empty)
    refuse_mixed_up(bundle, depth_mask)
    unknown = [view for view in VIEW_NAMES if bundle.alpha[view] is None]
    looks = parallel_map(lambda view: _look(bundle.rgb[view], depth_mask[view]), unknown)
    aligned = (
        bool(looks)
        and float(np.median([item.stray_edges for item in looks])) < _STRAY_EDGES
        and float(np.median([item.edges_at_contour for item in looks])) > _EDGES_AT_CONTOUR
    )
    finished = parallel_map(lambda item: _finish(item, bundle.rgb_size_px, aligned), looks)
    drawn = dict(zip(unknown, finished, strict=True))

    def alpha_of(view: ViewName) -> NDArray[np.uint8]:
        alpha = bundle.alpha[view]
        return drawn[view] if alpha is None else drop_specks_of_alpha(alpha)

    rgb_alpha = _by_view(alpha_of)
    agreement = _by_view(lambda view: _overlap(rgb_alpha[view], depth_mask[view]))
    _refuse_inverted(rgb_alpha, depth_mask, [v for v in VIEW_NAMES if v not in unknown and agreement[v] < _NOT_ITS])
    for view, value in agreement.items():
        if value == 0.0:
            raise ValidationFailed(
                f"{RGB_DIR}/{view}.png and {DEPTH_DIR}/{view}.png show the object in different places.",
                suggestion="Render both from the same camera.",
                view=view,
            )
    return Segmentation(rgb_alpha, depth_mask, agreement)


def _by_view(function: Callable[[ViewName], Value]) -> dict[ViewName, Value]:
    return dict(zip(VIEW_NAMES, parallel_map(function, VIEW_NAMES), strict=True))


def _refuse_inverted(
    rgb_alpha: dict[ViewName, NDArray[np.uint8]], depth_mask: dict[ViewName, Mask], suspects: list[ViewName]
) -> None:
    """Raise ValidationFailed for alpha channels that cover the background and leave the object out."""
    inverted = [view for view in suspects if _overlap(255 - rgb_alpha[view], depth_mask[view]) > _FOLLOWS]
    if inverted:
        names = ", ".join(f"{RGB_DIR}/{view}.png" for view in inverted)
        raise ValidationFailed(
            f"{names}: the alpha channel is inverted: it is opaque around the object and transparent on it.",
            suggestion="Invert the alpha channel, or export the views without one.",
            files=inverted,
        )


def drop_specks_of_alpha(alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An alpha channel [H, W] without its small components (of what is not wholly transparent)."""
    covered = alpha > 0
    kept = drop_specks(covered)
    return alpha if kept is covered else np.where(kept, alpha, np.uint8(0))


def _look(rgb: Colour, silhouette: Mask) -> _Look:
    size = rgb.shape[0]
    factor = max(1, size // _COARSE)
    window = window_around(silhouette, size, _MARGIN_PX * size / 1024, 2 * factor)
    part = np.ascontiguousarray(rgb[window.rows, window.columns])
    side = window.side // factor
    small = shrink_colours(part, side)
    scene = look(small, _silhouette_in(window, silhouette, size, factor), size / factor / 1024)
    return _Look(window, part, silhouette, scene, *edges_near_silhouette(scene))


def _silhouette_in(window: Window, silhouette: Mask, size: int, factor: int) -> Mask:
    """The silhouette [n, n] of a whole view in a window of a view of `size`, reduced by `factor`."""
    if size % factor:
        return resize_mask(resize_mask(silhouette, size)[window.rows, window.columns], window.side // factor)
    x, y, side = window.x // factor, window.y // factor, window.side // factor
    return resize_mask(silhouette, size // factor)[y : y + side, x : x + side]


def _finish(item: _Look, size: int, aligned: bool) -> NDArray[np.uint8]:
    factor = max(1, size // _FINE)
    side = item.window.side // factor
    small = shrink_colours(item.rgb, side)
    silhouette = _silhouette_in(item.window, item.silhouette, size, factor)
    scene = look(small, silhouette, size / factor / 1024)
    if aligned and item.stray_edges < _STRAY_EDGES_OF_ONE:
        mask = cut(scene, silhouette, TIGHT_PRIOR_PX, 1, 40, 4)
        if mask.sum() < 0.5 * silhouette.sum():  # a line one pixel thin
            mask = silhouette
    else:
        draft = cut(item.scene, None, LOOSE_PRIOR_PX, 3, 60, INSIDE_PX)
        mask = cut(scene, resize_mask(draft, side), LOOSE_PRIOR_PX, 1, 50, 6)
    mask = drop_specks(mask)
    out = np.zeros((size, size), np.uint8)
    out[item.window.rows, item.window.columns] = _soften(item.rgb, small, mask)
    return out


def _overlap(alpha: NDArray[np.uint8], depth_mask: Mask) -> float:
    seen = resize_mask(alpha > 127, depth_mask.shape[0])
    return float((seen & depth_mask).sum() / max(1, int((seen | depth_mask).sum())))


def _soften(rgb: Colour, small: Colour, mask: Mask) -> NDArray[np.uint8]:
    """Coverage [H, H] uint8 in a window: 255 inside the mask [h, h], 0 outside, by the colours in the rim."""
    factor = rgb.shape[0] // small.shape[0]
    out = np.repeat(np.repeat(mask.astype(np.uint8) * 255, factor, 0), factor, 1)
    matte(rgb, small, signed_distance(mask), factor, out)
    return out
