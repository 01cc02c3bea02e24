"""The copies that jobs run on: the next few jobs' inputs, copied off the share and hashed again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from config import sections
from config.sections import Settings
from daemon.clock import Clock
from daemon.files import Files

if TYPE_CHECKING:
    from daemon.store import Store

RootCheck = Callable[[sections.Inbox], str | None]
"""None where an inbox's share is there, else a sentence that says what is wrong with it."""


class Spooler:
    """Copies the next jobs' inputs to `state_dir/spool/<job>/input`.

    Args:
        roots: tells whether an inbox's share is there; asked before a missing folder is believed to be removed.
        on_change: called after each change of a job, to wake the runner.

    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        files: Files,
        roots: RootCheck,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        raise NotImplementedError

    def step(self, now_s: float) -> float:
        """Do what is due; seconds until this wants to be called again."""
        raise NotImplementedError

    def reload(self, settings: Settings) -> None:
        """Use other settings from the next step on."""
        raise NotImplementedError

    def shutdown(self) -> None:
        """Stop copying soon; thread-safe."""
        raise NotImplementedError
