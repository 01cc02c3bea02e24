"""The one place that orders the stages, reports progress and checks for cancel."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from config.errors import (
    CalibrationFailed,
    Cancelled,
    MeshdropError,
    ModelFailed,
    ModelOutOfMemory,
    QualityThresholdFailed,
)
from config.job import JobOptions, Model, Thresholds
from config.presets import Preset
from config.sections import Settings
from config.text import shown
from engine import machine
from engine.bundle import Bundle, load_bundle
from engine.calibrate import Calibration, calibrate, explained
from engine.check import refuse_contradictions
from engine.device import require_device
from engine.export import export_result, load_glb, require_formats
from engine.fuse import Fusion, fuse
from engine.jit import beside
from engine.materials import separate
from engine.models import require_model
from engine.models.reconviagen.job import Generated, Generation, note_on
from engine.outcome import Made, better_first, job_json
from engine.preview import write_contact_sheet, write_previews
from engine.progress import Checkpoint, OnProgress, ShouldCancel, Tracker
from engine.quality import MEANING, Evaluation, as_it_is, cameras_json, dump, evaluate, quality_json
from engine.refine import Refined, refine_shape, refine_texture
from engine.register import register
from engine.report import Subject, write_report
from engine.segment import Segmentation, segment
from engine.staging import staged_folder, storage_error
from engine.surface import extract_surface
from engine.texture import Texturing, texture
from engine.warmup import compile_ahead

log = structlog.get_logger(__name__)


# Measured shares of a standard job's time, for the progress bar alone: about seconds, on two cores.
_SHARES = {
    "bundle": 0.5, "segment": 1.7, "calibrate": 2.4, "fuse": 1.2, "surface": 1.3, "register": 0.6,
    "refine": 2.9, "texture": 4.4, "materials": 7.0, "export": 0.9, "quality": 4.2, "preview": 0.3,
    "report": 0.3,
}  # fmt: skip
_SCANNED = ("bundle", "segment", "calibrate", "fuse")
"""The stages that come once, whatever models are asked for."""


@dataclass(frozen=True)
class Result:
    """What a job made.

    out: the result folder. status: the verdict. quality: quality.json's content. files: names within `out`.
    """

    out: Path
    status: str
    quality: dict[str, Any]
    files: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Scan:
    """What the views say, before a model makes anything of it."""

    bundle: Bundle
    segmentation: Segmentation
    calibration: Calibration
    title: str


def reconstruct(
    bundle: Path,
    out: Path,
    options: JobOptions | None = None,
    on_progress: OnProgress = lambda progress: None,
    should_cancel: ShouldCancel = lambda: False,
    *,
    settings: Settings | None = None,
    replace: bool = False,
    name: str | None = None,
) -> Result:
    """Turn a bundle folder into a result folder.

    Args:
        bundle: the folder that holds multi_views/ and depth_renders/; it is only read.
        out: where the result appears, whole, by one rename; must not exist, unless `replace` and it is a result.
        options: the job's options; None reads them from the bundle's job.toml.
        on_progress: called several times a second from this thread.
        should_cancel: asked as often; once it says True, `Cancelled` is raised and nothing is left.
        settings: limits, presets, thresholds and what may be used of the machine; the defaults where None
            (`config.settings.load_settings` reads them from where they stand).
        replace: take the place of an earlier result at `out`.
        name: what the result is called in report.html and job.json; the bundle folder's name where None.

    Returns:
        The result. A verdict of "failure" is a result too: `out` is complete, with an error.json.

    Raises:
        Cancelled: as asked.
        MeshdropError: see config/errors.py for the tree; `out` is untouched.

    """
    settings = settings or Settings()
    machine.use(settings.engine)
    tracker = Tracker(_SHARES, on_progress, should_cancel)
    try:
        with compile_ahead(), staged_folder(out, replace=replace) as folder:
            status, quality, files = _run(bundle, folder, name, options, settings, tracker)
    except MemoryError as error:
        raise ModelOutOfMemory("The engine ran out of memory.") from error
    except OSError as error:
        raise storage_error(error, out) or _failed(error) from error
    except (MeshdropError, Cancelled):
        raise
    except Exception as error:  # whatever breaks below is one thing to a caller: the engine failed, nothing was written
        raise _failed(error) from error
    return Result(out, status, quality, files)


def _shares(asked: JobOptions, preset: Preset) -> dict[str, float]:
    """Of `_SHARES`, the stages that a job has."""
    shares = dict(_SHARES)
    if asked.materials != "separated":
        del shares["materials"]
    if not preset.refine_steps:
        del shares["refine"]
    if not preset.texture_steps:
        shares["texture"] /= 2
    return shares


def _plan(model: Model, shares: dict[str, float], generation_s: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """The stages of a job that generates, each with the seconds that it is expected to take."""
    once = [(name, share) for name, share in shares.items() if name in _SCANNED]
    each = [(name, share) for name, share in shares.items() if name not in (*_SCANNED, "report")]
    again = each if model == "both" else []
    return [*once, *generation_s, *each, *again, ("report", shares["report"] * (2 if again else 1))]


def _failed(error: Exception) -> MeshdropError:
    log.error("engine.failed", exc_info=error)
    return ModelFailed(f"The engine failed: {type(error).__name__}: {error}", error=type(error).__name__)


def _run(
    path: Path, folder: Path, name: str | None, options: JobOptions | None, settings: Settings, tracker: Tracker
) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    with tracker.stage("bundle"):
        bundle = load_bundle(path, options, settings.limits)
        bundle = dataclasses.replace(bundle, options=_with_defaults(bundle.options, settings))
    asked = bundle.options
    tracker.timeout_s = asked.timeout_s
    require_model(asked.model, settings.models)
    require_formats(asked.formats)
    require_device()
    title = shown(path.resolve().name if name is None else name)
    generation = None if asked.model == "nvdiffrec" else Generation(settings)
    shares = _shares(asked, getattr(settings.quality, asked.quality))
    tracker.weigh(shares)
    if generation is not None:
        tracker.expect(_plan(asked.model, shares, generation.stages_s))
    with tracker.stage("segment"):
        segmentation = segment(bundle)
    machine.release_memory()
    with tracker.stage("calibrate") as checkpoint:
        try:
            calibration = calibrate(bundle, segmentation, checkpoint)
        except CalibrationFailed as error:
            raise explained(error, bundle.depth_hints) from error
        bundle = dataclasses.replace(
            bundle, notes=(*bundle.notes, *bundle.depth_hints, *calibration.evidence.get("notes", ()))
        )
        refuse_contradictions(bundle, segmentation, calibration)
    machine.release_memory()
    with tracker.stage("fuse") as checkpoint:
        grid = getattr(settings.quality, asked.quality).grid
        solids = [fuse(bundle, segmentation, calibration, grid, checkpoint)]
    scan, scanned_s = _Scan(bundle, segmentation, calibration, title), dict(tracker.timings_s)
    made = []
    if generation is not None:
        generated = generation.fill(bundle, segmentation, calibration, solids[0], tracker)
        made.append(_make("reconviagen", [generated.fusion], scan, folder, settings, tracker, generated))
        tracker.timings_s = dict(scanned_s)
    if asked.model != "reconviagen":
        made.append(_make("nvdiffrec", solids, scan, folder, settings, tracker))
    return _deliver(made, scan, folder, tracker, () if generation is None else generation.notes)


def _make(
    model: Model,
    solids: list[Fusion],
    scan: _Scan,
    folder: Path,
    settings: Settings,
    tracker: Tracker,
    generated: Generated | None = None,
) -> Made:
    """From a solid to a model with texture, its pictures and its figures. solids: the last one is taken and used up."""
    bundle, segmentation, calibration = scan.bundle, scan.segmentation, scan.calibration
    asked = bundle.options
    preset = getattr(settings.quality, asked.quality)
    if asked.model == "both":
        folder = folder / model
        folder.mkdir()
    fusion = solids.pop()
    depth = fusion.depth
    # One core alone makes most of the surface. What aligning the views takes beyond it is all that is counted for it.
    with beside(lambda _: register(bundle, segmentation, calibration, depth)) as registered:
        with tracker.stage("surface") as checkpoint:
            mesh = extract_surface(fusion, asked.target_faces or preset.target_faces, checkpoint)
        with tracker.stage("register") as checkpoint:
            registrations = registered(checkpoint)
    del fusion  # the volume is the largest thing in memory
    machine.release_memory()
    refinement = None
    views = (bundle, segmentation, calibration, registrations)
    if preset.refine_steps:
        with tracker.stage("refine") as checkpoint:
            refinement = refine_shape(mesh, *views, depth, preset.refine_steps, preset.refine_s, checkpoint)
        mesh = refinement.mesh
        bundle = dataclasses.replace(bundle, notes=(*bundle.notes, *refinement.notes()))
        machine.release_memory()

    def bake(bundle: Bundle, checkpoint: Checkpoint) -> tuple[Texturing, Refined | None]:
        """The texture, from the views or from others of the same object."""
        views = (bundle, segmentation, calibration, registrations)
        size_px = asked.texture_size_px or preset.texture_size_px
        baking = 0.5 if preset.texture_steps else 1.0
        texturing = texture(mesh, *views, size_px, lambda fraction: checkpoint(baking * fraction))
        machine.release_memory()
        if not preset.texture_steps:
            return texturing, None
        fitted = refine_texture(
            texturing.textured,
            *views,
            preset.texture_steps,
            lambda fraction: checkpoint(0.5 + 0.5 * fraction),
            preset.texture_s,
        )
        return dataclasses.replace(texturing, textured=fitted.textured), fitted

    with tracker.stage("texture") as checkpoint:
        baked = [bake(bundle, checkpoint)]
        texturing, fitted = baked[0]
        if fitted is not None:
            bundle = dataclasses.replace(bundle, notes=(*bundle.notes, *fitted.notes()))
    machine.release_memory()
    textured, materials = texturing.textured, None
    if asked.materials == "separated":

        def rebake(dull: Bundle, checkpoint: Checkpoint) -> Texturing:
            baked.append(bake(dull, checkpoint))
            return baked[-1][0]

        with tracker.stage("materials") as checkpoint:
            materials = separate(
                texturing,
                *views,
                depth,
                rebake,
                asked.seed,
                checkpoint,
                preset.materials_s,
            )
        textured = materials.textured
        if materials.rebaked:
            texturing, fitted = baked[-1]
        bundle = dataclasses.replace(bundle, notes=(*bundle.notes, materials.note))
        machine.release_memory()
    with tracker.stage("export"):
        files = export_result(textured, folder, asked.formats)
        delivered = load_glb(folder / "mesh.glb")
    # Each leaves a core idle at times. What previews take beyond the figures is all that is counted for them.
    with beside(lambda checkpoint: write_previews(delivered, folder, checkpoint)) as previewed:
        with tracker.stage("quality") as checkpoint:
            scored = materials.as_photographed(delivered) if materials else delivered
            evaluation = evaluate(scored, *views, depth, checkpoint, materials.finish if materials else as_it_is)
            files += write_contact_sheet(evaluation, folder)
            facts = materials.facts if materials else None
            if facts and scored is not delivered:
                facts |= {"unlit": _figures(evaluate(delivered, *views, depth))}
        with tracker.stage("preview") as checkpoint:
            previews = previewed(checkpoint)
    files += previews.names
    machine.release_memory()
    notes, labels, told, confidence = bundle.notes, None, None, texturing.face_confidence
    if generated is not None:
        labels = generated.faces(texturing.textured.mesh)
        confidence = np.where(labels, np.float32(0), confidence)
        told = generated.facts(texturing.textured.mesh, labels)
        notes = (*notes, note_on(told))
    quality = quality_json(
        evaluation,
        bundle,
        calibration,
        texturing.coverage,
        model,
        tracker.timings_s,
        facts,
        told,
        None if refinement is None else refinement.facts(),
        None if fitted is None else fitted.facts(),
    )
    documents = {"cameras.json": cameras_json(calibration, bundle, registrations), "quality.json": quality}
    if materials and (light := materials.light_json()):
        documents["light.json"] = light
    if quality["status"] == "failure":
        documents["error.json"] = _below_threshold(quality).as_json()
    subject = Subject(
        scan.title,
        delivered,
        quality,
        evaluation,
        registrations,
        confidence,
        previews.poster,
        asked,
        notes,
        labels,
    )
    return Made(folder, list(files), subject, documents)


def _deliver(
    made: list[Made], scan: _Scan, folder: Path, tracker: Tracker, notes: tuple[str, ...]
) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Write what stands beside the models, the better one's at the top. notes: for job.json alone."""
    if len(made) > 1:
        made = better_first(made, folder)
    files: list[str] = []
    with tracker.stage("report") as checkpoint:

        def part(number: int) -> Checkpoint:
            return lambda fraction: checkpoint((number + fraction) / len(made))

        for number, each in enumerate(made):
            for file, document in each.documents.items():
                (each.folder / file).write_text(dump(document), encoding="utf-8")
            names = [*each.files, *each.documents]
            names += write_report(each.subject, each.folder, names, part(number))
            files += [(each.folder / name).relative_to(folder).as_posix() for name in names]
    notes = tuple(dict.fromkeys([*(note for each in made for note in each.subject.notes), *notes]))
    job = job_json(scan.title, scan.bundle, notes, folder, files)
    (folder / "job.json").write_text(dump(job), encoding="utf-8")
    quality = made[0].quality
    return quality["status"], quality, (*files, "job.json")


def _with_defaults(options: JobOptions, settings: Settings) -> JobOptions:
    """The job's own thresholds where it states them, the settings' elsewhere."""
    stated = options.thresholds.model_dump(exclude_unset=True)
    thresholds = Thresholds.model_validate({**settings.thresholds.model_dump(), **stated})
    return options.model_copy(update={"thresholds": thresholds})


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    """A result's figures in short."""
    return asdict(evaluation.headline) | {"inside": asdict(evaluation.domain("inside"))}


def _below_threshold(quality: dict[str, Any]) -> QualityThresholdFailed:
    figures = {key: quality[key] for key in ("psnr", "ssim", "psnr_expected", "ssim_expected", "rule")}
    message = (
        f"{MEANING[quality['rule']]}: PSNR {quality['psnr']:.1f} dB, SSIM {quality['ssim']:.3f}; "
        f"at least {quality['psnr_expected']:.1f} dB and {quality['ssim_expected']:.3f} are wanted."
    )
    return QualityThresholdFailed(message, **figures)
