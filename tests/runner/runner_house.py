"""A store with jobs in it and a runner over them, with real workers or with scripted ones."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from config.errors import error_classes
from config.sections import Settings
from daemon.clock import Clock, SystemClock
from daemon.files import Files
from daemon.names import safe_name
from daemon.publish.package import digest
from daemon.runner import Runner
from daemon.runner.child import Child
from daemon.spool import spool_folder
from daemon.states import State
from daemon.store import Job, NewJob, open_store
from daemon.worker.protocol import Cancel, Done, Failed, Message, Ready, Run, encode
from tests.daemon_stand_in import COMMAND
from tests.daemon_stand_in.bundles import bundle_files


class FakeClock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.passed_s = 1000.0

    def monotonic_s(self) -> float:
        return self.passed_s

    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(seconds=self.passed_s)


class FakeChild:
    """A worker that does what the test says. heard: what it was told. signals: what it got."""

    all: ClassVar[list[FakeChild]] = []

    def __init__(
        self, command: Sequence[str], memory_mb: int = 0, environment: Mapping[str, str] | None = None
    ) -> None:
        self.mark, self.ready, self.jobs, self.memory_mb, self.pid = "none", False, 0, memory_mb, 999_999_999
        self.last_words: deque[str] = deque()
        self.heard: list[Message] = []
        self.signals: list[str] = []
        self.code: int | None = None
        self.immortal = False
        self.left = 0
        self._says: list[Message] = [Ready(self.pid)]
        FakeChild.all.append(self)

    def says(self, *messages: Message) -> None:
        self._says += messages

    @property
    def run(self) -> Run:
        return next(message for message in reversed(self.heard) if isinstance(message, Run))

    @property
    def was_asked(self) -> bool:
        return any(isinstance(message, Cancel) for message in self.heard)

    def send(self, message: Message) -> None:
        self.heard.append(message)

    def messages(self) -> list[Message]:
        said, self._says = self._says, []
        return said

    def exit_code(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.signals.append("TERM")

    def kill(self) -> None:
        self.signals.append("KILL")
        if not self.immortal and self.code is None:
            self.code = -9

    def sweep(self) -> int:
        return self.left

    def wait(self, timeout_s: float) -> bool:
        return self.code is not None

    def close(self) -> None:
        pass


class House:
    """An inbox, an outbox, a store and a runner."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock | None = None,
        files: Files | None = None,
        fake: bool = False,
        command: Sequence[str] = COMMAND,
        answer: Callable[[Job], Job | None] = lambda job: None,
        **settings: Mapping[str, Any],
    ) -> None:
        self.clock = clock or SystemClock()
        self.files = files or Files()
        for name in ("inbox", "outbox", "state"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        told = {"run": {"reserve_mb": 0}} | {key: dict(value) for key, value in settings.items()}
        told["run"] = {"reserve_mb": 0, **told["run"]}
        self.settings = Settings.model_validate(
            {"inbox": folder / "inbox", "outbox": folder / "outbox", "state_dir": folder / "state", **told}
        )
        self.store = open_store(folder / "state", clock=self.clock)
        self.changes = 0
        self.answer = answer
        self.fake, self.command = fake, command
        self.runner = self.new_runner()

    def new_runner(self) -> Runner:
        FakeChild.all = []
        spawn: Any = FakeChild if self.fake else Child
        return Runner(
            self.settings,
            self.store,
            self.clock,
            self.files,
            self.command,
            self._changed,
            answer=self.answer,
            spawn=spawn,
        )

    def _changed(self) -> None:
        self.changes += 1

    @property
    def child(self) -> FakeChild:
        return FakeChild.all[-1]

    @property
    def state(self) -> Path:
        return self.settings.state_dir

    def close(self) -> None:
        self.runner.shutdown()
        self.store.close()

    def admit(
        self, name: str = "red-shoe", *, seed: int = 0, spooled: bool = True, options: Mapping[str, Any] | None = None,
        priority: int = 0, content_key: str | None = None, error: dict[str, Any] | None = None, **words: Any,
    ) -> Job:  # fmt: skip
        """A job whose bundle lies in the inbox and, unless told otherwise, in the spool."""
        made = bundle_files(seed=seed, **words)
        source = self.settings.inbox / name
        write_files(source, made)
        new = NewJob(
            inbox="inbox",
            entry=name,
            name=safe_name(name),
            source=str(source),
            fingerprint=f"fingerprint of {name!a} {seed}",
            digests={path: hashlib.sha256(data).hexdigest() for path, data in made.items()},
            sizes={path: len(data) for path, data in made.items()},
            options=dict(options or {}),
            content_key=content_key or f"content of {name!a} {seed}",
            priority=priority,
            owner="ann",
            error=error,
        )
        job = self.store.admit([new])[0]
        if spooled:
            write_files(spool_folder(self.state, job.id) / "input", made)
            job = self.store.update(job.id, spooled=True)
        return job

    def job(self, job: Job) -> Job:
        return self.store.job(job.id)

    def path(self, job: Job) -> list[str]:
        """The states that a job has been in."""
        return [str(step.after) for step in self.store.transitions(job.id)]

    def step(self, seconds: float = 0.0) -> float:
        """One step, after so much of the fake time has passed."""
        if isinstance(self.clock, FakeClock):
            self.clock.passed_s += seconds
        return self.runner.step(self.clock.monotonic_s())

    def until(self, condition: Callable[[], bool], within_s: float = 20.0) -> float:
        """Step in real time until something is so; how long it took."""
        began_s = time.monotonic()
        while not condition():
            assert time.monotonic() - began_s < within_s, "it did not come about in time"
            time.sleep(min(self.step(), 0.02))
        return time.monotonic() - began_s

    def begin(self, job: Job) -> FakeChild:
        """Step until a job runs on a scripted worker."""
        for _ in range(5):
            self.step()
            if self.job(job).state is State.PROGRESS:
                return self.child
        raise AssertionError(f"it does not begin: {self.job(job)}")

    def finish(self, job: Job, verdict: str = "normal") -> Job:
        """Let the scripted worker come to an end with a result."""
        self.child.says(self.done(job, verdict))
        self.step()
        return self.job(job)

    def done(self, job: Job, verdict: str = "normal") -> Done:
        """What a worker says at the end; the result and done.json lie in the spool."""
        folder = spool_folder(self.state, job.id)
        (folder / "result").mkdir(exist_ok=True)
        (folder / "result" / "quality.json").write_text("{}")
        manifest = {"quality.json": digest(folder / "result" / "quality.json", Files())}
        error = {"code": "QUALITY_THRESHOLD_FAILED", "message": "too bad"} if verdict == "failure" else None
        done = Done(job.id, verdict, manifest, error)
        (folder / "done.json").write_bytes(encode(done))
        return done

    def until_state(self, job: Job, *states: State, within_s: float = 20.0) -> Job:
        self.until(lambda: self.job(job).state in states, within_s)
        return self.job(job)


def write_files(folder: Path, made: Mapping[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for path, data in made.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def failed(job: Job, code: str) -> Failed:
    return Failed(job.id, error_classes()[code]("It went wrong.").as_json())
