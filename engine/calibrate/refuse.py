"""What is said when cameras can't be found: which files, what was tried, what to do."""

from __future__ import annotations

from typing import Any, Final, NoReturn

from config.bundle_layout import DEPTH_DIR
from config.errors import CalibrationFailed
from engine.calibrate.decide import FieldOfView
from engine.calibrate.faults import SOUND_VIOLATION, suspect, violation
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


def refuse_stated(best: Fit) -> NoReturn:
    """Raise CalibrationFailed for stated cameras or depth that the images contradict."""
    raise CalibrationFailed(
        f"The cameras or depth stated in job.toml contradict the depth renders: {violation(best):.1%} of the points "
        "fall outside another view's silhouette or in front of its surface.",
        suggestion="Check [cameras] and [depth] in job.toml, or leave them out to have them estimated.",
        tried=tried([best]),
    )


def refuse_unsound(
    observation: Observation, outlook: Outlook, families: list[Family], found: list[Guided], checkpoint: Checkpoint
) -> NoReturn:
    """Raise CalibrationFailed, naming the file at fault where it can be told."""
    share = violation(found[0].fit) if found else 1.0
    suspicions = suspect(observation, outlook, families, checkpoint)
    likely = [s for s in suspicions if s.violation <= SOUND_VIOLATION]
    details = {"tried": tried([g.fit for g in found]), "suspicions": [vars(s) for s in suspicions[:6]]}
    if not likely:
        raise CalibrationFailed(
            f"No cameras explain the six depth renders together: in the best reading {share:.1%} of the points "
            "contradict another view.",
            suggestion="Check that all twelve images show the same object from the six sides. " + HOW_TO_STATE,
            **details,
        )
    best = likely[0]
    files = " and ".join(f"{DEPTH_DIR}/{v}.png" for v in best.views)
    what = {
        "mirrored": f"{files} is mirrored: flipped left to right it agrees with the other five",
        "exchanged": f"{files} are exchanged: with their names swapped all six agree",
        "foreign": f"{files} does not show the same object, or from another camera: the other five agree without it",
    }[best.fault]
    fix = {
        "mirrored": "Flip it (and its RGB view, if that is mirrored too)",
        "exchanged": "Rename them (and their RGB views)",
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


def refuse_open(silhouettes: FieldOfView, depth: FieldOfView, fit: Fit) -> NoReturn:
    """Raise CalibrationFailed for an angle of view that neither silhouettes nor depth decide."""

    def words(v: FieldOfView) -> str:
        return f"{v.deg:.1f} ± {v.sigma_deg:.1f} degrees" if v.sigma_deg < 30 else "open"

    raise CalibrationFailed(
        f"The views leave the angle of view undecided: by the silhouettes it is {words(silhouettes)}, by the depth "
        f"renders {words(depth)} (one standard error).",
        suggestion="Give the angle of view: [cameras] fov_deg in job.toml. " + HOW_TO_STATE,
        tried=tried([fit]),
    )
