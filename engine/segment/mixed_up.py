"""Tells when an RGB view shows what another view's depth render shows: two files exchanged in one folder only."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from config.bundle_layout import DEPTH_DIR, RGB_DIR, VIEW_NAMES, ViewName
from config.errors import ValidationFailed
from engine.bundle import Bundle

SIZE_PX: Final = 256
CONTRAST: Final = 24
"""Levels of 255 by which a pixel differs from the frame's border to count as the object, whatever the depth says."""
OWN_AT_MOST: Final = 0.75
OTHER_AT_LEAST: Final = 0.85
"""IoU with the own depth render's silhouette, and with the other's: only what is beyond doubt is refused."""


def _reduced(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    small = Image.fromarray(mask.astype(np.uint8) * 255).resize((SIZE_PX, SIZE_PX), Image.Resampling.BOX)
    return np.asarray(small) > 127


def _stands_out(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None) -> NDArray[np.bool_]:
    """[S, S] what alpha says, else what differs from the border: no depth, so no prejudice."""
    if alpha is not None:
        return _reduced(alpha > 127)
    small = np.asarray(Image.fromarray(rgb).resize((SIZE_PX, SIZE_PX), Image.Resampling.BOX), np.int16)
    border = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    return np.asarray(np.abs(small - np.median(border, 0)).max(-1) > CONTRAST)


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def refuse_mixed_up(bundle: Bundle, depth_mask: dict[ViewName, NDArray[np.bool_]]) -> None:
    """Raise ValidationFailed where an RGB view's silhouette is plainly another view's.

    Left and right, or front and back, mirror each other's silhouettes and often can't be told apart this way.
    """
    shown = {name: _stands_out(bundle.rgb[name], bundle.alpha[name]) for name in VIEW_NAMES}
    depth = {name: _reduced(depth_mask[name]) for name in VIEW_NAMES}
    found = []
    for name in VIEW_NAMES:
        agreement = {other: _iou(shown[name], depth[other]) for other in VIEW_NAMES}
        best = max(VIEW_NAMES, key=lambda other: agreement[other])
        if agreement[name] < OWN_AT_MOST and agreement[best] > OTHER_AT_LEAST:
            found.append(
                f"{RGB_DIR}/{name}.png shows the outline of {DEPTH_DIR}/{best}.png "
                f"(they overlap by {agreement[best]:.0%}, with its own depth render by {agreement[name]:.0%})"
            )
    if found:
        raise ValidationFailed(
            "; ".join(found) + ".",
            suggestion="Give both files of a view the same name: rename the RGB views or the depth renders.",
            views=found,
        )
