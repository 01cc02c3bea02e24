"""The gate: whether a bundle is taken, and what it waits for. Pure: no file is touched, no clock is asked.

A bundle passes when all twelve files are there as regular files, no copying program's temporary file is, nothing has
changed for a while, and what was read of it is whole. `.ready`, or a first look that shows everything, skips the wait
for quiet and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

from config.errors import InputError, JobExpired
from daemon.intake import wording
from daemon.intake.layout import Layout, read_layout
from daemon.intake.problems import error_of
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

    outcome: "unfinished" may still be growing, "damaged" never will be right, "unreadable" is not permitted.
    digests, sizes: by the layout's names. options: what job.toml states. sentence: what is wrong, without what to do.
    checked_s: monotonic.
    """

    fingerprint: str
    outcome: Literal["ok", "unfinished", "damaged", "unreadable"]
    checked_s: float
    digests: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    error: InputError | None = None
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the gate knows of an entry from earlier looks. Times are on the monotonic clock.

    arrived_whole: the first look showed all that is needed, and nothing has changed since. moved_in: and it was made
    elsewhere and renamed to where it is. handled: the fingerprint that has had its job.
    """

    fingerprint: str = ""
    first_seen_s: float = 0.0
    unchanged_since_s: float = 0.0
    looks: int = 0
    arrived_whole: bool = False
    moved_in: bool = False
    ready_since_s: float | None = None
    content: Content | None = None
    handled: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the gate goes by, in seconds.

    looks: how many looks must agree. settle_s: the wait for what arrived whole but may have been written in place.
    recheck_s: how often content that was not whole is read again.
    """

    quiet_s: float = 5.0
    looks: int = 2
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

    missing: the layout's names of files that are not there. error: why it is refused. recognised: it is a bundle, or
    will be one. notice: people have waited long enough to be told the sentence.
    """

    verdict: Verdict
    sentence: str
    memory: Memory
    gates: tuple[Gate, ...] = ()
    missing: tuple[str, ...] = ()
    error: InputError | None = None
    again_s: float | None = None
    recognised: bool = False
    notice: bool = False


def assess(snapshot: Snapshot, memory: Memory, now_s: float, rules: Rules) -> Assessment:
    """Decide about one entry from one look, what is remembered, and the time on the monotonic clock."""
    layout = read_layout(snapshot.items, snapshot.root) if snapshot.kind == "folder" else None
    memory = remember(snapshot, layout, memory, now_s)
    return _Case(snapshot, layout, memory, now_s, rules).decide()


def remember(snapshot: Snapshot, layout: Layout | None, memory: Memory, now_s: float) -> Memory:
    """Add one look to what is known."""
    ready = snapshot.has("ready")
    ready_since_s = (now_s if memory.ready_since_s is None else memory.ready_since_s) if ready else None
    if memory.looks and snapshot.fingerprint == memory.fingerprint:
        return replace(memory, looks=memory.looks + 1, ready_since_s=ready_since_s)
    first = memory.looks == 0
    whole = first and (
        snapshot.kind == "zip"
        or (layout is not None and layout.complete and not layout.unfinished and not layout.problems)
    )
    return Memory(
        fingerprint=snapshot.fingerprint,
        first_seen_s=now_s if first else memory.first_seen_s,
        unchanged_since_s=now_s,
        looks=1,
        arrived_whole=whole,
        moved_in=whole and _was_moved(snapshot),
        ready_since_s=ready_since_s,
        handled=memory.handled,
    )


def _was_moved(snapshot: Snapshot) -> bool:
    """Whether the entry was renamed, or given its times, after the last file in it was touched.

    Its own times are compared with each other alone, never with a clock. A folder that is written in place has a
    status change as old as its last new name, or older than its files'; a zip one as old as its last byte.
    """
    top = snapshot.top
    if top is None or top.ctime_ns == top.mtime_ns:
        return False
    return all(top.ctime_ns > item.ctime_ns for item in snapshot.items if item.kind == "file")


class _Case:
    """One decision, with all that it goes by."""

    def __init__(self, snapshot: Snapshot, layout: Layout | None, memory: Memory, now_s: float, rules: Rules) -> None:
        self.snapshot, self.layout, self.memory, self.now_s, self.rules = snapshot, layout, memory, now_s, rules
        self.ready = memory.ready_since_s is not None
        self.unchanged_s = now_s - memory.unchanged_since_s
        self.quiet = self.unchanged_s >= rules.quiet_s and memory.looks >= rules.looks
        content = memory.content
        self.content = content if content and content.fingerprint == memory.fingerprint else None
        self.gates: list[Gate] = []
        self.again: list[float] = []

    def decide(self) -> Assessment:
        """Go through the gates in turn; the first that holds the bundle gives the sentence."""
        if self.snapshot.kind == "gone":
            return self._answer(Verdict.NOTHING, "It is not there any more.")
        self.again.append(self.memory.unchanged_since_s + self.rules.notice_s)
        if self.layout is None and self.snapshot.kind != "zip":
            return self._answer(Verdict.NOTHING, wording.not_a_bundle(self.snapshot))
        if self.layout is not None and not self.layout.recognised:
            troubled = [item for item in self.snapshot.items if item.trouble]
            if troubled:
                self._pass("readable", False, wording.unreadable(troubled, self.snapshot.entry))
                return self._wait(expires=False)
            return self._answer(Verdict.NOTHING, wording.nothing_recognised(self.snapshot, self.layout))
        if self.memory.handled and self.memory.handled == self.memory.fingerprint:
            return self._answer(Verdict.HANDLED, "This content has had its job.")
        if self.layout is not None:
            held = self._held_by_files(self.layout)
            if held is not None:
                return held
        elif self.snapshot.top is not None and self.snapshot.top.trouble:
            self._pass("readable", False, wording.unreadable([self.snapshot.top], self.snapshot.entry))
            return self._wait(expires=False)
        return self._held_by_time() or self._held_by_content()

    def _held_by_files(self, layout: Layout) -> Assessment | None:
        """Whether all twelve are there as regular files, and nothing is being copied."""
        troubled = [item for item in self.snapshot.items if item.trouble]
        self._pass("readable", not troubled, wording.unreadable(troubled) if troubled else "All files can be read.")
        present = len(layout.images)
        self._pass("complete", layout.complete, wording.missing(layout) if layout.missing else "All 12 files are here.")
        self._pass(
            "copied",
            not layout.unfinished,
            wording.still_copied(layout, present) if layout.unfinished else "No file is being copied.",
        )
        self._pass(
            "regular",
            not layout.problems,
            error_of(layout.problems).message if layout.problems else "Nothing is in the way.",
        )
        if troubled:
            return self._wait(expires=False)
        if layout.missing or layout.unfinished:
            return self._incomplete(layout)
        if layout.problems:
            if self.quiet or self.ready:
                return self._refuse(error_of(layout.problems))
            self.again.append(self.memory.unchanged_since_s + self.rules.quiet_s)
            return self._wait()
        return None

    def _incomplete(self, layout: Layout) -> Assessment:
        """Files are missing or being copied: wait, for as long as people have said they would take."""
        unchanged_since_s = self.memory.unchanged_since_s
        if self.memory.ready_since_s is not None:
            due_s = max(self.memory.ready_since_s, unchanged_since_s) + self.rules.ready_s
            if self.now_s >= due_s:
                return self._refuse(wording.count_error(layout, ".ready says that all files are here, but "))
            self.again.append(due_s)
        misnamed = bool(layout.missing) and len(layout.images) + len(layout.lookalikes) >= 12
        if misnamed and not layout.unfinished:
            due_s = unchanged_since_s + self.rules.unfinished_s
            if self.now_s >= due_s:
                return self._refuse(wording.count_error(layout))
            self.again.append(due_s)
        return self._wait()

    def _held_by_time(self) -> Assessment | None:
        """Whether nothing has changed for long enough, or somebody has said that all is there."""
        if self.rules.require_ready:
            self._pass("ready", self.ready, "The .ready marker is there." if self.ready else wording.READY_WANTED)
            if not self.ready:
                return self._wait(expires=False)
        if self.ready:
            self._pass("quiet", True, "The .ready marker says that all is there.")
        elif self.memory.arrived_whole:
            settle_s = 0.0 if self.memory.moved_in else self.rules.settle_s
            settled = self.unchanged_s >= min(settle_s, self.rules.quiet_s)
            self._pass("quiet", settled, "It arrived whole." if settled else wording.SETTLES)
            self.again.append(self.memory.unchanged_since_s + min(settle_s, self.rules.quiet_s))
        else:
            self._pass("quiet", self.quiet, wording.quiet(self.rules.quiet_s, self.quiet))
            self.again.append(self.memory.unchanged_since_s + self.rules.quiet_s)
        return None

    def _held_by_content(self) -> Assessment:
        """Whether what was read of it is whole."""
        still = self.gates[-1].passed
        content = self.content
        if content is None:
            may_read = still or self.memory.arrived_whole
            self._pass(
                "content", False, "The files have not been read yet." if may_read else "The files are read next."
            )
            return self._answer(Verdict.CHECK, self.gates[-1].sentence) if may_read else self._wait(expires=False)
        if content.outcome == "ok":
            self._pass("content", True, "All files are whole.")
            return self._answer(Verdict.ADMIT, "Taken.") if still else self._wait(expires=False)
        self._pass("content", False, wording.content(content.outcome, content.sentence))
        if content.outcome == "damaged":
            if (still and (self.quiet or self.ready)) and content.error is not None:
                return self._refuse(content.error)
            self.again.append(self.memory.unchanged_since_s + self.rules.quiet_s)
            return self._wait(expires=False)
        if content.outcome == "unfinished" and content.error is not None:
            patience_s = self.rules.ready_s if self.ready else self.rules.unfinished_s
            due_s = self.memory.unchanged_since_s + patience_s
            if content.checked_s >= due_s:
                return self._refuse(content.error)
            if self.now_s >= due_s:  # a last look: what writes through a mapping may not change a file's times
                return self._answer(Verdict.CHECK, content.sentence)
            self.again.append(due_s)
        if self.now_s >= content.checked_s + self.rules.recheck_s:
            return self._answer(Verdict.CHECK, content.sentence)
        self.again.append(content.checked_s + self.rules.recheck_s)
        return self._wait(expires=content.outcome == "unreadable")

    def _pass(self, name: str, passed: bool, sentence: str) -> None:
        self.gates.append(Gate(name, passed, sentence))

    def _wait(self, *, expires: bool = True) -> Assessment:
        """Wait; what is incomplete for too long is told as expired."""
        failed = next(gate for gate in self.gates if not gate.passed)
        if expires:
            due_s = self.memory.unchanged_since_s + self.rules.orphan_s
            if self.now_s >= due_s:
                hours = wording.duration(self.rules.orphan_s)
                missing = list(self.layout.missing) if self.layout else []
                return self._refuse(
                    JobExpired(f"Nothing has changed for {hours}: {_lower(failed.sentence)}", files=missing)
                )
            self.again.append(due_s)
        return self._answer(Verdict.WAIT, failed.sentence)

    def _refuse(self, error: InputError) -> Assessment:
        return self._answer(Verdict.REFUSE, error.message, error)

    def _answer(self, verdict: Verdict, sentence: str, error: InputError | None = None) -> Assessment:
        later = [due_s for due_s in self.again if due_s > self.now_s]
        return Assessment(
            verdict=verdict,
            sentence=sentence,
            memory=self.memory,
            gates=tuple(self.gates),
            missing=self.layout.missing if self.layout else (),
            error=error,
            again_s=min(later, default=None),
            recognised=bool(self.gates) or self.snapshot.kind == "zip" or bool(self.layout and self.layout.recognised),
            notice=self.unchanged_s >= self.rules.notice_s,
        )


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:] if not sentence[:2].isupper() else sentence
