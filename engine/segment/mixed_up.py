"""Tells when an RGB view shows what another view's depth render shows: two files exchanged in one folder only."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import DEPTH_DIR, RGB_DIR, VIEW_NAMES, ViewName
from config.errors import ValidationFailed
from engine.bundle import Bundle
from engine.jit import parallel_map
from engine.segment.outline import Outline, outline_of, overlap, reduced

OWN_AT_MOST: Final = 0.75
OTHER_AT_LEAST: Final = 0.85
"""IoU with the own depth render's silhouette, and with the other's: only what is beyond doubt is refused."""


def outlines_of(bundle: Bundle) -> dict[ViewName, Outline]:
    """Every RGB view's outline, judged without the depth."""
    found = parallel_map(lambda name: outline_of(bundle.rgb[name], bundle.alpha[name]), VIEW_NAMES)
    return dict(zip(VIEW_NAMES, found, strict=True))


def refuse_mixed_up(bundle: Bundle, depth_mask: dict[ViewName, NDArray[np.bool_]]) -> None:
    """Raise ValidationFailed where an RGB view's silhouette is plainly another view's.

    Left and right, or front and back, mirror each other's silhouettes and often can't be told apart this way: see
    `engine.check`.
    """
    shown = {name: outline.shown for name, outline in outlines_of(bundle).items()}
    depth = {name: reduced(depth_mask[name]) for name in VIEW_NAMES}
    found = []
    for name in VIEW_NAMES:
        agreement = {other: overlap(shown[name], depth[other]) for other in VIEW_NAMES}
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
