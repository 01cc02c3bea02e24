"""A small file that is written to see whether events arrive, and how soon."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from daemon.clock import Clock
from daemon.files import Files
from daemon.watch.tree import CANARY

LATE_S: Final = 10.0


class Canary:
    """One inbox's canary. `seen` may be called from another thread."""

    def __init__(self, folder: Path, files: Files, clock: Clock, every_s: float) -> None:
        self._folder, self._files, self._clock, self._every_s = folder, files, clock, every_s
        self._next_s = 0.0
        self._name: str | None = None
        self._sent_s = 0.0
        self._arrived: tuple[str, float] | None = None
        self.latency_s: float | None = None

    def soon(self) -> None:
        """Send one at the next step."""
        self._drop()
        self._next_s = 0.0

    def seen(self, name: str) -> None:
        """An event told of this file."""
        if self._arrived is None or self._arrived[0] != name:
            self._arrived = (name, self._clock.monotonic_s())

    def step(self, now_s: float) -> bool | None:
        """Send or judge: True where one has just arrived, False where one is late, None otherwise."""
        if self._name is not None:
            if self._arrived is not None and self._arrived[0] == self._name:
                self.latency_s = max(0.0, self._arrived[1] - self._sent_s)
                self._drop()
                return True
            if now_s - self._sent_s < LATE_S:
                return None
            self.latency_s = None
            self._drop()
            return False
        if now_s >= self._next_s:
            self._next_s = now_s + self._every_s
            self._send()
        return None

    def due_in_s(self, now_s: float) -> float:
        """Seconds until `step` has something to do."""
        return max(0.0, (self._sent_s + LATE_S if self._name else self._next_s) - now_s)

    def sweep(self) -> None:
        """Remove what an earlier run left."""
        with suppress(OSError):
            for name in self._files.names(self._folder):
                if name.startswith(CANARY):
                    self._files.unlink(self._folder / name)

    def _send(self) -> None:
        name = CANARY + secrets.token_hex(4)
        self._name, self._sent_s = name, self._clock.monotonic_s()
        try:
            with self._files.writing(self._folder / name, 0o644, durable=False):
                pass
        except OSError:  # no space, read-only, no private folder: nothing can be said of the events
            self._name, self.latency_s = None, None

    def _drop(self) -> None:
        if self._name is not None:
            with suppress(OSError):
                self._files.unlink(self._folder / self._name)
            self._name = None
