"""One job at a time: begin it, follow it, stop it, and write down how it ended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from config.sections import Settings
from daemon.clock import Clock
from daemon.files import Files

if TYPE_CHECKING:
    from daemon.store import Job, Store

WORKER_COMMAND: Final = (sys.executable, "-m", "daemon.worker")


@dataclass(frozen=True, slots=True)
class Current:
    """What is running. since_s: monotonic time of its start. pid: of the worker."""

    job: str
    stage: str
    fraction: float
    eta_s: float | None
    since_s: float
    pid: int


class Runner:
    """Runs the store's jobs, one at a time.

    `step` is called in a loop from one thread, which must live as long as the worker may: the kernel ends the worker
    with the thread that started it. `current` and `worker_pid` may be asked from any thread.

    Args:
        worker_command: what starts the worker.
        on_change: called after each change of a job's state, to wake the next room.
        verify: whether an earlier job's result still lies in the outbox as it was published; None answers no job with
            an earlier result.

    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        files: Files,
        worker_command: Sequence[str] = WORKER_COMMAND,
        on_change: Callable[[], None] = lambda: None,
        *,
        verify: Callable[[Job], bool] | None = None,
    ) -> None:
        raise NotImplementedError

    def step(self, now_s: float) -> float:
        """Do what is due; seconds until this wants to be called again."""
        raise NotImplementedError

    def reload(self, settings: Settings) -> None:
        """Use other settings from the next step on; the worker is replaced before the next job."""
        raise NotImplementedError

    def shutdown(self) -> None:
        """End the worker at once and leave its job to be run again."""
        raise NotImplementedError

    def current(self) -> Current | None:
        """What is running now."""
        raise NotImplementedError

    def worker_pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        raise NotImplementedError
