"""Stage 3's entry: cameras, depth coding and orientation from the images and what the job gives."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import DEPTH_DIR, VIEW_NAMES
from config.errors import CalibrationFailed
from engine.bundle import Bundle
from engine.calibrate.faults import SOUND_VIOLATION, suspect, violation
from engine.calibrate.given import Given, nearest_axes, read_given
from engine.calibrate.model import DEFAULT_LAYOUT, SNEAKER_LAYOUT, Family, Layout, fov_deg, log_focal
from engine.calibrate.observe import Observation, observe
from engine.calibrate.photo import colour_agreement
from engine.calibrate.problem import COARSE_SCHEDULE, FINE_SCHEDULE, LAST_SCHEDULE, Fit, Rig, initial
from engine.calibrate.reach import settle
from engine.calibrate.result import Calibration, Source
from engine.calibrate.search import FOV_GRID, Plan, finish, handicap, plausible_families, score, search
from engine.camera import Camera
from engine.jit import parallel_map
from engine.progress import Checkpoint
from engine.segment import Segmentation

TIE: Final = 1.012
"""Layouts whose costs differ by less can't be told apart by depth (wrong ones cost 1.014 and more on objects that
are not symmetric)."""
FLAT: Final = 0.0015
"""The least rise of the cost, as a share, when the focal length is 2 % off: below, the angle of view is undecided."""
COLOUR_MARGIN: Final = 0.15

HOW_TO_STATE: Final = (
    "State what you know in job.toml: [cameras] with fov_deg (and distance, or [cameras.views.<name>] "
    "world_from_camera), [depth] with kind, measure, near and far."
)


def calibrate(bundle: Bundle, segmentation: Segmentation, checkpoint: Checkpoint) -> Calibration:
    """Find the six cameras and how codes stand for depth; what job.toml states is used as it is.

    Raises CalibrationFailed where the images leave the angle of view or the coding open or contradict each other, and
    ValidationFailed where job.toml's cameras can't be.
    """
    given = read_given(bundle.options, bundle.depth_code_max)
    if given.everything:
        assert given.poses is not None
        assert given.coding is not None
        assert given.fov_deg is not None
        checkpoint(1.0)
        return _stated(bundle, given)
    observation = observe(bundle, segmentation)
    checkpoint(0.1)
    if given.poses is not None or given.coding is not None:
        best = _fit_given(observation, given)
        _require_sound(observation, [best], checkpoint, stated=True)
        return _result(bundle, observation, best, given, {}, False, [best])
    plan = Plan() if given.fov_deg is None else Plan(fovs=(given.fov_deg,), free_fov=False)
    if given.kind is not None or given.measure is not None:
        kept = [f for f in plausible_families(observation.fingerprint) if f.kind == (given.kind or f.kind) and f.measure == (given.measure or f.measure)]  # fmt: skip
        plan = replace(plan, families=tuple(kept))
    found = search(observation, plan, checkpoint)
    if not found or violation(found[0]) > SOUND_VIOLATION:
        found = sorted(found + search(observation, replace(plan, seeds=14), checkpoint), key=score)
    _require_sound(observation, found, checkpoint)
    best, ambiguous, tied = _choose_layout(bundle, found)
    if not ambiguous:
        _refuse_front_back(best)
    best, profile = finish(observation, best, plan)
    if plan.free_fov:
        _require_decided(best, profile, found)
    settled = settle(observation, best.family, best.full, best.layout.poses(), free_fov=plan.free_fov)
    best = replace(best, full=settled.full)
    return _result(bundle, observation, best, given, profile, ambiguous, tied)


def _stated(bundle: Bundle, given: Given) -> Calibration:
    assert given.poses is not None
    assert given.coding is not None
    assert given.fov_deg is not None
    cameras = {
        n: Camera.from_fov(given.fov_deg, bundle.depth_size_px, given.poses[i]) for i, n in enumerate(VIEW_NAMES)
    }
    layout = {n: nearest_axes(given.poses[i]) for i, n in enumerate(VIEW_NAMES)}
    structure = "shared" if len({(c.at_code_0, c.at_code_max) for c in given.coding.values()}) == 1 else "view_minmax"
    return Calibration(cameras, given.coding, given.fov_deg, structure, layout, 1.0, "given", False, {})  # type: ignore[arg-type]


def _fit_given(observation: Observation, given: Given) -> Fit:
    """The best fit around stated poses or a stated coding; the rest is found."""
    poses = None
    layouts = [DEFAULT_LAYOUT, SNEAKER_LAYOUT]
    if given.poses is not None:
        poses = given.poses.copy()
        poses[:, :3, 3] /= given.unit
        layouts = [Layout(tuple(nearest_axes(p) for p in poses))]
    else:
        from engine.calibrate.model import all_layouts

        layouts = all_layouts()
    fixed = np.zeros(13, bool)
    families = [
        f for f in plausible_families(observation.fingerprint)
        if f.kind == (given.kind or f.kind) and f.measure == (given.measure or f.measure)
    ]  # fmt: skip
    stated = np.zeros(13)
    if given.coding is not None:
        codings = [given.coding[n] for n in VIEW_NAMES]
        first = codings[0]
        ends = np.array([[c.at_code_0 / given.unit, c.at_code_max / given.unit] for c in codings])
        if first.kind == "disparity":
            ends = 1 / np.maximum(ends, 1e-9)
        stated[1:7], stated[7:13] = ends[:, 0], ends[:, 1] - ends[:, 0]
        far_bright = bool(codings[0].at_code_max > codings[0].at_code_0)
        rounding = "floor" if observation.fingerprint.truncated else "nearest"
        families = [Family(first.kind, first.measure, far_bright, "view_minmax", rounding)]  # type: ignore[arg-type]
        fixed[1:] = True
    fovs = FOV_GRID if given.fov_deg is None else (given.fov_deg,)
    free = given.fov_deg is None
    coarse, fine = Rig(observation, 100, True, poses), Rig(observation, 500, False, poses)

    def start(task: tuple[Family, Layout, float]) -> Fit:
        family, layout, fov = task
        full = initial(observation, family, layout.poses() if poses is None else poses, fov)
        if fixed.any():
            full[1:] = stated[1:]
        return coarse.solve(family, layout, full, COARSE_SCHEDULE, free_fov=free and bool(fixed.any()), fixed=fixed)

    tasks = [(f, m, v) for f in families for m in layouts for v in fovs]
    leaders = sorted(parallel_map(start, tasks), key=score)[:6]

    def end(fit: Fit) -> Fit:
        first = fine.solve(fit.family, fit.layout, fit.full, FINE_SCHEDULE, fixed=fixed)
        return fine.solve(
            fit.family, fit.layout, first.full, LAST_SCHEDULE, free_fov=free, fixed=fixed, iterations=30
        )  # fmt: skip

    return min(parallel_map(end, leaders), key=score)


def _tried(fits: list[Fit]) -> list[dict[str, Any]]:
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


def _require_sound(observation: Observation, found: list[Fit], checkpoint: Checkpoint, stated: bool = False) -> None:
    """Raise CalibrationFailed, naming the file at fault where it can be told, unless the best fit explains the views."""
    if found and violation(found[0]) <= SOUND_VIOLATION:
        return
    share = violation(found[0]) if found else 1.0
    tried = _tried(found)
    if stated:
        raise CalibrationFailed(
            f"The cameras or depth stated in job.toml contradict the depth renders: {share:.1%} of the points fall outside "
            "another view's silhouette or in front of its surface.",
            suggestion="Check [cameras] and [depth] in job.toml, or leave them out to have them estimated.",
            tried=tried,
        )
    families = sorted(plausible_families(observation.fingerprint), key=handicap)[:2]
    for fit in found[:1]:
        families = [fit.family, *[f for f in families if f != fit.family]][:2]
    suspicions = suspect(observation, families, checkpoint)
    likely = [s for s in suspicions if s.violation <= SOUND_VIOLATION]
    details = {"tried": tried, "suspicions": [vars(s) for s in suspicions[:6]]}
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
    raise CalibrationFailed(f"The depth renders contradict each other. {what}.", suggestion=f"{fix}. {HOW_TO_STATE}", **details)  # fmt: skip


def _choose_layout(bundle: Bundle, found: list[Fit]) -> tuple[Fit, bool, list[Fit]]:
    """The best fit; among layouts that depth can't tell apart the one that colours prefer, else the default one."""
    best = found[0]
    tied = [f for f in found if f.family == best.family and f.cost <= TIE * best.cost]
    tied = [f for i, f in enumerate(tied) if f.layout not in [g.layout for g in tied[:i]]]
    if len(tied) == 1:
        return best, False, tied
    agreement = colour_agreement(bundle, tied)
    order = np.argsort(-agreement, kind="stable")
    if agreement[order[0]] - agreement[order[1]] > COLOUR_MARGIN:
        return tied[int(order[0])], False, tied
    near = [tied[int(i)] for i in order if agreement[order[0]] - agreement[i] <= COLOUR_MARGIN]
    known = [DEFAULT_LAYOUT, SNEAKER_LAYOUT]
    for layout in known:
        for fit in near:
            if fit.layout == layout:
                return fit, True, tied
    return near[0], True, tied


def _refuse_front_back(fit: Fit) -> None:
    if fit.layout.axes[5].image_up != "-Z":
        return
    raise CalibrationFailed(
        f"{DEPTH_DIR}/front.png and {DEPTH_DIR}/back.png may be exchanged, or the rig is laid out unusually "
        f"({fit.layout.key}): both fit the depth renders equally well, with everything turned by 180 degrees about Y.",
        suggestion="If they are exchanged, rename front and back in both folders. If the layout is meant, state the six "
        "poses in job.toml: [cameras.views.<name>] world_from_camera.",
        tried=_tried([fit]),
    )


def _rise(profile: dict[float, float], at: float, cost: float) -> float:
    """Relative rise of the cost when log f is 0.02 off: a parabola through the lowest, fitted to what was met."""
    x = np.array([k - at for k in profile])
    y = np.array([v / cost - 1 for v in profile.values()])
    near = (np.abs(x) > 0.002) & (np.abs(x) < 0.03)
    if not near.any():
        return 0.0
    return float(np.median(y[near] / x[near] ** 2)) * 0.02**2


def _require_decided(best: Fit, profile: dict[float, float], found: list[Fit]) -> None:
    rise = _rise(profile, float(best.full[0]), best.cost)
    fov = fov_deg(float(best.full[0]))
    if rise < FLAT or not 8 < fov < 110:
        raise CalibrationFailed(
            f"The depth renders leave the angle of view open: about {fov:.0f} degrees fits best, but others do almost as "
            f"well (the cost rises by {rise:.2%} when the focal length is 2 % off).",
            suggestion="Give the angle of view: [cameras] fov_deg in job.toml. " + HOW_TO_STATE,
            tried=_tried(found),
            profile={f"{fov_deg(k):.2f}": round(v, 4) for k, v in sorted(profile.items())},
        )


def _result(
    bundle: Bundle,
    observation: Observation,
    best: Fit,
    given: Given,
    profile: dict[float, float],
    ambiguous: bool,
    tied: list[Fit],
) -> Calibration:
    fov = given.fov_deg or fov_deg(float(best.full[0]))
    poses: NDArray[np.float64]
    if given.poses is not None:
        poses = given.poses
    else:
        poses = best.layout.poses()
        poses[:, :3, 3] *= given.unit
    source: Source = "mixed" if given.anything else "estimated"
    share = violation(best)
    rise = _rise(profile, float(best.full[0]), best.cost) if profile else 1.0
    confidence = math.exp(-share / SOUND_VIOLATION) * (1 - math.exp(-rise / (2 * FLAT)))
    coding = given.coding or best.family.codings(best.full, bundle.depth_code_max, given.unit)
    return Calibration(
        cameras={n: Camera.from_fov(fov, bundle.depth_size_px, poses[i]) for i, n in enumerate(VIEW_NAMES)},
        depth=coding,
        fov_deg=fov,
        structure=best.family.structure,
        layout=best.layout.as_dict(),
        confidence=round(confidence * (0.5 if ambiguous else 1.0), 4),
        source=source,
        ambiguous=ambiguous,
        evidence={
            "coding": best.family.name,
            "cost": round(best.cost, 4),
            "contradicting_share": round(share, 5),
            "cost_rise_at_2_percent": round(rise, 6),
            "agreeing_share": round(float(best.stats[..., 4].sum() / max(best.stats[..., 0].sum(), 1)), 4),
            "tied_layouts": [f.layout.key for f in tied],
            "tried": _tried(tied),
            "log_focal": round(log_focal(fov), 6),
        },
    )
