"""watchdog's reader of the kernel's inotify queue, made to close what it opened.

This is watchdog's own lower half. Its observers watch a whole tree or none of it: archives would use up the machine's
watches, reading a file would raise events, and an overflow is told to nobody. Here every folder is chosen.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyEvent, InotifyFD, Mask, WatchDescriptor

__all__ = ["FOLDER_CHANGES", "CallbackId", "InotifyConstants", "InotifyEvent", "Reader", "WatchDescriptor"]

FOLDER_CHANGES: Final = Mask(
    # No IN_MODIFY: a growing file would flood the queue, and whether it grows is seen by looking.
    InotifyConstants.IN_CREATE
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MOVED_FROM
    | InotifyConstants.IN_MOVED_TO
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_ATTRIB
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_MOVE_SELF
    | InotifyConstants.IN_ONLYDIR
    | InotifyConstants.IN_DONT_FOLLOW
    | InotifyConstants.IN_EXCL_UNLINK
)


class Reader(InotifyFD):
    """A thread that reads one inotify queue, with a descriptor of its own."""

    def __init__(self, name: str) -> None:
        try:
            super().__init__()
        except OSError:  # the second descriptor was one too many
            with suppress(AttributeError):
                os.close(self._inotify_fd)
            raise
        self.name = name
        self._resources_open = True

    def run(self) -> None:
        """Read until stopped, and leave no descriptor open, however it ends."""
        try:
            super().run()
        finally:
            with self._lock:
                self._closed = True
                self._close_resources()

    def _close_resources(self) -> None:
        if self._resources_open:
            self._resources_open = False
            super()._close_resources()
