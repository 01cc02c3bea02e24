"""The live file of an outbox, status.json.

It is written beside and renamed, only when what it says has changed, at most every `publish.refresh_s`; three
tries, then the next tick. It can't fail or delay a job: nothing waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from config.sections import Settings
from daemon.clock import Clock
from daemon.files import Files
from daemon.status.collect import collect
from daemon.status.model import Status

if TYPE_CHECKING:
    from daemon.store import Store

log = structlog.get_logger(__name__)

STATUS_FILE: Final = "status.json"
_TRIES: Final = 3
_UNCHANGED: Final = ("at",)
_UNCHANGED_OF_DAEMON: Final = ("beat_at",)


@dataclass
class _Page:
    """What was last written into one outbox."""

    said: str = ""
    tries: int = 0
    retry_s: float = 0.0
    failed: str = ""


class LiveFiles:
    """Keeps status.json of every outbox up to date."""

    def __init__(
        self, settings: Settings, store: Store, clock: Clock, files: Files, intakes: Mapping[str, Any] | None = None
    ) -> None:
        """intakes: by inbox; those that can say what waits in theirs (`waiting()`) are asked instead of the store."""
        self._settings, self._store, self._clock, self._files = settings, store, clock, files
        self._intakes = intakes or {}
        self._pages: dict[Path, _Page] = {}
        self._due_s = float("-inf")

    def step(self, now_s: float) -> float:
        """Write what has changed; the seconds until it may have changed again."""
        if now_s < self._due_s:
            return self._due_s - now_s
        self._due_s = now_s + self._settings.publish.refresh_s
        status = collect(self._store, self._settings, self._clock)
        for outbox in dict.fromkeys(inbox.outbox for inbox in self._settings.all_inboxes):
            self._refresh(outbox, _of_outbox(status, outbox, self._settings))
        return self._due_s - now_s

    def _refresh(self, outbox: Path, status: Status) -> None:
        page = self._pages.setdefault(outbox, _Page())
        said = _what_it_says(status)
        if said == page.said:
            return
        text = (status.model_dump_json(indent=1) + "\n").encode("utf-8", "backslashreplace")
        for _ in range(_TRIES):
            try:
                if not self._files.exists(outbox / ".meshdrop"):  # an empty mount point is no outbox
                    return
                path = outbox / STATUS_FILE
                self._files.replace(path, text)
                self._dress(path)
            except OSError as error:
                reason = str(error.strerror)
                continue
            page.said, page.failed = said, ""
            return
        if page.failed != reason:
            log.warning("status.not_written", outbox=str(outbox), reason=reason)
        page.failed = reason

    def _dress(self, path: Path) -> None:
        """As published files: readable to those who read these, whatever the umask."""
        try:
            self._files.chmod(path, int(self._settings.publish.file_mode, 8))
        except OSError as error:
            log.debug("status.mode_refused", path=str(path), reason=str(error.strerror))


def _of_outbox(status: Status, outbox: Path, settings: Settings) -> Status:
    """What concerns those who share an outbox: the jobs and bundles of its inboxes."""
    names = {inbox.name for inbox in settings.all_inboxes if inbox.outbox == outbox}
    if len(names) == len(settings.all_inboxes):
        return status
    kept = {
        field: [item for item in getattr(status, field) if item.inbox in names]
        for field in ("running", "queue", "held", "recent", "waiting")
    }
    return status.model_copy(update={**kept, "inboxes": [item for item in status.inboxes if item.name in names]})


def _what_it_says(status: Status) -> str:
    """Without the times that pass by themselves."""
    daemon = status.daemon.model_copy(update=dict.fromkeys(_UNCHANGED_OF_DAEMON))
    waiting = [item.model_copy(update={"waiting_s": None}) for item in status.waiting]
    return status.model_copy(update={"daemon": daemon, "waiting": waiting}).model_dump_json(exclude=set(_UNCHANGED))
