"""The worker that is there, the next one, and those that are on their way out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from config.sections import Settings
from daemon.files import Files
from daemon.runner.child import Child, forget_children
from daemon.runner.endings import exit_text
from daemon.worker.protocol import Ready

log = structlog.get_logger(__name__)

WORKER_FILE: Final = "worker.json"
_RESPAWN_S: Final = (0.0, 1.0, 5.0, 30.0, 60.0)
_GONE_WITHIN_S: Final = 3.0
_LISTEN_EVERY_S: Final = 0.05
_READY_WITHIN_S: Final = 300.0  # kernels may have to be compiled first
_HOPELESS_AFTER: Final = 4


class Workers:
    """Keeps one worker warm.

    spawn: starts one. current: the worker that takes jobs, None while there is none.
    """

    def __init__(self, settings: Settings, files: Files, command: Sequence[str], spawn: Callable[..., Child]) -> None:
        self._settings, self._files, self._command, self._spawn = settings, files, tuple(command), spawn
        self.current: Child | None = None
        self._dying: list[Child] = []
        self._respawn_s = float("-inf")
        self._started_s = 0.0
        self._failed_starts = 0
        self._why = ""

    @property
    def ready(self) -> Child | None:
        """The worker that can take a job now."""
        return self.current if self.current is not None and self.current.ready else None

    @property
    def trouble(self) -> str | None:
        """Why there is none, once worker after worker has died before it could take a job."""
        if self._failed_starts < _HOPELESS_AFTER:
            return None
        return f"The process that runs jobs can't be started: {self._why}."

    def end_leftovers(self) -> None:
        """End what the worker of an earlier daemon may have left."""
        left = forget_children(self._settings.state_dir / WORKER_FILE)
        if left:
            log.warning("runner.ended_leftovers", processes=left)

    def bury(self) -> None:
        """Let go of those that are gone."""
        for child in list(self._dying):
            if child.exit_code() is not None:
                child.close()
                self._dying.remove(child)

    def retire(self, child: Child) -> None:
        """Replace a worker: it is idle or beyond help, so it need not be asked."""
        child.kill()
        self._dying.append(child)
        if self.current is child:
            self.current = None
        self.bury()

    def warm(self, now_s: float) -> float:
        """See to it that there is one, so that the next job begins at once; seconds until this is due again."""
        child = self.current
        if child is not None:
            for message in child.messages():
                child.ready = child.ready or isinstance(message, Ready)
            if child.ready:
                self._failed_starts = 0
            if (code := child.exit_code()) is not None:
                last = (list(child.last_words) or ["it said nothing"])[-1]
                self.retire(child)
                self._put_off(now_s, f"{exit_text(code)}; {last}")
            elif not child.ready and now_s - self._started_s > _READY_WITHIN_S:
                self.retire(child)
                self._put_off(now_s, f"it was not ready within {_READY_WITHIN_S:g} s")
            elif child.memory_mb != self._settings.run.memory_mb:
                self.retire(child)
            else:
                return float("inf") if child.ready else _LISTEN_EVERY_S
        if self._dying:  # two at once could be too much for the memory
            return 0.0
        if now_s < self._respawn_s:
            return self._respawn_s - now_s
        self._start(now_s)
        return 0.0

    def end_all(self) -> bool:
        """End every worker and wait a little; whether they are gone."""
        children = [child for child in (self.current, *self._dying) if child is not None]
        self.current, self._dying = None, []
        for child in children:
            child.kill()
        gone = [child.wait(_GONE_WITHIN_S) for child in children]
        for child in children:
            child.close()
        return all(gone)

    def _start(self, now_s: float) -> None:
        settings = self._settings
        cache = settings.engine.cache_dir
        environment = {"NUMBA_CACHE_DIR": str(cache)} if cache else {}
        try:
            self.current = child = self._spawn(self._command, settings.run.memory_mb, environment)
        except OSError as error:  # no memory, no processes left, no Python
            self._put_off(now_s, error.strerror or str(error))
            return
        self._started_s = now_s
        log.info("worker.started", pid=child.pid)
        mark = json.dumps({"mark": child.mark, "pid": child.pid})
        try:
            self._files.replace(settings.state_dir / WORKER_FILE, mark.encode())
        except OSError as error:
            log.warning("worker.mark_not_written", error=str(error))

    def _put_off(self, now_s: float, why: str) -> None:
        again_in_s = _RESPAWN_S[min(self._failed_starts, len(_RESPAWN_S) - 1)]
        self._respawn_s, self._why = now_s + again_in_s, why
        self._failed_starts += 1
        log.warning("worker.gone", why=why, again_in_s=again_in_s)
