"""A result folder appears whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from config.errors import DiskFull, MeshdropError, OutputExists, ShareUnavailable

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
    (a folder that holds quality.json) is moved away first and deleted once the new one stands.

    Raises:
        OutputExists: there is something at `out`.
        ShareUnavailable, DiskFull: the folder above can't be written.

    """
    old = _check_free(out, replace)
    made = _missing_parents(out)
    partial = out.parent / f".{out.name[:80]}.partial-{secrets.token_hex(4)}"
    done = False
    try:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            partial.mkdir()
        except OSError as error:
            raise storage_error(error, out) or error from error
        yield partial
        _put_in_place(partial, out, old)
        done = True
    finally:
        if not done:
            shutil.rmtree(partial, ignore_errors=True)
            for folder in made:
                with suppress(OSError):
                    folder.rmdir()


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
        raise storage_error(error, out) or error from error
    if replace:
        shutil.rmtree(away, ignore_errors=True)
