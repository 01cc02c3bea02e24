"""Whether the outboxes are there, for statuses: asked aside, since a share may never answer."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from config.errors import InfrastructureError
from config.sections import Settings
from daemon.aside import Aside
from daemon.clock import Clock
from daemon.files import Files
from daemon.roots import is_known, open_root

_ANSWER_WITHIN_S: Final = 10.0


class Outboxes:
    """Looks at every outbox now and then, also while nothing is to be published."""

    def __init__(self, settings: Settings, clock: Clock, files: Files) -> None:
        self._settings, self._clock, self._files = settings, clock, files
        self._asked: dict[Path, tuple[Aside[str | None], float]] = {}
        self._found: dict[Path, str | None] = {}
        self._due_s = float("-inf")

    def problems(self, now_s: float) -> dict[Path, str | None]:
        """What is wrong with each outbox, as of the last look; None where it is as it should be."""
        if now_s >= self._due_s:
            self._due_s = now_s + self._settings.watch.poll_s
            for outbox in dict.fromkeys(inbox.outbox for inbox in self._settings.all_inboxes):
                if outbox not in self._asked:
                    self._asked[outbox] = (Aside(lambda path=outbox: self._problem(path), None), now_s)  # type: ignore[misc]
        for outbox, (aside, since_s) in list(self._asked.items()):
            if aside.answered():
                self._found[outbox] = aside.answer
                del self._asked[outbox]
            elif now_s - since_s > _ANSWER_WITHIN_S:
                self._found[outbox] = f"The outbox {outbox} does not answer."
        return dict(self._found)

    def _problem(self, outbox: Path) -> str | None:
        state_dir = self._settings.state_dir
        try:
            if is_known(outbox, state_dir, self._files):
                open_root(outbox, "outbox", state_dir, self._files, self._clock)
        except InfrastructureError as error:
            return f"{error.message} {error.suggestion}".strip()
        except OSError as error:
            return f"The outbox {outbox} can't be read: {error.strerror}."
        return None
