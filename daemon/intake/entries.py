"""The entries of an inbox: which there are, as of the last scan, and when each is to be looked at next.

A scan of the top level is the truth, hints only make it sooner. Handled entries cost one lstat a scan, and a full look
now and then.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Final

import structlog

from config.sections import Inbox, Settings
from daemon.files import Files
from daemon.intake.beside import Beside
from daemon.intake.completeness import Verdict
from daemon.intake.entry import Entry, Records
from daemon.intake.follower import Follower
from daemon.intake.listing import sort_names
from daemon.states import State

if TYPE_CHECKING:
    from daemon.caretaker import Caretaker
    from daemon.store import Store

log = structlog.get_logger(__name__)

_SCAN_AFTER_HINT_S: Final = 0.3
_DEEP_LOOK_S: Final = 0.05  # a handled entry's full look is spread over so much time an entry
_FEW: Final = 200


class Entries:
    """One inbox's entries; `hint` and `hinted`, `get` and iteration from any thread, the rest from one."""

    def __init__(
        self,
        inbox: Inbox,
        settings: Settings,
        store: Store,
        files: Files,
        *,
        polling: Callable[[], bool],
        records: Records,
        follower: Follower,
        beside: Beside,
        caretaker: Caretaker,
    ) -> None:
        self._inbox, self._watch, self._store, self._files = inbox, settings.watch, store, files
        self._polling, self._records, self._follower = polling, records, follower
        self._beside, self._caretaker = beside, caretaker
        self._entries: dict[str, Entry] = {}
        self._due: list[tuple[float, str]] = []
        self._scan_s = float("-inf")
        self._scanned_s: float | None = None
        self._hints: set[str | None] = set()
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def get(self, name: str) -> Entry | None:
        """An entry by its raw name."""
        return self._entries.get(name)

    def remove(self, entry: Entry) -> None:
        """The entry was taken out of the inbox."""
        self._entries.pop(entry.name, None)

    @property
    def few(self) -> bool:
        """Whether there are so few that all of them can be gone through at any time."""
        return len(self._entries) <= _FEW

    # -- hints --------------------------------------------------------------------------------------------------

    def hint(self, name: str | None) -> None:
        """Something happened to an entry, or, with None, to who knows what."""
        with self._lock:
            self._hints.add(name)

    @property
    def hinted(self) -> bool:
        """Whether there are hints that were not taken yet."""
        with self._lock:
            return bool(self._hints)

    def take_hints(self, now_s: float) -> None:
        """Let hints make looks and scans sooner."""
        with self._lock:
            hints, self._hints = self._hints, set()
        for name in hints:
            if name is not None and name in self._entries:
                self.look_at(self._entries[name], now_s)
            elif name is None:
                self.scan_at(now_s)
            else:
                recent = self._scanned_s is not None and now_s - self._scanned_s < _SCAN_AFTER_HINT_S
                self.scan_at(now_s + _SCAN_AFTER_HINT_S if recent else now_s)

    # -- what is due --------------------------------------------------------------------------------------------

    @property
    def due_s(self) -> float:
        """When there is something to do: the next scan, or the next look at an entry."""
        return min(self._scan_s, self._due[0][0]) if self._due else self._scan_s

    def is_scan_due(self, now_s: float) -> bool:
        """Whether the inbox is to be scanned."""
        return now_s >= self._scan_s

    def scan_at(self, when_s: float) -> None:
        """Have the inbox scanned at a time, or sooner."""
        self._scan_s = min(self._scan_s, when_s)

    def look_at(self, entry: Entry, when_s: float) -> None:
        """Have an entry looked at at a time, or sooner."""
        if when_s < entry.due_s:
            entry.due_s = when_s
            heapq.heappush(self._due, (when_s, entry.name))

    def take_due(self, now_s: float) -> Entry | None:
        """The entry that is to be looked at first, which is due no more then; None where none is due yet."""
        while self._due and self._due[0][0] <= now_s:
            due_s, name = heapq.heappop(self._due)
            entry = self._entries.get(name)
            if entry is not None and entry.due_s == due_s:
                entry.due_s = float("inf")
                return entry
        return None

    # -- the scan -----------------------------------------------------------------------------------------------

    def scan(self, names: Collection[str], now_s: float) -> None:
        """Take in the names of the inbox's top level: new entries, those that went, those that look different."""
        listing = sort_names(names)
        first = self._scanned_s is None
        for gone in [name for name in self._entries if name not in listing.entries]:
            self._vanished(gone)
        for owner in self._beside.read(listing, now_s):
            if owner in self._entries:
                self.look_at(self._entries[owner], now_s)
        period_s = self._watch.poll_s if self._polling() else self._watch.rescan_s
        deep_s = max(self._watch.rescan_s, _DEEP_LOOK_S * len(self._entries))
        new = [name for name in listing.entries if name not in self._entries]
        self._records.read(new)
        had_jobs = self._store.entries_with_jobs(self._inbox.name, new)
        for name in listing.entries:
            entry = self._entries.get(name)
            if entry is None:
                known = name not in had_jobs and self._records.get(name) is None  # then there is nothing to recall
                entry = self._entries[name] = Entry(name, due_s=float("inf"), known=known)
                self.look_at(entry, now_s)
            elif self._is_open(entry) or now_s - entry.looked_s >= deep_s or self._top_of(name) != entry.top:
                self.look_at(entry, now_s)
        self._scanned_s, self._scan_s = now_s, now_s + period_s
        if first:
            self._caretaker.clear_leftovers(names, listing.entries)
            log.info("intake.scanned", inbox=self._inbox.name, entries=len(listing.entries))

    def _top_of(self, name: str) -> tuple[int, int, int] | None:
        try:
            status = self._files.lstat(self._inbox.path / name)
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def _is_open(self, entry: Entry) -> bool:
        """Whether an entry is looked at by every scan: something in it may change that its own times don't show."""
        if entry.answer is None or entry.job is None:
            return True
        failed = entry.job.state is State.FAILURE and self.few
        return failed or entry.answer.verdict is not Verdict.HANDLED

    def _vanished(self, name: str) -> None:
        """An entry is gone, and the share is not: its jobs go on, what lies beside it goes too."""
        entry = self._entries.pop(name)
        self._caretaker.forget(name)
        if entry.job is not None:
            self._follower.drop(entry.job)
        self._records.forget(name)
