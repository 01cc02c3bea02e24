"""Writing a result's files, with storage errors told as what they are."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from config.errors import DiskFull, ShareUnavailable

Buffer = bytes | bytearray | memoryview

NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NO_ACCESS: Final = frozenset({
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR,
    errno.ESTALE, errno.EIO, errno.ENODEV, errno.ENXIO, errno.EHOSTDOWN, errno.ENOTCONN, errno.ETIMEDOUT,
})  # fmt: skip


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the storage under `path` into DiskFull or ShareUnavailable; others pass."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in NO_SPACE:
            raise DiskFull(f"No space to write {path}: {reason}.", path=str(path), errno=error.errno) from error
        if error.errno in NO_ACCESS:
            raise ShareUnavailable(f"Cannot write {path}: {reason}.", path=str(path), errno=error.errno) from error
        raise


def write_file(path: Path, *parts: Buffer) -> None:
    """Write `parts` one after the other to `path`.

    Raises DiskFull (ENOSPC, EDQUOT) or ShareUnavailable (EACCES, EROFS, a folder that is gone), naming the path.
    """
    write_parts(path, parts)


def write_parts(path: Path, parts: Iterable[Buffer]) -> None:
    """`write_file` for parts that are made one by one."""
    with storage_errors(path), path.open("wb") as file:
        for part in parts:
            file.write(part)
