"""Where an RGB view shows something, judged without the depth: no prior, so no prejudice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from engine.segment.fields import shrink_colours

Mask = NDArray[np.bool_]

SIZE_PX: Final = 256
CONTRAST: Final = 24
"""Levels of 255 by which a pixel differs from the frame's border to count as the object."""
NOT_SHADOW: Final = 14
"""A darker shade of the background, within so many levels in every channel, may be a shadow."""
DARKEST_SHADOW: Final = 0.35
CALM_SHARE: Final = 0.9
"""Share of the border that has to have the background's colour."""
SHARP: Final = 28
"""Levels across 5 pixels at the rim of what stands out, at the median; a background's gradient is softer."""


@dataclass(frozen=True, eq=False)
class Outline:
    """shown: [S, S] what stands out from the background. sure: [S, S] of that, what can be no shadow.

    clear: whether the background is plain enough for these to mean anything.
    """

    shown: Mask
    sure: Mask
    clear: bool


def reduced(mask: Mask) -> Mask:
    """A square mask at SIZE_PX, by majority."""
    small = Image.fromarray(mask.astype(np.uint8) * 255).resize((SIZE_PX, SIZE_PX), Image.Resampling.BOX)
    return np.asarray(small) > 127


def outline_of(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None) -> Outline:
    """What alpha says, else what differs from the frame's border. rgb: [H, W, 3]; alpha: [H, W] or None."""
    if alpha is not None:
        shown = reduced(alpha > 127)
        return Outline(shown, shown, True)
    small = shrink_colours(rgb, SIZE_PX).astype(np.int16)
    border = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    background = np.median(border, 0)
    shown = np.asarray(np.abs(small - background).max(-1) > CONTRAST)
    calm = float((np.abs(border - background).max(-1) <= CONTRAST).mean()) >= CALM_SHARE
    brightness = small.max(-1) / max(float(background.max()), 1.0)
    shade = np.abs(small - brightness[..., None] * background).max(-1) < NOT_SHADOW
    shade &= (brightness < 1) & (brightness > DARKEST_SHADOW)
    return Outline(shown, shown & ~shade, calm and _sharp(small, shown))


def _sharp(small: NDArray[np.int16], shown: Mask) -> bool:
    rim = shown & ~ndimage.binary_erosion(shown)
    if not rim.any():
        return False
    rows, columns = np.nonzero(rim)
    near = np.arange(-2, 3)
    rows = np.clip(rows[:, None] + near, 0, SIZE_PX - 1)
    columns = np.clip(columns[:, None] + near, 0, SIZE_PX - 1)
    rise = np.ptp(small[rows[:, :, None], columns[:, None, :]], (1, 2)).max(-1)
    return float(np.median(rise)) >= SHARP


def overlap(a: Mask, b: Mask) -> float:
    """Intersection over union."""
    return float((a & b).sum() / max(int((a | b).sum()), 1))


def outside(outline: Outline, depth_mask: Mask, margin_px: int) -> float:
    """Share of what the RGB surely shows that lies further than `margin_px` (at SIZE_PX) out of the depth's silhouette.

    depth_mask: [S, S].
    """
    reach = ndimage.binary_dilation(depth_mask, iterations=margin_px)
    return float((outline.sure & ~reach).sum() / max(int(outline.sure.sum()), 1))
