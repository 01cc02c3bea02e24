"""Puts results from the spool into the outbox."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from config.sections import Settings
from daemon.clock import Clock
from daemon.files import Files

if TYPE_CHECKING:
    from daemon.store import Store


class Publisher:
    """Publishes the jobs that are PUBLISHING, and those HELD on the way, one at a time."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        files: Files,
        on_change: Callable[[], None],
        *,
        inboxes: Collection[str] | None = None,
    ) -> None:
        """inboxes: the names of those whose jobs are published; all where None (one publisher a frozen share)."""

    def step(self, now_s: float) -> float:
        """Do what is due; the seconds until there may be more. `now_s`: the monotonic clock's time."""
        raise NotImplementedError
