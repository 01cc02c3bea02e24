"""Whether the kernel ended a process because memory had run out: what it counts, before and after."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")

_WORDS: Final = re.compile(
    r"bad_alloc|out of memory|cannot allocate memory|can't allocate|MemoryError|failed to allocate", re.IGNORECASE
)
_ABORTS: Final = frozenset({signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGTRAP})


@dataclass(frozen=True, slots=True)
class OomCounts:
    """How many processes the kernel has ended for want of memory. by_file: file -> count, where it can be read."""

    by_file: dict[Path, int]

    @classmethod
    def of(cls, pid: int, proc: Path = PROC, cgroups: Path = CGROUPS) -> OomCounts:
        """The counts that a process may add to: its control group's and the groups' above, and the machine's."""
        files = [proc / "vmstat", *_group_files(pid, proc, cgroups)]
        return cls({file: count for file in files if (count := _count(file)) is not None})

    def grown(self) -> bool:
        """Whether one of the counts has grown since; a group that is gone tells nothing."""
        return any((_count(file) or 0) > before for file, before in self.by_file.items())


def died_of_memory(exit_code: int, counts: OomCounts | None, last_words: Iterable[str]) -> bool:
    """Whether a process that nobody here has killed died because memory ran out.

    exit_code: as of subprocess, negative for a signal. last_words: the end of its standard error: libraries that meet
    a limit of the address space say so before they abort.
    """
    if exit_code == -signal.SIGKILL:
        return counts is not None and counts.grown()
    aborted = exit_code > 0 or -exit_code in _ABORTS
    return aborted and any(_WORDS.search(line) for line in last_words)


def _group_files(pid: int, proc: Path, cgroups: Path) -> list[Path]:
    """The files with counts of a process's control groups, of version 2 and 1."""
    text = ""
    with suppress(OSError):
        text = (proc / str(pid) / "cgroup").read_text(encoding="utf-8", errors="surrogateescape")
    found: list[Path] = []
    for line in text.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0":
            roots, name = [cgroups, cgroups / "unified"], "memory.events"
        elif "memory" in controllers.split(","):
            roots, name = [cgroups / "memory"], "memory.oom_control"
        else:
            continue
        inside = Path(path.lstrip("/"))
        for root in roots:  # in a container, the path may count from a group that is not to be seen here
            found += [root / folder / name for folder in (inside, *inside.parents)]
    return [file for file in dict.fromkeys(found) if file.is_file()]


def _count(file: Path) -> int | None:
    with suppress(OSError, ValueError):
        for line in file.read_text(encoding="ascii", errors="replace").splitlines():
            key, _, value = line.partition(" ")
            if key == "oom_kill":
                return int(value)
    return None
