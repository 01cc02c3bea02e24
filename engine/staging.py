"""A result folder appears whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from config.errors import DiskFull, MeshdropError, OutputExists, ShareUnavailable

if sys.platform != "win32":
    import fcntl

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_NO_ACCESS = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ESTALE,
    errno.EIO,
}
_BAD_NAME = {errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP}
_TAKEN = {errno.ENOTEMPTY, errno.EEXIST}

_LEFTOVER_S = 10.0
"""A folder that nobody has locked is a killed run's once it is this old: a younger one may be about to be locked."""
_NAME_BYTES = 80


def storage_error(error: OSError, path: Path) -> MeshdropError | None:
    """The error that stands for a failed write below `path`; None when it is no matter of storage."""
    where = error.filename or str(path)
    if error.errno in _NO_SPACE:
        return DiskFull(f"No space is left for {where}.", path=str(where))
    if error.errno in _NO_ACCESS | _BAD_NAME:
        return ShareUnavailable(f"Can't write {where}: {os.strerror(error.errno or 0)}.", path=str(where))
    return None


@contextmanager
def staged_folder(out: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside `out` that becomes `out` by one rename when the block succeeds.

    When the block raises, nothing is left of it and `out` is untouched. With `replace`, an earlier result at `out`
    (a folder that holds quality.json) is moved away first and deleted once the new one stands. What a run to the same
    `out` on this host left behind when it was killed is deleted first; the folder of one that is still running is
    known by its lock.

    Raises:
        OutputExists: there is something at `out`, or another run is making it.
        ShareUnavailable, DiskFull: the folder above can't be written.

    """
    old = _check_free(out, replace)
    made = _missing_parents(out)
    partial = out.parent / f"{_prefix(out)}{time.time_ns():016x}{secrets.token_hex(2)}"
    done = False
    lock: int | None = None
    try:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            partial.mkdir()
        except OSError as error:
            if error.filename == str(partial):  # nobody has heard of that one
                error.filename = str(out.parent)
            raise storage_error(error, out) or error from error
        lock = _lock(partial)
        _clear_leftovers(partial, out)
        yield partial
        _put_in_place(partial, out, old)
        done = True
    finally:
        if lock is not None:
            os.close(lock)
        if not done:
            shutil.rmtree(partial, ignore_errors=True)
            for folder in made:
                with suppress(OSError):
                    folder.rmdir()


def _prefix(out: Path) -> str:
    """How the folders that become `out` begin on this host. A lock says nothing about processes of another one."""
    whose = hashlib.sha256(f"{platform.node()}/{out.name}".encode(errors="surrogateescape")).hexdigest()[:8]
    start = os.fsencode(out.name)[:_NAME_BYTES].decode(errors="ignore")
    return f".{start}.partial-{whose}-"


def _lock(folder: Path) -> int | None:
    """A descriptor that holds a lock on `folder` as long as this process lives; None where that can't be had.

    Raises BlockingIOError where another process holds it.
    """
    if sys.platform == "win32":
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return descriptor


def _clear_leftovers(own: Path, out: Path) -> None:
    """Delete what killed runs to `out` left; raise OutputExists where an earlier one is still running."""
    prefix = _prefix(out)
    pattern = re.compile(re.escape(prefix) + "([0-9a-f]{16})[0-9a-f]{4}")
    for folder in sorted(out.parent.iterdir()):
        found = pattern.fullmatch(folder.name)
        if found is None or folder.name >= own.name or folder.is_symlink():
            continue  # of two that start together the first goes on
        try:
            lock = _lock(folder)
        except BlockingIOError:
            raise OutputExists(
                f"Another run is making {out} at this moment.",
                suggestion="Wait until it has ended, or name another folder.",
                path=str(out),
            ) from None
        if lock is None:
            continue
        if time.time_ns() - int(found[1], 16) > _LEFTOVER_S * 1e9:
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _check_free(out: Path, replace: bool) -> bool:
    try:
        out.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:  # a name that is too long, a file for a folder, a folder that may not be read
        raise storage_error(error, out) or error from error
    if replace and out.is_dir() and not out.is_symlink() and (out / "quality.json").is_file():
        return True
    hint = "Name a folder that does not exist yet" + ("." if replace else ", or replace a result by --replace.")
    raise OutputExists(f"There is already something at {out}.", suggestion=hint, path=str(out))


def _missing_parents(out: Path) -> list[Path]:
    return [folder for folder in out.parents if not folder.exists()]


def _put_in_place(partial: Path, out: Path, replace: bool) -> None:
    away = partial.with_name(partial.name + ".old")
    try:
        if replace:
            out.rename(away)
        elif os.path.lexists(out):  # rename would replace an empty folder silently
            raise OutputExists(f"Something appeared at {out} meanwhile.", path=str(out))
        try:
            partial.rename(out)
        except OSError:
            if replace:
                away.rename(out)
            raise
    except OSError as error:
        if error.errno in _TAKEN:
            raise OutputExists(f"Something appeared at {out} meanwhile.", path=str(out)) from error
        raise storage_error(error, out) or error from error
    if replace:
        shutil.rmtree(away, ignore_errors=True)
