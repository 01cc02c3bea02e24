"""Whether to take light and looks apart: pure, from evidence to a sentence."""

from __future__ import annotations

from typing import Final

from engine.materials.evidence import Evidence
from engine.materials.views import Agreement

LEAST_CONTRAST: Final = 1.15
LEAST_TURNED: Final = 0.03
LEAST_EXPLAINED: Final = 0.4
LEAST_AGREEMENT: Final = 0.5
LEAST_DIRECTIONS: Final = 3
MOST_WITH_CAMERA: Final = 0.35
_NOTICED: Final = 0.05


def refusal(evidence: Evidence, views: Agreement) -> str | None:
    """Why the light stays in the texture, as the end of a sentence; None where it can be told from the looks."""
    if evidence.directions < LEAST_DIRECTIONS:
        return "the surface faces too few directions to tell a light by"
    if views.difference > _NOTICED and views.with_camera > MOST_WITH_CAMERA:
        return "the light goes round with the camera: neighbouring views show the same places in different light"
    if evidence.turned < LEAST_TURNED or evidence.contrast < LEAST_CONTRAST:
        return "there is no light to separate: places of like colour are equally bright whichever way they face"
    if evidence.explained < LEAST_EXPLAINED or evidence.agreement < LEAST_AGREEMENT:
        return (
            "no one light explains how brightness changes with the direction that the surface faces "
            f"({100 * max(evidence.explained, 0):.0f} % of it; at least {100 * LEAST_EXPLAINED:.0f} % are wanted), "
            "so it belongs to the looks"
        )
    return None
