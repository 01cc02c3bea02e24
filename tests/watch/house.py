"""An inbox on a real folder, its watch, and what that said."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from config.sections import Inbox, Settings
from daemon.clock import SystemClock
from daemon.files import Files
from daemon.watch import Watch

VIEWS = ("multi_views", "depth_renders")


class House:
    """An inbox, its watch, and what the watch said."""

    def __init__(self, folder: Path, **watch: Any) -> None:
        self.root = folder / "inbox"
        (self.root / ".meshdrop").mkdir(parents=True)
        self.hints: list[str | None] = []
        self.clock = SystemClock()
        self.settings = Settings.model_validate({"watch": watch})
        self.inbox = Inbox(name="inbox", path=self.root, outbox=folder / "outbox")
        self.watch = Watch(self.inbox, self.settings, self.clock, Files(), self.hints.append)

    def until(self, so: Callable[[], object], within_s: float = 5.0) -> None:
        deadline_s = time.monotonic() + within_s
        while not so():
            assert time.monotonic() < deadline_s, (self.hints[-20:], self.watch.report())
            self.watch.step(self.clock.monotonic_s())
            time.sleep(0.005)

    def hears(self, change: Callable[[], object], entry: str | None) -> None:
        """The change is told of under this name."""
        self.hints.clear()
        change()
        self.until(lambda: entry in self.hints)


def bundle(folder: Path) -> Path:
    for views in VIEWS:
        (folder / views).mkdir(parents=True)
        (folder / views / "front.png").write_bytes(b"x")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def open_descriptors() -> int:
    return len(names(Path("/proc/self/fd")))
