"""What people ask for with markers: acted on once, removed or remembered as used, answered where nothing is to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import structlog

from config.sections import Inbox, Settings
from daemon.clock import Clock
from daemon.files import Files
from daemon.intake.completeness import Assessment, Verdict
from daemon.intake.markers import Marker, MarkerKind
from daemon.intake.snapshot import Snapshot
from daemon.intake.wording import duration
from daemon.names import shown

if TYPE_CHECKING:
    from daemon.caretaker import Caretaker
    from daemon.intake.entry import Entry
    from daemon.store import Job, Store

log = structlog.get_logger(__name__)

INBOX_ITSELF: Final = ""


class Requests:
    """The markers of one inbox."""

    def __init__(
        self, inbox: Inbox, settings: Settings, store: Store, clock: Clock, files: Files, caretaker: Caretaker
    ) -> None:
        self._inbox, self._settings, self._store, self._clock, self._files = inbox, settings, store, clock, files
        self._caretaker = caretaker
        self._used: dict[str, dict[str, str]] = {}
        self._owners: dict[int, str] = {}

    def owner_name(self, uid: int) -> str:
        """A user's name."""
        if uid not in self._owners:
            self._owners[uid] = self._files.owner_name(uid)
        return self._owners[uid]

    def owner_of(self, snapshot: Snapshot, *kinds: MarkerKind) -> str:
        """Who put the first marker of these kinds."""
        found = [marker for kind in kinds for marker in snapshot.markers if marker.kind == kind]
        return self.owner_name(found[0].uid) if found else "somebody"

    def remembered(self, entry: str, used: dict[str, str]) -> None:
        """What earlier runs could not remove."""
        if used:
            self._used[entry] = dict(used)

    def is_used(self, entry: str, marker: Marker) -> bool:
        """Whether a marker was acted on already."""
        return self._used.get(entry, {}).get(marker.name) == marker.identity

    def use(self, entry: str, markers: Sequence[Marker]) -> None:
        """Remove markers that were acted on; remember those that can't be."""
        refused = {}
        for marker in markers:
            folder = self._inbox.path if marker.beside else self._inbox.path / entry
            try:
                self._files.unlink(folder / marker.name)
            except FileNotFoundError:
                pass
            except OSError as error:
                log.info("intake.marker_stays", bundle=shown(entry), marker=marker.name, reason=error.strerror)
                refused[marker.name] = marker.identity
        if refused:
            used = {**self._used.get(entry, {}), **refused}
            self._used[entry] = used
            self._store.remember(self._inbox.name, entry, used_markers=used)

    def redo(self, entry: Entry, snapshot: Snapshot) -> bool:
        """Whether a `.redo` makes a handled entry run again; where its job still lives, it is answered."""
        job = entry.job
        if job is None or job.final:
            return True
        self.use(entry.name, [marker for marker in snapshot.markers if marker.kind == "redo"])
        self._answer(entry, f".redo is not needed: {_lower(self._caretaker.sentence_of(job))}", job.id)
        return False

    def cancel(self, entry: Entry, snapshot: Snapshot, answer: Assessment, now_s: float) -> bool:
        """Act on `.cancel` and `.cancel-confirm`; True where a bundle is to be cancelled that has no job yet."""
        asks = [marker for marker in snapshot.markers if marker.kind == "cancel"]
        confirms = [marker for marker in snapshot.markers if marker.kind == "cancel-confirm"]
        if not asks and not confirms:
            entry.asked_since_s = None  # withdrawn
            return False
        if answer.verdict is Verdict.NOTHING:
            return False
        job = entry.job if answer.verdict is Verdict.HANDLED or _runs_on(entry) else None
        if job is not None and job.final:
            job = None
        waits = answer.verdict is not Verdict.HANDLED
        if job is None and not waits:
            self.use(entry.name, [*asks, *confirms])
            self._answer(entry, self._nothing_to_cancel(entry.job), entry.job.id if entry.job else None)
            return False
        if self._settings.cancel.confirm and not self._confirmed(entry, asks, confirms, job, now_s):
            return False
        if job is None:
            return True
        by = self.owner_of(snapshot, "cancel-confirm", "cancel")
        self._store.request_cancel(job.id, by=by)
        self.use(entry.name, [*asks, *confirms])
        entry.asked_since_s = None
        entry.tended = False
        self._caretaker.say(entry.name, f"It is being cancelled, as {shown(by)} asked.", job.id)
        return False

    def _confirmed(
        self, entry: Entry, asks: list[Marker], confirms: list[Marker], job: Job | None, now_s: float
    ) -> bool:
        """The two-step way: `.cancel` asks, `.cancel-confirm` within the time confirms."""
        within_s = self._settings.cancel.confirm_within_s
        job_id = job.id if job else None
        if not asks:
            self.use(entry.name, confirms)
            self._answer(entry, "There is nothing to confirm: put .cancel first.", job_id)
            return False
        if entry.asked_since_s is None:
            entry.asked_since_s = now_s
        if now_s - entry.asked_since_s > within_s:
            self.use(entry.name, [*asks, *confirms])
            entry.asked_since_s = None
            self._answer(entry, f"It was not cancelled: nobody confirmed within {duration(within_s)}.", job_id)
            return False
        if confirms:
            return True
        self._caretaker.say(
            entry.name,
            f"Cancel it? Put an empty file named .cancel-confirm here within {duration(within_s)}, "
            "or take .cancel away to let it go on.",
            job_id,
        )
        return False

    def _answer(self, entry: Entry, sentence: str, job_id: str | None) -> None:
        """Answer in STATUS.txt, and let the answer stand for a while."""
        entry.answered_s = self._clock.monotonic_s()
        self._caretaker.say(entry.name, sentence, job_id)

    def answer_lonely(self, marker: Marker, name: str) -> None:
        """A marker beside no bundle: answered, and taken away, so that it never applies to a later drop."""
        if self.is_used(INBOX_ITSELF, marker):
            return
        what = {"cancel": "cancel", "cancel-confirm": "cancel", "redo": "run again", "ready": "start"}[marker.kind]
        last = self._store.last_job(self._inbox.name, name) or self._store.last_job(self._inbox.name, f"{name}.zip")
        known = f" Its last job: {self._caretaker.sentence_of(last)}" if last else ""
        sentence = f"There is nothing to {what}: the inbox holds no {shown(name)}.{known}"
        if last is not None and not last.final and marker.kind in ("cancel", "cancel-confirm"):
            by = self.owner_name(marker.uid)
            self._store.request_cancel(last.id, by=by)
            sentence = f"{shown(name)} is being cancelled, as {shown(by)} asked (job {last.id})."
        self._caretaker.notices.answer(name, sentence)
        self.use(INBOX_ITSELF, [marker])

    def _nothing_to_cancel(self, job: Job | None) -> str:
        if job is None:
            return "There is nothing to cancel."
        return f"There is nothing to cancel any more. {self._caretaker.sentence_of(job)}"


def _runs_on(entry: Entry) -> bool:
    """Whether the entry's last job lives although its content was changed since."""
    return entry.job is not None and not entry.job.final


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
