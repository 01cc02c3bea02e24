"""Where a bundle goes when its job is over: to an archive of the inbox, by one rename, if it still is what was taken.

Best effort: whatever the system refuses never changes a job's state.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Final

import structlog

from daemon.files import Files
from daemon.intake.snapshot import Snapshot, take_snapshot
from daemon.names import bundle_name, safe_name, shown

log = structlog.get_logger(__name__)

DONE: Final = "_done"
FAILED: Final = "_failed"
CANCELLED: Final = "_cancelled"
ARCHIVES: Final = (DONE, FAILED, CANCELLED)

_MAY_PASS: Final = (errno.EBUSY, errno.ENOTEMPTY, errno.EIO, errno.ESTALE, errno.ENOSPC, errno.EDQUOT, errno.EINTR)


class Outcome(Enum):
    """What became of a bundle."""

    ARCHIVED = "archived"
    CHANGED = "changed"  # it is not what was taken: it stays, and is looked at as a new drop
    REFUSED = "refused"  # the system won't; it stays
    BUSY = "busy"  # the system won't just now


def archive(inbox: Path, snapshot: Snapshot, job_id: str, folder: str, mode: int, files: Files) -> tuple[Outcome, Path]:
    """Rename an entry into one of the inbox's archives, as `<name>-<job id>`; what became of it, and where it lies.

    snapshot: what was taken, or is known to be the same. mode: of the archive's folder, where it has to be made.
    """
    source = inbox / snapshot.entry
    target = inbox / folder / archived_name(snapshot.entry, job_id)
    try:
        if _look_again(inbox, snapshot.entry, snapshot, files) != snapshot.fingerprint:
            return Outcome.CHANGED, source
        if not files.exists(inbox / folder):
            files.mkdir(inbox / folder)
            with suppress(OSError):
                files.chmod(inbox / folder, mode)
        target = _free(target, files)
        files.rename(source, target)
    except OSError as error:
        log.info("caretaker.stays", bundle=shown(snapshot.entry), job=job_id, reason=error.strerror)
        return (Outcome.BUSY if error.errno in _MAY_PASS else Outcome.REFUSED), source
    if snapshot.kind == "folder" and _changed_meanwhile(inbox, folder, target.name, snapshot, files):
        # Somebody wrote into it between the look and the rename: give it back.
        with suppress(OSError):
            files.rename(target, source)
            return Outcome.CHANGED, source
    log.info("caretaker.archived", bundle=shown(snapshot.entry), job=job_id, folder=folder)
    return Outcome.ARCHIVED, target


def archived_name(entry: str, job_id: str) -> str:
    """What an entry is called in an archive."""
    short = bundle_name(entry)
    return f"{safe_name(short)}-{job_id}" + (".zip" if short != entry else "")


def _free(target: Path, files: Files) -> Path:
    """The target, numbered where there is something already: nothing is replaced."""
    found, number = target, 1
    while files.exists(found):
        number += 1
        found = target.with_name(
            f"{target.stem}-{number}{target.suffix}" if target.suffix == ".zip" else f"{target.name}-{number}"
        )
    return found


def _changed_meanwhile(inbox: Path, folder: str, name: str, snapshot: Snapshot, files: Files) -> bool:
    try:
        return _look_again(inbox / folder, name, snapshot, files) != snapshot.fingerprint
    except OSError:
        return False


def _look_again(folder: Path, name: str, snapshot: Snapshot, files: Files) -> str:
    """The fingerprint now, looked at as closely as before: on network mounts each file is opened."""
    return take_snapshot(folder, name, files, open_files=snapshot.opened).fingerprint


def delete(inbox: Path, snapshot: Snapshot, job_id: str, files: Files) -> Outcome:
    """Delete an entry, where the settings say so: renamed out of sight first, if it still is what was taken."""
    source = inbox / snapshot.entry
    aside = inbox / ".meshdrop" / f"deleting-{job_id}"
    try:
        if _look_again(inbox, snapshot.entry, snapshot, files) != snapshot.fingerprint:
            return Outcome.CHANGED
        aside = _free(aside, files)
        files.rename(source, aside)
    except OSError as error:
        log.info("caretaker.stays", bundle=shown(snapshot.entry), job=job_id, reason=error.strerror)
        return Outcome.BUSY if error.errno in _MAY_PASS else Outcome.REFUSED
    try:
        if snapshot.kind == "folder":
            files.remove_tree(aside)
        else:
            files.unlink(aside)
    except OSError as error:
        log.warning("caretaker.not_deleted", bundle=shown(snapshot.entry), path=str(aside), reason=error.strerror)
    log.info("caretaker.deleted", bundle=shown(snapshot.entry), job=job_id)
    return Outcome.ARCHIVED
