"""Real daemons to be killed: started in no time, dropped bundles at, asked afterwards whether anything is missing."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self

from daemon.clock import SystemClock
from daemon.states import FINAL, State
from daemon.store import DATABASE_NAME, Job, open_store
from tests.daemon_stand_in import ROOT
from tests.daemon_stand_in.bundles import make_bundle, make_zip
from tests.proof.house import check_whole, notices_beside_nothing
from tests.proof.victim import ARMED, STEPS

SETTINGS = """
inbox = "inbox"
outbox = "outbox"
state_dir = "state"
intake.quiet_s = 0.2
watch.poll_s = 0.5
run.reserve_mb = 0
run.hold_retry_s = 1.0
publish.refresh_s = 0.5
"""


class Nursery:
    """A process that forks daemons."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.proof.victim"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the nursery is gone"
        return dict(json.loads(line))

    def _ask(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._read()

    def fork(self, folder: Path) -> int:
        return int(self._ask(folder=str(folder))["pid"])

    def ended(self, pid: int, *, block: bool = False) -> int | None:
        """How a daemon ended, None while it lives."""
        answer = self._ask(wait=pid, block=block)["ended"]
        return None if answer is None else int(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


class Prey:
    """Folders, and a daemon that comes and goes."""

    def __init__(self, folder: Path, nursery: Nursery, settings: str = SETTINGS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._nursery = folder, nursery
        self.inbox, self.outbox, self.state = folder / "inbox", folder / "outbox", folder / "state"
        self.log = folder / "log.jsonl"
        (folder / "meshdrop.toml").write_text(settings)
        for path in (self.inbox, self.outbox):
            path.mkdir()
        self.pid: int | None = None

    # -- life and death -----------------------------------------------------------------------------------------

    def start(self, *, within_s: float = 30.0) -> float | None:
        """Start it: the seconds until it is ready, None where it died before."""
        begin, begin_s = self.log.stat().st_size if self.log.exists() else 0, time.monotonic()
        self.pid = self._nursery.fork(self.folder)
        while time.monotonic() < begin_s + within_s:
            if self.log.exists():
                with self.log.open("rb") as file:
                    file.seek(begin)
                    if b'"service.ready"' in file.read():
                        return time.monotonic() - begin_s
            if self.has_ended():
                return None
            time.sleep(0.01)
        raise AssertionError(f"it does not start: {self.tail()}")

    def has_ended(self) -> bool:
        """Whether it is gone: killed, as the only way that it may end here."""
        if self.pid is None:
            return True
        code = self._nursery.ended(self.pid)
        if code is None:
            return False
        assert code == -signal.SIGKILL, f"it ended by itself ({code}): {self.tail()}"
        self.pid = None
        return True

    def kill(self) -> None:
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            self._nursery.ended(self.pid, block=True)
            self.pid = None

    def arm(self, step: str, nth: int = 1) -> None:
        beside = self.folder / "armed.new"
        beside.write_text(json.dumps({"step": step, "nth": nth}))
        beside.rename(self.folder / ARMED)

    def disarm(self) -> bool:
        """Take the order back; whether it was still there."""
        with suppress(FileNotFoundError):
            (self.folder / ARMED).unlink()
            return True
        return False

    def note_steps(self) -> None:
        (self.folder / STEPS).touch()

    def steps(self) -> list[str]:
        return (self.folder / STEPS).read_text().splitlines()

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    # -- what is dropped, and what becomes of it ----------------------------------------------------------------

    def drop(self, name: str, *, seed: int = 0, bad: bool = False, cancel: bool = False, **words: Any) -> None:
        """seed: of job.toml: the same one is the same job. To make other images takes more time than a kill."""
        made = self.folder / f"made-{name}"
        make = make_zip if name.endswith(".zip") else make_bundle
        make(made, job=f"seed = {seed}\n", **words)
        if bad:
            (made / "depth_renders" / "top.png").write_bytes(b"\xff\xd8\xff\xe0 a JPEG")
        if cancel:
            (made / ".cancel").touch()
        made.rename(self.inbox / name)

    def jobs(self) -> list[Job]:
        if not (self.state / DATABASE_NAME).exists():
            return []
        with open_store(self.state, clock=SystemClock(), create=False) as store:
            return store.jobs()

    def ends(self, names: Sequence[str]) -> list[tuple[str, str, State, str | None]]:
        """Entry, job, state and reason of what is recorded of these bundles: read as cheaply as can be."""
        if not (self.state / DATABASE_NAME).exists():
            return []
        with closing(sqlite3.connect(self.state / DATABASE_NAME, timeout=20)) as connection:
            try:
                rows = connection.execute("SELECT entry, id, state, hold_reason FROM jobs").fetchall()
            except sqlite3.OperationalError:  # no tables yet
                return []
        found = [
            (raw.decode("utf-8", "surrogateescape"), job, State(state), reason) for raw, job, state, reason in rows
        ]
        return [each for each in found if each[0] in names]

    def settle(self, names: Sequence[str], within_s: float = 60.0, *, may_die: bool = False) -> bool:
        """Wait until each of these bundles has its end and nothing of it is left to be done; False where it died."""
        end_s = time.monotonic() + within_s
        while True:
            if may_die and self.has_ended():
                return False
            told = self.ends(names)
            done = {entry for entry, _, _, _ in told} == set(names) and all(state in FINAL for _, _, state, _ in told)
            if done and all(state is State.FAILURE or self._is_away(entry) for entry, _, state, _ in told):
                return True
            assert time.monotonic() < end_s, f"{told} {self.tail()}"
            time.sleep(0.05)

    def _is_away(self, entry: str) -> bool:
        return not (self.inbox / entry).exists()

    def look(self) -> None:
        """At any moment: the database is sound, and no result that can be seen is half one."""
        if (self.state / DATABASE_NAME).exists():
            with closing(sqlite3.connect(self.state / DATABASE_NAME, timeout=20)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        for path in self.outbox.iterdir():
            if path.is_dir() and not path.name.startswith("."):
                check_whole(path)

    def check(self, wanted: dict[str, State]) -> None:
        """At the end: nothing is lost, nothing was done twice, nothing half done can be seen."""
        self.look()
        jobs: dict[str, list[Job]] = {}
        for job in self.jobs():
            jobs.setdefault(job.entry, []).append(job)
        found: dict[str, list[str]] = {}
        for path in self.outbox.iterdir():
            if path.is_dir() and not path.name.startswith("."):
                check_whole(path)
                found.setdefault(json.loads((path / "job.json").read_bytes())["job"]["id"], []).append(path.name)
        for name, state in wanted.items():
            assert [job.state for job in jobs.get(name, [])] == [state], f"{name}: {jobs.get(name)}"
            (job,) = jobs[name]
            results = found.get(job.id, [])
            assert len(results) == (0 if state is State.CANCELLED else 1), f"{name}: {results}"
            archived = [
                path.name for archive in ("_done", "_cancelled") for path in (self.inbox / archive).glob(f"*-{job.id}*")
            ]
            assert len(archived) == (0 if state is State.FAILURE else 1), f"{name}: {archived}"
        end_s = time.monotonic() + 20.0
        while left := notices_beside_nothing(self.inbox):  # taken away last of all
            assert time.monotonic() < end_s, left
            time.sleep(0.1)
        known = {job.id for some in jobs.values() for job in some}
        assert set(found) <= known
        assert not [path.name for path in self.outbox.iterdir() if path.name.startswith(".partial-")]
