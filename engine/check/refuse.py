"""What is said when the RGB views and the depth renders don't fit together."""

from __future__ import annotations

import numpy as np

from config.bundle_layout import DEPTH_DIR, RGB_DIR
from config.errors import ValidationFailed
from engine.bundle import Bundle
from engine.calibrate import Calibration
from engine.calibrate.photo import looks_of
from engine.calibrate.shared import shared_surface
from engine.check.colours import Exchange, agreement, better_reading
from engine.check.outlines import differs, likenesses, strangers
from engine.segment import Segmentation


def refuse_contradictions(bundle: Bundle, segmentation: Segmentation, calibration: Calibration) -> None:
    """Compare RGB and depth through the cameras that were found.

    Raises ValidationFailed where they plainly show different objects, or where views are exchanged, turned or mirrored
    in one of the two folders (or mirrored in both) so that outlines and depth can't tell but colours do. Where the
    orientation is open nothing is said of exchanges.
    """
    shared = shared_surface(bundle, segmentation, calibration.cameras, calibration.depth)
    looks = looks_of(bundle, segmentation)
    found = likenesses(bundle, segmentation, looks, shared)
    whole = agreement(looks, shared)
    if differs(found, whole):
        clear = [item for item in found.values() if item.clear]
        each = ", ".join(f"{name} {item.overlap:.0%}" for name, item in found.items())
        colours = "" if whole is None else f"; neighbouring views' colours correlate by {whole:.2f} (1 is alike)"
        raise ValidationFailed(
            f"{RGB_DIR} and {DEPTH_DIR} show different objects: the outlines overlap by "
            f"{np.median([item.overlap for item in clear]):.0%} at the median ({each}){colours}.",
            suggestion=f"Put the RGB views and the depth renders of one object, from the same cameras, into {RGB_DIR} "
            f"and {DEPTH_DIR}.",
            overlap={name: round(item.overlap, 4) for name, item in found.items()},
            colours=None if whole is None else round(whole, 4),
        )
    strange = strangers(found)
    if strange:
        listed = "; ".join(
            f"{RGB_DIR}/{name}.png does not show what {DEPTH_DIR}/{name}.png shows (the outlines overlap by "
            f"{found[name].overlap:.0%}, {found[name].outside:.0%} of what the view shows lies outside)"
            for name in strange
        )
        raise ValidationFailed(
            f"{listed}.", suggestion="Render both files of a view from the same object and camera.", views=strange
        )
    if calibration.ambiguous:  # a layout taken by default may be what an exchange looks like
        return
    exchange = better_reading(looks, shared)
    if exchange:
        raise _wrong_names(exchange)


def _wrong_names(found: Exchange) -> ValidationFailed:
    views = found.reading.views
    figures = f"their colours correlate with the neighbours' by {found.as_named:.2f} as they are named, by "
    if found.reading.fault == "mirrored":
        message = (
            f"{RGB_DIR}/{views[0]}.png is mirrored: its colours correlate with the neighbouring views' by "
            f"{found.as_named:.2f} as it is, by {found.as_read:.2f} flipped left to right (1 is alike)."
        )
        fix = f"Flip it, and {DEPTH_DIR}/{views[0]}.png if that is mirrored too."
    elif found.reading.fault == "exchanged":
        a, b = views
        message = (
            f"{RGB_DIR}/{a}.png and {RGB_DIR}/{b}.png are exchanged against the depth renders: {figures}"
            f"{found.as_read:.2f} with the two exchanged (1 is alike)."
        )
        fix = (
            f"Exchange the names of {a}.png and {b}.png in one of the two folders, {RGB_DIR} or {DEPTH_DIR}, whichever "
            "is wrong."
        )
    else:
        message = (
            f"{RGB_DIR} is turned by half against {DEPTH_DIR} (front and back, left and right are exchanged): {figures}"
            f"{found.as_read:.2f} turned (1 is alike)."
        )
        fix = "Rename front, back, left and right in one of the two folders."
    return ValidationFailed(
        message,
        suggestion=fix,
        views=list(views),
        as_named=round(found.as_named, 4),
        as_read=round(found.as_read, 4),
    )
