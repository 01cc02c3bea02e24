"""Whether to take light and looks apart: pure, from evidence to a sentence."""

from __future__ import annotations

from typing import Final

from engine.materials.evidence import Evidence
from engine.materials.gloss import FEW, LEAST_SHINE, Shine
from engine.materials.views import Agreement

LEAST_CONTRAST: Final = 1.15
LEAST_TURNED: Final = 0.03
LEAST_EXPLAINED: Final = 0.4
LEAST_AGREEMENT: Final = 0.5
LEAST_DIRECTIONS: Final = 3
MOST_WITH_CAMERA: Final = 0.35
_NOTICED: Final = 0.05
LEAST_SHINE_EXPLAINED: Final = 0.45
MOST_APART: Final = 0.12
REFLECTANCE: Final = (0.01, 0.1)
"""Of what is no metal, with room for what the light's strength is off by."""


def refusal(evidence: Evidence, views: Agreement, clear: bool = False) -> str | None:
    """Why the light stays in the texture, as the end of a sentence; None where it can be told from the looks.

    clear: whether the evidence is of the texture without highlights.
    """
    if (reason := absence(evidence, views)) is not None:
        return reason
    if evidence.explained < LEAST_EXPLAINED or evidence.agreement < LEAST_AGREEMENT:
        even = ", even without highlights" if clear else ""
        return (
            f"no one light explains how brightness changes with the direction that the surface faces{even} "
            f"({100 * max(evidence.explained, 0):.0f} % of it; at least {100 * LEAST_EXPLAINED:.0f} % are wanted), "
            "so it belongs to the looks"
        )
    return None


def absence(evidence: Evidence, views: Agreement) -> str | None:
    """Of the reasons those that are not asked anew without highlights: these are assumed to hide no light."""
    if evidence.directions < LEAST_DIRECTIONS:
        return "the surface faces too few directions to tell a light by"
    if views.difference > _NOTICED and views.with_camera > MOST_WITH_CAMERA:
        return "the light goes round with the camera: neighbouring views show the same places in different light"
    if evidence.turned < LEAST_TURNED or evidence.contrast < LEAST_CONTRAST:
        return "there is no light to separate: places of like colour are equally bright whichever way they face"
    return None


def matt_because(shine: Shine) -> str | None:
    """Why the surface is taken for matt, as the end of a sentence; None where its roughness is told."""
    if shine.places < FEW:
        return f"only {shine.places} places are seen well by two views"
    if shine.difference < LEAST_SHINE:
        return "places look alike from two sides"
    if shine.explained < LEAST_SHINE_EXPLAINED:
        return (
            "a gloss explains too little of what views of the same places differ by "
            f"({100 * max(shine.explained, 0):.0f} %; at least {100 * LEAST_SHINE_EXPLAINED:.0f} % are wanted)"
        )
    if abs(shine.halves[0] - shine.halves[1]) > MOST_APART:
        return f"two halves of the surface tell {shine.halves[0]:.2f} and {shine.halves[1]:.2f}"
    return None


def metal_because(reflectance: float) -> str | None:
    """Why a gloss is not delivered as one of plastics or varnish; None where it is."""
    low, high = REFLECTANCE
    if low <= reflectance <= high:
        return None
    return (
        f"it would reflect {100 * reflectance:.1f} % from the front; what is no metal reflects about 4 %, and which "
        "parts are metal can't be told"
    )
