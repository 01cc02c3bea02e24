"""Packing charts into a square, by their outlines, in blocks of texels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit

if TYPE_CHECKING:
    from engine.texture.charts import Layout

Array = NDArray[Any]

MARGIN_BLOCKS = 2
"""Blocks around each chart that are its own, for its padding. A block is 1/512 of the texture, so the padding of a
texture of 2048 reaches three levels down its mip map before neighbours mix."""


@jit
def chart_spans(owner: Array, origin: Array, width: Array, height: Array, block: int, row: Array, spans: Array) -> None:
    """The blocks of each chart's rows: first and last, grown by MARGIN_BLOCKS all round.

    row: [C+1] int64, where a chart's rows begin in spans [R, 2] int32 (first > last: the row is empty).
    """
    for c in range(len(width)):
        w = width[c] // block
        rows = height[c] // block
        for r in range(rows):
            spans[row[c] + r, 0] = w
            spans[row[c] + r, 1] = -1
        for y in range(height[c]):
            base = origin[c] + y * width[c]
            first, last = -1, -1
            for x in range(width[c]):
                if owner[base + x] >= 0:
                    if first < 0:
                        first = x
                    last = x
            if first >= 0:
                low, high = max(first // block - MARGIN_BLOCKS, 0), min(last // block + MARGIN_BLOCKS, w - 1)
                for r in range(max(y // block - MARGIN_BLOCKS, 0), min(y // block + MARGIN_BLOCKS + 1, rows)):
                    spans[row[c] + r, 0] = min(spans[row[c] + r, 0], low)
                    spans[row[c] + r, 1] = max(spans[row[c] + r, 1], high)


@jit
def place_charts(order: Array, row: Array, spans: Array, columns: Array, last_taken: Array, position: Array) -> bool:
    """First fit, row by row: each chart at the highest, then leftmost place where its spans are free.

    order: charts, placed in this order. columns: [C] blocks a chart is wide. position: [C, 2] int32 (x, y) in blocks,
    out. last_taken: [side, side] int32 of -1, to work in: the rightmost taken block at or before x in row y, -1 for
    none. Returns False where one does not fit.
    """
    side = len(last_taken)
    for n in range(len(order)):
        c = order[n]
        rows = row[c + 1] - row[c]
        done = False
        for y in range(side - rows + 1):
            x = 0
            while x + columns[c] <= side:
                jump = x
                for r in range(rows):
                    first, last = spans[row[c] + r, 0], spans[row[c] + r, 1]
                    if first <= last:
                        taken = last_taken[y + r, x + last]
                        if taken >= x + first:
                            jump = max(jump, taken - first + 1)
                            break
                if jump == x:
                    done = True
                    break
                x = jump
            if done:
                position[c, 0] = x
                position[c, 1] = y
                for r in range(rows):
                    first, last = spans[row[c] + r, 0], spans[row[c] + r, 1]
                    if first <= last:
                        for q in range(x + first, x + last + 1):
                            last_taken[y + r, q] = q
                        q = x + last + 1
                        while q < side and last_taken[y + r, q] < x + last:
                            last_taken[y + r, q] = x + last
                            q += 1
                break
        if not done:
            return False
    return True


def pack(layout: Layout, size_px: int, block: int) -> NDArray[np.float64] | None:
    """Where each chart goes, [C, 2] in texels, to be added to its corners; None where they do not all fit.

    Every chart keeps MARGIN_BLOCKS free around it: two charts are at least twice that apart.
    """
    side = size_px // block
    columns, rows = layout.width // block, layout.height // block
    if int((columns * rows).max()) > 0 and (columns.max() > side or rows.max() > side):
        return None
    row = np.concatenate([[0], np.cumsum(rows)])
    spans = np.empty((int(row[-1]), 2), np.int32)
    chart_spans(layout.owner, layout.origin, layout.width, layout.height, block, row, spans)
    used = np.maximum(spans[:, 1] - spans[:, 0] + 1, 0)
    if used.sum() > side * side:
        return None
    order = np.lexsort((np.arange(len(rows)), -columns, -rows))
    position = np.zeros((len(rows), 2), np.int32)
    if not place_charts(order, row, spans, columns, np.full((side, side), -1, np.int32), position):
        return None
    return np.asarray(position * float(block))
