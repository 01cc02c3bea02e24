"""Whether an earlier result answers a job: asked of the outbox, which may be slow or never answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from daemon.aside import Aside

if TYPE_CHECKING:
    from daemon.store import Job, Store

_WITHIN_S: Final = 60.0
_AT_ONCE_S: Final = 0.05


class Answering:
    """Asks for one job at a time. find: gives the earlier job; called in a thread of its own."""

    def __init__(self, store: Store, find: Callable[[Job], Job | None]) -> None:
        self._store, self._find = store, find
        self._asking: tuple[str, Aside[Job | None], float] | None = None
        self._answered: str | None = None

    def pending(self, job: Job, now_s: float) -> bool | Job:
        """The earlier job that answers this one; True while that is being found out; False where it has to run."""
        if self._answered == job.id:
            return False
        if self._asking is None or self._asking[0] != job.id:
            if job.retry_of or job.options.get("force") or not self._store.successes(job.content_key):
                self._answered = job.id
                return False
            self._asking = (job.id, Aside(lambda: self._find(job), None), now_s)
        _, aside, since_s = self._asking
        if not aside.answered(_AT_ONCE_S) and now_s - since_s < _WITHIN_S:
            return True
        self._asking = None
        if aside.answer is None or aside.answer.lowered:  # a lowered result is not what this job asks for
            self._answered = job.id
            return False
        return aside.answer

    def forget(self) -> None:
        """Ask again, also for the last job."""
        self._answered = None
