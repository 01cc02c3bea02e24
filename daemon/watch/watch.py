"""The supervisor of an inbox's watch: begins it, sees when it fails, says so, polls meanwhile and begins again.

What polls is intake itself, which scans each `watch.poll_s` while `polling()` says so.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from config.sections import Inbox, Settings
from daemon.clock import Clock
from daemon.files import Files
from daemon.mounts import mount_of, watch_mode
from daemon.watch.canary import Canary
from daemon.watch.report import WatchReport
from daemon.watch.tree import PRIVATE, FolderTree

_ROOT_EVERY_S: Final = 1.0
_BACKOFF_S: Final = (1.0, 5.0, 15.0, 60.0)
_LIMIT_REMEDY: Final = (
    "Raise the limit: `sudo sysctl -w fs.inotify.{name}={value}`, and put `fs.inotify.{name} = {value}` in "
    "/etc/sysctl.d/60-meshdrop.conf to keep it."
)
_WATCHES_REMEDY: Final = _LIMIT_REMEDY.format(name="max_user_watches", value=1048576)
_INSTANCES_REMEDY: Final = _LIMIT_REMEDY.format(name="max_user_instances", value=1024)

_LATE: Final = "A test file was written and no event came within 10 s."

log = structlog.get_logger(__name__)


class Watch:
    """Watches one inbox. `step` is called from one thread; `polling` and `report` from any."""

    def __init__(
        self,
        inbox: Inbox,
        settings: Settings,
        clock: Clock,
        files: Files,
        on_hint: Callable[[str | None], None],
    ) -> None:
        """on_hint: told the name of the entry to look at, or None for all; from another thread, must not block."""
        self._inbox, self._settings, self._clock, self._files, self._on_hint = inbox, settings, clock, files, on_hint
        self._canary = Canary(inbox.path / PRIVATE, files, clock, settings.watch.rescan_s)
        self._tree: FolderTree | None = None
        self._root: tuple[int, int] | None = None
        self._doubted = False  # a canary was late: polled as well until one arrives
        self._running = False
        self._failures = 0
        self._overflows = 0
        self._next_s = self._look_s = 0.0
        self._report = WatchReport("polling", "Watching has not begun yet.", False, None, None)

    def start(self) -> None:
        """Begin to watch."""
        if self._running:
            return
        self._running = True
        self._canary.sweep()
        self._begin(self._clock.monotonic_s())

    def stop(self) -> None:
        """Stop to watch; no hint comes afterwards."""
        self._running = False
        self._end()
        self._canary.soon()

    def polling(self) -> bool:
        """Whether the inbox has to be scanned each `watch.poll_s`, because events can't be relied on."""
        return self._report.mode == "polling"

    def report(self) -> WatchReport:
        """How it is watched now."""
        tree = self._tree
        return replace(
            self._report,
            folders=tree.size if tree is not None else 0,
            overflows=self._overflows + (tree.overflows if tree is not None else 0),
        )

    def step(self, now_s: float) -> float:
        """See whether all is well, and mend what is not; the seconds until the next look."""
        if not self._running:
            return self._settings.watch.rescan_s
        if self._tree is not None:
            self._tend(self._tree, now_s)
        if self._tree is None and now_s >= self._next_s:
            self._begin(now_s)
        if self._tree is None:
            return max(0.0, self._next_s - now_s)
        due_s = max(0.0, self._look_s - now_s)
        return min(due_s, self._canary.due_in_s(now_s)) if self._settings.watch.canary else due_s

    # -- beginning and ending -----------------------------------------------------------------------------------

    def _begin(self, now_s: float) -> None:
        """Watch in the way that the file system and the settings ask for, or poll and say why."""
        path, rescan_s = self._inbox.path, self._settings.watch.rescan_s
        self._next_s = now_s + rescan_s
        identity = self._identity()
        if identity is None:
            self._next_s = now_s + _ROOT_EVERY_S
            self._poll(f"The folder {path} is not there.", "Mount the share again, or make the folder.")
            return
        mode, why = self._wanted()
        if mode == "polling":
            self._next_s = now_s + self._settings.watch.poll_s  # another file system may be mounted meanwhile
            self._say("polling", why, healthy=True)
            return
        try:
            self._tree = FolderTree(Path(os.path.realpath(path)), self._files, self._on_hint, self._canary.seen)
        except Exception as error:  # a machine without inotify, say: whatever it is, polling works
            self._retry(error, now_s)
            return
        self._root, self._look_s = identity, now_s + _ROOT_EVERY_S
        self._canary.soon()
        if self._doubted:
            self._poll(_LATE, None)
        else:
            self._say("inotify", why, healthy=True)
        self._on_hint(None)  # nobody tells what happened before

    def _wanted(self) -> tuple[str, str]:
        mount, wish = mount_of(self._inbox.path), self._settings.watch.mode
        if wish != "auto":
            return wish, f'The setting watch.mode = "{wish}" says so.'
        if watch_mode(mount.type) == "inotify":
            return "inotify", f"It lies on {mount.type}, where every change raises an event."
        return "polling", f"It lies on {mount.type}, where what other machines write raises no event here."

    def _end(self) -> None:
        if self._tree is not None:
            self._overflows += self._tree.overflows
            self._tree.close()
            self._tree = None

    def _retry(self, error: Exception, now_s: float) -> None:
        """Poll until it works again."""
        number = error.errno if isinstance(error, OSError) else None
        wait_s = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
        self._failures += 1
        if number == errno.EMFILE:
            why, remedy = (
                "The machine's limit of inotify instances (or of this process's open files) is reached.",
                (_INSTANCES_REMEDY),
            )
        elif number in (errno.ENOSPC, errno.ENOMEM, errno.ENFILE):
            why, remedy = "The machine's limit of inotify watches is reached.", _WATCHES_REMEDY
        elif isinstance(error, PermissionError):
            why, remedy = f"The folder {self._inbox.path} may not be read.", "Let the daemon's user read the folder."
        else:
            why, remedy = f"Watching failed: {error}.", None
        if remedy is not None:
            wait_s = self._settings.watch.rescan_s
        self._next_s = now_s + wait_s
        self._poll(why, remedy)

    # -- while it runs ------------------------------------------------------------------------------------------

    def _tend(self, tree: FolderTree, now_s: float) -> None:
        failure = tree.failure
        if failure is not None:
            log.warning("watch.failed", inbox=self._inbox.name, error=str(failure))
            self._end()
            self._retry(failure, now_s)
            self._on_hint(None)
            return
        if tree.take_overflow():
            log.warning("watch.overflow", inbox=self._inbox.name, what="events were lost; everything is looked at")
            try:
                tree.watch_all()  # folders that came while events were lost are not watched yet
            except OSError as error:
                self._end()
                self._retry(error, now_s)
            self._on_hint(None)
        if tree.root_lost or (now_s >= self._look_s and self._identity() != self._root):
            self._end()
            self._on_hint(None)
            self._next_s = now_s  # look at once whether it is back already
            return
        if now_s >= self._look_s:
            self._look_s = now_s + _ROOT_EVERY_S
        if self._settings.watch.canary and self._tree is not None:
            self._judge(self._canary.step(now_s), now_s)

    def _judge(self, arrived: bool | None, now_s: float) -> None:
        if arrived is True:
            self._failures = 0
            if self._doubted:
                self._doubted = False
                self._on_hint(None)
            self._say("inotify", self._wanted()[1], healthy=True)
        elif arrived is False:
            # A reader that hangs is replaced; where even the new one hears nothing, polling goes on.
            first = not self._doubted
            self._doubted = True
            self._poll(_LATE, None)
            self._on_hint(None)
            if first:
                self._end()
                self._next_s = now_s

    def _identity(self) -> tuple[int, int] | None:
        """Which folder lies at the inbox's path now; the path itself may be a link."""
        try:
            facts = self._files.lstat(Path(os.path.realpath(self._inbox.path)))
        except OSError:
            return None
        return facts.st_dev, facts.st_ino

    # -- saying -------------------------------------------------------------------------------------------------

    def _poll(self, why: str, remedy: str | None) -> None:
        self._say("polling", why, healthy=False, remedy=remedy)

    def _say(self, mode: str, why: str, *, healthy: bool, remedy: str | None = None) -> None:
        before = self._report
        self._report = WatchReport(
            mode="inotify" if mode == "inotify" else "polling",
            why=why,
            healthy=healthy,
            remedy=remedy,
            detection_latency_s=self._canary.latency_s if mode == "inotify" else None,
        )
        if (before.mode, before.why) != (self._report.mode, why):
            tell = log.info if healthy else log.warning
            tell("watch.mode", inbox=self._inbox.name, mode=mode, why=why, **({"remedy": remedy} if remedy else {}))
