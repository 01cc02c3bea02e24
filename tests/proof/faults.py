"""A file system that fails, or a process that dies, at the Nth call."""

from __future__ import annotations

import inspect
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import daemon.files
from daemon.files import Files
from tests.daemon_stand_in import ROOT

FILES = daemon.files.__file__
DAEMON = f"{ROOT / 'daemon'}/"


class Killed(BaseException):
    """The process is gone; nothing of it does anything any more."""


class _File:
    """An open file whose reads and writes are calls, too."""

    def __init__(self, file: BinaryIO, path: Path, files: FaultyFiles) -> None:
        self._file, self._path, self._files = file, path, files

    def read(self, size: int = -1) -> bytes:
        self._files.call("read", self._path, named=False)
        return self._file.read(size)

    def write(self, data: Any) -> int:
        self._files.call("write", self._path, named=False)
        return self._file.write(data)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class FaultyFiles(Files):
    """The real file system, until call `at`.

    times: so many calls from there on fail; None: all, until `mend`. where: only calls below this folder count.
    role: says what a path is, whichever bundle it belongs to; asked for `points` and `fail_at_point`.
    points: every point that was passed, while it is a dict: how often.
    """

    def __init__(self) -> None:
        self.mend()
        self.calls = 0
        self.hit: tuple[str, Path] | None = None
        self.where: Path | None = None
        self.role: Callable[[Path], str] = str
        self.points: Counter[str] | None = None
        self._locks: set[int] = set()
        self.dead = False

    def mend(self) -> None:
        self.at: int | None = None
        self.error: Callable[[], BaseException] = OSError
        self.times: int | None = 1
        self.point: str | None = None

    def fail_at_point(self, point: str, error: Callable[[], BaseException]) -> None:
        """Let the first call at a point fail."""
        self.calls, self.at, self.error, self.times, self.hit, self.point = 0, None, error, 1, None, point

    def fail(self, at: int, error: Callable[[], BaseException], times: int | None = 1) -> None:
        self.calls, self.at, self.error, self.times, self.hit = 0, at, error, times, None

    def revive(self) -> None:
        """As after a restart: the kernel has closed what the dead process held."""
        for descriptor in self._locks:
            with suppress(OSError):
                os.close(descriptor)
        self._locks.clear()
        self.dead = False
        self.mend()

    def call(self, name: str, path: Path, *, named: bool = True) -> None:
        if self.dead:
            raise Killed
        if self.where is not None and not path.is_relative_to(self.where):
            return
        self.calls += 1
        if self.points is not None or self.point is not None:
            here = _point(name, self.role(path))
            if self.points is not None:
                self.points[here] += 1
            if here == self.point:
                self.at, self.point = self.calls, None
        if self.at is None or self.calls < self.at or (self.times is not None and self.calls >= self.at + self.times):
            return
        if self.hit is None:
            self.hit = (name, path)
        error = self.error()
        self.dead = isinstance(error, Killed)
        if isinstance(error, OSError) and named:
            error.filename = str(path)
        raise error

    @contextmanager
    def reading(self, path: Path) -> Iterator[BinaryIO]:
        self.call("open", path)
        with super().reading(path) as file:
            yield _File(file, path, self)  # type: ignore[misc]

    @contextmanager
    def writing(self, path: Path, mode: int = 0o666, *, durable: bool = True) -> Iterator[BinaryIO]:
        self.call("create", path)
        with super().writing(path, mode, durable=False) as file:
            yield _File(file, path, self)  # type: ignore[misc]
            if durable:
                self.call("fsync", path, named=False)
        self.call("close", path, named=False)

    def fsync(self, file: BinaryIO) -> None:
        path = file._path if isinstance(file, _File) else Path(str(getattr(file, "name", "")))
        self.call("fsync", path, named=False)

    def fsync_folder(self, folder: Path) -> None:
        self.call("fsync_folder", folder)
        self.lstat(folder)

    def fstat(self, file: BinaryIO) -> os.stat_result:
        self.call("fstat", file._path if isinstance(file, _File) else Path(), named=False)
        return os.fstat(file.fileno())

    def open_lock(self, path: Path) -> int:
        self.call("open_lock", path)
        descriptor = super().open_lock(path)
        self._locks.add(descriptor)
        return descriptor

    def close(self, descriptor: int) -> None:
        self._locks.discard(descriptor)
        super().close(descriptor)


def _point(name: str, role: str) -> str:
    """A call as the program's text sees it: what, on which kind of path, and the lines that led to it."""
    lines = []
    frame = inspect.currentframe()
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(DAEMON) and file != FILES:
            lines.append(f"{file[len(DAEMON) :]}:{frame.f_lineno}")
        frame = frame.f_back
    return f"{name} {role} < {' < '.join(lines)}"


def _faulty(name: str) -> Any:
    real = getattr(Files, name)

    def call(self: FaultyFiles, path: Path, *rest: Any, **more: Any) -> Any:
        if name.startswith("rename") and self.where is not None and rest[0].is_relative_to(self.where):
            self.call(name, rest[0])
        else:
            self.call(name, path)
        return real(self, path, *rest, **more)

    return call


for _name in (
    "names", "folders", "lstat", "statvfs", "rename", "rename_new", "mkdir", "unlink", "rmdir", "remove_tree",
    "chmod", "chown",
):  # fmt: skip
    setattr(FaultyFiles, _name, _faulty(_name))
