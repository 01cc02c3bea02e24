"""The gate: whether a bundle is taken, and what it waits for. Pure: no file is touched, no clock is asked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from daemon.intake.snapshot import Snapshot


class Verdict(StrEnum):
    """What is to be done with an entry now."""

    NOTHING = "nothing"  # not a bundle, or not to be touched
    HANDLED = "handled"  # this very content has had its job
    WAIT = "wait"  # for files, for quiet, for people
    CHECK = "check"  # read its content, then ask again
    ADMIT = "admit"
    REFUSE = "refuse"  # admit with an error


@dataclass(frozen=True, slots=True)
class Gate:
    """One thing that a bundle must pass. sentence: what holds it, or what is as it should be."""

    name: str
    passed: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Content:
    """What reading a bundle's files showed, for one fingerprint.

    outcome: "ok", "unfinished" (may still be growing), "damaged" (never will be), "unreadable" (not permitted).
    """

    fingerprint: str
    outcome: str
    digests: dict[str, str]
    sizes: dict[str, int]
    options: dict[str, Any]
    error: dict[str, Any] | None
    sentence: str
    checked_s: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What the gate knows of an entry from earlier looks. Times are on the monotonic clock.

    handled: the fingerprint that has had its job. arrived_whole: the first look showed all that is needed.
    """

    fingerprint: str = ""
    first_seen_s: float = 0.0
    unchanged_since_s: float = 0.0
    looks: int = 0
    arrived_whole: bool = False
    renamed_in: bool = False
    ready_since_s: float | None = None
    content: Content | None = None
    handled: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that the gate goes by."""

    quiet_s: float = 5.0
    notice_s: float = 10.0
    ready_s: float = 60.0
    unfinished_s: float = 600.0
    orphan_s: float = 86400.0
    settle_s: float = 1.0
    recheck_s: float = 60.0
    require_ready: bool = False


@dataclass(frozen=True, slots=True)
class Assessment:
    """The gate's answer. again_s: when to look again at the latest, on the monotonic clock; None leaves it to scans.

    missing: the layout's names of files that are not there. error: error.json's content of a refusal.
    """

    verdict: Verdict
    sentence: str
    memory: Memory
    gates: tuple[Gate, ...] = ()
    missing: tuple[str, ...] = ()
    error: dict[str, Any] | None = None
    again_s: float | None = None
    recognised: bool = False


def assess(snapshot: Snapshot, memory: Memory, now_s: float, rules: Rules) -> Assessment:
    """Decide about one entry from one look, what is remembered, and the time on the monotonic clock."""
    raise NotImplementedError
