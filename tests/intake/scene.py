"""Bundles, clocks and an inbox to try intake with."""

from __future__ import annotations

import functools
import os
import struct
import tempfile
import zipfile
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from config.sections import Settings
from daemon.caretaker import Caretaker
from daemon.files import Files
from daemon.intake import Intake
from daemon.intake.layout import IMAGE_KEYS
from daemon.store import DATABASE_NAME, Job, Store, open_store


class FakeClock:
    """Stands still until it is told to go on; the wall clock may be set apart."""

    def __init__(self) -> None:
        self.at_s = 1000.0
        self.wall = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def monotonic_s(self) -> float:
        return self.at_s

    def now(self) -> datetime:
        return self.wall + timedelta(seconds=self.at_s)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(side: int = 16, seed: int = 0, *, height: int | None = None, pad: int = 0) -> bytes:
    """A small gray PNG; `pad` bytes of text make it longer."""
    rows = height or side
    row = bytes([0]) + bytes((seed + k) % 256 for k in range(side))
    body = chunk(b"IHDR", struct.pack(">IIBBBBB", side, rows, 8, 0, 0, 0, 0))
    if pad:
        body += chunk(b"tEXt", b"Comment\0" + bytes(65 + (k * 7 + seed) % 26 for k in range(pad)))
    body += chunk(b"IDAT", zlib.compress(row * rows))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def contents(seed: int = 0, side: int = 16, pad: int = 0) -> dict[str, bytes]:
    """The twelve files of a bundle."""
    return {key: png(side, seed + number, pad=pad) for number, key in enumerate(IMAGE_KEYS)}


def write_bundle(folder: Path, seed: int = 0, *, without: tuple[str, ...] = (), more: dict[str, bytes] | None = None,
                 pad: int = 0) -> Path:  # fmt: skip
    for key, data in {**contents(seed, pad=pad), **(more or {})}.items():
        if key not in without:
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(data)
    return folder


def write_zip(
    path: Path, files: dict[str, bytes] | None = None, *, root: str = "", method: int = zipfile.ZIP_DEFLATED
) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for key, data in (contents() if files is None else files).items():
            archive.writestr(root + key, data)
    return path


@functools.cache
def empty_database() -> bytes:
    """A migrated database: making one takes longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        open_store(Path(folder), clock=FakeClock()).close()
        return (Path(folder) / DATABASE_NAME).read_bytes()


class Scene:
    """One inbox with its intake, stepped by hand."""

    def __init__(self, folder: Path, *, polling: bool = False, files: Files | None = None, **overrides: Any) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.inbox, self.outbox, state = folder / "inbox", folder / "outbox", folder / "state"
        for each in (self.inbox, self.outbox, state):
            each.mkdir(exist_ok=True)
        tables: dict[str, Any] = {"limits": {"min_size_px": 16}, "support": {"contact": "render-help@studio.example"}}
        for key, value in overrides.items():
            table, _, name = key.partition("__")
            if name:
                tables.setdefault(table, {})[name] = value
            else:
                tables[table] = value
        self.settings = Settings(inbox=self.inbox, outbox=self.outbox, state_dir=state, **tables)
        if not (state / DATABASE_NAME).exists():
            (state / DATABASE_NAME).write_bytes(empty_database())
        self.store: Store = open_store(state, clock=self.clock)
        self.files = files or Files()
        self.polling = polling
        self.woken = 0
        self.intake = self.begin()

    def begin(self) -> Intake:
        """A daemon that starts: nothing is known but what the store holds."""
        inbox = self.settings.all_inboxes[0]
        self.caretaker = Caretaker(inbox, self.settings, self.store, self.clock, self.files)
        self.intake = Intake(
            inbox, self.settings, self.store, self.clock, self.files,
            polling=lambda: self.polling, caretaker=self.caretaker, on_change=self._wake,
        )  # fmt: skip
        return self.intake

    def _wake(self) -> None:
        self.woken += 1

    def step(self, after_s: float = 0.0, hint: str | None = None) -> float:
        self.clock.at_s += after_s
        self.intake.hint(hint)
        return self.intake.step(self.clock.at_s)

    def run(self, for_s: float, *, most: int = 5000) -> None:
        """Let time pass, stepping whenever intake wants to be."""
        end_s = self.clock.at_s + for_s
        for _ in range(most):
            wait_s = self.intake.step(self.clock.at_s)
            if self.clock.at_s >= end_s:
                return
            self.clock.at_s = min(end_s, self.clock.at_s + max(wait_s, 0.001))
        raise AssertionError("intake never rests")

    def jobs(self, entry: str | None = None) -> list[Job]:
        return self.store.jobs(entry=entry)

    def job(self, entry: str) -> Job:
        (job,) = self.jobs(entry)
        return job

    def status(self, entry: str, *, beside: bool = False) -> str:
        path = self.inbox / f"{entry}.STATUS.txt" if beside else self.inbox / entry / "STATUS.txt"
        return path.read_text() if path.exists() else ""

    def finish(self, job: Job, state: str = "SUCCESS", **changes: Any) -> Job:
        """End a job as runner and publisher do."""
        from daemon.states import State

        if self.store.job(job.id).state is State.PENDING:
            self.store.transition(job.id, State.PROGRESS, reason="began")
        if state == "CANCELLED":
            changes = {"cancel_by": "ann", **changes}  # as for any that people cancel
            return self.store.transition(job.id, State.CANCELLED, reason="cancelled", **changes)
        if self.store.job(job.id).state is not State.PUBLISHING:
            self.store.transition(job.id, State.PUBLISHING, reason="made", outcome=State[state])
        return self.store.transition(job.id, State[state], reason="published", **changes)


def as_root() -> bool:
    return os.geteuid() == 0
