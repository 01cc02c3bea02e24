"""A thread for a room: calls its step, sleeps until it is due again or woken, and survives its errors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from config.errors import MeshdropError
from daemon.clock import Clock

log = structlog.get_logger(__name__)

_LONGEST_SLEEP_S: Final = 5.0
_AFTER_ERROR_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


@dataclass
class Beat:
    """A thread's sign of life. error: of its last step, None where it went well."""

    name: str
    last_s: float
    stale_after_s: float
    busy: bool = False
    error: str | None = None


@dataclass
class Loop:
    """Calls one room's step again and again, in a thread of its own.

    step: does what is due and returns the seconds until it wants to be called again.
    stale_after_s: how long one step may take before the loop counts as stuck.
    """

    name: str
    step: Callable[[float], float]
    clock: Clock
    stale_after_s: float = 120.0
    beat: Beat = field(init=False)
    _wake: threading.Event = field(init=False, default_factory=threading.Event)
    _stop: threading.Event = field(init=False, default_factory=threading.Event)
    _thread: threading.Thread | None = field(init=False, default=None)
    _errors: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.beat = Beat(self.name, self.clock.monotonic_s(), self.stale_after_s)

    def start(self) -> None:
        """Begin to call the step."""
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Call the step now, or once more when it is being called."""
        self._wake.set()

    def stop(self) -> None:
        """Call the step no more."""
        self._stop.set()
        self._wake.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the step that is being called; whether it came back in time."""
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def stuck(self, now_s: float) -> bool:
        """Whether the thread is gone, or has been in one step for too long."""
        dead = self._thread is not None and not self._thread.is_alive() and not self._stop.is_set()
        return dead or (self.beat.busy and now_s - self.beat.last_s > self.stale_after_s)

    def once(self) -> float:
        """Call the step once; the seconds until it is due again. An error is logged, and waited after."""
        self.beat.busy, self.beat.last_s = True, self.clock.monotonic_s()
        try:
            due_s = self.step(self.beat.last_s)
            if self._errors:
                log.info("loop.recovered", loop=self.name, after_errors=self._errors)
            self._errors, self.beat.error = 0, None
        except Exception as error:  # whatever one pass meets, the daemon lives and the next pass tries again
            due_s = _AFTER_ERROR_S[min(self._errors, len(_AFTER_ERROR_S) - 1)]
            self._errors += 1
            self.beat.error = f"{type(error).__name__}: {error}"
            known = isinstance(error, MeshdropError | OSError)
            log.error(
                "loop.failed", loop=self.name, error=str(error), again_in_s=due_s, exc_info=None if known else error
            )
        finally:
            self.beat.busy, self.beat.last_s = False, self.clock.monotonic_s()
        return due_s

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            due_s = self.once()
            self._wake.wait(min(max(due_s, 0.0), _LONGEST_SLEEP_S))
