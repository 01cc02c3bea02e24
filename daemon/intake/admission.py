"""Admission: from a bundle that has passed the gate, or never will, to a recorded job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from config.errors import MeshdropError
from config.sections import Inbox, Settings
from daemon.clock import Clock
from daemon.intake.completeness import Assessment
from daemon.intake.entry import Entry, Records
from daemon.intake.follower import Follower
from daemon.intake.job_file import content_key, effective_options
from daemon.intake.requests import Requests
from daemon.intake.snapshot import Snapshot
from daemon.names import bundle_name, safe_name
from daemon.states import State

if TYPE_CHECKING:
    from daemon.caretaker import Caretaker
    from daemon.store import Job, NewJob, Store

AFTER_TROUBLE_S: Final = 10.0


class Admission:
    """Records one inbox's jobs, many in a transaction.

    look_at: has an entry looked at, at a time. on_change: called once jobs were recorded.
    """

    def __init__(
        self,
        inbox: Inbox,
        settings: Settings,
        store: Store,
        clock: Clock,
        *,
        records: Records,
        requests: Requests,
        follower: Follower,
        caretaker: Caretaker,
        look_at: Callable[[Entry, float], None],
        on_change: Callable[[], None],
    ) -> None:
        self._inbox, self._settings, self._store, self._clock = inbox, settings, store, clock
        self._records, self._requests, self._follower, self._caretaker = records, requests, follower, caretaker
        self._look_at, self._on_change = look_at, on_change
        self._batch: list[tuple[Entry, NewJob, Snapshot]] = []

    def __len__(self) -> int:
        return len(self._batch)

    def queue(self, entry: Entry, snapshot: Snapshot, answer: Assessment) -> None:
        """Have a bundle admitted with the next batch."""
        if self._is_touched_only(entry, answer):
            return
        new = self._new_job(entry, snapshot, answer)
        self._batch.append((entry, new, snapshot))

    def _is_touched_only(self, entry: Entry, answer: Assessment) -> bool:
        """Whether only times have changed since the entry's last job, which lives or has a result: no new job."""
        job, content = entry.job, answer.memory.content
        if job is None or content is None or answer.error is not None or entry.force:
            return False
        if job.final and job.state is not State.SUCCESS:
            return False
        same = self._store.inputs(job.id) == content.digests
        if same:
            fingerprint = answer.memory.fingerprint
            self._records.remember(entry.name, fingerprint=fingerprint, job=job.id)
            entry.memory, entry.answer = replace(answer.memory, handled=fingerprint), None
            self._look_at(entry, 0.0)
        return same

    def _new_job(self, entry: Entry, snapshot: Snapshot, answer: Assessment) -> NewJob:
        from daemon.store import NewJob

        content = answer.memory.content
        force = entry.force or snapshot.has("redo")
        options = effective_options(content.options if content else {}, self._inbox, force=force)
        digests = content.digests if content else {}
        key = content_key(digests, options, self._settings, _version()) if answer.error is None else ""
        top = snapshot.top
        return NewJob(
            inbox=self._inbox.name,
            entry=entry.name,
            name=safe_name(bundle_name(entry.name) if snapshot.kind == "zip" else entry.name),
            source=str(self._inbox.path / entry.name),
            fingerprint=snapshot.fingerprint,
            digests=dict(digests),
            sizes=dict(content.sizes) if content else {},
            options=options,
            content_key=key,
            priority=int(options.get("priority", 0)),
            owner=self._requests.owner_name(top.uid if top else 0),
            error=answer.error.as_json() if answer.error else None,
            redo=force or self._records.was_archived(entry.name),
        )

    def admit(self, now_s: float) -> None:
        """Record what is queued, in one transaction."""
        if not self._batch:
            return
        batch, self._batch = self._batch, []
        try:
            jobs = self._store.admit([new for _, new, _ in batch])
        except MeshdropError:
            for entry, _, _ in batch:
                self._look_at(entry, now_s + AFTER_TROUBLE_S)
            raise
        for (entry, new, snapshot), job in zip(batch, jobs, strict=True):
            if entry.job is not None and not entry.job.final and entry.job.id != job.id:
                self._replace_waiting(entry.job)
            self._adopt(entry, job, snapshot)
            if new.error is None:
                self._caretaker.notices.clear_error(entry.name, is_folder=snapshot.kind == "folder")
        self._on_change()

    def _adopt(self, entry: Entry, job: Job, snapshot: Snapshot) -> None:
        """An entry has a job: what it is now has been handled."""
        entry.job, entry.tended, entry.force, entry.asked_since_s = job, False, False, None
        entry.memory = replace(entry.memory, handled=snapshot.fingerprint, content=None)
        self._follower.add(entry, job)
        self._requests.use(entry.name, [marker for marker in snapshot.markers if marker.kind in ("ready", "redo")])
        record = self._records.get(entry.name)
        if record is not None and (record.note or record.fingerprint):
            self._records.remember(entry.name, fingerprint=None, job=job.id, note=None)
        entry.tend_again_s = None
        self._look_at(entry, self._clock.monotonic_s() + self._settings.intake.notice_s)
        if job.final:
            self._look_at(entry, 0.0)

    def _replace_waiting(self, job: Job) -> None:
        """The entry's content is another one now: a job that was not copied yet would find that out anyway."""
        from daemon.store import StateChanged

        now = self._store.job(job.id)
        if now.state is State.PENDING and not now.spooled:
            try:
                reason = "the folder was changed before it was copied"
                self._store.transition(job.id, State.CANCELLED, reason=reason, expect=State.PENDING)
            except StateChanged:
                return

    def admit_cancelled(self, entry: Entry, snapshot: Snapshot, answer: Assessment) -> None:
        """A bundle that was cancelled before it was taken: recorded, so that its history says so."""
        by = self._requests.owner_of(snapshot, "cancel-confirm", "cancel")
        bare = replace(answer, memory=replace(answer.memory, content=None))
        job = self._store.admit([self._new_job(entry, snapshot, bare)])[0]
        if not job.final:
            reason = f"cancelled by {by} before it was taken"
            job = self._store.transition(job.id, State.CANCELLED, reason=reason, by=by, cancel_by=by)
        self._requests.use(entry.name, list(snapshot.markers))
        self._adopt(entry, job, snapshot)
        self._on_change()


@cache
def _version() -> str:
    try:
        return version("meshdrop")
    except PackageNotFoundError:
        return "unknown"
