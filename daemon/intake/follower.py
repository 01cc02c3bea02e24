"""How the jobs of an inbox's entries go on: asked of the store only when something has changed in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from daemon.intake.entry import Entry
from daemon.states import State

if TYPE_CHECKING:
    from daemon.store import Job, Store

_EVERY_S: Final = 0.5
_SWEEP_S: Final = 5.0
_FEW: Final = 50
_ACTIVE: Final = (State.PROGRESS, State.PUBLISHING, State.HELD)
_ENDED: Final = (State.SUCCESS, State.FAILURE, State.CANCELLED)


class Follower:
    """Follows the living jobs of one inbox's entries."""

    def __init__(self, inbox: str, store: Store) -> None:
        self._inbox, self._store = inbox, store
        self._live: dict[str, Entry] = {}
        self._changes = -1
        self._looked_s = self._swept_s = self._asked_s = float("-inf")
        self._retries_at = -1

    def __len__(self) -> int:
        return len(self._live)

    def add(self, entry: Entry, job: Job) -> None:
        """Follow a job, until it has ended and that was seen."""
        self._live[job.id] = entry

    def drop(self, job: Job) -> None:
        """Follow a job no more."""
        self._live.pop(job.id, None)

    def due_s(self, now_s: float) -> float:
        """When to ask again: soon, where something has changed since that was not asked about."""
        changes = self._store.changes()
        asked_s = max(now_s, self._asked_s + _EVERY_S) if changes != self._retries_at else float("inf")
        return min(asked_s, self._live_due_s(now_s, changes))

    def _live_due_s(self, now_s: float, changes: int) -> float:
        if not self._live or changes == self._changes:
            return float("inf")
        return max(now_s, self._looked_s + _EVERY_S)

    def retries(self, now_s: float) -> list[Job]:
        """What commands have lately made of earlier jobs; nothing where nothing has changed since the last call."""
        changes = self._store.changes()
        if changes == self._retries_at or now_s < self._asked_s + _EVERY_S:
            return []
        self._retries_at, self._asked_s = changes, now_s
        return self._store.jobs(inbox=self._inbox, retries=True, limit=_FEW, newest_first=True)

    def changed(self, now_s: float) -> list[Entry]:
        """The entries whose jobs have gone on since the last call; their `job` is the new one."""
        if self._live_due_s(now_s, self._store.changes()) > now_s:
            return []
        self._changes, self._looked_s = self._store.changes(), now_s
        found = {job.id: job for job in self._store.jobs(states=_ACTIVE, inbox=self._inbox)}
        ended = self._store.jobs(states=_ENDED, inbox=self._inbox, limit=_FEW, newest_first=True)
        found |= {job.id: job for job in ended if job.id in self._live}
        if len(self._live) <= _FEW or now_s - self._swept_s >= _SWEEP_S * (1 + len(self._live) / 1000):
            self._swept_s = now_s
            found |= {job.id: job for job in self._store.jobs(states=(State.PENDING,), inbox=self._inbox)}
            lost = [job_id for job_id in self._live if job_id not in found]
        else:
            # A job that was seen at work and no longer is has ended.
            lost = [
                job_id
                for job_id, entry in self._live.items()
                if job_id not in found and entry.job is not None and entry.job.state in _ACTIVE
            ]
        found |= {job_id: self._store.job(job_id) for job_id in lost}
        known = [(self._live[job_id], job) for job_id, job in found.items() if job_id in self._live]
        return [entry for entry, job in known if self._has_gone_on(entry, job)]

    def _has_gone_on(self, entry: Entry, job: Job) -> bool:
        before = entry.job
        if job.final or before is None or before.id != job.id:
            self._live.pop(job.id)
        if before is None or before.id != job.id:
            return False
        entry.job = job
        return _told(before) != _told(job)


def _told(job: Job) -> tuple[State, str | None, bool]:
    """What of a job people are told."""
    return job.state, job.hold_reason, job.cancel_requested_at is not None
