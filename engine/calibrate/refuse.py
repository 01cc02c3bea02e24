"""What is said when cameras can't be found: which files, what was tried, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NoReturn

from config.bundle_layout import DEPTH_DIR, VIEW_NAMES
from config.errors import CalibrationFailed
from engine.calibrate.decide import FieldOfView
from engine.calibrate.faults import SOUND_VIOLATION, equivalent_exchange, suspect, violation
from engine.calibrate.guided import Guided
from engine.calibrate.model import Family, fov_deg
from engine.calibrate.observe import Observation
from engine.calibrate.problem import Fit
from engine.calibrate.tangency import Outlook
from engine.progress import Checkpoint

HOW_TO_STATE: Final = (
    "State what you know in job.toml: [cameras] with fov_deg (and distance, or [cameras.views.<name>] "
    "world_from_camera), [depth] with kind, measure, near and far."
)


SATURATED: Final = 0.6
"""Share of a view's object at the highest code from which on it may be saturated."""
STRAY: Final = 2 * SOUND_VIOLATION
"""Share of the points of a view without relief that contradict the others when the rest is sound."""


def explained(error: CalibrationFailed, hints: Sequence[str]) -> CalibrationFailed:
    """The error, with what in the depth renders may be the cause; `hints` are sentences."""
    if not hints:
        return error
    return CalibrationFailed(
        f"{error.message} This may be why: {' '.join(hints)}",
        suggestion=error.suggestion,
        **{**error.details, "hints": list(hints)},
    )


def tried(fits: list[Fit]) -> list[dict[str, Any]]:
    """The best readings, for the report."""
    return [
        {
            "coding": f.family.name,
            "layout": f.layout.key,
            "fov_deg": round(fov_deg(float(f.full[0])), 2),
            "cost": round(f.cost, 4),
            "contradicting_share": round(violation(f), 4),
        }
        for f in fits[:8]
    ]


def refuse_angle(stated_deg: float, outlines: FieldOfView) -> NoReturn:
    """Raise CalibrationFailed for a stated angle of view that the outlines contradict."""
    raise CalibrationFailed(
        f"job.toml states an angle of view (fov_deg) of {stated_deg:g} degrees, but the outlines of the six views meet "
        f"at {outlines.deg:.1f} ± {outlines.sigma_deg:.1f} degrees (one standard error).",
        suggestion="Correct fov_deg in [cameras] of job.toml (it is the full angle across the image), or leave it out "
        "to have it estimated.",
        stated_deg=stated_deg,
        estimated_deg=round(outlines.deg, 3),
    )


def refuse_stated(best: Fit) -> None:
    """Raise CalibrationFailed for stated cameras or depth that the images contradict."""
    if violation(best) <= SOUND_VIOLATION:
        return
    raise CalibrationFailed(
        f"The cameras or depth stated in job.toml contradict the depth renders: {violation(best):.1%} of the points "
        "fall outside another view's silhouette or in front of its surface.",
        suggestion="Check [cameras] and [depth] in job.toml, or leave them out to have them estimated.",
        tried=tried([best]),
    )


def without_relief(observation: Observation) -> dict[int, str]:
    """The views whose codes say next to nothing, and what they hold: a flat face does that, and so does saturation."""
    fingerprint, found = observation.fingerprint, {}
    for view, points in enumerate(observation.points):
        low, high = int(fingerprint.low[view]), int(fingerprint.high[view])
        top = float((points[:, 2] * fingerprint.code_max > fingerprint.code_max - 0.6).mean())
        if low == high:
            found[view] = f"holds a single code ({high}) all over the object"
        elif top > SATURATED:
            found[view] = f"has the highest code ({fingerprint.code_max}) on {top:.0%} of the object"
    return found


def _about_relief(observation: Observation) -> tuple[str, str]:
    """A sentence on views without relief, and what to do; empty where there are none."""
    found = without_relief(observation)
    if not found:
        return "", ""
    listed = "; ".join(f"{DEPTH_DIR}/{VIEW_NAMES[view]}.png {what}" for view, what in found.items())
    return (
        f" {listed}: unless the side is flat, it is saturated, or a mask instead of depth.",
        "Render that depth again, with a range that holds the whole object. ",
    )


def refuse_flattened(observation: Observation, fit: Fit) -> None:
    """Raise CalibrationFailed for a view without relief that contradicts the others although the rest agrees."""
    for view, what in without_relief(observation).items():
        own = fit.stats[view]
        share = float((own[:, 2] + own[:, 3]).sum() / max(float(own[:, 0].sum()), 1.0))
        if share > STRAY:
            raise CalibrationFailed(
                f"{DEPTH_DIR}/{VIEW_NAMES[view]}.png {what}, but the other views show no flat side there "
                f"({share:.1%} of its points contradict them): it is saturated, or a mask instead of depth.",
                suggestion="Render that depth again, with a range that holds the whole object.",
                view=VIEW_NAMES[view],
                tried=tried([fit]),
            )


def refuse_unsound(
    observation: Observation, outlook: Outlook, families: list[Family], found: list[Guided], checkpoint: Checkpoint
) -> NoReturn:
    """Raise CalibrationFailed, naming the file at fault where it can be told."""
    suspicions = suspect(observation, outlook, families, checkpoint)
    likely = [s for s in suspicions if s.violation <= SOUND_VIOLATION]
    details = {"tried": tried([g.fit for g in found]), "suspicions": [vars(s) for s in suspicions[:6]]}
    if not likely:
        how = "no angle of view and depth coding could be fitted to them at all"
        if found:
            share = violation(found[0].fit)
            how = f"in the best reading {share:.1%} of the points contradict another view"
        flat, render = _about_relief(observation)
        raise CalibrationFailed(
            f"No cameras explain the six depth renders together: {how}.{flat}",
            suggestion=render + "Check that all twelve images show the same object from the six sides. " + HOW_TO_STATE,
            **details,
        )
    best = likely[0]
    files = " and ".join(f"{DEPTH_DIR}/{v}.png" for v in best.views)
    also = equivalent_exchange(best)
    others = f" (or {also[0]}.png and {also[1]}.png, which comes to the same, all being turned)" if also else ""
    what = {
        "mirrored": f"{files} is mirrored: flipped left to right it agrees with the other five",
        "exchanged": f"{files} are exchanged{others}: with their names swapped all six agree",
        "foreign": f"{files} does not show the same object, or from another camera: the other five agree without it",
    }[best.fault]
    fix = {
        "mirrored": "Flip it (and its RGB view, if that is mirrored too)",
        "exchanged": "Rename them" + (" or these" if also else "") + " (and their RGB views)",
        "foreign": "Export it again",
    }[best.fault]
    raise CalibrationFailed(
        f"The depth renders contradict each other. {what}.", suggestion=f"{fix}. {HOW_TO_STATE}", **details
    )


def refuse_front_back(fit: Fit) -> None:
    """Raise CalibrationFailed for a layout that exchanged front and back views would give."""
    if fit.layout.axes[5].image_up != "-Z":
        return
    raise CalibrationFailed(
        f"{DEPTH_DIR}/front.png and {DEPTH_DIR}/back.png may be exchanged, or the rig is laid out unusually "
        f"({fit.layout.key}): both fit the depth renders equally well, with everything turned by 180 degrees about Y.",
        suggestion="If they are exchanged, rename front and back in both folders. If the layout is meant, state the "
        "six poses in job.toml: [cameras.views.<name>] world_from_camera.",
        tried=tried([fit]),
    )


def refuse_open(
    silhouettes: FieldOfView, depth: FieldOfView, fit: Fit, observation: Observation | None = None
) -> NoReturn:
    """Raise CalibrationFailed for an angle of view that neither silhouettes nor depth decide."""

    def words(v: FieldOfView) -> str:
        return "open" if v.is_open else f"{v.deg:.1f} ± {v.sigma_deg:.1f} degrees"

    flat, render = _about_relief(observation) if observation else ("", "")
    raise CalibrationFailed(
        f"The views leave the angle of view undecided: by the silhouettes it is {words(silhouettes)}, by the depth "
        f"renders {words(depth)} (one standard error).{flat}",
        suggestion=render + "Give the angle of view: [cameras] fov_deg in job.toml. " + HOW_TO_STATE,
        tried=tried([fit]),
    )
