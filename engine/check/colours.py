"""Do the colours of views agree where they see the same surface, and would they if files were exchanged or flipped?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.calibrate.photo import LEAST, Look, correlation
from engine.calibrate.shared import SIZE_PX, Shared
from engine.jit import parallel_map

Floats = NDArray[np.float64]

BETTER: Final = 0.2
"""By how much the correlation has to rise under another reading. Of 102 sound bundles (made ones with known cameras,
and one that was repainted by hand) it rose by 0.08 in the repainted one and by nothing in the others, with cameras as
they are known; exchanged views that show anything lower it by 0.2 to 1.5."""
CLEAR: Final = 0.35
"""What the correlation has to be then."""
WITNESSES: Final = 2
"""So many pairs of views have to agree clearly better, each by itself."""

Fault = Literal["exchanged", "mirrored", "turned"]


@dataclass(frozen=True)
class Reading:
    """Which file stands for which view, and whether it is flipped left to right."""

    fault: Fault
    views: tuple[ViewName, ...]
    source: Mapping[ViewName, tuple[ViewName, bool]]


@dataclass(frozen=True)
class Exchange:
    """A reading under which the colours agree better. as_named, as_read: mean correlation, -1..1."""

    reading: Reading
    as_named: float
    as_read: float


def readings() -> list[Reading]:
    """Two views exchanged, one flipped, the ring of four turned by half."""
    swaps = [Reading("exchanged", (a, b), {a: (b, False), b: (a, False)}) for a, b in combinations(VIEW_NAMES, 2)]
    flips = [Reading("mirrored", (name,), {name: (name, True)}) for name in VIEW_NAMES]
    ring: tuple[ViewName, ...] = ("front", "back", "left", "right")
    other: dict[ViewName, ViewName] = {"front": "back", "back": "front", "left": "right", "right": "left"}
    return [*swaps, *flips, Reading("turned", ring, {name: (other[name], False) for name in ring})]


def _values(
    looks: Mapping[ViewName, Look], source: Mapping[ViewName, tuple[ViewName, bool]], name: ViewName,
    at: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> tuple[Floats, NDArray[np.bool_]]:  # fmt: skip
    of, flipped = source.get(name, (name, False))
    look, (rows, columns) = looks[of], at
    columns = SIZE_PX - 1 - columns if flipped else columns
    return look.features[rows, columns], look.known[rows, columns]


@dataclass(frozen=True)
class _Compared:
    """Two views where they see one surface: the correlation of their colours as named and as read, and its weight."""

    views: frozenset[ViewName]
    as_named: float
    as_read: float
    weight: float


def _compare(
    looks: Mapping[ViewName, Look],
    shared: list[Shared],
    reading: Reading | None,
    views: tuple[ViewName, ...],
    squarely: bool = False,
) -> list[_Compared]:
    """Every pair with one of `views`, by the pixels that both ways show the object.

    squarely: by those of them alone that both views see squarely.
    """
    source = reading.source if reading else {}
    found = []
    for pair in shared:
        if pair.a not in views and pair.b not in views:
            continue
        a, known_a = _values(looks, {}, pair.a, pair.at_a)
        b, known_b = _values(looks, {}, pair.b, pair.at_b)
        use = known_a & known_b & pair.squarely if squarely else known_a & known_b
        a_read, b_read = a, b
        if reading:
            a_read, known_a = _values(looks, source, pair.a, pair.at_a)
            b_read, known_b = _values(looks, source, pair.b, pair.at_b)
            use &= known_a & known_b
        if int(use.sum()) < LEAST:
            continue
        named = correlation(a[use], b[use])
        read = correlation(a_read[use], b_read[use]) if reading else named
        found.append(_Compared(frozenset((pair.a, pair.b)), named, read, float(np.sqrt(use.sum()))))
    return found


def _mean(compared: list[_Compared]) -> tuple[float, float]:
    """The mean correlation as named and as read."""
    both = np.array([(item.as_named, item.as_read) for item in compared])
    as_named, as_read = np.average(both, axis=0, weights=[item.weight for item in compared])
    return float(as_named), float(as_read)


def agreement(
    looks: Mapping[ViewName, Look], shared: list[Shared], views: tuple[ViewName, ...] = VIEW_NAMES
) -> float | None:
    """Mean correlation of the colours where pairs with one of `views` see one surface; None where there are none."""
    compared = _compare(looks, shared, None, views)
    return _mean(compared)[0] if compared else None


def better_reading(looks: Mapping[ViewName, Look], shared: list[Shared]) -> Exchange | None:
    """The reading under which the colours agree clearly better than as the files are named, if there is one.

    It has to be so of all the pixels that views share, and of those that both see squarely, there by two pairs of views
    at least: of plain faces all that is compared may be their rims.
    """

    def weigh(reading: Reading) -> Exchange | None:
        compared = _compare(looks, shared, reading, reading.views)
        if not compared or not _clearly(*_mean(compared)):
            return None
        square = _compare(looks, shared, reading, reading.views, squarely=True)
        by_pair: dict[frozenset[ViewName], list[_Compared]] = {}
        for item in square:
            by_pair.setdefault(item.views, []).append(item)
        if sum(_clearly(*_mean(items)) for items in by_pair.values()) < WITNESSES or not _clearly(*_mean(square)):
            return None
        return Exchange(reading, *_mean(compared))

    clear = [item for item in parallel_map(weigh, readings()) if item is not None]
    return max(clear, key=lambda item: item.as_read - item.as_named, default=None)


def _clearly(as_named: float, as_read: float) -> bool:
    return as_read >= CLEAR and as_read - as_named > BETTER
