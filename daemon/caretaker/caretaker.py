"""One inbox's caretaker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.sections import Inbox, Settings
from daemon.clock import Clock
from daemon.files import Files
from daemon.intake.snapshot import Snapshot

if TYPE_CHECKING:
    from daemon.store import Job, Store


class Caretaker:
    """Says how things stand in STATUS.txt, answers markers, archives what is finished. Never raises OSError."""

    def __init__(self, inbox: Inbox, settings: Settings, store: Store, clock: Clock, files: Files) -> None:
        self._inbox, self._settings, self._store = inbox, settings, store
        self._clock, self._files = clock, files

    def say(self, entry: str, sentence: str, job_id: str | None = None) -> None:
        """Put a sentence into the entry's STATUS.txt, unless it says so already."""
        raise NotImplementedError

    def tend(self, entry: str, snapshot: Snapshot, job: Job) -> None:
        """Do for an entry what its job's state asks for: say it, and once it is final, archive it or let it be."""
        raise NotImplementedError
