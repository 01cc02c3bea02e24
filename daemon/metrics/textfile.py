"""The file for node_exporter's textfile collector, written beside and renamed, in a thread that no job waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from config.sections import Settings
from daemon.clock import Clock
from daemon.files import Files

if TYPE_CHECKING:
    from daemon.metrics.figures import Collector
    from daemon.store import Store

log = structlog.get_logger(__name__)

_IDLE_S: Final = 5.0
_MODE: Final = 0o644  # node_exporter runs as another user


class Textfile:
    """Keeps `metrics.textfile` up to date."""

    def __init__(self, settings: Settings, store: Store, clock: Clock, files: Files) -> None:
        self._settings, self._store, self._clock, self._files = settings, store, clock, files
        self._collector: Collector | None = None
        self._due_s = float("-inf")
        self._failed = ""

    def step(self, now_s: float) -> float:
        """Write the file where it is due; the seconds until it is again."""
        path = self._settings.metrics.textfile
        if path is None:
            return _IDLE_S
        if now_s < self._due_s:
            return self._due_s - now_s
        self._due_s = now_s + self._settings.metrics.refresh_s
        from daemon.metrics.figures import Collector

        self._collector = self._collector or Collector(self._settings, self._store, self._clock)
        data = self._collector.text()
        try:
            self._files.replace(path, data, _MODE, durable=False)
            self._files.chmod(path, _MODE)
        except OSError as error:
            reason = str(error.strerror)
            if self._failed != reason:
                log.warning("metrics.not_written", path=str(path), reason=reason)
            self._failed = reason
        else:
            self._failed = ""
        return self._due_s - now_s
