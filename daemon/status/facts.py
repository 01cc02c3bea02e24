"""What the daemon finds out for statuses and metrics besides its jobs: free space, the GPU, how often it was started.

A share that hangs hangs whoever asks for its free space, and nvidia-smi can hang too: each is asked aside.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from config.sections import Settings
from daemon.aside import Aside
from daemon.files import Files
from daemon.status.health import ask_gpu

if TYPE_CHECKING:
    from daemon.store import DaemonReport

_SPACE_EVERY_S: Final = 15.0
_GPU_EVERY_S: Final = 60.0
_FORGOTTEN_AFTER_S: Final = 60.0
_GPU: Final = "gpu"


class Facts:
    """Asks now and then, and never waits for an answer.

    Args:
        last: what the daemon before this one left; its counts go on.

    """

    def __init__(
        self,
        settings: Settings,
        files: Files,
        last: DaemonReport | None,
        gpu: Callable[[], Any] = ask_gpu,
    ) -> None:
        self._settings, self._files, self._gpu = settings, files, gpu
        self._asked: dict[Hashable, tuple[Aside[Any], float]] = {}
        self._found: dict[Hashable, tuple[Any, float]] = {}
        counts = dict(last.facts) if last else {}
        self._starts = int(counts.get("starts", 0)) + 1
        self._crashes = int(counts.get("crashes", 0)) + (last is not None and last.state != "stopped")

    def look(self, now_s: float) -> dict[str, Any]:
        """What is known now: `free` (bytes by path), `gpu`, and how often the daemon `starts` and `crashes`."""
        self._collect(now_s)
        folders = [self._settings.state_dir]
        for inbox in self._settings.all_inboxes:
            folders += [inbox.path, inbox.outbox]
        for folder in dict.fromkeys(folders):
            self._ask(folder, lambda folder=folder: self._free(folder), _SPACE_EVERY_S, now_s)  # type: ignore[misc]
        self._ask(_GPU, self._gpu, _GPU_EVERY_S, now_s)
        free = {str(folder): self._found[folder][0] for folder in folders if folder in self._found}
        gpu = self._found.get(_GPU, ({}, 0.0))[0]
        return {"free": free, "gpu": gpu or {}, "starts": self._starts, "crashes": self._crashes}

    def _ask(self, what: Hashable, question: Callable[[], Any], every_s: float, now_s: float) -> None:
        since_s = self._found[what][1] if what in self._found else float("-inf")
        if what not in self._asked and now_s - since_s >= every_s:
            self._asked[what] = (Aside(question, None), now_s)

    def _collect(self, now_s: float) -> None:
        for what, (aside, _) in list(self._asked.items()):
            if aside.answered():
                self._found[what] = (aside.answer, now_s)
                del self._asked[what]
        for what, (_, since_s) in list(self._found.items()):
            if now_s - since_s > _FORGOTTEN_AFTER_S + _GPU_EVERY_S:  # it hangs: what was true then is no news
                del self._found[what]

    def _free(self, folder: Path) -> int | None:
        try:
            space = self._files.statvfs(folder)
        except OSError:
            return None
        return space.f_bavail * space.f_frsize
