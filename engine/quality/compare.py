"""Which of two models of the same views is the better one: pure, from their figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from config.job import Model

Reason = Literal["status", "foreground", "measured"]
REASON: Final[dict[Reason, str]] = {
    "status": "its verdict is better",
    "foreground": "it is closer to the views on the object alone",
    "measured": "the two are equally close to the views, and nothing in it is generated",
}
_RANK: Final = {"normal": 0, "warning": 1, "failure": 2}
_EQUAL_DB: Final = 0.1
"""Foreground PSNR that differs by less says nothing: textures of one mesh differ by as much."""


@dataclass(frozen=True)
class Comparison:
    """better, other: the models. rule: what decided."""

    better: Model
    other: Model
    rule: Reason

    def as_json(self) -> dict[str, str]:
        """The content of quality.json's `comparison`."""
        return asdict(self)


def compare(results: Sequence[Mapping[str, Any]]) -> Comparison:
    """Compare the quality.json of two results of the same views.

    The verdict decides; then PSNR on the object alone. Neither speaks of what no camera sees: where they are equal, the
    result that holds no generated surface is the better one.
    """
    first, second = results

    def chosen(better: Mapping[str, Any], rule: Reason) -> Comparison:
        return Comparison(better["model"], (second if better is first else first)["model"], rule)

    ranks = [_RANK[each["status"]] for each in results]
    if ranks[0] != ranks[1]:
        return chosen(first if ranks[0] < ranks[1] else second, "status")
    ahead_db = first["foreground"]["psnr"] - second["foreground"]["psnr"]
    if abs(ahead_db) >= _EQUAL_DB:
        return chosen(first if ahead_db > 0 else second, "foreground")
    return chosen(first if "generated" not in first else second, "measured")
