"""Locks that outlive no crash: the kernel lets go of them with the process, and the file names who holds it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from config.errors import ShareUnavailable, UsageError
from daemon.files import Files
from daemon.process import ProcessIdentity, this_process

_LARGEST_HOLDER: Final = 4096


class AlreadyLocked(UsageError):
    """Another process has it."""

    default_suggestion = "Stop the other one first, or give this one folders of its own."


class FileLock:
    """An exclusive lock on a file, held until `release` or the end of the process."""

    def __init__(self, path: Path, what: str = "", files: Files | None = None) -> None:
        """what: what the lock is for, as people say it: "the inbox /srv/inbox"."""
        self.path = path
        self._what = what or str(path)
        self._files = files or Files()
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds it."""
        return self._descriptor is not None

    def acquire(self) -> Self:
        """Take it at once.

        Raises AlreadyLocked, naming the holder; ShareUnavailable where the file can't be made or locked.
        """
        if self._descriptor is not None:
            return self
        descriptor = None
        try:
            descriptor = self._files.open_lock(self.path)
            taken = self._files.try_lock(descriptor)
        except OSError as error:
            if descriptor is not None:
                self._files.close(descriptor)
            raise ShareUnavailable(
                f"{self.path}: can't be locked: {error.strerror}.",
                suggestion=f"Check that this user may write to {self.path.parent}.",
                path=str(self.path),
            ) from error
        if not taken:
            self._files.close(descriptor)
            raise self._already_locked()
        self._descriptor = descriptor
        with suppress(OSError):  # the lock holds all the same; a full disk must not keep the daemon from starting
            self._files.rewrite(descriptor, json.dumps(_holder()).encode())
        return self

    def release(self) -> None:
        """Give it back. The file stays: removing it would let two processes lock two files of one name."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        with suppress(OSError):
            self._files.rewrite(descriptor, b"")
        self._files.close(descriptor)

    def holder(self) -> dict[str, Any] | None:
        """Who wrote its name in the file last and has not given the lock back; None where nobody or not readable."""
        try:
            with self._files.reading(self.path) as file:
                holder = json.loads(file.read(_LARGEST_HOLDER))
        except (OSError, ValueError):
            return None
        return holder if isinstance(holder, dict) else None

    def _already_locked(self) -> AlreadyLocked:
        holder = self.holder() or {}
        who = "another process"
        if holder.get("pid"):
            who = f"process {holder['pid']} on {holder.get('host') or 'another machine'}"
            if holder.get("command"):
                who += f" ({holder['command']})"
        return AlreadyLocked(
            f"{self._what[:1].upper()}{self._what[1:]} is in use by {who}.", path=str(self.path), holder=holder
        )

    def __enter__(self) -> Self:
        """Take it."""
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self.release()


def gpu_lock_path(gpu: str) -> Path:
    """Where the lock of a GPU lies, given its UUID or index: the same for all users of this machine."""
    folder = Path("/run/lock")
    if not os.access(folder, os.W_OK):
        folder = Path(tempfile.gettempdir())
    safe = "".join(character if character.isalnum() else "-" for character in gpu)[:64]
    return folder / f"meshdrop-gpu-{safe}.lock"


def _holder() -> dict[str, Any]:
    command = " ".join([Path(sys.argv[0] or "python").name, *sys.argv[1:]])
    return {**this_process().as_json(), "command": command[:200]}


def holder_alive(holder: dict[str, Any]) -> bool:
    """Whether the process that a lock file names runs on this machine."""
    return ProcessIdentity.from_json(holder).alive
