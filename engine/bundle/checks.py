"""What twelve decoded images must be together: sizes alike, something to see in each, depth that is depth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import DEPTH_DIR, RGB_DIR, ViewName
from config.errors import ValidationFailed
from config.problems import Problem

_BLANK_TOLERANCE = 8
_BLANK_SHARE = 1e-4
_LEAST_FOREGROUND_PX = 64
_LEAST_FOREGROUND_SHARE = 5e-5
_SATURATED_SHARE = 0.6
_BORDER_MAJORITY = 0.6

_DEPTH_ADVICE = "Render it again: one gray level for each distance, code 0 for the background."


def size_problems(sizes: Mapping[str, int]) -> list[Problem]:
    """sizes: side in pixels by a file's name within the bundle. All of a folder must be alike."""
    problems = []
    for folder in {name.rsplit("/", 1)[0] for name in sizes}:
        ours = {name: side for name, side in sizes.items() if name.startswith(folder + "/")}
        usual, count = Counter(ours.values()).most_common(1)[0]
        others = {name: side for name, side in ours.items() if side != usual}
        if not others:
            continue
        advice = "Render all six of a folder at one size."
        if count > len(ours) // 2:
            problems += [
                Problem(
                    ValidationFailed, name, f"is {side}x{side} px, the others of its folder {usual}x{usual}", advice
                )
                for name, side in others.items()
            ]
        else:
            listed = ", ".join(f"{name.rsplit('/', 1)[1]} {side}" for name, side in ours.items())
            problems.append(Problem(ValidationFailed, folder, f"holds images of several sizes (px): {listed}", advice))
    return sorted(problems, key=lambda problem: problem.file)


def rgb_problem(name: str, rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None) -> Problem | None:
    """Whether a view shows something."""
    if alpha is not None:
        count = int((alpha > 127).sum())
        if count < _least(alpha.shape[0]):
            message = f"shows nothing: {count} of its pixels are more than half opaque"
            return Problem(
                ValidationFailed, name, message, "Render the view again; its alpha is the object's coverage."
            )
        return None
    few = rgb[::8, ::8].reshape(-1, 3)
    if int(np.ptp(few, axis=0).max()) > 2 * _BLANK_TOLERANCE:
        return None
    usual = np.median(few, axis=0).astype(np.int16)
    differing = (np.abs(rgb.astype(np.int16) - usual) > _BLANK_TOLERANCE).any(2).mean()
    if differing >= _BLANK_SHARE:
        return None
    colour = ", ".join(str(value) for value in usual)
    return Problem(ValidationFailed, name, f"is blank: one colour ({colour}) all over", "Render the view again.")


def _least(side_px: int) -> float:
    return max(_LEAST_FOREGROUND_PX, _LEAST_FOREGROUND_SHARE * side_px * side_px)


def background_code(code: NDArray[np.uint16]) -> int | None:
    """The code of most pixels on the image's border, None where none has a majority.

    code: [h, w]. Where the object fills the border the answer is None, or its own code.
    """
    ring = np.concatenate([code[:2].ravel(), code[-2:].ravel(), code[:, :2].ravel(), code[:, -2:].ravel()])
    values, counts = np.unique(ring, return_counts=True)
    k = int(counts.argmax())
    return int(values[k]) if counts[k] >= _BORDER_MAJORITY * len(ring) else None


def normalise_depth(
    codes: Mapping[ViewName, NDArray[np.uint16]], code_max: Mapping[ViewName, int], names: Mapping[ViewName, str]
) -> tuple[dict[ViewName, NDArray[np.uint16]], int, list[str], list[Problem], bool]:
    """Bring six depth renders to one code range with background 0.

    Returns the codes, their highest possible value (255 or 65535), notes, problems, and whether the highest code was
    the background. Depth of 8 bits that was
    stored in 16 is taken as what it is: a wider range would claim a precision that is not there. A background of
    the highest code in all six views (far = white, as renderers' z passes have it) becomes 0, and the object's own
    codes of 0 become 1.
    """
    out = dict(codes)
    notes: list[str] = []
    if len(set(code_max.values())) > 1:
        listed = ", ".join(f"{names[view]} {8 if code_max[view] == 255 else 16}" for view in codes)
        message = f"mixes 8- and 16-bit depth (bits: {listed})"
        return out, 255, notes, [Problem(ValidationFailed, DEPTH_DIR, message, "Export all six alike.")], False
    top = next(iter(code_max.values()))
    if top == 65535:
        top, step = _true_range(out)
        if step is not None:
            notes.append(f"{DEPTH_DIR}: 8-bit depth stored in 16 bits; it was taken as 8-bit.")
            out = {view: (code // step).astype(np.uint16) for view, code in out.items()}
    problems = [problem for view, code in out.items() if (problem := _constant(names[view], code, top))]
    if problems:
        return out, top, notes, problems, False
    background = {view: background_code(code) for view, code in out.items()}
    if all(code == top for code in background.values()):
        notes.append(f"{DEPTH_DIR}: the background has the highest code, {top}; it was taken as background (code 0).")
        for view, code in out.items():
            out[view] = np.where(code == top, 0, np.maximum(code, 1)).astype(np.uint16)
        return out, top, notes, [], True
    for view, value in background.items():
        if value:
            message = f"has code {value} as its background (most of its border); the background must be code 0"
            problems.append(Problem(ValidationFailed, names[view], message, _DEPTH_ADVICE))
    return out, top, notes, problems, False


def _true_range(codes: Mapping[ViewName, NDArray[np.uint16]]) -> tuple[int, int | None]:
    """(highest code, divisor) of 16-bit codes: those of 8-bit depth that was widened, or (65535, None)."""
    values = np.unique(np.concatenate([np.unique(code) for code in codes.values()]))
    if values[-1] <= 255:
        return 255, 1
    if len(values) <= 256:
        for step in (257, 256):
            if not (values % step).any():
                return 255, step
    return 65535, None


def _constant(name: str, code: NDArray[np.uint16], top: int) -> Problem | None:
    low, high = int(code.min()), int(code.max())
    if low != high:
        return None
    what = "is empty: every pixel has code 0" if high == 0 else f"is constant: every pixel has code {high}"
    if high == top:
        what = f"is saturated: every pixel has the highest code, {top}"
    return Problem(ValidationFailed, name, what, _DEPTH_ADVICE)


def depth_problems(
    codes: Mapping[ViewName, NDArray[np.uint16]], top: int, names: Mapping[ViewName, str], cameras_given: bool
) -> list[Problem]:
    """Whether six normalised depth renders (background 0) show an object, with relief.

    A single view of one depth is legitimate: a flat face seen head-on. Six are masks rather than depth, or a cube
    whose size nothing tells, unless the job says where the cameras are.
    """
    problems: list[Problem] = []
    flat: list[str] = []
    saturated: list[str] = []
    for view, code in codes.items():
        object_px = code > 0
        count = int(object_px.sum())
        if count < _least(code.shape[0]):
            message = f"shows nothing: {count} pixels have a code above 0"
            problems.append(Problem(ValidationFailed, names[view], message, _DEPTH_ADVICE))
            continue
        if count == code.size:
            message = f"has no background: every pixel has a code above 0 ({int(code.min())} to {int(code.max())})"
            problems.append(Problem(ValidationFailed, names[view], message, _DEPTH_ADVICE))
            continue
        shown = code[object_px]
        if shown.min() == shown.max():
            flat.append(names[view])
        if (shown == top).mean() > _SATURATED_SHARE:
            saturated.append(names[view])
    if problems or cameras_given:
        return problems
    if len(flat) == len(codes):
        message = "holds no depth: the object has a single code in each of the six images, as in a mask"
        advice = "Render depth, not masks; for a box seen face-on, state [cameras] and [depth] in job.toml."
        problems.append(Problem(ValidationFailed, DEPTH_DIR, message, advice))
    elif len(saturated) == len(codes):
        message = (
            f"is saturated: more than {_SATURATED_SHARE:.0%} of the object has the highest code ({top}) in all six"
        )
        problems.append(Problem(ValidationFailed, DEPTH_DIR, message, "Widen the depth range that is rendered."))
    return problems


def twin_notes(sha256: Mapping[str, str]) -> list[str]:
    """Views of a folder that are the same file twice: right for a symmetric object, more often a mistake."""
    notes = []
    for folder in (RGB_DIR, DEPTH_DIR):
        by_digest: dict[str, list[str]] = {}
        for name in sorted(sha256):
            if name.startswith(folder):
                by_digest.setdefault(sha256[name], []).append(name.rsplit("/", 1)[1])
        notes += [f"{folder}: {' and '.join(same)} are the same image." for same in by_digest.values() if len(same) > 1]
    return notes
