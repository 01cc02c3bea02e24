"""What intake knows of one entry of its inbox, and what it remembers over restarts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from daemon.intake.completeness import Assessment, Memory

if TYPE_CHECKING:
    from daemon.store import EntryRecord, Job, Store


@dataclass
class Entry:
    """What intake knows of one entry. top: size and times at the last look. job: its newest, as last seen.

    tended: what that job's state asks for was done; tend_again_s: when it is to be tried again. asked_since_s: since
    when a `.cancel` waits to be confirmed. answered_s: when a marker was last answered. force: by a `.redo`.
    """

    name: str
    memory: Memory = field(default_factory=Memory)
    due_s: float = 0.0
    looked_s: float = float("-inf")
    top: tuple[int, int, int] | None = None
    answer: Assessment | None = None
    job: Job | None = None
    known: bool = False
    tended: bool = False
    tend_again_s: float | None = None
    asked_since_s: float | None = None
    answered_s: float = float("-inf")
    force: bool = False


class Records:
    """The store's records of what lies in one inbox, each read once: nobody else writes them while intake runs.

    What was archived is remembered in the store for good, and here no longer than it lies in the inbox.
    """

    def __init__(self, inbox: str, store: Store) -> None:
        self._inbox, self._store = inbox, store
        self._known: dict[str, EntryRecord | None] = {}

    def __len__(self) -> int:
        return len(self._known)

    def read(self, entries: Collection[str]) -> None:
        """Read what is remembered of many entries at once: cheaper than to ask for each."""
        self._known |= dict.fromkeys(entries) | self._store.entries(self._inbox, entries)

    def get(self, entry: str) -> EntryRecord | None:
        """What is remembered of an entry."""
        if entry not in self._known:
            self._known[entry] = self._store.entry(self._inbox, entry)
        return self._known[entry]

    def remember(self, entry: str, **values: Any) -> None:
        """Remember more of an entry."""
        self._known[entry] = self._store.remember(self._inbox, entry, **values)

    def drop(self, entry: str) -> None:
        """The entry lies here no more; the store remembers it."""
        self._known.pop(entry, None)

    def forget(self, entry: str) -> None:
        """Forget an entry that is gone, unless it was archived: what comes next under its name was dropped again."""
        if self.get(entry) is not None and not self.was_archived(entry):
            self._store.forget(self._inbox, entry)
        self.drop(entry)

    def was_archived(self, entry: str) -> bool:
        """Whether the entry's last bundle was archived."""
        record = self.get(entry)
        return record is not None and (record.note or "").startswith("archived ")
