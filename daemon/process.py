"""Which process is which: a pid alone is given to another process sooner or later."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process for good: no other one on any machine at any time has the same."""

    pid: int
    started: str  # clock ticks from boot to start: field 22 of /proc/<pid>/stat
    boot: str  # the kernel's boot id
    host: str

    def as_json(self) -> dict[str, Any]:
        """The same as a dict."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The inverse of `as_json`; what is missing is empty."""
        return cls(
            int(data.get("pid") or 0),
            str(data.get("started") or ""),
            str(data.get("boot") or ""),
            str(data.get("host") or ""),
        )

    @property
    def is_of_this_boot(self) -> bool:
        """Whether it ran on this machine since its last start."""
        return self.boot == _boot_id() and self.host == socket.gethostname()

    @property
    def alive(self) -> bool:
        """Whether it runs on this machine now; False for every other machine's."""
        return self.is_of_this_boot and bool(self.started) and start_of(self.pid) == self.started


def this_process() -> ProcessIdentity:
    """The calling process."""
    pid = os.getpid()
    return ProcessIdentity(pid, start_of(pid) or "", _boot_id(), socket.gethostname())


def start_of(pid: int) -> str | None:
    """When a process of this machine started; None where there is none, or only what is left of one (a zombie)."""
    if pid <= 0:
        return None
    try:
        # The command's name stands in brackets and may hold any bytes, brackets and newlines too.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if len(fields) < 20 or fields[0] in (b"Z", b"X") else fields[19].decode()


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
