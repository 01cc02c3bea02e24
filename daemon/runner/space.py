"""Whether a job may begin: free space where it computes and where its result goes."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from config.errors import DiskFull
from config.sections import Settings
from daemon.aside import Aside
from daemon.files import Files
from daemon.publish.trouble import trouble_of
from daemon.spool import SPOOL

if TYPE_CHECKING:
    from daemon.store import Job

_MEGABYTE: Final = 1 << 20
_SHARE_WITHIN_S: Final = 0.3
_PROBE: Final = b"\0" * _MEGABYTE


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a job can't begin. own: it is the daemon's own disk, so that no other job can either."""

    code: str
    reason: str
    own: bool


class Space:
    """Free space, asked for when a job is about to begin."""

    def __init__(self, settings: Settings, files: Files) -> None:
        self._settings, self._files = settings, files
        self._asked: dict[Path, Aside[int | None]] = {}
        self._full: set[str] = set()

    def full_inboxes(self) -> set[str]:
        """The inboxes whose outbox was full when it was last looked at: one held job says so for all of them."""
        return self._full

    def forget(self) -> None:
        """Look at every outbox again."""
        self._full.clear()

    def trouble(self, job: Job, *, write: bool = False) -> Trouble | None:
        """What keeps a job from beginning. write: believe in free space only once something could be written."""
        needed = self._settings.run.reserve_mb * _MEGABYTE
        state = self._settings.state_dir
        try:
            if write:
                self._probe(state / SPOOL)
            found = self._files.statvfs(state)
        except OSError as error:
            held = trouble_of(error, f"the state folder {state}")
            return Trouble(held.code, held.message, own=True)
        free = found.f_bavail * found.f_frsize
        if free < needed:
            return Trouble(DiskFull.code, _too_little(f"the state folder {state}", free, needed), own=True)
        outbox = next((inbox.outbox for inbox in self._settings.all_inboxes if inbox.name == job.inbox), None)
        room = self._free_on_share(outbox) if outbox is not None and needed else None
        if room is not None and room < needed:
            self._full.add(job.inbox)
            return Trouble(DiskFull.code, _too_little(f"the outbox {outbox}", room, needed), own=False)
        self._full.discard(job.inbox)
        return None

    def _free_on_share(self, outbox: Path) -> int | None:
        """Bytes free; None where the share does not answer: publishing will tell."""
        asked = self._asked.get(outbox)
        if asked is None:
            asked = self._asked[outbox] = Aside(lambda: self._free(outbox), None)
        if not asked.answered(_SHARE_WITHIN_S):
            return None
        del self._asked[outbox]
        return asked.answer

    def _free(self, folder: Path) -> int:
        found = self._files.statvfs(folder)
        return found.f_bavail * found.f_frsize

    def _probe(self, folder: Path) -> None:
        """Really write something: quotas and some file systems tell of full disks in no other way."""
        if not self._files.exists(folder):
            self._files.mkdir(folder)
        path = folder / f".probe-{secrets.token_hex(4)}"
        try:
            with self._files.writing(path) as file:
                file.write(_PROBE)
        finally:
            with suppress(OSError):
                self._files.unlink(path)


def _too_little(where: str, free: int, needed: int) -> str:
    return (
        f"Only {free // _MEGABYTE} MB are free on {where}; {needed // _MEGABYTE} MB are wanted before a job starts "
        "(setting run.reserve_mb)."
    )
