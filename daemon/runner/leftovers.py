"""Processes that a worker has started and left behind, found by a mark in their environment."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

VARIABLE: Final = "_MESHDROP_WORKER"
"""Every process below a worker inherits it, in whatever group or session it runs."""


def find_marked(mark: str, but: int | None = None) -> list[int]:
    """The processes of this user that carry a worker's mark. but: the worker itself."""
    wanted = f"{VARIABLE}={mark}".encode()
    found = []
    for name in os.listdir("/proc") if Path("/proc/self/environ").exists() else []:  # noqa: PTH208 - names
        if not name.isdigit() or int(name) in (but, os.getpid()):
            continue
        with suppress(OSError):  # it has ended, or is another user's
            if wanted in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                found.append(int(name))
    return found


def kill_marked(mark: str, but: int | None = None) -> int:
    """End them; how many there were. Twice, for what they start meanwhile."""
    count = 0
    for _ in range(2):
        for pid in find_marked(mark, but):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                count += 1
    return count
