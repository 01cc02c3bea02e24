"""One inbox's caretaker: what it says of each entry, and what it does with those whose job is over."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from config.errors import MeshdropError
from config.sections import Inbox, Settings
from daemon.caretaker import archiving
from daemon.caretaker.archiving import Outcome
from daemon.caretaker.notices import Notices
from daemon.caretaker.sentences import YOU_MAY_DELETE, about_job
from daemon.clock import Clock
from daemon.files import Files
from daemon.intake.markers import STATUS_FILE
from daemon.intake.snapshot import Snapshot
from daemon.names import bundle_name
from daemon.paths import shown_path
from daemon.states import State

if TYPE_CHECKING:
    from daemon.store import Job, Store

ARCHIVED: Final = "archived "
"""What an entry's note begins with once its bundle was archived; the job's id follows."""

_STAYS: Final = "stays "
_WAITS_S: Final = (10.0, 60.0, 600.0, 3600.0)
_NOTE_EVERY_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Tended:
    """What tending came to. gone: the entry is no longer in the inbox. again_s: in how many seconds to tend again,
    None where nothing more is to be done. changed: it is not what was taken."""

    gone: bool = False
    changed: bool = False
    again_s: float | None = None


@dataclass
class _Stay:
    """A bundle that is not archived (yet). tries: refused ones. lain_s: how long it has stayed, as was noted."""

    job: str
    since_s: float
    lain_s: float
    noted_s: float
    tries: int = 0
    refused: bool = False


class Caretaker:
    """Says how things stand in STATUS.txt, answers markers, archives what is finished. Never raises OSError."""

    def __init__(self, inbox: Inbox, settings: Settings, store: Store, clock: Clock, files: Files) -> None:
        self._inbox, self._settings, self._store = inbox, settings, store
        self._clock, self._files = clock, files
        self.notices = Notices(inbox.path, settings, clock, files)
        self._stays: dict[str, _Stay] = {}

    def say(self, entry: str, sentence: str, job_id: str | None = None) -> None:
        """Put a sentence into the entry's STATUS.txt, unless it says so already."""
        self._say(entry, sentence, job_id)

    def _say(self, entry: str, sentence: str, job_id: str | None, *, urgent: bool = False) -> bool:
        return self.notices.say(entry, sentence, job_id, is_folder=bundle_name(entry) == entry, urgent=urgent)

    def sentence_of(self, job: Job) -> str:
        """What STATUS.txt says of a job, whatever state it is in."""
        name = bundle_name(job.entry)
        return about_job(job, self._result_of(job), beside=name if name != job.entry else None)

    def tend(self, entry: str, snapshot: Snapshot, job: Job) -> Tended:
        """Do for an entry what its job's state asks for: say it, and once it is final, archive it or let it be.

        snapshot: a look at what the job was made of, or is known to be the same.
        """
        sentence = self.sentence_of(job)
        if not job.final:
            said = self._say(entry, sentence, job.id)
            return Tended(again_s=None if said else self._settings.publish.refresh_s)
        is_folder = snapshot.kind == "folder"
        if job.state is State.FAILURE:
            return self._failed(entry, snapshot, job, sentence)
        self.notices.clear_error(entry, is_folder=is_folder)
        then = self._inbox.finished or self._settings.finished.then
        if then == "keep":
            self._say(entry, sentence, job.id, urgent=True)
            return Tended()
        folder = archiving.CANCELLED if job.state is State.CANCELLED else archiving.DONE
        return self._away(entry, snapshot, job, sentence, folder, delete=then == "delete")

    def forget(self, entry: str) -> None:
        """The entry is gone: take away what lies beside it, an earlier run's notice too."""
        self._stays.pop(entry, None)
        written = None
        if not self.notices.has_said(entry):
            names = self.notices.names_beside(entry)
            written = next((name for name in names if (job := self._told_in(name)) and job.entry == entry), None)
        self.notices.clear_beside(entry, written)

    def clear_leftovers(self, names: Iterable[str], entries: Iterable[str]) -> None:
        """After a start: take away notices beside bundles that went while no daemon could take the notice, too.

        Killed between the two, or the bundle was removed meanwhile. What does not name a job of that bundle stays.
        names: all in the inbox. entries: those that are bundles.
        """
        there = {name for entry in entries for name in (entry, bundle_name(entry))}
        for name in names:
            base = name.removesuffix(f".{STATUS_FILE}")
            job = self._told_in(name) if base != name and base not in there else None
            if job is not None and base in (job.entry, bundle_name(job.entry)):
                self.notices.clear_beside(job.entry, name)

    def _told_in(self, name: str) -> Job | None:
        """The job that a notice of this name in the inbox tells of; None where this database has none."""
        job_id = self.notices.job_of(name)
        with suppress(MeshdropError):
            job = self._store.job(job_id) if job_id is not None else None
            return job if job is not None and job.id == job_id else None
        return None

    def _failed(self, entry: str, snapshot: Snapshot, job: Job, sentence: str) -> Tended:
        """It stays to be mended, for as long as the settings say, counted while a daemon runs."""
        is_folder = snapshot.kind == "folder"
        self._say(entry, sentence, job.id, urgent=True)
        if job.error is not None:
            self.notices.put_error(entry, job.error, is_folder=is_folder)
        now_s = self._clock.monotonic_s()
        stay = self._stay_of(entry, job, now_s)
        lain_s = stay.lain_s + now_s - stay.since_s
        left_s = self._settings.failed.stay - lain_s
        if left_s > 0 and not stay.refused:
            if now_s - stay.noted_s >= _NOTE_EVERY_S:
                stay.noted_s = now_s
                self._store.remember(self._inbox.name, entry, note=f"{_STAYS}{job.id} {lain_s:.0f}")
            return Tended(again_s=min(left_s, _NOTE_EVERY_S))
        return self._away(entry, snapshot, job, sentence, archiving.FAILED)

    def _stay_of(self, entry: str, job: Job, now_s: float) -> _Stay:
        """Counted anew for each job of an entry: what was mended and is refused again has all the time again."""
        stay = self._stays.get(entry)
        if stay is None or stay.job != job.id:
            stay = self._stays[entry] = _Stay(job.id, now_s, self._noted(entry, job), now_s)
        return stay

    def _noted(self, entry: str, job: Job) -> float:
        """How long a failed bundle has stayed, as an earlier run noted."""
        record = self._store.entry(self._inbox.name, entry)
        words = (record.note or "").split() if record else []
        if len(words) == 3 and words[0] == _STAYS.strip() and words[1] == job.id:
            return float(words[2])
        return 0.0

    def _away(
        self, entry: str, snapshot: Snapshot, job: Job, sentence: str, folder: str, *, delete: bool = False
    ) -> Tended:
        """Archive or delete; where that is refused, the bundle stays and is told so."""
        now_s = self._clock.monotonic_s()
        stay = self._stay_of(entry, job, now_s)
        is_folder = snapshot.kind == "folder"
        if stay.tries == 0 and not delete:
            self._say(entry, sentence, job.id, urgent=True)
        if delete:
            lies_at = None
            outcome = archiving.delete(self._inbox.path, snapshot, job.id, self._files)
        else:
            mode = int(self._settings.publish.dir_mode, 8)
            outcome, lies_at = archiving.archive(self._inbox.path, snapshot, job.id, folder, mode, self._files)
        if outcome is Outcome.ARCHIVED:
            self._stays.pop(entry, None)
            self.notices.clear_beside(entry)  # before what takes time: a kill would leave it there for good
            if lies_at is not None:  # for a retry, and for what the retention settings say of archives
                self._store.update(job.id, source=str(lies_at))
            self._store.remember(
                self._inbox.name, entry, note=f"{ARCHIVED}{job.id}", fingerprint=None, job=job.id, used_markers={}
            )
            return Tended(gone=True)
        if outcome is Outcome.CHANGED:
            self._stays.pop(entry, None)
            return Tended(changed=True)
        stay.tries += 1
        stay.refused = stay.refused or outcome is Outcome.REFUSED
        if job.state is State.SUCCESS and (stay.tries > 1 or outcome is Outcome.REFUSED):
            words = YOU_MAY_DELETE if is_folder else YOU_MAY_DELETE.replace("folder", "file")
            self._say(entry, f"{words} {self._result_of(job)}", job.id, urgent=True)
        return Tended(again_s=_WAITS_S[min(stay.tries, len(_WAITS_S)) - 1])

    def _result_of(self, job: Job) -> str:
        """Where a job's result lies, as people know it."""
        return shown_path(job.result_path or self._inbox.outbox, self._settings)
