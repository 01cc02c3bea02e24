"""A row of the report, and a part of it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """what: the promise or the failure. bar: what has to hold. figures: name of what was told -> its words."""

    what: str
    bar: str
    tests: tuple[str, ...]
    figures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """Rows that belong together. letter: begins the names of its rows, K1, K2 and so on."""

    letter: str
    title: str
    words: str
    rows: tuple[Row, ...]
