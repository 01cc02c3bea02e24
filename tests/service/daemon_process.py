"""A whole daemon in a process of its own, with the stand-in for an engine, for tests to drop bundles at."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from daemon.clock import SystemClock
from daemon.states import State
from daemon.store import Job, Store, open_store
from tests.daemon_stand_in import ROOT

T = TypeVar("T")
PATIENCE_S = 30.0


def until(what: Callable[[], T | bool | None], patience_s: float = PATIENCE_S, every_s: float = 0.02) -> T:
    """The first true answer; fails the test when none comes."""
    end_s = time.monotonic() + patience_s
    while True:
        answer = what()
        if answer:
            return answer  # type: ignore[return-value]
        assert time.monotonic() < end_s, f"not within {patience_s} s"
        time.sleep(every_s)


class Daemon:
    """Folders, settings and a process. `folder` is made by the test."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.inbox, self.outbox, self.state = folder / "inbox", folder / "outbox", folder / "state"
        for path in (self.inbox, self.outbox):
            path.mkdir(parents=True, exist_ok=True)
        self.config = folder / "meshdrop.toml"
        self.log = folder / "log.jsonl"
        self.process: subprocess.Popen[bytes] | None = None
        self.write_settings(**settings)

    def write_settings(self, **settings: Any) -> None:
        """Write the settings' file: keyword `intake__quiet_s` is the key intake.quiet_s."""
        values = {"intake__quiet_s": 0.6, "watch__poll_s": 1.0, "run__reserve_mb": 1, **settings}
        lines = ['inbox = "inbox"', 'outbox = "outbox"', 'state_dir = "state"']
        lines += [f"{key.replace('__', '.')} = {json.dumps(value)}" for key, value in values.items()]
        self.config.write_text("\n".join(lines) + "\n")

    def start(self, *arguments: str, environment: dict[str, str] | None = None) -> Daemon:
        """Start it, and wait until it says that it is ready."""
        begin = len(self.log.read_bytes()) if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.daemon_stand_in.service", str(self.config), *arguments],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
            )
        until(lambda: b'"service.ready"' in self.log.read_bytes()[begin:] or self.process.poll() is not None)  # type: ignore[union-attr]
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        return self

    def send(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, patience_s: float = 15.0) -> int:
        """Wait for its end; the exit status."""
        assert self.process is not None
        return self.process.wait(patience_s)

    def stop(self) -> int:
        """Stop it by SIGTERM."""
        self.send(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Kill it outright."""
        self.send(signal.SIGKILL)
        self.wait()

    def close(self) -> None:
        """Leave nothing running."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def store(self) -> Store:
        """The store, as a command opens it."""
        return open_store(self.state, clock=SystemClock(), create=False)

    def jobs(self) -> list[Job]:
        """All jobs, the oldest first."""
        with self.store() as store:
            return store.jobs()

    def job(self, entry: str, *states: State, patience_s: float = PATIENCE_S) -> Job:
        """The newest job of an entry, once it is in one of the states (any final one where none is named)."""

        def look() -> Job | None:
            with self.store() as store:
                job = store.last_job("inbox", entry)
            return job if job and (job.state in states if states else job.final) else None

        try:
            return until(look, patience_s, 0.05)
        except AssertionError:
            with self.store() as store:
                raise AssertionError(f"{store.last_job('inbox', entry)}\n{self.log.read_text()[-6000:]}") from None

    def records(self) -> Iterator[dict[str, Any]]:
        """What it logged."""
        for line in self.log.read_text().splitlines():
            if line.startswith("{"):
                yield json.loads(line)

    def results(self) -> list[str]:
        """The folders in the outbox, hidden ones aside."""
        return sorted(path.name for path in self.outbox.iterdir() if path.is_dir() and not path.name.startswith("."))
