"""Stage 1: a bundle folder, found, checked, decoded."""

from __future__ import annotations

from pathlib import Path

from config.bundle_layout import DEPTH_DIR, RGB_DIR, ViewName
from config.errors import FileTooLarge, ValidationFailed
from config.job import JobOptions, read_job_options
from config.problems import Problem
from config.sections import MEGABYTE, Limits
from engine.bundle.checks import depth_problems, normalise_depth, rgb_problem, size_problems, twin_notes
from engine.bundle.decode import Checked, Decoded, check_size, decode, file_size, read_checked
from engine.bundle.find import ImageFile, find_files
from engine.bundle.hints import depth_hints
from engine.bundle.problems import ProblemError, raise_first_kind
from engine.bundle.types import Bundle
from engine.jit import parallel_map

__all__ = ["Bundle", "load_bundle", "load_job_options"]


def load_job_options(path: Path) -> JobOptions:
    """The options in a bundle's job.toml (or job.toml.txt), the defaults where it has none.

    path: the bundle's folder. Raises as `load_bundle` does for the layout and for job.toml.
    """
    job_file = find_files(path).job_file
    return read_job_options(job_file) if job_file else JobOptions()


def load_bundle(path: Path, options: JobOptions | None = None, limits: Limits | None = None) -> Bundle:
    """Read and check a bundle folder.

    Args:
        path: the folder that holds multi_views/ and depth_renders/, or one or two folders around it; only read.
        options: the job's options; None reads the bundle's job.toml.
        limits: what a bundle may weigh and measure.

    Returns:
        The bundle, with depth codes whose background is 0.

    Raises:
        InvalidFileCount: views are missing, doubled or unknown, or a copy is not finished.
        FileTooLarge: a file, the bundle or the size an image states is over the limit; nothing was decoded.
        InvalidFileFormat: not a PNG, damaged, a link, or a pixel format that can't be used.
        ValidationFailed: not a folder; not square, sizes that differ, blank views, depth that is none, job.toml.
        ShareUnavailable: a file or folder can't be read.

    Of these the first that applies is raised, with everything that is wrong in its way.

    """
    limits = limits or Limits()
    files = find_files(path)
    _raise_if_too_large(files.images, limits)
    job_problem: list[Problem] = []
    if options is None:
        options, job_problem = _read_options(files.job_file)

    checked: dict[str, Checked] = {}
    problems = job_problem
    for file, outcome in zip(
        files.images, parallel_map(lambda file: _try_read(file, limits), files.images), strict=True
    ):
        if isinstance(outcome, Problem):
            problems.append(outcome)
        else:
            checked[file.key] = outcome
    problems += size_problems({item.file.name: item.header.width for item in checked.values()})
    sha256 = {key: item.sha256 for key, item in checked.items()}

    decoded: dict[str, Decoded] = {}
    if not problems:
        for key, result in zip(checked, parallel_map(_try_decode, list(checked.values())), strict=True):
            if isinstance(result, Problem):
                problems.append(result)
            else:
                decoded[key] = result
    raise_first_kind(problems)
    checked.clear()
    return _assemble(files.root, {file.key: file for file in files.images}, decoded, sha256, options)


def _raise_if_too_large(images: tuple[ImageFile, ...], limits: Limits) -> None:
    raise_first_kind(problem for file in images if (problem := check_size(file, limits)))
    total = sum(file_size(file) for file in images)
    if total > limits.bundle_mb * MEGABYTE:
        message = f"the twelve images are {total / MEGABYTE:.1f} MB; at most {limits.bundle_mb:g} MB are taken"
        raise_first_kind([Problem(FileTooLarge, "", message)])


def _read_options(job_file: Path | None) -> tuple[JobOptions, list[Problem]]:
    if job_file is None:
        return JobOptions(), []
    try:
        return read_job_options(job_file), []
    except ValidationFailed as error:
        message = error.message.removeprefix(f"{job_file.name}: ").removesuffix(".")
        return JobOptions(), [Problem(ValidationFailed, f"{job_file.name}:", message, error.suggestion)]


def _try_read(file: ImageFile, limits: Limits) -> Checked | Problem:
    try:
        return read_checked(file, limits)
    except ProblemError as error:
        return error.problem


def _try_decode(checked: Checked) -> Decoded | Problem:
    try:
        result = decode(checked)
    except ProblemError as error:
        return error.problem
    if checked.file.folder == RGB_DIR:
        problem = rgb_problem(checked.file.name, result.pixels, result.alpha)
        if problem:
            return problem
    return result


def _assemble(
    root: Path, files: dict[str, ImageFile], decoded: dict[str, Decoded], sha256: dict[str, str], options: JobOptions
) -> Bundle:
    def of(folder: str) -> dict[ViewName, Decoded]:
        return {file.view: decoded[key] for key, file in files.items() if file.folder == folder}

    views, depths = of(RGB_DIR), of(DEPTH_DIR)
    names = {file.view: file.name for file in files.values() if file.folder == DEPTH_DIR}
    codes, code_max, notes, problems, top_is_background = normalise_depth(
        {view: item.pixels for view, item in depths.items()},
        {view: item.code_max for view, item in depths.items()},
        names,
    )
    raise_first_kind(problems)
    given = options.cameras.fov_deg is not None and (options.depth.far is not None or bool(options.depth.per_view))
    raise_first_kind(depth_problems(codes, code_max, names, given))
    return Bundle(
        path=root,
        rgb={view: item.pixels for view, item in views.items()},
        alpha={view: item.alpha for view, item in views.items()},
        depth=codes,
        depth_code_max=code_max,
        options=options,
        sha256=sha256,
        notes=tuple(note for item in decoded.values() for note in item.notes)
        + tuple(notes)
        + tuple(twin_notes(sha256)),
        depth_hints=tuple(depth_hints(codes, code_max, names, top_is_background)),
    )
