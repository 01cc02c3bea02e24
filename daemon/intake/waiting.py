"""What intake tells others of a bundle: what it waits for, and which gate holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daemon.intake.completeness import Gate
from daemon.names import shown


@dataclass(frozen=True, slots=True)
class Waiting:
    """A bundle that is not taken yet.

    entry: its raw name. since_s: when it last changed, monotonic; waiting_s: seconds from then to the last look.
    soon: it waits for time alone, not for people.
    """

    entry: str
    sentence: str
    since_s: float
    missing: tuple[str, ...] = ()
    waiting_s: float = 0.0
    soon: bool = False

    def as_json(self) -> dict[str, Any]:
        """For statuses."""
        return {
            "bundle": shown(self.entry),
            "sentence": self.sentence,
            "missing": list(self.missing),
            "waiting_s": round(self.waiting_s, 1),
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a bundle is where it is. gates: name, whether it is passed, and a sentence. job: of its last job."""

    entry: str
    sentence: str
    gates: tuple[Gate, ...] = ()
    job: str | None = None
