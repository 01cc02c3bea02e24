"""What waits in an inbox, and why: listed for statuses; what is no bundle, for the inbox's own STATUS.txt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from daemon.clock import Clock
from daemon.intake.completeness import Assessment, Verdict
from daemon.intake.entries import Entries
from daemon.intake.entry import Entry
from daemon.intake.waiting import Waiting
from daemon.intake.wording import DRAINING

if TYPE_CHECKING:
    from daemon.caretaker.notices import Notices

_EVERY_S: Final = 1.0  # where there are more than a few entries
_SHARE: Final = 0.05  # of the time, at most, goes into listing what waits
_MOST_TOLD: Final = 20


class WaitingList:
    """The bundles of one inbox that are not taken yet; written from one thread, read from any.

    told_every_s: how often, at most, the inbox's STATUS.txt is told what is no bundle.
    """

    def __init__(self, entries: Entries, clock: Clock, notices: Notices, *, told_every_s: float) -> None:
        self._entries, self._clock, self._notices, self._told_every_s = entries, clock, notices, told_every_s
        self._waiting: tuple[Waiting, ...] = ()
        self._told_s = self._next_s = float("-inf")
        self._complete = False

    @property
    def bundles(self) -> list[Waiting]:
        """The bundles, as they were listed last."""
        return list(self._waiting)

    @property
    def complete(self) -> bool:
        """Whether everything that was found is listed."""
        return self._complete

    @property
    def due_s(self) -> float:
        """When it is to be written again, where it is not complete."""
        return float("inf") if self._complete else self._next_s

    def outdate(self) -> None:
        """Something may be found now that is not listed."""
        self._complete = False

    def write(self, now_s: float, *, draining: bool) -> None:
        """List what waits, and tell what is no bundle; with many entries, not each time."""
        if not self._entries.few and now_s < self._next_s:
            return
        began_s = self._clock.monotonic_s()
        waiting: list[Waiting] = []
        odd: list[str] = []
        for entry in self._entries:
            answer = entry.answer
            if answer is None:
                waiting.append(Waiting(entry.name, "It was found, and is looked at next.", now_s, soon=True))
            elif answer.verdict in (Verdict.WAIT, Verdict.CHECK) or _is_about_to_be_job(entry, answer):
                waiting.append(_waiting(entry, answer, now_s, draining=draining))
            elif answer.verdict is Verdict.NOTHING and answer.notice:
                odd.append(answer.sentence)
        self._waiting = tuple(waiting)
        self._complete = True
        took_s = self._clock.monotonic_s() - began_s
        self._next_s = now_s + max(_EVERY_S, took_s / _SHARE)
        if now_s - self._told_s >= self._told_every_s:
            self._told_s = now_s
            more = [f"And {len(odd) - _MOST_TOLD} more."] if len(odd) > _MOST_TOLD else []
            self._notices.say_of_inbox([*sorted(odd)[:_MOST_TOLD], *more])


def _waiting(entry: Entry, answer: Assessment, now_s: float, *, draining: bool) -> Waiting:
    sentence = DRAINING if draining and answer.verdict is Verdict.ADMIT else answer.sentence
    since_s = answer.memory.unchanged_since_s
    failed = next((gate.name for gate in answer.gates if not gate.passed), "quiet")
    checked = answer.memory.content is not None and failed == "content"
    return Waiting(
        entry.name,
        sentence,
        since_s,
        answer.missing,
        max(0.0, now_s - since_s),
        soon=failed in ("quiet", "content") and not checked,
    )


def _is_about_to_be_job(entry: Entry, answer: Assessment) -> bool:
    """Passed, but not admitted: the daemon is draining."""
    passed = answer.verdict in (Verdict.ADMIT, Verdict.REFUSE)
    return passed and entry.memory.handled != answer.memory.fingerprint
