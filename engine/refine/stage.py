"""The shape's refinement: creases, which outlines count, how many steps, and when to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.bundle import Bundle
from engine.calibrate.result import Calibration
from engine.camera import Registration
from engine.jit import beside, parallel_map
from engine.mesh import Mesh
from engine.progress import Checkpoint
from engine.refine.creases import sharpened, spared
from engine.refine.depth import DEPTH, depth_pull
from engine.refine.guard import Agreement, DepthRender, agreement, depth_renders, worsened
from engine.refine.outlines import Target, signed_distance, target_of
from engine.refine.shape import Float, displaced, fit_offset, laplacian, mean_residual_px, pulls_of
from engine.register.outlines import resized
from engine.register.similarity import bilinear
from engine.segment import Segmentation
from engine.surface.verify import defects

MOST_SIZE_PX: Final = 2048
"""Larger views are reduced: outlines are known far below a pixel there."""
BIASED_PX: Final = 0.35
SCATTERED_PX: Final = 0.6
"""An RGB view whose outline stands this far (median, of 1024) to one side of its depth render's, or scatters this much
about it (median deviation), shows another outline, repainted or shadowed: the depth render's counts there."""
CONTRADICTING: Final = 2.0
"""A view whose outlines are apart by so many times these is named: nearer ones may be a fault of the segmentation."""
RIM_PX: Final = 0.8
"""Pixels of a depth render whose centres are nearer to its outline than this are compared."""
SETTLED: Final = 0.02
"""A step that takes away less than this share of the outlines' distance is the last."""
WITH_CREASES: Final = 0.75
"""Of the time: so much may go by with creases that are given up later, so that the outlines alone get the rest."""
RAISED: Final = 4.0
"""The depth's weight grows by the ratio by which a step's depth error is too large, to this power."""
LEAST_RAISE: Final = 1.1
MOST_RAISE: Final = 10.0
MOST_DEPTH: Final = 1000 * DEPTH
"""Weights above it are raised no more: what is seen at a flat angle alone would be led astray."""
CONTRADICTED: Final = 1.1
"""Creases that by themselves make the depth error so many times larger: those that the depth renders bear, at once."""
_ATTEMPTS: Final = 8
"""Of a step, raised and halved ones together."""
_LEAST_SHARE: Final = 0.25
_TRIES: Final = 6


@dataclass(frozen=True, eq=False)
class Refinement:
    """What the stage hands on.

    mesh: refined, or the start where nothing was gained. creases: share of its vertices that were moved to make rounded
    creases sharp. steps: taken towards the outlines. outline_px: the mean distance of the outlines before and after, in
    pixels of the views that they were taken from. before, after: see `Agreement`. sources: "rgb" or "depth", by view.
    stopped: why. contradicting: the views whose RGB has another outline than their depth render.
    """

    mesh: Mesh
    creases: float
    steps: int
    outline_px: tuple[float, float]
    before: Agreement
    after: Agreement
    sources: dict[ViewName, str] = field(default_factory=dict)
    stopped: str = ""
    contradicting: tuple[ViewName, ...] = ()

    def notes(self) -> tuple[str, ...]:
        """What job.json and the report say of views whose outlines are not those of the depth renders."""
        if not self.contradicting:
            return ()
        return (
            f"The outlines of {', '.join(self.contradicting)} are not those of their depth renders: repainted, shadowed"
            " or drawn with another camera. The shape is the depth renders'; colours near these outlines are a guess.",
        )

    def facts(self) -> dict[str, Any]:
        """What quality.json says of it."""
        return {
            "creases": round(self.creases, 4),
            "steps": self.steps,
            "stopped": self.stopped,
            "outline_px": list(self.outline_px),
            "outlines": dict(self.sources),
            "before": asdict(self.before),
            "after": asdict(self.after),
        }


def refine_shape(
    mesh: Mesh,
    bundle: Bundle,
    segmentation: Segmentation,
    calibration: Calibration,
    registrations: dict[ViewName, Registration],
    depth: Mapping[ViewName, NDArray[np.float32]],
    steps: int,
    budget_s: float,
    checkpoint: Checkpoint,
    clock: Callable[[], float] = time.monotonic,
) -> Refinement:
    """Make a closed mesh's creases sharp, then move its vertices along its normals until its outlines are the views'.

    depth: [S, S] float32 planar z for each view in world units, 0 = background, as `Fusion` has it. At most `steps`
    steps, and none that is begun after budget_s; with creases, after three quarters of it. A step after which the mesh
    gives the depth renders back less well than at the start is tried with more say for the depth, or halved, then given
    up; one that is not a number is not taken. Where no step makes up for what creases cost, those that the depth
    renders contradict are given up, and if that is not enough, all. The result is never worse than the start by
    `Agreement`, and as free of defects.
    """
    began_s = clock()
    with beside(lambda _: sharpened(mesh)) as sharpening:
        renders = depth_renders(bundle, segmentation, calibration, depth)
        before = agreement(mesh, renders)
        checkpoint(0.1)
        targets, sources, contradicting = outlines_of_views(bundle, segmentation, calibration, registrations)
        checkpoint(0.15)
        first_px = mean_residual_px(pulls_of(mesh, mesh.vertex_normals(), targets))
        sharpest = sharpening(lambda _: checkpoint(0.2))
    checkpoint(0.2)

    def over(share: float) -> Callable[[], bool]:
        return lambda: clock() - began_s > share * budget_s

    held = _Held(targets, renders, before, steps, over(WITH_CREASES))
    found, creases, spent = None, 0.0, 0.2
    for sharp, share, now in _with_creases(mesh, sharpest, renders, before):
        found, creases = _fitted(sharp, now, held, _part(checkpoint, spent, spent + 0.3)), share
        spent += 0.3
        if found is not None:
            break
    if found is None:
        held = replace(held, over=over(1.0))
        found, creases = _fitted(mesh, before, held, _part(checkpoint, spent, 1.0)), 0.0
    assert found is not None, "a start is no worse than itself"
    outline_px = (first_px, found.outline_px)
    return Refinement(
        found.mesh, creases, found.steps, outline_px, before, found.after, sources, found.stopped, tuple(contradicting)
    )


def _with_creases(
    mesh: Mesh, sharpest: tuple[Mesh, float], renders: list[DepthRender], before: Agreement
) -> Iterator[tuple[Mesh, float, Agreement]]:
    """What `sharpened` made of it; then, if wanted, no creases but those that the depth renders bear.

    Not at once, but where they cost much of the depth: codes are coarse, and a crease that is right for views between
    may well cost some pixels.
    """
    sharp, creases = sharpest
    if creases:
        now = agreement(sharp, renders)
        if now.depth_error <= CONTRADICTED * before.depth_error:
            yield sharp, creases, now
        sharp, creases = spared(mesh, sharp, worsened(mesh, sharp, renders))
        if creases:
            yield sharp, creases, agreement(sharp, renders)


def _part(checkpoint: Checkpoint, begin: float, end: float) -> Checkpoint:
    return lambda done: checkpoint(begin + (end - begin) * done)


@dataclass(frozen=True, eq=False)
class _Held:
    """What steps go by. over: whether the time is."""

    targets: list[Target]
    renders: list[DepthRender]
    before: Agreement
    steps: int
    over: Callable[[], bool]


class _Fitted(NamedTuple):
    mesh: Mesh
    steps: int
    outline_px: float
    after: Agreement
    stopped: str


class _Step(NamedTuple):
    """offset: [V], from the start. depth_weight: with which it was found."""

    offset: Float
    mesh: Mesh
    after: Agreement
    depth_weight: float


def _fitted(start: Mesh, now: Agreement, held: _Held, checkpoint: Checkpoint) -> _Fitted | None:
    """The start, its outlines brought to the views'; None where what comes of it is worse than `held.before`.

    now: how well the start gives the depth renders back.
    """
    targets, renders = held.targets, held.renders
    focal_px = max((float(target.camera.K[0, 0]) for target in targets), default=1.0)
    normals, bending = start.vertex_normals(), laplacian(start)
    bending = (bending.T @ bending).tocsr()
    last = _Step(np.zeros(len(start.vertices)), start, now, DEPTH)
    pulls = pulls_of(start, normals, targets)
    last_px = mean_residual_px(pulls)
    taken, stopped = 0, "all steps taken"
    for step in range(held.steps):
        asked = depth_pull(last.mesh, normals, renders)
        fit = partial(fit_offset, pulls, asked, last.offset, bending, focal_px)
        found = _step(start, normals, last, fit, held, partial(checkpoint, step / held.steps))
        if isinstance(found, str):
            stopped = found
            break
        pulls = pulls_of(found.mesh, normals, targets)
        here_px = mean_residual_px(pulls)
        if here_px >= last_px:
            stopped = "the outlines came no nearer"
            break
        last = found
        taken += 1
        settled, last_px = here_px > (1 - SETTLED) * last_px, here_px
        if settled:
            stopped = "settled"
            break
    return _Fitted(last.mesh, taken, last_px, last.after, stopped) if last.after.no_worse_than(held.before) else None


def _step(
    start: Mesh,
    normals: Float,
    last: _Step,
    fit: Callable[[float], Float],
    held: _Held,
    checkpoint: Callable[[], None],
) -> _Step | str:
    """The next step, or why there is none. fit: the offset that is wanted, by the weight of the depth.

    Where it makes the depth error worse, the depth gets more weight for as long as that helps; where that does not, or
    something else gets worse, or the mesh is torn, the step is halved. What was halved stays so.
    """
    weight, fitted, share, error, wanted = last.depth_weight, 0.0, 1.0, np.inf, None
    for _ in range(_ATTEMPTS):
        checkpoint()
        if held.over():
            return "the time was over"
        if weight != fitted:
            found = fit(weight) - last.offset
            if np.isfinite(found).all():
                wanted, fitted = found, weight
            elif wanted is None:
                return "a step was not a number"
            else:  # too much weight to be solved
                weight, share, error = fitted, share / 2, 0.0
        if wanted is None or share < _LEAST_SHARE:
            break
        offset = _untangled(start, normals, last.offset, last.offset + share * wanted)
        mesh = start if offset is None else displaced(start, normals, offset)
        after = None if offset is None or defects(mesh) else agreement(mesh, held.renders)
        if offset is not None and after is not None and after.no_worse_than(held.before):
            return _Step(offset, mesh, after, weight)
        if after is not None and held.before.depth_error < after.depth_error < error and weight < MOST_DEPTH:
            ratio = after.depth_error / max(held.before.depth_error, 1e-12)
            error, weight = after.depth_error, weight * min(max(ratio**RAISED, LEAST_RAISE), MOST_RAISE)
        else:
            error, share = np.inf, share / 2
    return "a step would have made the depth worse, or torn the mesh"


def outlines_of_views(
    bundle: Bundle,
    segmentation: Segmentation,
    calibration: Calibration,
    registrations: dict[ViewName, Registration],
) -> tuple[list[Target], dict[ViewName, str], list[ViewName]]:
    """The outline that counts in each view, where it is from, and the views whose RGB contradicts the depth render.

    The RGB's counts, which is finer and antialiased, where it is the depth's; that of the depth render elsewhere.
    """

    def choose(index: int) -> tuple[ViewName, str, Target | None, bool]:
        name = VIEW_NAMES[index]
        camera = calibration.cameras[name]
        coarse = target_of(camera, segmentation.depth_mask[name].astype(np.float32))
        if coarse is None or name not in bundle.rgb:
            return name, "depth", coarse, False
        if not registrations.get(name, Registration()).is_identity:
            return name, "depth", coarse, True
        coverage = resized(segmentation.rgb_alpha[name], min(bundle.rgb_size_px, MOST_SIZE_PX))
        fine = target_of(camera.scaled_to(len(coverage)), coverage)
        if fine is None or not same_outline(coverage, coarse):
            return name, "depth", coarse, not same_outline(coverage, coarse, CONTRADICTING)
        return name, "rgb", fine, False

    chosen = parallel_map(choose, range(len(VIEW_NAMES)))
    sources = {name: source for name, source, target, _ in chosen if target is not None}
    contradicting = [name for name, *_, contradicts in chosen if contradicts]
    return [target for _, _, target, _ in chosen if target is not None], sources, contradicting


def same_outline(coverage: NDArray[np.float32], coarse: Target, times: float = 1.0) -> bool:
    """Whether a view's coverage [S, S] (0..1) has the outline of its depth render, but for `times` the usual noise.

    It is looked up where the depth render's pixels have their centres: as a mask of whole pixels too, so that a
    straight edge lies equally far off in both, by up to half a pixel.
    """
    size = coarse.camera.size_px
    rows, columns = (np.arange(part.start, part.stop) + 0.5 for part in coarse.window)
    centres = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2) * (len(coverage) / size)
    covered = bilinear(np.ascontiguousarray(coverage[..., None]), centres)[:, 0] > 0.5
    there = signed_distance(covered.reshape(len(rows), len(columns)).astype(np.float32))
    near = np.abs(coarse.distance[..., 0]) < RIM_PX
    apart = (there - coarse.distance[..., 0])[near] / (times * size / 1024)
    median = float(np.median(apart))
    return abs(median) < BIASED_PX and float(np.median(np.abs(apart - median))) < SCATTERED_PX


def _untangled(start: Mesh, normals: Float, before: Float, wanted: Float) -> Float | None:
    """The offsets [V] that are wanted, but as before at faces that they would turn by more than a right angle.

    None where that leaves such faces.
    """
    upright, tried = start.face_normals(), wanted.copy()
    for _ in range(_TRIES):
        turned = (upright * displaced(start, normals, tried).face_normals()).sum(1) < 0
        if not turned.any():
            return tried
        corners = start.faces[turned].ravel()
        tried[corners] = before[corners]
    return None
