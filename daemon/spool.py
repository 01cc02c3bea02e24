"""The copies that jobs run on: the next few jobs' inputs, copied off the share and hashed again.

A job's folder in the spool: `input/`, here; `result/` and `done.json`, by the worker. It goes when the job is final.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from config import sections
from config.bundle_layout import IMAGE_DIRS
from config.errors import DiskFull, InputError, JobNotFound, MeshdropError, ShareUnavailable, UnknownError
from config.sections import Settings
from daemon.clock import Clock
from daemon.files import Files, NotRegular
from daemon.intake.archive_reader import extract
from daemon.intake.layout import read_layout
from daemon.intake.snapshot import Snapshot, take_snapshot
from daemon.names import shown
from daemon.publish.trouble import NO_SPACE, located, read_piece, trouble_of
from daemon.states import State

if TYPE_CHECKING:
    from daemon.store import Job, Store

SPOOL: Final = "spool"
INPUT: Final = "input"
RESULT: Final = "result"
JOB_FILE: Final = "job.toml"

_PARTIAL: Final = "input.partial"
_IDLE_S: Final = 2.0
_FULL_S: Final = 1.0
_CLEAN_EVERY_S: Final = 5.0
_WINDOW: Final = 50  # so many waiting jobs are looked at beyond those of a share that is away
_PROBE_BYTES: Final = 1 << 20
_ID_LENGTH: Final = 8
_CHANGED: Final = "changed before it was copied; it is taken again as it is now"
_REMOVED: Final = "the folder was removed"

log = structlog.get_logger(__name__)

RootCheck = Callable[[sections.Inbox], str | None]
"""None where an inbox's share is there, else a sentence that says what is wrong with it."""


def spool_folder(state_dir: Path, job_id: str) -> Path:
    """A job's folder in the spool."""
    return state_dir / SPOOL / job_id


class _Changed(Exception):
    """The bundle is not what was admitted."""


class _Given(Exception):
    """Nobody wants the copy any more."""


class Spooler:
    """Copies the next jobs' inputs to `state_dir/spool/<job>/input`.

    Args:
        settings: read anew at each use; may be exchanged under the spooler's hands.
        roots: tells whether an inbox's share is there; asked before a missing folder is believed to be removed.
        on_change: called after each change of a job, to wake the runner.

    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        files: Files,
        roots: RootCheck,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings, self._store, self._clock, self._files = settings, store, clock, files
        self._roots, self._on_change = roots, on_change
        self._stop = threading.Event()
        self._away: set[str] = set()
        self._full = False
        self._needed: dict[str, int] = {}
        self._unreadable: dict[str, Path] = {}
        self._resume_s = self._clean_s = float("-inf")
        self._cleaned_at: int | None = None

    def step(self, now_s: float) -> float:
        """Do what is due; seconds until this wants to be called again."""
        self._clean(now_s)
        if now_s >= self._resume_s:
            self._resume()
            self._resume_s = now_s + min(self._settings.run.hold_retry_s, self._settings.watch.poll_s)
        if self._stop.is_set() or self._full:
            return _IDLE_S
        for job in self._ahead():
            if not job.spooled and job.cancel_requested_at is None:
                return self._spool(job)
        return _IDLE_S

    def shutdown(self) -> None:
        """Stop copying soon; thread-safe."""
        self._stop.set()

    @property
    def _spool_root(self) -> Path:
        return self._settings.state_dir / SPOOL

    def _ahead(self) -> list[Job]:
        """The jobs whose copies should lie ready, those of shares that are away passed over."""
        count = self._settings.spool.jobs_ahead
        jobs = self._store.next_jobs(count + (_WINDOW if self._away else 0))
        return [job for job in jobs if job.spooled or job.inbox not in self._away][:count]

    # -- one job ------------------------------------------------------------------------------------------------

    def _spool(self, job: Job) -> float:
        """Copy one job's input; seconds until the next one may be tried."""
        source = Path(job.source)
        try:
            snapshot = take_snapshot(source.parent, source.name, self._files)
            if snapshot.kind == "gone":
                raise FileNotFoundError
            if not self._has_room(job, snapshot):
                return _FULL_S
            self._copy(job, source, snapshot)
        except (_Changed, InputError, NotRegular) as reason:
            log.info("spool.changed", job=job.id, why=str(reason))
            self._drop(job)
            self._lost(job, source)  # half a look at a share that is just going away shows a change, too
        except _Given:
            self._drop(job)
        except (FileNotFoundError, NotADirectoryError) as error:
            self._drop(job)
            if self._is_own(error):
                self._hold(job, ShareUnavailable.code, trouble_of(error, self._place).message)
            else:
                self._lost(job, source)
        except OSError as error:
            self._drop(job)
            self._refuse(job, source, error)
        except MeshdropError:
            raise  # the database's
        except Exception as error:  # a mistake of this program, which one bundle has found: the others go on
            log.error("spool.failed", job=job.id, bundle=shown(job.entry), exc_info=error)
            self._drop(job)
            self._fail(job, UnknownError(f"It could not be copied: {type(error).__name__}: {shown(str(error))}."))
        else:
            self._needed.pop(job.id, None)
            self._unreadable.pop(job.id, None)
            log.info("spool.copied", job=job.id)
            self._store.update(job.id, spooled=True)
            self._on_change()
        return 0.0

    def _has_room(self, job: Job, snapshot: Snapshot) -> bool:
        """Whether the copy fits below spool.max_bytes; the only one always does, else it would never run."""
        size = sum(item.size for item in (*snapshot.items, *([snapshot.top] if snapshot.kind == "zip" else [])) if item)
        self._needed[job.id] = size
        used = self._size(self._spool_root, but=job.id)
        return used == 0 or used + size <= self._settings.spool.max_bytes

    def _size(self, folder: Path, but: str = "") -> int:
        """Bytes below a folder; what goes away meanwhile does not count."""
        total = 0
        with suppress(FileNotFoundError, NotADirectoryError):
            for name in self._files.names(folder):
                if name == but or name.startswith(".probe-"):
                    continue
                with suppress(FileNotFoundError):
                    found = self._files.lstat(folder / name)
                    total += self._size(folder / name) if stat.S_ISDIR(found.st_mode) else found.st_size
        return total

    def _copy(self, job: Job, source: Path, snapshot: Snapshot) -> None:
        """Copy into a folder beside, compare with what was admitted, and rename: the copy is whole or not there."""
        folder = spool_folder(self._settings.state_dir, job.id)
        partial = folder / _PARTIAL
        for made in (self._spool_root, folder):
            if not self._files.exists(made):
                self._files.mkdir(made)
        for old in (partial, folder / INPUT):
            if self._files.exists(old):
                self._files.remove_tree(old)
        self._files.mkdir(partial)
        if snapshot.kind == "zip":
            limits = self._settings.limits
            found = {name: made.sha256 for name, made in extract(source, partial, limits, self._files).items()}
        else:
            found = self._copy_folder(job, source, snapshot, partial)
        expected = self._store.inputs(job.id)
        changed = sorted(name for name, digest in expected.items() if found.get(name) != digest)
        if changed:
            raise _Changed(f"{', '.join(changed)} of {shown(job.entry)}")
        for name in IMAGE_DIRS:
            self._files.fsync_folder(partial / name)
        self._files.fsync_folder(partial)
        self._files.rename(partial, folder / INPUT)
        self._files.fsync_folder(folder)
        self._files.fsync_folder(self._spool_root)

    def _copy_folder(self, job: Job, source: Path, snapshot: Snapshot, into: Path) -> dict[str, str]:
        """Copy the twelve images and job.toml; their digests by the layout's names."""
        layout = read_layout(snapshot.items, snapshot.root)
        if snapshot.kind != "folder" or not layout.complete or layout.problems:
            for item in snapshot.items:
                if item.trouble is not None:  # nothing is known to have changed: it may be readable again
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(source / item.name))
            raise _Changed(f"{shown(job.entry)} is no longer complete")
        for name in IMAGE_DIRS:
            self._files.mkdir(into / name)
        wanted = dict(layout.images)
        if layout.job_file is not None:
            wanted[JOB_FILE] = layout.job_file
        digests = {}
        for name, item in wanted.items():
            self._stay(job)
            digests[name] = self._copy_file(source / item.name, into / name)
        return digests

    def _copy_file(self, source: Path, target: Path) -> str:
        digest = hashlib.sha256()
        largest = int(self._settings.limits.file_mb * sections.MEGABYTE)
        size = 0
        with located(source), self._files.reading(source) as file, located(target), self._files.writing(target) as out:
            while piece := read_piece(file, source):
                size += len(piece)
                if size > largest:
                    raise _Changed(f"{shown(source.name)} has grown over the limit")
                digest.update(piece)
                out.write(piece)
                if self._stop.is_set():
                    raise _Given
        return digest.hexdigest()

    def _stay(self, job: Job) -> None:
        """Raise _Given where the copy is of no use any more."""
        now = self._store.job(job.id)
        if self._stop.is_set() or now.state is not State.PENDING or now.cancel_requested_at is not None:
            raise _Given

    def _drop(self, job: Job) -> None:
        """Remove a copy that did not come to an end: where the disk is full, its space is needed."""
        with suppress(OSError):
            folder = spool_folder(self._settings.state_dir, job.id)
            if self._files.exists(folder):
                self._files.remove_tree(folder)

    # -- what can be in the way ---------------------------------------------------------------------------------

    @property
    def _place(self) -> str:
        return f"the spool {self._spool_root}"

    def _is_own(self, error: OSError) -> bool:
        """Whether an error is the spool's, not the share's."""
        if error.errno in NO_SPACE:
            return True
        name = error.filename
        return isinstance(name, str) and Path(name).is_relative_to(self._settings.state_dir)

    def _lost(self, job: Job, source: Path) -> None:
        """The bundle is not what it was: the share is away, or somebody has removed or changed it."""
        inbox = self._inbox(job)
        trouble = self._roots(inbox) if inbox is not None else None
        if trouble is not None:
            self._away.add(job.inbox)
            self._hold(job, ShareUnavailable.code, trouble)
            return
        try:
            there = self._files.exists(source)
        except OSError as error:
            self._refuse(job, source, error)
            return
        self._cancel(job, _CHANGED if there else _REMOVED)

    def _refuse(self, job: Job, source: Path, error: OSError) -> None:
        """Hold a job for an error of the disk or the share."""
        if self._is_own(error):
            held = trouble_of(error, self._place)
            self._full = True
            self._hold(job, held.code, held.message)
            return
        inbox = self._inbox(job)
        trouble = self._roots(inbox) if inbox is not None else None
        if trouble is not None:
            self._away.add(job.inbox)
        else:
            path = Path(error.filename) if isinstance(error.filename, str) else source
            self._unreadable[job.id] = path
            trouble = f"{shown(str(path))} can't be read: {error.strerror or error}."
        self._hold(job, ShareUnavailable.code, trouble)

    def _inbox(self, job: Job) -> sections.Inbox | None:
        return next((inbox for inbox in self._settings.all_inboxes if inbox.name == job.inbox), None)

    def _hold(self, job: Job, code: str, reason: str) -> None:
        self._move(job, State.HELD, State.PENDING, reason, code)

    def _fail(self, job: Job, error: MeshdropError) -> None:
        """Publish the error as its result, which the publisher makes."""
        self._move(job, State.PUBLISHING, State.PENDING, error.message, outcome=State.FAILURE, error=error.as_json())

    def _cancel(self, job: Job, reason: str) -> None:
        self._move(job, State.CANCELLED, State.PENDING, reason)

    def _move(self, job: Job, to: State, before: State, reason: str, code: str | None = None, **changes: Any) -> None:
        from daemon.store import StateChanged

        if code:
            changes["hold_code"] = code
        with suppress(StateChanged):
            self._store.transition(job.id, to, reason=reason, expect=before, **changes)
            self._on_change()

    # -- afterwards ---------------------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Let those go on that were held here, once what they lacked is there."""
        self._full = False
        self._away.clear()
        for job in self._store.jobs(states={State.HELD}):
            if job.held_from is not State.PENDING or job.spooled or job.cancel_requested_at is not None:
                continue
            if job.hold_code == DiskFull.code:
                if not self._can_write(self._needed.get(job.id, _PROBE_BYTES)):
                    self._full = True
                    continue
            elif not self._can_read(job):
                continue
            self._move(job, State.PENDING, State.HELD, "tried again")

    def _can_write(self, needed: int) -> bool:
        """Really write: quotas and some file systems tell of full disks in no other way."""
        path = self._spool_root / f".probe-{secrets.token_hex(4)}"
        try:
            if not self._files.exists(self._spool_root):
                self._files.mkdir(self._spool_root)
            with self._files.writing(path) as file:
                file.write(b"\0" * _PROBE_BYTES)
            found = self._files.statvfs(self._spool_root)
        except OSError:
            return False
        finally:
            with suppress(OSError):
                self._files.unlink(path)
        return found.f_bavail * found.f_frsize >= needed

    def _can_read(self, job: Job) -> bool:
        inbox = self._inbox(job)
        if inbox is not None and self._roots(inbox) is not None:
            self._away.add(job.inbox)
            return False
        path = self._unreadable.get(job.id)
        if path is None:
            return True
        try:
            if stat.S_ISDIR(self._files.lstat(path).st_mode):
                self._files.names(path)
            else:
                with self._files.reading(path) as file:
                    file.read(1)
        except (FileNotFoundError, NotADirectoryError, NotRegular):
            return True  # it is another matter now, and looked into again
        except OSError:
            return False
        return True

    def _clean(self, now_s: float) -> None:
        """Remove the folders of jobs that are final, and of none."""
        changes = self._store.changes()
        if now_s < self._clean_s or changes == self._cleaned_at:
            return
        self._clean_s, self._cleaned_at = now_s + _CLEAN_EVERY_S, changes
        if not self._files.exists(self._spool_root):
            return
        for name in self._files.names(self._spool_root):
            if self._is_done_with(name):
                try:
                    self._files.remove_tree(self._spool_root / name)
                except OSError as error:
                    log.warning("spool.not_removed", job=name, error=str(error))
                    self._cleaned_at = None

    def _is_done_with(self, name: str) -> bool:
        from daemon.store.jobs import ID_ALPHABET

        if len(name) != _ID_LENGTH or not set(name) <= set(ID_ALPHABET):
            return False
        try:
            job = self._store.job(name)
        except JobNotFound:
            return True
        return job.final
