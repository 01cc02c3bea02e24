"""The views for people to compare, cut to the object: what a page shows large."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import ViewName
from engine.quality.metrics import Box, Mask, bounding_box

CLOSEUP_PX: Final = 768
_MARGIN: Final = 0.1
"""On each side, as a share of the object's largest extent."""


@dataclass(frozen=True, eq=False)
class Closeup:
    """A square part of a view, of the same size in pixels of the delivered view for all six, so that scales compare.

    delivered, render: [S, S, 3] uint8; difference: [S, S] uint8, their mean absolute difference; S at most 768.
    depth_difference: [T, T] float32, planar depth of the mesh less the delivered one, in world units (positive: the
    mesh is farther away); NaN where either has none. missing, surplus: [T, T] bool, where only the delivered depth has
    a surface, and only the mesh.
    """

    delivered: NDArray[np.uint8]
    render: NDArray[np.uint8]
    difference: NDArray[np.uint8]
    depth_difference: NDArray[np.float32]
    missing: Mask
    surplus: Mask


def closeup_boxes(alpha: Mapping[ViewName, NDArray[np.uint8]]) -> dict[ViewName, Box]:
    """For each view a square part of it, around its object; all of one size. alpha: [H, H] uint8, the coverage."""
    boxes = {name: bounding_box(alpha[name] > 127) for name in alpha}
    size = next(iter(alpha.values())).shape[0]
    sides = [max(box.y1 - box.y0, box.x1 - box.x0) for box in boxes.values() if box is not None]
    side = min(size, round(max(sides, default=size) * (1 + 2 * _MARGIN)))
    out = {}
    for name, box in boxes.items():
        y, x = ((box.y0 + box.y1) / 2, (box.x0 + box.x1) / 2) if box is not None else (size / 2, size / 2)
        top, left = (min(max(round(centre - side / 2), 0), size - side) for centre in (y, x))
        out[name] = Box(top, top + side, left, left + side)
    return out


def closeup(
    delivered: NDArray[np.uint8],
    render: NDArray[np.uint8],
    box: Box,
    depth_drawn: NDArray[np.float32],
    depth_delivered: NDArray[np.float32],
) -> Closeup:
    """Cut one view.

    delivered, render: [H, H, 3] uint8, whole. box: of `closeup_boxes`. depth_drawn, depth_delivered: [h, h] float32
    planar depth of the mesh and of the delivered depth, 0 = none.
    """
    a, b = delivered[box.slices], render[box.slices]
    apart = _shrunk(np.maximum(a, b) - np.minimum(a, b)).astype(np.float32).mean(-1)
    size = depth_drawn.shape[0]
    factor = size / delivered.shape[0]
    side = max(1, round((box.y1 - box.y0) * factor))
    top, left = (min(round(low * factor), size - side) for low in (box.y0, box.x0))
    rows, columns = slice(top, top + side), slice(left, left + side)
    drawn, given = depth_drawn[rows, columns], depth_delivered[rows, columns]
    step = -(-side // CLOSEUP_PX)
    drawn, given = drawn[::step, ::step], given[::step, ::step]
    both = (drawn > 0) & (given > 0)
    difference = np.where(both, drawn - given, np.float32(np.nan))
    return Closeup(
        _shrunk(a), _shrunk(b), np.rint(apart).astype(np.uint8), difference, (given > 0) & ~both, (drawn > 0) & ~both
    )


def _shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    side = min(CLOSEUP_PX, image.shape[0])
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX, reducing_gap=2.0))
