"""Which folders of an inbox are watched, and what their events mean: the name of the entry to look at, no more.

Watched are the inbox, its entries and the folders in them as deep as a bundle goes; not the archives and what systems
leave behind. Watching ends where an entry holds more folders than any bundle: the scan sees the rest.
"""

from __future__ import annotations

import errno
import itertools
import os
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from config.bundle_layout import is_junk
from daemon.files import Files
from daemon.logs import one_line

if TYPE_CHECKING:
    from daemon.watch.reader import CallbackId, InotifyEvent, Reader, WatchDescriptor

PRIVATE: Final = ".meshdrop"
ARCHIVES: Final = frozenset({"_done", "_failed", "_cancelled"})
OWN_NOTICE: Final = "STATUS.txt"
CANARY: Final = "canary-"

_DEEPEST: Final = 4  # inbox / entry / wrapping / wrapping / multi_views
_MOST_IN_AN_ENTRY: Final = 64
_LIMITS: Final = (errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Folder:
    path: Path
    entry: str | None  # None: the inbox itself
    depth: int  # 0: the inbox
    callback: CallbackId


class FolderTree:
    """The watched folders of one inbox. `on_change` and `on_canary` are called in the reader's thread."""

    def __init__(
        self,
        root: Path,
        files: Files,
        on_change: Callable[[str | None], None],
        on_canary: Callable[[str], None],
    ) -> None:
        """Raise OSError where the root can't be watched, or the machine's limits are reached."""
        from daemon.watch.reader import FOLDER_CHANGES, Reader
        from daemon.watch.reader import InotifyConstants as Constants

        self._files, self._on_change, self._on_canary = files, on_change, on_canary
        self._mask = FOLDER_CHANGES
        self._is_folder = Constants.IN_ISDIR
        self._comes = Constants.IN_CREATE | Constants.IN_MOVED_TO
        self._goes = Constants.IN_MOVED_FROM
        self._ends = Constants.IN_DELETE_SELF | Constants.IN_MOVE_SELF | Constants.IN_UNMOUNT
        self._lock = threading.RLock()
        self._folders: dict[WatchDescriptor, _Folder] = {}
        self._of_entry: defaultdict[str | None, set[WatchDescriptor]] = defaultdict(set)
        self._callbacks = itertools.count(1)
        self._overflowed = False
        self._closing = False
        self._failure: Exception | None = None
        self.root = root
        self.root_lost = False
        self.overflows = 0
        self._reader: Reader = Reader(f"watch:{one_line(root.name)}")
        self._reader.start()
        try:
            self.watch_all()
        except BaseException:
            self.close()
            raise

    def watch_all(self) -> None:
        """Watch every folder that is there, those that are watched already too."""
        if not self._watch(self.root, None, 0):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.root))
        for name in self._files.folders(self.root):
            self._watch_entry(name)

    def close(self) -> None:
        """Stop to watch."""
        self._closing = True
        self._reader.stop()
        if self._reader.is_alive():
            self._reader.join(5.0)

    @property
    def size(self) -> int:
        """How many folders are watched."""
        return len(self._folders)

    @property
    def failure(self) -> Exception | None:
        """Why it no longer works; None while it does."""
        if self._failure is None and not self._reader.is_alive():
            return RuntimeError("the thread that reads events has ended")
        return self._failure

    @property
    def at_limit(self) -> bool:
        """Whether it is the machine's limits that it failed on."""
        return isinstance(self._failure, OSError) and self._failure.errno in _LIMITS

    def take_overflow(self) -> bool:
        """Whether events were lost since the last call."""
        overflowed, self._overflowed = self._overflowed, False
        return overflowed

    # -- called by the reader, in its thread: must not raise, or the thread ends ----------------------------------

    def on_event(self, event: InotifyEvent) -> None:
        """Understand one event."""
        try:
            self._understand(event)
        except Exception as error:  # the supervisor begins anew; a dead thread would tell nobody
            self._fail(error)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Forget a folder that is gone."""
        with self._lock:
            folder = self._folders.pop(wd, None)
            if folder is None or self._closing:
                return
            self._of_entry[folder.entry].discard(wd)
            if folder.entry is not None and not self._of_entry[folder.entry]:
                del self._of_entry[folder.entry]
        if folder.depth == 0:
            self._lose_root()

    def on_queue_overflow(self) -> None:
        """Ask for a scan: the kernel dropped events."""
        self.overflows += 1
        self._overflowed = True
        self._on_change(None)

    def _understand(self, event: InotifyEvent) -> None:
        with self._lock:
            folder = self._folders.get(event.wd)
        if folder is None:
            return
        if not event.name:
            if folder.depth == 0 and event.mask & self._ends:
                self._lose_root()
            return
        name = os.fsdecode(event.name)
        entry = name if folder.entry is None else folder.entry
        if entry == PRIVATE:
            if name.startswith(CANARY) and event.mask & self._comes:
                self._on_canary(name)
            elif folder.depth == 0 and event.mask & self._comes:
                self._watch_entry(name)
            return
        if entry in ARCHIVES:
            return
        if event.mask & self._is_folder:
            if event.mask & self._goes:
                self._unwatch(entry, folder.path / name)
            elif event.mask & self._comes:
                # First watch, then tell: what was written before the watch is found by the look that follows.
                if folder.depth == 0:
                    self._watch_entry(name)
                else:
                    self._watch_below(folder.path / name, entry, folder.depth + 1)
        elif OWN_NOTICE in name:
            return  # the daemon's own writing
        self._on_change(entry)

    def _lose_root(self) -> None:
        self.root_lost = True
        self._on_change(None)

    def _fail(self, error: Exception) -> None:
        if not self._closing:
            self._failure = error
            self._on_change(None)

    # -- folders ------------------------------------------------------------------------------------------------

    def _watch_entry(self, name: str) -> None:
        if name == PRIVATE:
            self._watch(self.root / name, name, 1)
        elif name not in ARCHIVES and not is_junk(name):
            self._watch_below(self.root / name, name, 1)

    def _watch_below(self, path: Path, entry: str, depth: int) -> None:
        waiting = [(path, depth)]
        while waiting and len(self._of_entry.get(entry, ())) < _MOST_IN_AN_ENTRY:
            path, depth = waiting.pop()
            if self._watch(path, entry, depth) and depth < _DEEPEST:
                try:
                    below = self._files.folders(path)
                except OSError:
                    continue  # gone or not readable: the scan will say
                waiting += [(path / name, depth + 1) for name in below if not is_junk(name)]

    def _watch(self, path: Path, entry: str | None, depth: int) -> bool:
        """Watch one folder; False where that is not permitted or it is gone."""
        with self._lock:
            callback = self._reader_id()
            try:
                wd = self._reader.add_callback(os.fsencode(path), self._mask, self, callback)
            except OSError as error:
                if error.errno in _LIMITS or depth == 0:
                    raise
                return False
            before = self._folders.pop(wd, None)
            if before is not None:  # the same folder, known under an older name
                self._of_entry[before.entry].discard(wd)
                self._reader.remove_callbacks([(wd, before.callback)])
            if wd < 0:  # watchdog's answer where reading is not permitted
                self._reader.remove_callbacks([(wd, callback)])
                return False
            self._folders[wd] = _Folder(path, entry, depth, callback)
            self._of_entry[entry].add(wd)
        return True

    def _unwatch(self, entry: str, path: Path) -> None:
        """Forget a folder that was moved away, and those in it: they are elsewhere now, under other names."""
        with self._lock:
            gone = [wd for wd in self._of_entry.get(entry, ()) if self._folders[wd].path.is_relative_to(path)]
            callbacks = [(wd, self._folders.pop(wd).callback) for wd in gone]
            self._of_entry[entry].difference_update(gone)
            if not self._of_entry[entry]:
                del self._of_entry[entry]
        self._reader.remove_callbacks(callbacks)

    def _reader_id(self) -> CallbackId:
        return next(self._callbacks)  # type: ignore[return-value]
