"""What intake knows of one entry of its inbox, and what it remembers over restarts."""

from __future__ import annotations

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
    """The store's records of one inbox's entries, read once: nobody else writes them while intake runs."""

    def __init__(self, inbox: str, store: Store) -> None:
        self._inbox, self._store = inbox, store
        self._known: dict[str, EntryRecord] | None = None

    def get(self, entry: str) -> EntryRecord | None:
        """What is remembered of an entry."""
        if self._known is None:
            self._known = {record.entry: record for record in self._store.entries(self._inbox)}
        return self._known.get(entry)

    def remember(self, entry: str, **values: Any) -> None:
        """Remember more of an entry."""
        record = self._store.remember(self._inbox, entry, **values)
        if self._known is not None:
            self._known[entry] = record

    def reread(self, entry: str) -> None:
        """Somebody else has written: the caretaker, in this thread."""
        record = self._store.entry(self._inbox, entry)
        if self._known is not None and record is not None:
            self._known[entry] = record

    def forget(self, entry: str) -> None:
        """Forget an entry that is gone, unless it was archived: what comes next under its name was dropped again."""
        if self.get(entry) is not None and not self.was_archived(entry):
            self._store.forget(self._inbox, entry)
            if self._known is not None:
                del self._known[entry]

    def was_archived(self, entry: str) -> bool:
        """Whether the entry's last bundle was archived."""
        record = self.get(entry)
        return record is not None and (record.note or "").startswith("archived ")
