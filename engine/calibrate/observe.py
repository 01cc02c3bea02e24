"""What calibration looks at: per view the silhouette, smoothed codes, sample points and the coding's fingerprint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from config.bundle_layout import VIEW_NAMES
from config.errors import CalibrationFailed
from engine.bundle import Bundle
from engine.calibrate.flat import flat_code
from engine.distance import squared_distance
from engine.jit import parallel_map
from engine.morphology import eroded
from engine.segment import Segmentation

MAX_SIZE_PX = 1024
COARSE_SIZE_PX = 256
EDGE_PX = 3
SMOOTHING_STEPS = 0.3
"""Smoothing in widths of a code's step on a middling slope. The result is held within its code's interval, so that it
flattens the steps and nothing else."""
POINTS_PER_VIEW = 1500
UNLIKE = 0.005
"""Share of pixels in which views of a ball or a cube may differ."""
UNLIKE_LEVELS = 1.5
FEW = 2
"""Pixels at the highest code where only the farthest point itself has it."""


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What the codes themselves say of the coding.

    low, high: [6] lowest and highest code of each view's foreground. top_bins: [6, 3] pixels at the highest and the
    two next lower codes.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    top_bins: NDArray[np.int64]
    code_max: int

    def without(self, view: int) -> Fingerprint:
        """Of the other five views."""
        low, high, bins = (np.delete(values, view, 0) for values in (self.low, self.high, self.top_bins))
        return Fingerprint(low, high, bins, self.code_max)

    @property
    def all_reach_top(self) -> bool:
        """Every view uses the highest code: each is divided by its own maximum (or stretched)."""
        return bool((self.high == self.code_max).all())

    @property
    def all_reach_bottom(self) -> bool:
        """Every view starts at the same lowest code: each is stretched between its own extremes."""
        return bool(np.ptp(self.low) <= max(1, round(self.code_max * 0.004)))

    @property
    def truncated(self) -> bool:
        """Codes were cut off, not rounded: the farthest point alone has the highest, not all over half a code's width.

        A view whose highest code is the commonest shows a flat face there and says nothing; nor does one that lacks the
        next lower code, where something ends square to the view.
        """
        odds = 0.0
        for top, *lower in self.top_bins[self.high == self.high.max()].tolist():
            expected = sum(lower) / 4
            if top <= FEW:
                odds += min(expected, 4.0) - 0.5
            elif lower[0] > 0 and top < sum(lower):
                odds -= 2.0
        return odds > 0.0


@dataclass(frozen=True, eq=False)
class Observation:
    """Six depth renders, prepared.

    fine, coarse: [6, h, w, 3] float32 at two sizes, see `kernels.accumulate`.
    points: for each view [n, 3] float64 (x, y in half widths from the image's centre, code 0..1), in random order, so
    that the first k are a fair sample. spread: [6, 2] robust lowest and highest code, 0..1. outline: for each view
    [k, 2] the silhouette's extreme pixels in half widths. extent: [6, 4] silhouette's box (left, right, up, down).
    flat: the views whose codes are noise on a flat face, and the one code (0..1) that stands for theirs in all of the
    above but the fingerprint.
    """

    fine: NDArray[np.float32]
    coarse: NDArray[np.float32]
    points: list[NDArray[np.float64]]
    spread: NDArray[np.float64]
    outline: list[NDArray[np.float64]]
    extent: NDArray[np.float64]
    fingerprint: Fingerprint
    size_px: int
    flat: dict[int, float] = field(default_factory=dict)

    def sample(self, per_view: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The first points of each view, concatenated, and where each view's rows start ([7])."""
        chosen = [p[:per_view] for p in self.points]
        starts = np.concatenate([[0], np.cumsum([len(p) for p in chosen])]).astype(np.int64)
        return np.ascontiguousarray(np.concatenate(chosen)), starts


def _reduced(
    code: NDArray[np.float32], mask: NDArray[np.bool_], factor: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Mean of the foreground's codes over blocks; a block is foreground if half of it is."""
    if factor == 1:
        return code, mask
    n = code.shape[0] // factor
    blocks = (n, factor, n, factor)
    crop = slice(0, n * factor)
    count = mask[crop, crop].reshape(blocks).sum((1, 3))
    total = np.where(mask, code, 0)[crop, crop].reshape(blocks).sum((1, 3))
    kept = count * 2 >= factor * factor
    return np.where(kept, total / np.maximum(count, 1), 0).astype(np.float32), kept


def _nearby(pick: np.ufunc, values: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """The highest (np.maximum) or lowest (np.minimum) of each pixel and its eight neighbours."""
    for axis in (0, 1):
        source = np.moveaxis(values, axis, 0)
        values = values.copy()
        out = np.moveaxis(values, axis, 0)
        pick(out[1:], source[:-1], out=out[1:])
        pick(out[:-1], source[1:], out=out[:-1])
    return values


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[k, 2] extreme foreground pixels of every row and column, in half widths from the centre."""
    filled = [np.nonzero(mask.any(axis))[0] for axis in (1, 0)]
    top, left = (int(index[0]) for index in filled)
    part = mask[top : filled[0][-1] + 1, left : filled[1][-1] + 1]
    found = []
    for image, swap in ((part, False), (np.ascontiguousarray(part.T), True)):
        rows = np.nonzero(image.any(1))[0]
        first, last = image[rows].argmax(1), image.shape[1] - 1 - image[rows, ::-1].argmax(1)
        for columns in (first, last):
            pair = (rows, columns) if swap else (columns, rows)
            found.append(np.stack(pair, 1))
    points = (np.concatenate(found) + [left, top] + 0.5) / (mask.shape[0] / 2) - 1
    # the convex hull's corners: only they can touch a tangent
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    return np.asarray(points[np.unique((points @ directions).argmax(0))])


class View(NamedTuple):
    """One view's share of an Observation, but for `fine`."""

    coarse: NDArray[np.float32]
    points: NDArray[np.float64]
    extent: list[float]
    outline: NDArray[np.float64]
    spread: list[float]
    flat: float | None


Extremes = tuple[int, int, list[int]]
"""A view's rows of `Fingerprint`."""


def _factor(size_px: int) -> int:
    """By how much depth renders of a size are reduced."""
    return max(1, -(-size_px // MAX_SIZE_PX))


def _prepare(
    name: str,
    raw: NDArray[np.uint16],
    mask: NDArray[np.bool_],
    code_max: int,
    seed: int,
    is_flat: bool,
    fine: NDArray[np.float32],
) -> View:
    """fine: the view's part of `Observation.fine`, to be filled: copying all six takes long."""
    code, mask = _reduced(raw.astype(np.float32), mask & (raw > 0), _factor(len(raw)))
    n = code.shape[0]
    if int(mask.sum()) < 60:
        raise CalibrationFailed(
            f"depth_renders/{name}.png shows hardly any object: {int(mask.sum())} pixels of foreground.",
            suggestion="Export the depth render again; code 0 is background, the object has higher codes.",
            view=name,
        )
    ys, xs = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    extent = (np.array([xs.min(), xs.max() + 1, ys.min(), ys.max() + 1]) / (n / 2) - 1).tolist()
    low, high = np.percentile(code[mask], (0.5, 99.5)) + (np.array([-0.5, 0.5]) if is_flat else 0)
    level = code_max / 255
    across = float(np.sqrt(np.ptp(xs) * np.ptp(ys)) + 1)
    jump = max(1.6 * (1.0 if code_max == 255 else 0.02 * level), 8 * (high - low) / across)
    margin = 12
    box = (
        slice(max(ys.min() - margin, 0), ys.max() + 1 + margin),
        slice(max(xs.min() - margin, 0), xs.max() + 1 + margin),
    )
    sub, inside = code[box], mask[box]
    levels = max((high - low) / (1.0 if code_max == 255 else level), 1.0)
    sigma = float(np.clip(SMOOTHING_STEPS * across / levels, 1.0, 3.0 * n / 1024))
    weight = ndimage.gaussian_filter(inside.astype(np.float32), sigma)
    smooth = ndimage.gaussian_filter(np.where(inside, sub, 0), sigma) / np.maximum(weight, 1e-3)
    slack = 0.5 if code_max == 255 else 0.0
    slack = max(slack, 0.02 * (high - low) / across * sigma)
    smooth = np.where(inside, np.clip(smooth, sub - slack, sub + slack), 0)
    near_edge = _nearby(np.maximum, np.where(inside, sub, -1e9)) - _nearby(np.minimum, np.where(inside, sub, 1e9))
    level_nearby = inside & (near_edge <= 1.5 * jump)
    good = eroded(level_nearby, max(2, round(EDGE_PX * n / 1024)))
    if int(good.sum()) < 30:
        good = inside
    py, px = np.nonzero(good)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(py))[:POINTS_PER_VIEW]
    py, px = py[chosen], px[chosen]
    points = np.stack(
        [
            (px + box[1].start + 0.5) / (n / 2) - 1,
            (py + box[0].start + 0.5) / (n / 2) - 1,
            smooth[py, px].astype(np.float64) / code_max,
        ],
        1,
    )
    distance = np.sqrt(squared_distance(mask))
    whole, clear = np.zeros((n, n), np.float32), np.zeros((n, n), np.float32)
    whole[box] = smooth / code_max
    clear[box] = ndimage.uniform_filter(eroded(level_nearby, 2).astype(np.float32), 3) * inside
    np.stack([whole, distance, np.maximum(clear, 0)], -1, out=fine)
    step = max(1, n // COARSE_SIZE_PX)
    code_small, mask_small = _reduced(whole, mask, step)
    distance_small, _ = _reduced(distance / step, np.ones_like(mask), step)
    rise = _nearby(np.maximum, code_small) - _nearby(np.minimum, code_small)
    clear_small = eroded(mask_small & (rise <= 4 * jump / code_max), 1).astype(np.float32)
    coarse = np.stack([code_small, distance_small, clear_small], -1)
    middle = float(low + high) / (2 * code_max) if is_flat else None
    return View(coarse, points, extent, _outline(mask), [low / code_max, high / code_max], middle)


def _extremes(codes: NDArray[np.uint16]) -> Extremes:
    low, high = int(codes.min()), int(codes.max())
    return low, high, [int((codes == high - k).sum()) for k in range(3)]


def observe(bundle: Bundle, segmentation: Segmentation) -> Observation:
    """Prepare the six depth renders; sizes over 1024 px are reduced by whole factors.

    Raises CalibrationFailed where a view has next to no foreground.
    """

    size = bundle.depth_size_px // _factor(bundle.depth_size_px)
    fine = np.empty((len(VIEW_NAMES), size, size, 3), np.float32)

    def prepare(index: int) -> tuple[View, Extremes]:
        name = VIEW_NAMES[index]
        codes, mask = bundle.depth[name], segmentation.depth_mask[name] & (bundle.depth[name] > 0)
        flat = flat_code(codes, mask, bundle.depth_code_max)
        shown = codes if flat is None else np.where(mask, np.uint16(flat), np.uint16(0))
        view = _prepare(name, shown, mask, bundle.depth_code_max, index, flat is not None, fine[index])
        return view, _extremes(codes[mask])

    found = parallel_map(prepare, range(len(VIEW_NAMES)))
    prepared = [view for view, _ in found]
    lows, highs, bins = zip(*(extremes for _, extremes in found), strict=True)
    return Observation(
        fine=fine,
        coarse=np.stack([v.coarse for v in prepared]),
        points=[v.points for v in prepared],
        spread=np.array([v.spread for v in prepared]),
        outline=[v.outline for v in prepared],
        extent=np.array([v.extent for v in prepared]),
        fingerprint=Fingerprint(np.array(lows), np.array(highs), np.array(bins), bundle.depth_code_max),
        size_px=bundle.depth_size_px,
        flat={i: v.flat for i, v in enumerate(prepared) if v.flat is not None},
    )


def all_alike(observation: Observation) -> bool:
    """Whether all views show the same, also turned by quarters and flipped: a ball or a cube about the rig's centre."""
    first = observation.coarse[0, ..., 0]
    level = 1 / min(observation.fingerprint.code_max, 255)
    for code in observation.coarse[..., 0]:
        for turns in range(4):
            for turned in (np.rot90(code, turns), np.rot90(code[:, ::-1], turns)):
                unlike = np.abs(turned - first) > UNLIKE_LEVELS * level
                if int(unlike.sum()) > UNLIKE * int((first > 0).sum()):
                    return False
    return True
