"""What the runner writes down of a job: each way that it can leave its state here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from config.sections import Settings
from daemon.names import shown
from daemon.publish.trouble import trouble_of
from daemon.runner.results import Results
from daemon.runner.retry import Again, Error
from daemon.states import State
from daemon.worker.protocol import Done

if TYPE_CHECKING:
    from daemon.store import Job, Store


class Moves:
    """Moves jobs from state to state. blocked: a job is held for want of something that every job needs."""

    def __init__(self, settings: Settings, store: Store, results: Results, on_change: Callable[[], None]) -> None:
        self._settings, self._store, self._results, self._on_change = settings, store, results, on_change
        self.blocked = False

    def change(self, job: Job, to: State, before: State, reason: str, **changes: Any) -> bool:
        """Whether the job was still where it was thought to be, and is moved on."""
        from daemon.store import StateChanged

        try:
            self._store.transition(job.id, to, reason=shown(reason), expect=before, **changes)
        except StateChanged:
            return False
        self._on_change()
        return True

    def cancelled(self, job: Job) -> None:
        """Somebody asked, and it has stopped, or had not begun."""
        from daemon.store import StateChanged

        by = job.cancel_by or "somebody"
        try:
            self._store.transition(job.id, State.CANCELLED, reason=f"cancelled by {by}", by=by, expect=job.state)
        except StateChanged:
            return
        self._on_change()

    def again(self, job: Job, decision: Again) -> None:
        """It runs once more."""
        notes = [*job.notes, *([decision.note] if decision.note else [])]
        changes = {"crashes": decision.crashes, "lowered": decision.lowered, "notes": notes}
        self.change(job, State.PENDING, State.PROGRESS, decision.reason, **changes)

    def hold(self, job: Job, code: str, reason: str, before: State, *, blocks: bool) -> None:
        """It waits for the machine or the share. blocks: no other job could run either."""
        if before is State.PROGRESS:
            self._results.clear_quietly(job)
        if self.change(job, State.HELD, before, reason, hold_code=code):
            self.blocked = self.blocked or blocks

    def hold_for(self, job: Job, error: OSError, before: State) -> None:
        """It waits because the spool could not be written."""
        held = trouble_of(error, f"the spool in {self._settings.state_dir}")
        self.hold(job, held.code, held.message, before, blocks=True)

    def fail(self, job: Job, error: Error, before: State, reason: str, crashes: int) -> None:
        """A result is made of the error alone, and published."""
        try:
            manifest = self._results.write_error(job, error)
        except OSError as trouble:
            self.hold_for(job, trouble, before)
            return
        changes = {"outcome": State.FAILURE, "error": error, "manifest": manifest, "crashes": crashes}
        self.change(job, State.PUBLISHING, before, reason, **changes)

    def publish(self, job: Job, done: Done, reason: str) -> None:
        """The result lies whole in the spool."""
        outcome = State.FAILURE if done.verdict == "failure" else State.SUCCESS
        changes = {"outcome": outcome, "verdict": done.verdict, "manifest": done.manifest, "error": done.error}
        timings_s = self._results.timings_s(job)
        self.change(job, State.PUBLISHING, State.PROGRESS, reason, **changes, timings_s=timings_s)

    def answer(self, job: Job, earlier: Job) -> None:
        """An earlier job's result is this one's too."""
        reason = f"the same content has a result: job {earlier.id}"
        changes = {"outcome": State.SUCCESS, "verdict": earlier.verdict, "answered_by": earlier.id}
        self.change(job, State.PUBLISHING, State.PENDING, reason, **changes)
