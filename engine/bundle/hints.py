"""What in six depth renders may mislead a reconstruction without being a fault for certain: said, never refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from config.bundle_layout import DEPTH_DIR, ViewName
from engine.jit import parallel_map
from engine.morphology import eroded

_CORE_PX: Final = 4
_LEAST_CORE_PX: Final = 200
_FAR_BELOW: Final = 0.7
_MIXED_SHARE: Final = 0.6
"""In sound bundles at most 0.31 (near is bright, a ball); 0.72 and more in depth that was blurred or enlarged."""
_SPECK_PX: Final = 12
_SPECK_CODE: Final = 0.04
_SPECK_SHARE: Final = 0.008
"""None of 58 sound bundles has any. Compressed at qualities 98, 90 and 75 it was 0.11 to 0.16, 0.02 and 0.01."""
_CUT_OFF_SHARE: Final = 0.01
_SMALL_SHARE: Final = 0.25


def depth_hints(
    codes: Mapping[ViewName, NDArray[np.uint16]],
    top: int,
    names: Mapping[ViewName, str],
    top_is_background: bool = False,
) -> list[str]:
    """Sentences on normalised depth renders [h, w] (background 0, highest possible code `top`).

    top_is_background: whether the highest code was the background as delivered.

    Told are an object that the frame cuts off, one that is small in all six, and pixels that no renderer's depth has:
    outlines that are means of object and background, and specks of the lowest codes around the object, as JPEG leaves.
    """
    hints = []
    if top_is_background:
        what = "surfaces that had the background's code, the highest, are lost"
        hints.append(f"{DEPTH_DIR}: {what}; where each view was divided by its own maximum, that is its end.")
    cut_off = [names[view] for view, code in codes.items() if _on_border(code) > _CUT_OFF_SHARE]
    if cut_off:
        what = "the object touches the frame: what lies beyond is missing, and its outline is not the object's."
        hints.append(f"{', '.join(cut_off)}: {what}")
    spans = [_span(code > 0) for code in codes.values()]
    side = next(iter(codes.values())).shape[0]
    if max(spans) < _SMALL_SHARE * side:
        what = f"the object spans {max(spans)} of {side} pixels at most"
        hints.append(f"{DEPTH_DIR}: {what}; 80 to 95 per cent of the frame serve best.")
    edges = [found for found in parallel_map(lambda code: _edges(code, top), list(codes.values())) if found]
    if edges:
        mixed, specks = np.median(edges, axis=0)
        if specks > _SPECK_SHARE:
            what = "specks of the lowest codes lie around the object, as JPEG compression leaves them"
            hints.append(f"{DEPTH_DIR}: {what}; depth has to be stored as PNG from the start.")
        elif mixed > _MIXED_SHARE:
            what = "the outline's pixels are means of object and background"
            why = "anti-aliasing, blur, or resizing with interpolation"
            hints.append(f"{DEPTH_DIR}: {what} ({why}); they stand for surfaces that are not there.")
    return hints


def _on_border(code: NDArray[np.uint16]) -> float:
    ring = np.concatenate([code[0], code[-1], code[1:-1, 0], code[1:-1, -1]])
    return float((ring > 0).mean())


def _span(mask: NDArray[np.bool_]) -> int:
    """Width or height in pixels, whichever is larger."""
    return max(int(np.ptp(np.flatnonzero(mask.any(axis)))) + 1 for axis in (0, 1))


def _edges(code: NDArray[np.uint16], top: int) -> tuple[float, float] | None:
    """Shares of the outline's pixels: at codes far below what lies within, and in specks of the lowest codes.

    None for objects that are thin all over. Where near is bright, low codes at an outline are surfaces that recede;
    only a majority of them says something.
    """
    mask = code > 0
    if not mask.any():
        return None
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    mask, code = np.pad(mask[box], 1), np.pad(code[box], 1)
    core = eroded(mask, _CORE_PX)
    if int(core.sum()) < _LEAST_CORE_PX:
        return None
    low = float(np.percentile(code[core][:: max(1, int(core.sum()) // 20_000)], 2))
    rim = mask & ~eroded(mask, 1)
    beside = rim & ~eroded(~core, _CORE_PX + 1)
    mixed = float((code[beside] < _FAR_BELOW * low).mean()) if beside.any() else 0.0
    return mixed, _specks(mask, mask & (code <= _SPECK_CODE * top)) / max(int(rim.sum()), 1)


def _specks(mask: NDArray[np.bool_], lowest: NDArray[np.bool_]) -> int:
    """Pixels in small components of the mask that hold the lowest codes and nothing else."""
    if not lowest.any():
        return 0
    labels, count = ndimage.label(mask, np.ones((3, 3), np.bool_))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    low = np.bincount(labels[lowest], minlength=count + 1)
    specks = (sizes <= _SPECK_PX) & (low == sizes)
    specks[0] = False
    return int(sizes[specks].sum())
