"""How an inbox is watched, for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Mode = Literal["inotify", "polling"]


@dataclass(frozen=True, slots=True)
class WatchReport:
    """How an inbox is watched at one moment."""

    mode: Mode
    why: str  # why so, in a sentence
    healthy: bool  # False: it should be watched otherwise, and `why` says what is in the way
    remedy: str | None  # what a person can do about it
    detection_latency_s: float | None  # measured with the canary; None where it wasn't
    folders: int = 0  # how many inotify watches are in use
    overflows: int = 0  # how often the kernel dropped events since the start

    def as_json(self) -> dict[str, Any]:
        """The same as a dict."""
        return asdict(self)
