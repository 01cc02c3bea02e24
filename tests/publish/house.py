"""An outbox, a store with jobs in it, results in the spool, and a file system that breaks where it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from config.errors import QualityThresholdFailed
from config.sections import Settings
from daemon.files import Files
from daemon.publish import Publisher, job_facts, package_result, zip_name_of
from daemon.publish.package import Manifest, digest
from daemon.states import FINAL, State
from daemon.store import Job, NewJob, Store

RESULT = {
    "mesh.glb": b"glTF" * 300,
    "mesh.obj": b"v 0 0 0\n" * 300,
    "preview_0.png": b"\x89PNG" * 50,
    "nvdiffrec/mesh.glb": b"glTF" * 200,
    "quality.json": b'{"schema_version": 1, "status": "normal"}',
}


def files_in(folder: Path) -> dict[str, Path]:
    """A result's files, as its manifest names them."""
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


class FakeClock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def monotonic_s(self) -> float:
        return self.passed_s

    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(seconds=self.passed_s)


class Killed(BaseException):
    """The process is gone; nothing of it does anything any more."""


class BreakingFiles(Files):
    """A file system whose Nth call fails, once, `times` over or for ever; with Killed, all later ones do too."""

    def __init__(self) -> None:
        self.calls = 0
        self.break_at: int | None = None
        self.error: Callable[[], BaseException] = OSError
        self.times = 1
        self.only: Callable[[str, Path], bool] = lambda call, path: True
        self.dead = False
        self.seen: list[str] = []

    def fails(self, at: int, error: Callable[[], BaseException], times: int = 1) -> None:
        self.calls, self.break_at, self.error, self.times, self.dead = 0, at, error, times, False

    def works(self) -> None:
        self.break_at, self.dead = None, False

    @property
    def was_hit(self) -> bool:
        return self.break_at is not None and self.calls >= self.break_at

    def check(self, call: str, path: Path) -> None:
        if self.dead:
            raise Killed
        if not self.only(call, path):
            return
        self.calls += 1
        self.seen.append(call)
        if self.break_at is not None and self.break_at <= self.calls < self.break_at + self.times:
            error = self.error()
            self.dead = isinstance(error, Killed)
            raise error

    @contextmanager
    def reading(self, path: Path) -> Iterator[BinaryIO]:
        self.check("reading", path)
        with super().reading(path) as file:
            yield file

    @contextmanager
    def writing(self, path: Path, mode: int = 0o666, *, durable: bool = True) -> Iterator[BinaryIO]:
        self.check("writing", path)
        with super().writing(path, mode, durable=durable) as file:
            yield file
        self.check("written", path)

    def fsync(self, file: BinaryIO) -> None:
        self.check("fsync", Path())

    def fsync_folder(self, folder: Path) -> None:
        self.check("fsync_folder", folder)


def _breaking(name: str) -> Any:
    real = getattr(Files, name)

    def call(self: BreakingFiles, path: Path, *rest: Any, **more: Any) -> Any:
        self.check(name, path)
        return real(self, path, *rest, **more)

    return call


for _name in (
    "names", "lstat", "statvfs", "rename", "rename_new", "mkdir", "unlink", "rmdir", "remove_tree", "chmod", "chown"
):  # fmt: skip
    setattr(BreakingFiles, _name, _breaking(_name))


@dataclass
class House:
    """Everything that publishing works on."""

    settings: Settings
    store: Store
    clock: FakeClock
    files: BreakingFiles
    woken: list[str] = field(default_factory=list)

    @property
    def outbox(self) -> Path:
        return self.settings.outbox

    def publisher(self) -> Publisher:
        """As after a restart."""
        return Publisher(self.settings, self.store, self.clock, self.files, lambda: self.woken.append(""))

    def configure(self, **tables: Any) -> None:
        given = {**self.settings.model_dump(), **tables}
        self.settings = Settings.model_validate(given)

    def admit(self, entry: str = "red-shoe", name: str | None = None, content: str = "c1", **more: Any) -> Job:
        number = len(self.store.known_ids())
        new = NewJob(
            inbox="inbox", entry=entry, name=name or entry, source=str(self.settings.inbox / entry),
            fingerprint=f"print {number}", digests={"multi_views/front.png": "0" * 64}, sizes={}, options={},
            content_key=content, priority=0, owner="ann", **more,
        )  # fmt: skip
        return self.store.admit([new])[0]

    def spool(self, job: Job, content: dict[str, bytes] | None = None, zipped: bool = True) -> Manifest:
        folder = self.spooled(job)
        folder.mkdir(parents=True)
        for name, data in (content or RESULT).items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
        zip_name = zip_name_of(job) if zipped else None
        return package_result(folder, job_facts(job, self.store.inputs(job.id)), zip_name, Files())

    def spooled(self, job: Job) -> Path:
        return self.settings.state_dir / "spool" / job.id / "result"

    def finished(self, entry: str = "red-shoe", verdict: str = "normal", **more: Any) -> Job:
        """A job whose result lies in the spool, to be published."""
        job = self.admit(entry, **more)
        job = self.store.transition(job.id, State.PROGRESS, reason="its turn")
        content = dict(RESULT)
        outcome = State.SUCCESS
        error = None
        if verdict == "failure":
            error = QualityThresholdFailed("Below.").as_json()
            content["error.json"] = json.dumps(error).encode()
            outcome = State.FAILURE
        manifest = self.spool(job, content)
        return self.store.transition(
            job.id, State.PUBLISHING, reason="made", outcome=outcome, verdict=verdict, manifest=manifest, error=error
        )

    def drive(self, publisher: Publisher, job: Job, for_s: float = 3600.0) -> Job:
        """Step until the job is final, the time is over."""
        end_s = self.clock.passed_s + for_s
        while self.clock.passed_s < end_s:
            if self.store.job(job.id).state in FINAL:
                break
            self.clock.passed_s += publisher.step(self.clock.passed_s)
        return self.store.job(job.id)

    def results_of(self, job: Job) -> list[Path]:
        """Every visible folder of the outbox that says it is this job's."""
        found = []
        for path in self.outbox.iterdir():
            if path.name.startswith(".") or path.is_symlink() or not path.is_dir() or not (path / "job.json").exists():
                continue
            if json.loads((path / "job.json").read_bytes())["job"]["id"] == job.id:
                found.append(path)
        return found

    def visible(self) -> list[str]:
        return sorted(path.name for path in self.outbox.iterdir() if not path.name.startswith("."))

    def steps(self, job: Job) -> list[State]:
        return [step.after for step in self.store.transitions(job.id)]


def assert_whole(house: House, folder: Path, job: Job) -> None:
    """Check that a folder holds the files of a job's manifest, and nothing else."""
    manifest = house.store.job(job.id).manifest
    assert manifest
    assert {name: digest(path, Files()) for name, path in files_in(folder).items()} == manifest
