"""Stage 3's entry: cameras, depth coding and orientation from the images and what the job gives."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES
from engine.bundle import Bundle
from engine.calibrate.decide import FINAL_POINTS, FieldOfView, at_focal, by_depth
from engine.calibrate.faults import SOUND_VIOLATION, contradictory, violation
from engine.calibrate.finish import Finished, finish, rounding_of
from engine.calibrate.given import Given, fit_given, nearest_axes, read_given, stated_angle
from engine.calibrate.guided import Guided, guided_score, guided_search
from engine.calibrate.model import DEFAULT_LAYOUT, SNEAKER_LAYOUT, Family, Layout, all_layouts, fov_deg, log_focal
from engine.calibrate.observe import Observation, all_alike, observe
from engine.calibrate.photo import colour_agreement
from engine.calibrate.problem import LAST_SCHEDULE, Fit, Rig
from engine.calibrate.reach import settled
from engine.calibrate.refuse import (
    refuse_flattened,
    refuse_front_back,
    refuse_open,
    refuse_stated,
    refuse_unsound,
    tried,
)
from engine.calibrate.result import Calibration, Source, Structure
from engine.calibrate.search import Plan, moved_fov, plausible_families, search
from engine.calibrate.tangency import LOG_FOCAL, Outlook, Tangency
from engine.camera import Camera
from engine.jit import parallel_map
from engine.progress import Checkpoint
from engine.segment import Segmentation

TIE: Final = 1.012
"""Layouts whose costs differ by less can't be told apart by depth (wrong ones cost 1.014 and more on objects that
are not symmetric)."""
LIKELIER: Final = 3.0
"""Nor by the silhouettes, when their costs differ by less."""
OPEN_DEG: Final = 2.5
"""Silhouettes that leave the angle of view open by more (one standard error) don't guide the search."""
ENOUGH_DEG: Final = 0.6
"""The most that an angle of view may be uncertain by, one standard error."""
SYMMETRIC: Final = 16
"""So many layouts tie on an object that looks the same from all sides. Where its outlines tell no angle of view, no
depth does."""
COLOUR_MARGIN: Final = 0.15
"""By how much colours have to agree better under a layout to be believed. Measured on 14 objects of all kinds, over all
32 layouts: no wrong one was ahead of the right one by more than 0.06."""
MANY_TIED: Final = 6
"""Where more layouts than this tie, the object is round or square, and the search has kept only some that do."""


def calibrate(bundle: Bundle, segmentation: Segmentation, checkpoint: Checkpoint) -> Calibration:
    """Find the six cameras and how codes stand for depth; what job.toml states is used as it is.

    Raises CalibrationFailed where the images leave the angle of view or the coding open or contradict each other, and
    ValidationFailed where job.toml's cameras can't be.
    """
    given = read_given(bundle.options, bundle.depth_code_max)
    observation = observe(bundle, segmentation)
    checkpoint(0.1)
    grid = LOG_FOCAL if given.fov_deg is None else np.array([log_focal(given.fov_deg)])
    outlines = Outlook.of(bundle, segmentation)
    doubted = stated_angle(given, outlines)
    if given.poses is not None or given.coding is not None:
        stated, angle = fit_given(observation, outlines, given, grid)
        refuse_stated(stated)
        given = _with_rounding(observation, stated, given)
        if given.everything:
            checkpoint(1.0)
            return _stated(bundle, given, stated, doubted)
        angle = _decided(observation, stated, angle, given)
        ends = None
        if given.coding is None and given.unit_poses is not None:
            full = moved_fov(stated, math.exp(angle.log_focal - float(stated.full[0])), observation.spread)
            ends = finish(observation, stated.family, full, given.unit_poses)
            stated = replace(stated, family=ends.family, full=ends.full)
        return _result(bundle, stated, given, angle, False, [stated], doubted, ends)
    marks = outlines.tangencies(all_layouts(), None, grid)
    checkpoint(0.25)
    families = [f for f in plausible_families(observation.fingerprint) if given.allows(f)]
    found: list[Guided] = []
    if given.fov_deg is not None or marks[0].sigma_deg < OPEN_DEG:
        found = guided_search(observation, marks, families, Plan(), checkpoint)
    if not found or violation(found[0].fit) > SOUND_VIOLATION:
        if contradictory(marks):
            refuse_unsound(observation, outlines, families, found, checkpoint)
        found = found + _unguided(observation, marks, families, given, checkpoint)
        found = sorted(found, key=lambda g: (violation(g.fit) > SOUND_VIOLATION, guided_score(g)))
    if not found or violation(found[0].fit) > SOUND_VIOLATION:
        refuse_unsound(observation, outlines, families, found, checkpoint)
    best, ambiguous, tied = _choose_layout(bundle, segmentation, observation, found, marks)
    refuse_flattened(observation, best.fit)
    if not ambiguous:
        refuse_front_back(best.fit)
    fit = settled(observation, best.fit)
    fov = _decided(observation, fit, FieldOfView.of(best.tangency), given, ambiguous)
    fit = at_focal(observation, fit, fov.log_focal)
    ends = finish(observation, fit.family, fit.full, fit.layout.poses())
    fit = replace(fit, family=ends.family, full=ends.full)
    checkpoint(1.0)
    return _result(bundle, fit, given, fov, ambiguous, [g.fit for g in tied], doubted, ends)


def _with_rounding(observation: Observation, stated: Fit, given: Given) -> Given:
    """What is stated, and how its codes were made: job.toml has no word for that, and half a code shows."""
    if given.coding is None:
        return given
    poses = given.unit_poses if given.unit_poses is not None else stated.layout.poses()
    rounding = rounding_of(observation, stated.family, stated.full, poses)
    return replace(given, coding={name: replace(coding, rounding=rounding) for name, coding in given.coding.items()})


def _unguided(
    observation: Observation, marks: list[Tangency], families: list[Family], given: Given, checkpoint: Checkpoint
) -> list[Guided]:
    """The search over the whole range of angles, for silhouettes that leave it open."""
    plan = Plan(families=tuple(families))
    if given.fov_deg is not None:
        plan = replace(plan, fovs=(given.fov_deg,), free_fov=False)

    def hopeless(turned: list[Fit]) -> bool:
        best = min(turned, key=lambda f: f.cost, default=None)
        if best is None or given.fov_deg is not None or not FieldOfView.of(marks[0]).is_open:
            return False
        return violation(best) <= SOUND_VIOLATION and sum(f.cost <= TIE * best.cost for f in turned) >= SYMMETRIC

    fits: list[Fit] = []
    if given.fov_deg is None and FieldOfView.of(marks[0]).is_open and all_alike(observation):
        fits = search(observation, replace(plan, alike=True, seeds=2), checkpoint)
    if not fits or not hopeless(fits):
        fits = search(observation, plan, checkpoint, hopeless)
    return [Guided(f, replace(marks[0], layout=f.layout, log_focal=float(f.full[0]), sigma=math.inf)) for f in fits]


def _decided(
    observation: Observation, fit: Fit, silhouettes: FieldOfView, given: Given, ambiguous: bool = False
) -> FieldOfView:
    """The angle of view by the silhouettes, and by the depth too where these leave much open.

    Raises CalibrationFailed where both leave it open, or contradict each other.
    """
    if given.fov_deg is not None:
        return FieldOfView(log_focal(given.fov_deg), 0.0)
    if silhouettes.sigma_deg < ENOUGH_DEG:
        return silhouettes
    if ambiguous and silhouettes.is_open:
        refuse_open(silhouettes, FieldOfView(float(fit.full[0]), math.inf), fit, observation)
    depth = by_depth(observation, fit, given.unit_poses)
    both = silhouettes.combined(depth)
    if not math.isfinite(silhouettes.sigma) and depth.sigma_deg < ENOUGH_DEG:
        return depth
    apart = abs(silhouettes.log_focal - depth.log_focal)
    if both.sigma_deg > ENOUGH_DEG or apart > 2 * math.hypot(silhouettes.sigma, depth.sigma):
        refuse_open(silhouettes, depth, fit, observation)
    return both


def _stated(bundle: Bundle, given: Given, fit: Fit, doubted: FieldOfView | None) -> Calibration:
    assert given.poses is not None
    assert given.coding is not None
    assert given.fov_deg is not None
    cameras = {
        n: Camera.from_fov(given.fov_deg, bundle.depth_size_px, given.poses[i]) for i, n in enumerate(VIEW_NAMES)
    }
    layout = {n: nearest_axes(given.poses[i]) for i, n in enumerate(VIEW_NAMES)}
    one_range = len({(c.at_code_0, c.at_code_max) for c in given.coding.values()}) == 1
    structure: Structure = "shared" if one_range else "view_minmax"
    share = violation(fit)
    confidence = math.exp(-share / SOUND_VIOLATION) * (0.5 if doubted else 1.0)
    evidence = {"contradicting_share": round(share, 5), "notes": _notes(given.fov_deg, doubted)}
    return Calibration(
        cameras, given.coding, given.fov_deg, structure, layout, round(confidence, 4), "given", False, evidence
    )


def _notes(stated_deg: float, doubted: FieldOfView | None, ends: Finished | None = None) -> list[str]:
    notes = []
    if doubted is not None:
        notes.append(
            f"job.toml: fov_deg = {stated_deg:g} was used as stated; the outlines alone say {doubted.deg:.1f} "
            f"± {doubted.sigma_deg:.1f} degrees."
        )
    if ends is not None and ends.unchecked:
        notes.append(
            "No two neighbouring views see the same slope of the object, so only the outlines say how deep each view "
            "lies: depth may be off by some per cent of the camera distance. Look at the model, or state near and far "
            "in [depth] of job.toml."
        )
    return notes


def _choose_layout(
    bundle: Bundle, segmentation: Segmentation, observation: Observation, found: list[Guided], marks: list[Tangency]
) -> tuple[Guided, bool, list[Guided]]:
    """The best; of layouts that neither depth nor silhouettes tell apart the one colours prefer, else a default."""
    best = found[0]
    tied = [
        g for g in found
        if g.fit.family == best.fit.family
        and g.fit.cost <= TIE * best.fit.cost
        and g.tangency.cost <= best.tangency.cost + LIKELIER
    ]  # fmt: skip
    tied = [g for i, g in enumerate(tied) if g.fit.layout not in [h.fit.layout for h in tied[:i]]]
    if len(tied) == 1:
        return best, False, tied
    if len(tied) > MANY_TIED:
        tied += _as_good(observation, best, [g.fit.layout for g in tied], marks)
    agreement = colour_agreement(bundle, segmentation, [g.fit for g in tied])
    order = np.argsort(-agreement, kind="stable")
    if agreement[order[0]] - agreement[order[1]] > COLOUR_MARGIN:
        return tied[int(order[0])], False, tied
    near = [tied[int(i)] for i in order if agreement[order[0]] - agreement[i] <= COLOUR_MARGIN]
    for layout in (DEFAULT_LAYOUT, SNEAKER_LAYOUT):
        for g in near:
            if g.fit.layout == layout:
                return g, True, tied
    return near[0], True, tied


def _as_good(observation: Observation, best: Guided, known: list[Layout], marks: list[Tangency]) -> list[Guided]:
    """The best fit under every other layout that neither depth nor silhouettes tell from its own."""
    rig = Rig(observation, FINAL_POINTS, coarse=False)

    def under(layout: Layout) -> Fit:
        return rig.solve(best.fit.family, layout, best.fit.full, LAST_SCHEDULE[-1:], iterations=0)

    likely = {t.layout for t in marks if t.cost <= best.tangency.cost + LIKELIER}
    others = [layout for layout in all_layouts() if layout in likely and layout not in known]
    least, *costs = parallel_map(under, [best.fit.layout, *others])
    return [Guided(fit, replace(best.tangency, layout=fit.layout)) for fit in costs if fit.cost <= TIE * least.cost]


def _result(
    bundle: Bundle,
    best: Fit,
    given: Given,
    fov: FieldOfView,
    ambiguous: bool,
    tied: list[Fit],
    doubted: FieldOfView | None,
    ends: Finished | None,
) -> Calibration:
    """doubted: what the outlines say of a stated angle of view, where that differs. ends: None for stated depth."""
    angle = given.fov_deg or fov_deg(fov.log_focal)
    poses: NDArray[np.float64]
    if given.poses is not None:
        poses = given.poses
    else:
        poses = best.layout.poses()
        poses[:, :3, 3] *= given.unit
    source: Source = "mixed" if given.anything else "estimated"
    share = violation(best)
    confidence = math.exp(-share / SOUND_VIOLATION) * math.exp(-((fov.sigma_deg / ENOUGH_DEG) ** 2) / 2)
    for doubt in (ambiguous, doubted is not None, ends is not None and ends.unchecked):
        confidence *= 0.5 if doubt else 1.0
    coding = given.coding or best.family.codings(best.full, bundle.depth_code_max, given.unit)
    return Calibration(
        cameras={n: Camera.from_fov(angle, bundle.depth_size_px, poses[i]) for i, n in enumerate(VIEW_NAMES)},
        depth=coding,
        fov_deg=angle,
        structure=best.family.structure,
        layout=best.layout.as_dict(),
        confidence=round(confidence, 4),
        source=source,
        ambiguous=ambiguous,
        evidence={
            "coding": best.family.name,
            "cost": round(best.cost, 4),
            "contradicting_share": round(share, 5),
            "fov_sigma_deg": round(fov.sigma_deg, 4),
            "agreeing_share": round(float(best.stats[..., 4].sum() / max(best.stats[..., 0].sum(), 1)), 4),
            "tied_layouts": [f.layout.key for f in tied],
            "tried": tried(tied),
            "log_focal": round(log_focal(angle), 6),
            "meeting_points": ends.meeting if ends else 0,
            "notes": _notes(angle, doubted, ends),
        },
    )
