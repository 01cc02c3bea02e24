"""A job under way: what the worker says of it, the reasons to stop it, and how it is stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import structlog

from config.sections import Settings
from daemon.runner.child import Child
from daemon.runner.memory import OomCounts
from daemon.worker.protocol import Cancel, Done, Failed, Run, Step, Stopped

if TYPE_CHECKING:
    from daemon.store import Job, Store

log = structlog.get_logger(__name__)

Reason = Literal["cancel", "timeout", "silent"]
_EVERY_S: Final = 0.25  # at most so often the database is written and asked


@dataclass(frozen=True, slots=True)
class Ended:
    """A run is over.

    said: what the worker said of it, None where it died before. exit_code: None where the worker lives on. why: it was
    to stop because of this. killed: by the runner.
    """

    said: Done | Failed | Stopped | None
    exit_code: int | None
    why: Reason | None
    killed: bool


class Following:
    """One run of one job."""

    def __init__(
        self, job: Job, child: Child, run: Run, timeout_s: float, settings: Settings, store: Store, now_s: float
    ) -> None:
        self.job, self.child, self.timeout_s, self.since_s = job, child, timeout_s, now_s
        self.counts = OomCounts.of(child.pid)
        self.step = Step(job.id, "starting", 0.0)
        self._settings, self._store = settings, store
        self._heard_s = now_s
        self._told, self._told_s = self.step, now_s
        self._looked_s = float("-inf")
        self._said: Done | Failed | Stopped | None = None
        self._why: Reason | None = None
        self._asked_s = 0.0
        self._term_sent = self._kill_sent = False
        child.last_words.clear()
        child.send(run)

    def follow(self, now_s: float) -> Ended | None:
        """Listen, tell, and stop it where there is a reason; how it ended, None while it has not."""
        self._hear(now_s)
        code = self.child.exit_code()
        if code is not None:
            self._hear(now_s)  # what it said between the two
        if code is not None or (self._said is not None and self._why is None):
            return Ended(self._said, code, self._why, self._term_sent or self._kill_sent)
        if self._said is not None:
            self.child.kill()  # it was to stop and says that it has: its memory is wanted back too
        if self._why is None:
            self._look_for_reasons(now_s)
        if self._why is not None:
            self._press(now_s)
        self._tell(now_s)
        return None

    def _hear(self, now_s: float) -> None:
        for message in self.child.messages():
            self._heard_s = now_s
            if isinstance(message, Step) and message.job == self.job.id:
                self.step = message
            elif isinstance(message, Done | Failed | Stopped) and message.job == self.job.id:
                self._said = message

    def _look_for_reasons(self, now_s: float) -> None:
        """Somebody cancels it, it takes too long, or it hangs."""
        if now_s - self._looked_s >= _EVERY_S:
            self._looked_s = now_s
            if self._store.job(self.job.id).cancel_requested_at is not None:
                self._why = "cancel"
        if self._why is None and now_s - self.since_s > self.timeout_s:
            self._why = "timeout"
        if self._why is None and now_s - self._heard_s > self._settings.run.silent_s:
            self._why = "silent"
        if self._why is not None:
            self._asked_s = now_s
            self.child.send(Cancel(self.job.id))
            log.info("runner.stopping", job=self.job.id, why=self._why)

    def _press(self, now_s: float) -> None:
        """Ask, then SIGTERM, then SIGKILL; what hangs is not asked."""
        waited_s = now_s - self._asked_s
        patience = self._settings.cancel
        if not self._term_sent and waited_s >= patience.ask_s and self._why != "silent":
            self._term_sent = True
            self.child.terminate()
        if not self._kill_sent and (waited_s >= patience.ask_s + patience.terminate_s or self._why == "silent"):
            self._kill_sent = True
            self.child.kill()

    def _tell(self, now_s: float) -> None:
        if self.step is self._told or now_s - self._told_s < _EVERY_S:
            return
        self._told, self._told_s = self.step, now_s
        self._store.progress(self.job.id, self.step.stage, self.step.fraction, self.step.eta_s)
