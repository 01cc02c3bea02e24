"""The live files of an outbox: status.json for machines, index.html for people.

They are written beside and renamed, only when what they say has changed, at most every `publish.refresh_s`, and less
often where they take long; three tries, then the next tick. They can't fail or delay a job: nothing waits for them.
index.html is written every `publish.heartbeat_s` all the same: by its age a reader sees whether anybody still looks
after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from config.sections import Settings
from daemon.clock import Clock
from daemon.files import Files
from daemon.states import State
from daemon.status.collect import collect
from daemon.status.model import Status

if TYPE_CHECKING:
    from daemon.index import IndexPage
    from daemon.store import Store

log = structlog.get_logger(__name__)

STATUS_FILE: Final = "status.json"
INDEX_FILE: Final = "index.html"
_TRIES: Final = 3
_SHARE: Final = 0.05
"""The part of the time that the files may take, as long as `publish.heartbeat_s` is kept: of thousands of jobs one
changes all the time, and each change would have them written anew."""
_UNCHANGED: Final = ("at",)
_UNCHANGED_OF_DAEMON: Final = ("beat_at",)
_FREE_STEP: Final = 1 << 28
"""Free space counts as changed from one step of so many bytes to the next."""


@dataclass
class _LiveFile:
    """What was last written into one file."""

    said: str = ""
    written_s: float = float("-inf")
    failed: str = ""


@dataclass
class _Outbox:
    """One outbox's files."""

    page: IndexPage
    changes: int = -1
    status_file: _LiveFile = field(default_factory=_LiveFile)
    index_file: _LiveFile = field(default_factory=_LiveFile)


class LiveFiles:
    """Keeps status.json and index.html of every outbox up to date, or of the one that is named."""

    def __init__(
        self, settings: Settings, store: Store, clock: Clock, files: Files, *, outbox: Path | None = None
    ) -> None:
        self._settings, self._store, self._clock, self._files = settings, store, clock, files
        self._only = outbox
        self._outboxes: dict[Path, _Outbox] = {}
        self._due_s = float("-inf")

    def step(self, now_s: float) -> float:
        """Write what has changed; the seconds until it may have changed again."""
        if now_s < self._due_s:
            return self._due_s - now_s
        began_s = self._clock.monotonic_s()
        self.refresh(now_s)
        took_s, publish = self._clock.monotonic_s() - began_s, self._settings.publish
        wait_s = max(publish.refresh_s, min(took_s / _SHARE, publish.heartbeat_s))
        self._due_s = now_s + wait_s
        return max(0.0, wait_s - took_s)

    def refresh(self, now_s: float) -> None:
        """Write what has changed, however short the last time is ago."""
        status = None
        for outbox in [self._only] if self._only else dict.fromkeys(i.outbox for i in self._settings.all_inboxes):
            here = self._of(outbox)
            changes = self._store.changes()
            beat_due = now_s - here.index_file.written_s >= self._settings.publish.heartbeat_s
            failing = here.status_file.failed or here.index_file.failed
            if changes == here.changes and not beat_due and not failing:
                continue
            here.changes = changes
            status = status or collect(self._store, self._settings, self._clock)
            self._refresh(outbox, here, self._of_outbox(status, outbox), now_s, beat_due)

    def _of(self, outbox: Path) -> _Outbox:
        from daemon.index import IndexPage

        if outbox not in self._outboxes:
            names = [inbox.name for inbox in self._settings.all_inboxes if inbox.outbox == outbox]
            self._outboxes[outbox] = _Outbox(IndexPage(outbox, names))
        return self._outboxes[outbox]

    def _refresh(self, outbox: Path, here: _Outbox, status: Status, now_s: float, beat_due: bool) -> None:
        publish = self._settings.publish
        said = _what_it_says(status)

        def index() -> bytes:
            return here.page.render(
                status, self._store, every_s=publish.refresh_s, beat_s=max(publish.heartbeat_s, publish.refresh_s)
            )

        def machines() -> bytes:
            return (status.model_dump_json(indent=1) + "\n").encode("utf-8", "backslashreplace")

        if here.status_file.said != said:
            self._write(outbox / STATUS_FILE, here.status_file, said, machines, now_s)
        if here.index_file.said != said or beat_due:
            self._write(outbox / INDEX_FILE, here.index_file, said, index, now_s)

    def _write(self, path: Path, live: _LiveFile, said: str, content: Callable[[], bytes], now_s: float) -> None:
        data: bytes | None = None
        for _ in range(_TRIES):
            try:
                if not self._files.exists(path.parent / ".meshdrop"):  # an empty mount point is no outbox
                    return
                if data is None:
                    data = content()
                self._files.replace(path, data)
                self._dress(path)
            except OSError as error:
                reason = str(error.strerror)
                continue
            live.said, live.written_s, live.failed = said, now_s, ""
            return
        if live.failed != reason:
            log.warning("status.not_written", outbox=str(path.parent), file=path.name, reason=reason)
        live.failed = reason

    def _dress(self, path: Path) -> None:
        """As published files: readable to those who read these, whatever the umask."""
        try:
            self._files.chmod(path, int(self._settings.publish.file_mode, 8))
        except OSError as error:
            log.debug("status.mode_refused", path=str(path), reason=str(error.strerror))

    def _of_outbox(self, status: Status, outbox: Path) -> Status:
        """What concerns those who share an outbox: the jobs and bundles of its inboxes."""
        inboxes = self._settings.all_inboxes
        names = {inbox.name for inbox in inboxes if inbox.outbox == outbox}
        if len(names) == len(inboxes):
            return status
        kept: dict[str, object] = {
            name: [item for item in getattr(status, name) if item.inbox in names]
            for name in ("running", "queue", "held", "recent", "waiting")
        }
        counts = self._store.counts(names)
        kept["counts"] = {str(state): counts.get(state, 0) for state in State}
        return status.model_copy(update={**kept, "inboxes": [item for item in status.inboxes if item.name in names]})


def _what_it_says(status: Status) -> str:
    """Without the times that pass by themselves, and what changes all the time a little."""
    daemon = status.daemon.model_copy(update=dict.fromkeys(_UNCHANGED_OF_DAEMON))
    waiting = [item.model_copy(update={"waiting_s": None}) for item in status.waiting]
    inboxes = [
        item.model_copy(update={"inbox_free": _step(item.inbox_free), "outbox_free": _step(item.outbox_free)})
        for item in status.inboxes
    ]
    machine = status.machine.model_copy(update={"state_free": _step(status.machine.state_free), "vram_free": None})
    update = {"daemon": daemon, "waiting": waiting, "inboxes": inboxes, "machine": machine}
    return status.model_copy(update=update).model_dump_json(exclude=set(_UNCHANGED))


def _step(free: int | None) -> int | None:
    return None if free is None else free // _FREE_STEP
