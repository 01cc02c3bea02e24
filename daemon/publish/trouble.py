"""Which error stands for a failed call to the file system: all that can be mended outside holds the job."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from config.errors import DiskFull, InfrastructureError, ShareUnavailable

PIECE: Final = 1 << 20
NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class SpoolDamaged(Exception):
    """A result in the spool is not what its manifest says; the text says where."""


@contextmanager
def located(path: Path) -> Iterator[None]:
    """Name `path` in an OSError that names nothing, as those of read, write and fsync do."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def read_piece(file: BinaryIO, path: Path) -> bytes:
    """The next piece of a file; an error names it and not the file that is being written."""
    with located(path):
        return file.read(PIECE)


def trouble_of(error: OSError, place: str) -> InfrastructureError:
    """The error that holds a job. place: the folder as people know it, such as "the outbox Z:\\props"."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    details = {"errno": errno.errorcode.get(error.errno or 0, "unknown")}
    if error.errno in NO_SPACE:
        what = "quota" if error.errno == errno.EDQUOT else "space"
        return DiskFull(
            f"There is no {what} left on {place}.",
            suggestion="Free some space.",
            **details,
        )
    if error.errno == errno.EROFS:
        return ShareUnavailable(
            f"{place[0].upper()}{place[1:]} is read-only.",
            suggestion="Make it writable.",
            **details,
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return ShareUnavailable(
            f"The daemon may not write to {place}.",
            suggestion="Let the user of the daemon write there.",
            **details,
        )
    return ShareUnavailable(
        f"{place[0].upper()}{place[1:]} can't be used: {reason}.",
        suggestion="Check that the share is mounted and answers.",
        **details,
    )
