"""Every call to the file system that the daemon makes, in one place that tests can replace or break.

Paths are `Path`s whose names may hold surrogate escapes: names that are no UTF-8 stay what they are. Nothing here
follows a symbolic link at a path's last part. All methods raise OSError as the system does.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


class NotRegular(OSError):
    """A path that should be a regular file is something else: a link, a FIFO, a device, a folder."""


class Files:
    """The machine's file system."""

    def names(self, folder: Path) -> list[str]:
        """The names in a folder, sorted."""
        return sorted(os.listdir(folder))  # noqa: PTH208 - names, not paths

    def folders(self, folder: Path) -> list[str]:
        """The names of the folders in a folder; links to folders are none."""
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]

    def lstat(self, path: Path) -> os.stat_result:
        """What a path is, links not followed."""
        return os.lstat(path)

    def fstat(self, file: BinaryIO) -> os.stat_result:
        """What an open file is."""
        return os.fstat(file.fileno())

    def exists(self, path: Path) -> bool:
        """Whether there is anything at a path, a broken link included."""
        try:
            self.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def statvfs(self, path: Path) -> os.statvfs_result:
        """What the file system under a path has."""
        return os.statvfs(path)

    @contextmanager
    def reading(self, path: Path) -> Iterator[BinaryIO]:
        """A regular file, opened to be read; raises NotRegular for anything else, without waiting on it."""
        descriptor = os.open(path, _READ_FLAGS)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise NotRegular(0, "is not a regular file", str(path))
            file = os.fdopen(descriptor, "rb", buffering=0)
        except BaseException:
            os.close(descriptor)
            raise
        with file:
            yield file

    @contextmanager
    def writing(self, path: Path, mode: int = 0o666, *, durable: bool = True) -> Iterator[BinaryIO]:
        """A new file, opened to be written; on the disk when the block ends. Raises FileExistsError."""
        descriptor = os.open(path, _WRITE_FLAGS, mode)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if durable:
                self.fsync(file)

    def fsync(self, file: BinaryIO) -> None:
        """Wait until a file's bytes are on the disk."""
        os.fsync(file.fileno())

    def fsync_folder(self, folder: Path) -> None:
        """Wait until a folder's names are on the disk; file systems that can't say so are believed."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with suppress(OSError):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def replace(self, path: Path, data: bytes, mode: int = 0o666, *, durable: bool = True) -> None:
        """Write a file beside `path` and rename it there: readers see the old or the new one, whole."""
        beside = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.tmp")
        try:
            with self.writing(beside, mode, durable=durable) as file:
                file.write(data)
            self.rename(beside, path)
        except BaseException:
            with suppress(OSError):
                self.unlink(beside)
            raise

    def open_lock(self, path: Path) -> int:
        """A lock file, made where it is missing, as a descriptor for `try_lock`, `rewrite` and `close`.

        Another user's is opened to be read, which is enough to lock it.
        """
        flags = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o644)
        except PermissionError:
            return os.open(path, os.O_RDONLY | flags)

    def try_lock(self, descriptor: int) -> bool:
        """Lock a file for this descriptor alone, at once; False where another one has it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def rewrite(self, descriptor: int, data: bytes) -> None:
        """Replace the content of a small file that is open."""
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, data, 0)

    def close(self, descriptor: int) -> None:
        """Close a descriptor; a lock on it ends."""
        os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Rename within one file system; an existing file or empty folder at `target` is replaced."""
        source.rename(target)

    def rename_new(self, source: Path, target: Path) -> None:
        """Rename to a name that nothing has.

        Raises FileExistsError where there is anything, an empty folder or a broken link too. File systems that can't
        do both at once are asked first.
        """
        if not _rename_exclusively(source, target):
            if self.exists(target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
            source.rename(target)

    def mkdir(self, folder: Path, mode: int = 0o777) -> None:
        """Make one folder."""
        folder.mkdir(mode)

    def unlink(self, path: Path) -> None:
        """Remove a file or link."""
        path.unlink()

    def rmdir(self, folder: Path) -> None:
        """Remove an empty folder."""
        folder.rmdir()

    def remove_tree(self, folder: Path) -> None:
        """Remove a folder and all that is in it; links in it are removed, not followed."""
        shutil.rmtree(folder)

    def chmod(self, path: Path, mode: int) -> None:
        """Set a mode."""
        path.chmod(mode)

    def owner_name(self, uid: int) -> str:
        """A user's name, the number where it has none."""
        try:
            return pwd.getpwuid(uid).pw_name
        except (KeyError, OSError):
            return str(uid)

    def chown(self, path: Path, group: str) -> None:
        """Set the group."""
        shutil.chown(path, group=group)


def _rename_exclusively(source: Path, target: Path) -> bool:
    """renameat2(2) with RENAME_NOREPLACE, which Python lacks; False where the system or the file system lacks it."""
    import ctypes

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(source), None, str(target))
