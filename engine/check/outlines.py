"""Does each RGB view show the object that its depth render shows?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.bundle import Bundle
from engine.calibrate.photo import Look
from engine.calibrate.shared import Shared
from engine.check.colours import agreement
from engine.segment import Segmentation
from engine.segment.mixed_up import outlines_of
from engine.segment.outline import outside, overlap, reduced

MARGIN_PX: Final = 4
"""Of 256. A repainted view's outline is up to 8 px of 1024 off its depth render's."""


@dataclass(frozen=True)
class Likeness:
    """What speaks for a view's RGB and depth showing one object, from outlines and colours.

    overlap: IoU of the depth's silhouette and what stands out in the RGB. outside: share of the latter that lies out of
    the silhouette. clear: whether the RGB's background lets one tell. alpha: whether the outline is the file's own.
    colours: mean correlation with the neighbours' where they see one surface, None where they see none.
    """

    overlap: float
    outside: float
    clear: bool
    alpha: bool
    colours: float | None


def likenesses(
    bundle: Bundle, segmentation: Segmentation, looks: Mapping[ViewName, Look], shared: list[Shared]
) -> dict[ViewName, Likeness]:
    """Every view's likeness."""
    outlines = outlines_of(bundle)
    found = {}
    for name in VIEW_NAMES:
        outline, mask = outlines[name], reduced(segmentation.depth_mask[name])
        colours = agreement(looks, shared, (name,))
        found[name] = Likeness(
            overlap(outline.shown, mask),
            outside(outline, mask, MARGIN_PX),
            outline.clear,
            bundle.alpha[name] is not None,
            colours,
        )
    return found


def differs(found: Mapping[ViewName, Likeness], colours: float | None) -> bool:
    """Whether the RGB views and the depth renders plainly show different objects. colours: over all pairs of views.

    Limits by measuring 460 bundles put together from the RGB of one and the depth of another of 52, and these 52 as
    they are: of the sound ones none came near (the outline's median overlap was at least 0.88 where their colours
    correlated by less than 0.4; all lay within the margin), of the mixed ones 95 % do.
    """
    if sum(item.clear for item in found.values()) < 4:
        return False
    clear = [item for item in found.values() if item.clear]
    iou, out = float(np.median([i.overlap for i in clear])), float(np.median([i.outside for i in clear]))
    if all(item.alpha for item in clear):
        return iou < 0.7
    agree = 0.0 if colours is None else colours
    return (iou < 0.75 and out > 0.05 and agree < 0.35) or (iou < 0.5 and out > 0.2 and agree < 0.5)


def strangers(found: Mapping[ViewName, Likeness]) -> list[ViewName]:
    """The views whose RGB plainly shows something else than their depth render.

    Stricter than for all six together, as one view is little to go by: colours have to speak against it, too. In sound
    bundles no view that shares a surface with others had more than 3 % out of the silhouette.
    """
    return [
        name
        for name, item in found.items()
        if item.clear and item.overlap < 0.6 and item.outside > 0.15 and item.colours is not None and item.colours < 0.2
    ]
