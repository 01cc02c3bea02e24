"""Checks of a folder: what it lies on, whether it can really be used, and how much space it has."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from config.errors import InfrastructureError
from config.sections import Settings
from daemon.clock import SystemClock
from daemon.files import Files
from daemon.mounts import is_local, mount_of, watch_mode
from daemon.names import shown
from daemon.publish.trouble import NO_SPACE
from daemon.roots import PRIVATE, is_known, open_root
from daemon.status.findings import Finding, fail, note, ok, warn

_MEGABYTE: Final = 1 << 20
_PROBE: Final = ".trash-meshdrop-"  # a name that no inbox takes for a bundle
_SKEW_S: Final = 60.0
_FEW_FILES: Final = 200  # a result has about thirty, and a job's spool as many


def check_share(path: Path, name: str, settings: Settings) -> Iterator[Finding]:
    """One folder of the settings: its file system, and whether this user can write, rename and delete in it."""
    if name != "state_dir" and (lost := _lost_root(path, name, settings)):
        yield lost
        return
    if not path.is_dir():
        makes = path.parent.is_dir() and not path.exists()
        remedy = "The daemon makes it at its start." if makes else "Make the folder, or mount the share."
        yield (note if makes else fail)(name, f"There is no folder {shown(str(path))}.", remedy)
        return
    mount = mount_of(path)
    where = f"{shown(str(path))} lies on {mount.type} ({shown(mount.source)})"
    if name == "state_dir":
        if is_local(mount.type):
            yield ok(name, f"{where}.")
        else:
            yield fail(name, f"{where}, which is not local.", "Set state_dir to a folder on a local disk.")
    elif name.startswith("inbox"):
        mode = settings.watch.mode if settings.watch.mode != "auto" else watch_mode(mount.type)
        yield ok(name, f"{where}; watched by {mode}.")
        if mode == "inotify" and watch_mode(mount.type) == "polling":
            yield warn(
                name,
                f'watch.mode is "inotify", but {mount.type} does not tell of what other machines write.',
                'Set watch.mode = "auto".',
            )
    else:
        yield ok(name, f"{where}.")
    if name != "state_dir" and not (path / PRIVATE).exists():
        yield note(name, "It was not used by a daemon yet.", "The daemon puts its marker there at its start.")
    yield from _check_use(path, name)
    if name != "state_dir" and (path / PRIVATE).is_dir():
        yield from _check_use(path / PRIVATE, name)


def _check_use(path: Path, name: str) -> Iterator[Finding]:
    """By really doing it, as the daemon does, with this user's rights."""
    files, probe = Files(), path / f"{_PROBE}{secrets.token_hex(4)}"
    moved = probe.with_name(f"{probe.name}-2")
    step = "made"
    try:
        files.mkdir(probe)
        step = "written to"
        with files.writing(probe / "a") as file:
            file.write(b"meshdrop")
        written_s = files.lstat(probe / "a").st_mtime
        step = "renamed in"
        files.rename(probe / "a", probe / "b")
        files.rename_new(probe, moved)
        step = "deleted from"
        files.remove_tree(moved)
    except OSError as error:
        remedy = (
            f"Let the user {user_name(os.geteuid())} write there: chown or chmod it, or mount it with other rights."
        )
        if error.errno in NO_SPACE:
            remedy = "Free some space."
        elif error.errno == errno.EROFS:
            remedy = "Mount it writable."
        yield fail(name, f"{shown(str(path))} can't be {step}: {error.strerror}.", remedy)
    else:
        who = user_name(os.geteuid())
        yield ok(name, f"Folders and files can be made, renamed and deleted by {who} in {shown(str(path))}.")
        skew_s = written_s - time.time()
        if abs(skew_s) > _SKEW_S:
            way = "ahead" if skew_s > 0 else "behind"
            yield warn(
                "clock",
                f"The clock of the share {shown(str(path))} is {abs(skew_s):.0f} s {way}.",
                "Set both machines' clocks by NTP. Times are only shown; nothing is decided by them.",
            )
    finally:
        for left in (probe, moved):
            with suppress(OSError):
                files.remove_tree(left)


def _lost_root(path: Path, name: str, settings: Settings) -> Finding | None:
    """What is wrong where a daemon has used the folder before, and it is not the one that is there now."""
    files = Files()
    try:
        if not is_known(path, settings.state_dir, files):
            return None
    except InfrastructureError:  # what is wrong with the state folder is said where that is checked
        return None
    try:
        open_root(path, name.split(maxsplit=1)[0], settings.state_dir, files, SystemClock())
    except InfrastructureError as error:
        return fail(name, error.message, error.suggestion)
    return None


def check_space(path: Path, name: str, settings: Settings) -> Iterator[Finding]:
    """Free space and files, against what a job needs to start."""
    while not path.exists():
        path = path.parent
    facts = os.statvfs(path)
    free_mb = facts.f_bavail * facts.f_frsize / _MEGABYTE
    reserve_mb = settings.run.reserve_mb
    sentence = f"{free_mb / 1024:.1f} GB free"
    if facts.f_files and facts.f_favail < _FEW_FILES:  # file systems that count none say 0 of 0
        yield fail(
            name, f"{sentence}, but room for only {facts.f_favail} more files.", "Delete files: inodes are used up."
        )
    elif free_mb < reserve_mb:
        yield fail(name, f"{sentence}; below run.reserve_mb ({reserve_mb}) no job starts.", "Free some space.")
    elif free_mb < 4 * reserve_mb:
        yield warn(name, f"{sentence}.", "That is enough for few results; see `meshdrop prune`.")
    else:
        yield ok(name, f"{sentence}.")


def user_name(uid: int) -> str:
    """A user's name; the number of one that has none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
