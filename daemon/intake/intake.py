"""Intake: one inbox, looked at again and again; what is complete becomes a job.

`entries` says which entry is to be looked at next; here that is done, and what was seen is acted on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from config.errors import InfrastructureError, MeshdropError
from config.sections import Inbox, Settings
from daemon.clock import Clock
from daemon.files import Files
from daemon.intake.admission import AFTER_TROUBLE_S, Admission
from daemon.intake.beside import Beside
from daemon.intake.completeness import Assessment, Memory, Rules, Verdict, assess
from daemon.intake.content import check_content
from daemon.intake.entries import Entries
from daemon.intake.entry import Entry, Records
from daemon.intake.follower import Follower
from daemon.intake.requests import INBOX_ITSELF, Requests
from daemon.intake.snapshot import Snapshot, take_snapshot
from daemon.intake.waiting import Explanation, Waiting
from daemon.intake.waiting_list import WaitingList
from daemon.intake.wording import DRAINING
from daemon.names import shown
from daemon.roots import Root, check_root, open_root
from daemon.states import State

if TYPE_CHECKING:
    from daemon.caretaker import Caretaker
    from daemon.store import Job, Store

_CANNOT_LOOK: Final = (
    "The program itself fails to read this bundle, and has written into its log why. Nothing is done with it for now."
)

log = structlog.get_logger(__name__)

_BATCH: Final = 100
_STEP_BUDGET_S: Final = 0.5
_ANSWER_STANDS_S: Final = 60.0


class Intake:
    """One inbox's intake; `step` is called from one thread, the rest from any."""

    def __init__(
        self,
        inbox: Inbox,
        settings: Settings,
        store: Store,
        clock: Clock,
        files: Files,
        *,
        polling: Callable[[], bool],
        caretaker: Caretaker,
        on_change: Callable[[], None],
    ) -> None:
        self._inbox, self._settings, self._store, self._clock, self._files = inbox, settings, store, clock, files
        self._polling, self._caretaker = polling, caretaker
        self._records = Records(inbox.name, store)
        self._requests = Requests(inbox, settings, store, clock, files, caretaker)
        self._follower = Follower(inbox.name, store)
        self._beside = Beside(inbox, files, self._requests)
        self._entries = Entries(
            inbox,
            settings,
            store,
            files,
            polling=polling,
            records=self._records,
            follower=self._follower,
            beside=self._beside,
            caretaker=caretaker,
        )
        self._waiting_list = WaitingList(
            self._entries, clock, caretaker.notices, told_every_s=settings.publish.refresh_s
        )
        self._admission = Admission(
            inbox,
            settings,
            store,
            clock,
            records=self._records,
            requests=self._requests,
            follower=self._follower,
            caretaker=caretaker,
            look_at=self._entries.look_at,
            on_change=on_change,
        )
        self._root: Root | None = None
        self._away: str | None = None
        self._draining = self._recalled = False

    # -- for others ---------------------------------------------------------------------------------------------

    def hint(self, entry: str | None) -> None:
        """Something happened to an entry, or, with None, to who knows what."""
        self._entries.hint(entry)

    def waiting(self) -> list[Waiting]:
        """The bundles that are not taken yet, as of the last step."""
        return self._waiting_list.bundles

    @property
    def away(self) -> str | None:
        """Why the inbox can't be used, and what to do; None while it can be."""
        return self._away

    @property
    def looked(self) -> bool:
        """Whether the inbox was scanned, and nothing is left to be done for what is there."""
        if self._entries.hinted:
            return False
        # While a step is under way, what it has found is neither among those that wait nor a job yet.
        return self._waiting_list.complete and all(
            entry.job is None or (entry.tended and entry.job.final) for entry in self._entries
        )

    def explain(self, entry: str) -> Explanation:
        """The same gate without acting: which one holds an entry, and why."""
        known = self._entries.get(entry)
        snapshot = take_snapshot(self._inbox.path, entry, self._files, open_files=self._polling())
        job = self._store.last_job(self._inbox.name, entry)
        now_s = self._clock.monotonic_s()
        memory = known.memory if known else Memory(handled=job.fingerprint if job else "")
        answer = assess(snapshot, memory, now_s, self._rules())
        if answer.verdict is Verdict.CHECK:
            content = check_content(self._inbox.path, snapshot, self._settings.limits, self._files, now_s)
            answer = assess(snapshot, replace(answer.memory, content=content), now_s, self._rules())
        sentence = answer.sentence
        if job is not None and answer.verdict is Verdict.HANDLED:
            sentence = self._caretaker.sentence_of(job)
        return Explanation(entry, sentence, answer.gates, job.id if job else None)

    # -- the step -----------------------------------------------------------------------------------------------

    def step(self, now_s: float) -> float:
        """Do what is due; the seconds until there may be more."""
        try:
            self._find_root()
        except InfrastructureError as error:
            if self._away is None:
                log.warning("intake.share_gone", inbox=self._inbox.name, reason=error.message)
            self._away = f"{error.message} {error.suggestion}".strip()
            return self._settings.watch.poll_s
        if self._away is not None:
            log.info("intake.share_back", inbox=self._inbox.name)
            self._away = None
            self._entries.scan_at(float("-inf"))
        self._waiting_list.outdate()
        self._recall_inbox()
        self._draining = self._store.flag("draining")
        self._entries.take_hints(now_s)
        if self._entries.is_scan_due(now_s):
            self._scan(now_s)
        self._adopt_retries(now_s)
        for changed in self._follower.changed(now_s):
            changed.tended = False
            self._entries.look_at(changed, now_s)
        began_s = self._clock.monotonic_s()
        while (entry := self._entries.take_due(now_s)) is not None:
            self._look_safely(entry, now_s)
            if len(self._admission) >= _BATCH:
                self._admission.admit(now_s)
            if self._clock.monotonic_s() - began_s > _STEP_BUDGET_S:
                break
        self._admission.admit(now_s)
        self._waiting_list.write(now_s, draining=self._draining)
        return self._pause(now_s)

    def _find_root(self) -> None:
        if self._root is None:
            self._root = open_root(self._inbox.path, "inbox", self._settings.state_dir, self._files, self._clock)
        else:
            check_root(self._root, self._files)

    def _scan(self, now_s: float) -> None:
        names = self._files.names(self._inbox.path)
        self._find_root()  # what was read is believed only while the share is there
        self._entries.scan(names, now_s)

    def _pause(self, now_s: float) -> float:
        due_s = min(self._entries.due_s, self._follower.due_s(now_s), self._waiting_list.due_s)
        return max(0.0, due_s - now_s)

    def _rules(self) -> Rules:
        intake, polling = self._settings.intake, self._polling()
        return Rules(
            quiet_s=max(intake.quiet_s, self._settings.watch.poll_s) if polling else intake.quiet_s,
            looks=3 if polling else 2,
            notice_s=intake.notice_s,
            ready_s=intake.ready_s,
            unfinished_s=intake.unfinished_s,
            orphan_s=intake.orphan_s,
            recheck_s=min(60.0, max(intake.unfinished_s / 10, 1.0)),
            require_ready=intake.require_ready or self._inbox.require_ready,
        )

    # -- one entry ----------------------------------------------------------------------------------------------

    def _look_safely(self, entry: Entry, now_s: float) -> None:
        """One entry's trouble is its own."""
        try:
            self._look(entry, now_s)
        except (OSError, MeshdropError) as error:
            self._find_root()
            log.warning("intake.look_failed", bundle=shown(entry.name), reason=str(error))
            self._entries.look_at(entry, now_s + AFTER_TROUBLE_S)
        except Exception as error:  # a mistake of this program, which one bundle has found: the others go on
            log.error("intake.look_failed", bundle=shown(entry.name), reason=str(error), exc_info=error)
            self._caretaker.say(entry.name, _CANNOT_LOOK)
            self._entries.look_at(entry, now_s + self._settings.watch.rescan_s)

    def _look(self, entry: Entry, now_s: float) -> None:
        if not entry.known:
            self._recall(entry)
        snapshot = self._snapshot(entry)
        if snapshot.kind == "gone":
            self._entries.scan_at(now_s)
            return
        if entry.memory.handled and entry.job is not None and _was_given_up(entry.job):
            entry.memory, entry.force = replace(entry.memory, handled=""), True
        rules = self._rules()
        answer = assess(snapshot, entry.memory, now_s, rules)
        if answer.verdict is Verdict.HANDLED and snapshot.has("redo") and self._requests.redo(entry, snapshot):
            entry.memory = replace(answer.memory, handled="", unchanged_since_s=float("-inf"))
            entry.force = True
            answer = assess(snapshot, entry.memory, now_s, rules)
        cancelled = self._requests.cancel(entry, snapshot, answer, now_s)
        if answer.verdict is Verdict.CHECK and not cancelled:
            snapshot, answer = self._read(entry, snapshot, answer, now_s, rules)
        entry.memory, entry.answer, entry.looked_s = answer.memory, answer, now_s
        top = snapshot.top
        entry.top = (top.size, top.mtime_ns, top.ctime_ns) if top else None
        if cancelled:
            self._cancel(entry, snapshot, answer, now_s)
        else:
            self._act(entry, snapshot, answer, now_s)

    def _adopt_retries(self, now_s: float) -> None:
        """Jobs that a command has made of bundles that lie here: followed and told like those made here."""
        for job in self._follower.retries(now_s):
            entry = self._entries.get(job.entry)
            if entry is None or entry.job is None or not self._is_of(entry, job) or job.attempt <= entry.job.attempt:
                continue
            self._follower.drop(entry.job)
            entry.job, entry.tended, entry.tend_again_s = job, False, None
            if not job.final:
                self._follower.add(entry, job)
            self._entries.look_at(entry, now_s)

    def _is_of(self, entry: Entry, job: Job) -> bool:
        """Whether a job was made of what lies in the inbox, and not of an earlier drop in an archive."""
        return not job.source or job.source == str(self._inbox.path / entry.name)

    def _recall_inbox(self) -> None:
        """What earlier runs knew of the inbox itself."""
        if not self._recalled:
            self._recalled = True
            record = self._records.get(INBOX_ITSELF)
            self._requests.remembered(INBOX_ITSELF, record.used_markers if record else {})

    def _recall(self, entry: Entry) -> None:
        """What earlier runs knew: the last job of the entry, unless its bundle was archived since."""
        record = self._records.get(entry.name)
        job = self._store.last_job(self._inbox.name, entry.name)
        entry.known = True
        self._requests.remembered(entry.name, record.used_markers if record else {})
        if job is None or (record is not None and record.note == f"archived {job.id}") or not self._is_of(entry, job):
            return
        handled = record.fingerprint if record and record.job == job.id and record.fingerprint else job.fingerprint
        entry.job, entry.memory = job, replace(entry.memory, handled=handled)
        if not job.final:
            self._follower.add(entry, job)

    def _snapshot(self, entry: Entry) -> Snapshot:
        """A look, with the markers beside the entry, without those that were used."""
        found = take_snapshot(self._inbox.path, entry.name, self._files, open_files=self._polling())
        markers = (*found.markers, *self._beside.of(entry.name))
        unused = tuple(marker for marker in markers if not self._requests.is_used(entry.name, marker))
        return replace(found, markers=unused) if unused != found.markers else found

    def _read(
        self, entry: Entry, snapshot: Snapshot, answer: Assessment, now_s: float, rules: Rules
    ) -> tuple[Snapshot, Assessment]:
        """Read the content, look again, and ask the gate again: what changed meanwhile is not believed."""
        content = check_content(self._inbox.path, snapshot, self._settings.limits, self._files, now_s)
        again = self._snapshot(entry)
        now_s = max(now_s, self._clock.monotonic_s())
        return again, assess(again, replace(answer.memory, content=content), now_s, rules)

    def _act(self, entry: Entry, snapshot: Snapshot, answer: Assessment, now_s: float) -> None:
        match answer.verdict:
            case Verdict.ADMIT | Verdict.REFUSE:
                if self._draining:
                    self._entries.look_at(entry, now_s + self._settings.watch.poll_s)
                    if answer.notice and answer.verdict is Verdict.ADMIT:
                        self._caretaker.say(entry.name, DRAINING)
                else:
                    self._admission.queue(entry, snapshot, answer)
            case Verdict.HANDLED:
                self._tend(entry, snapshot, answer, now_s)
            case Verdict.WAIT | Verdict.CHECK:
                if answer.notice and answer.recognised:
                    self._caretaker.say(entry.name, answer.sentence)
        if answer.verdict is Verdict.CHECK:
            self._entries.look_at(entry, now_s + rest_s(self._settings))
        elif answer.again_s is not None:
            self._entries.look_at(entry, max(answer.again_s, now_s + 0.05))
        elif answer.verdict is Verdict.WAIT:
            self._entries.look_at(entry, now_s + self._settings.watch.rescan_s)

    def _cancel(self, entry: Entry, snapshot: Snapshot, answer: Assessment, now_s: float) -> None:
        """Cancel a bundle that has no job, once copying has ended: what came later would be a new drop."""
        quiet_s = self._rules().quiet_s
        if answer.memory.looks < 2 or now_s - answer.memory.unchanged_since_s < quiet_s:
            self._entries.look_at(entry, max(now_s + 0.05, answer.memory.unchanged_since_s + quiet_s))
            self._caretaker.say(entry.name, "It will be cancelled as soon as copying has ended.")
            return
        self._admission.admit_cancelled(entry, snapshot, answer)

    def _tend(self, entry: Entry, snapshot: Snapshot, answer: Assessment, now_s: float) -> None:
        """Let the caretaker do what the entry's job asks for."""
        job = entry.job
        self._requests.use(entry.name, [marker for marker in snapshot.markers if marker.kind == "ready"])
        if job is None or (entry.tended and (entry.tend_again_s is None or now_s < entry.tend_again_s)):
            return
        if not job.final:
            # A job that is over in seconds needs no STATUS.txt on the way, and an answer may stand for a while.
            if not answer.notice or entry.asked_since_s is not None:
                return
            if now_s - entry.answered_s < _ANSWER_STANDS_S:
                self._entries.look_at(entry, entry.answered_s + _ANSWER_STANDS_S)
                return
        tended = self._caretaker.tend(entry.name, snapshot, job)
        if tended.gone:
            self._entries.remove(entry)
            self._records.drop(entry.name)
            return
        entry.tended = not tended.changed
        entry.tend_again_s = None if tended.again_s is None else now_s + tended.again_s
        if tended.changed:
            self._entries.look_at(entry, now_s)
        elif entry.tend_again_s is not None:
            self._entries.look_at(entry, entry.tend_again_s)


def _was_given_up(job: Job) -> bool:
    """Whether nobody cancelled a job but the copying, for which its bundle was gone or another: what lies there now is
    taken, though it may look like what was admitted, as after a folder was moved away and back."""
    return job.state is State.CANCELLED and job.cancel_by is None


def rest_s(settings: Settings) -> float:
    """How soon a look follows that found something changing."""
    return min(1.0, settings.intake.quiet_s)
