"""Packing charts into a square, by their outlines, in blocks of texels."""

from __future__ import annotations

import math
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
def chart_spans(
    corners: Array, chart: Array, width: Array, height: Array, block: int, row: Array, spans: Array
) -> None:
    """The blocks that each chart needs: the first and last of each row of blocks, grown by MARGIN_BLOCKS all round.

    corners: [F, 3, 2] float64 in the chart's texels; a face needs the texels whose centres it covers. chart: [F].
    width, height: [C]. row: [C+1] int64, where a chart's rows begin in spans [R, 2] int32 (first > last: the row is
    empty).
    """
    for c in range(len(width)):
        for r in range(row[c], row[c + 1]):
            spans[r, 0] = width[c] // block
            spans[r, 1] = -1
    for f in range(len(chart)):
        c = chart[f]
        w, rows = width[c] // block, height[c] // block
        y0 = math.ceil(min(corners[f, 0, 1], corners[f, 1, 1], corners[f, 2, 1]) - 0.5)
        y1 = math.floor(max(corners[f, 0, 1], corners[f, 1, 1], corners[f, 2, 1]) - 0.5)
        for y in range(y0, y1 + 1):
            left, right = 1e30, -1e30
            for k in range(3):
                ax, ay = corners[f, k, 0], corners[f, k, 1]
                bx, by = corners[f, (k + 1) % 3, 0], corners[f, (k + 1) % 3, 1]
                if min(ay, by) <= y + 0.5 <= max(ay, by):
                    x = ax if ay == by else ax + (bx - ax) * ((y + 0.5 - ay) / (by - ay))
                    left, right = min(left, x), max(right, x)
                    if ay == by:
                        left, right = min(left, bx), max(right, bx)
            first, last = math.ceil(left - 0.5), math.floor(right - 0.5)
            if first > last:
                continue
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
    chart_spans(layout.corners, layout.chart, layout.width, layout.height, block, row, spans)
    used = np.maximum(spans[:, 1] - spans[:, 0] + 1, 0)
    if used.sum() > side * side:
        return None
    order = np.lexsort((np.arange(len(rows)), -columns, -rows))
    position = np.zeros((len(rows), 2), np.int32)
    if not place_charts(order, row, spans, columns, np.full((side, side), -1, np.int32), position):
        return None
    return np.asarray(position * float(block))
