"""The whole daemon in one process, without threads, with a clock of its own: stepped, broken, killed, begun again."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import daemon.runner.runner
import daemon.worker.server
from config.errors import MeshdropError
from config.sections import Settings
from daemon.loops import Loop
from daemon.service import Service
from daemon.states import FINAL, State, may_follow
from daemon.store import DATABASE_NAME, Job, Store
from daemon.store.database import Database
from daemon.worker.protocol import Message, Ready, Run
from tests.daemon_stand_in.bundles import make_bundle, make_zip
from tests.daemon_stand_in.fake import reconstruct
from tests.intake.scene import empty_database
from tests.proof.faults import FaultyFiles, Killed

SHM = Path("/dev/shm")  # memory: thousands of runs need no disk
_REAL_RUNNER = daemon.runner.runner.Runner
TICK_S = 2.0


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory, where there is such a place."""
    with tempfile.TemporaryDirectory(prefix="meshdrop-proof-", dir=SHM if SHM.is_dir() else None) as folder:
        yield Path(folder)


class FakeClock:
    """Stands still until it is told to go on; the wall clock may be set apart."""

    def __init__(self) -> None:
        self.at_s = 1000.0
        self.wall = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def monotonic_s(self) -> float:
        return self.at_s

    def now(self) -> datetime:
        return self.wall + timedelta(seconds=self.at_s)


class InlineWorker(daemon.worker.server._Server):
    """The worker's own code, run when it is spoken to; looks to the runner like a process."""

    def __init__(self, house: House, memory_mb: int = 0) -> None:
        super().__init__((-1, -1), reconstruct)
        self._house = house
        self.mark, self.ready, self.jobs, self.memory_mb, self.pid = "", False, 0, memory_mb, 999_999_999
        self.last_words: deque[str] = deque()
        self._told: list[Message] = [Ready(self.pid)]
        self._code: int | None = None

    def _say(self, message: Message) -> None:
        self._told.append(message)

    def send(self, message: Message) -> None:
        if isinstance(message, Run):
            self._house.runs[message.job] += 1
            self._say(self._one(message))

    def messages(self) -> list[Message]:
        told, self._told = self._told, []
        return told

    def exit_code(self) -> int | None:
        return self._code

    def terminate(self) -> None:
        self._code = -15

    def kill(self) -> None:
        self._code = -9

    def sweep(self) -> int:
        return 0

    def wait(self, timeout_s: float) -> bool:
        return True

    def close(self) -> None:
        pass


class House:
    """Folders, a file system that can be broken, and, between `begin` and `die` or `end`, a daemon."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.inbox, self.outbox, self.state = folder / "inbox", folder / "outbox", folder / "state"
        for path in (self.inbox, self.outbox, self.state):
            path.mkdir()
        (self.state / DATABASE_NAME).write_bytes(empty_database())
        tables: dict[str, Any] = {
            "watch": {"mode": "polling", "poll_s": 1.0, "canary": False},
            "intake": {"quiet_s": 0.5},
            "run": {"reserve_mb": 0, "hold_retry_s": 5.0},
        }
        for table, values in settings.items():
            tables[table] = {**tables.get(table, {}), **values} if isinstance(values, dict) else values
        self.settings = Settings(inbox=self.inbox, outbox=self.outbox, state_dir=self.state, **tables)
        self.files = FaultyFiles()
        self.clock = FakeClock()
        self.runs: Counter[str] = Counter()
        self.transactions = 0
        self.fail_transaction: tuple[int, Callable[[], BaseException], bool] | None = None
        self.published: dict[str, tuple[tuple[str, str], ...]] = {}
        self._names: list[str] = []
        self.service: Service | None = None
        self._patches = ExitStack()
        runner = lambda *given, **more: _REAL_RUNNER(*given, **more, spawn=self._spawn)  # noqa: E731
        for target, value in (
            ("daemon.runner.runner.Runner", runner),
            ("daemon.worker.server.Files", lambda: self.files),
            ("daemon.service.Loop.start", lambda loop: None),
            ("daemon.service.Loop.join", lambda loop, timeout_s: True),
            ("daemon.store.database.Database.writing", self._writing(Database.writing)),
        ):
            self._patches.enter_context(mock.patch(target, value))

    def _spawn(self, command: Sequence[str], memory_mb: int = 0, environment: object = None) -> InlineWorker:
        return InlineWorker(self, memory_mb)

    def _writing(self, real: Callable[[Database], Any]) -> Callable[[Database], Any]:
        """Transactions that can fail, or be the last thing that the process does: before or after their commit."""

        @contextmanager
        def writing(database: Database) -> Iterator[Any]:
            if self.files.dead:
                raise Killed
            self.transactions += 1
            told = self.fail_transaction
            now = told is not None and told[0] == self.transactions
            with real(database) as connection:
                yield connection
                if now and told is not None and not told[2]:
                    self._die_by(told[1]())
            if now and told is not None and told[2]:
                self._die_by(told[1]())

        return writing

    def _die_by(self, error: BaseException) -> None:
        self.files.dead = self.files.dead or isinstance(error, Killed)
        raise error

    # -- the daemon's life --------------------------------------------------------------------------------------

    def begin(self) -> House:
        """Start it; raises what the start raises."""
        self.stack = ExitStack()
        service = Service(self.settings, self.clock, self.files, worker_command=("none",))
        try:
            self.store: Store = service._open(self.stack)
            service._begin(self.store, self.stack)
        except BaseException:
            if self.files.dead:  # what was asked aside told nobody that it died
                raise Killed from None
            self.stack.close()
            raise
        self.service = service
        self._due = {loop.name: float("-inf") for loop in service._loops}
        self._tick_s = float("-inf")
        return self

    def die(self) -> None:
        """It was killed: nothing is tidied up but what the kernel does."""
        self.service = None
        if hasattr(self, "store"):
            self.store.close()
        self.files.revive()
        self.fail_transaction = None

    def end(self) -> None:
        """Stop it as SIGTERM does."""
        self.service = None
        self.stack.close()

    def close(self) -> None:
        if self.service is not None:
            with suppress(Killed):
                self.end()
        self._patches.close()

    # -- its steps ----------------------------------------------------------------------------------------------

    @property
    def loops(self) -> list[Loop]:
        assert self.service is not None
        return self.service._loops

    def step(self, loop: Loop) -> None:
        """One step of one room."""
        loop._wake.clear()
        due_s = loop.once()
        self._due[loop.name] = self.clock.at_s + min(max(due_s, 0.0), 5.0)

    def turn(self) -> None:
        """Every room that is due, then on to the next moment that one is."""
        assert self.service is not None
        if self.clock.at_s >= self._tick_s:
            self._tick_s = self.clock.at_s + TICK_S
            with suppress(MeshdropError, OSError):  # as the main loop does
                self.service._tick(self.store)
        busy = False
        for loop in self.loops:
            if loop._wake.is_set() or self._due[loop.name] <= self.clock.at_s:
                self.step(loop)
                busy = True
        self.look()
        if not busy:
            self.clock.at_s = max(self.clock.at_s + 0.01, min(self._tick_s, *self._due.values()))
        else:
            self.clock.at_s += 0.01

    def drive(self, until: Callable[[], bool], for_s: float = 900.0) -> bool:
        """Let time pass until something is so; whether it came about."""
        end_s = self.clock.at_s + for_s
        while self.clock.at_s < end_s:
            if until():
                return True
            self.turn()
            if self.files.dead:
                raise Killed
        return until()

    def jobs(self) -> list[Job]:
        return self.store.jobs()

    def idle(self, entries: int = 1) -> bool:
        """Whether all is done: each bundle has its job, each job is final, and the inbox is tidied up."""
        assert self.service is not None
        if not self.service._idle(self.store):  # asked first, as it costs least
            return False
        jobs = self.jobs()
        return len({job.entry for job in jobs}) >= entries and all(job.final for job in jobs)

    # -- what is dropped ----------------------------------------------------------------------------------------

    def drop(self, name: str, *, seed: int = 0, **words: Any) -> Path:
        """Rename a whole bundle, or a zip, into the inbox."""
        made = self.folder / f"made-{name}"
        if name.endswith(".zip"):
            make_zip(made, seed=seed, **words)
        else:
            make_bundle(made, seed=seed, **words)
        made.rename(self.inbox / name)
        return self.inbox / name

    # -- what must hold -----------------------------------------------------------------------------------------

    def look(self) -> None:
        """What can be seen in the outbox is whole, and what was seen once stays as it was."""
        names = sorted(path.name for path in self.outbox.iterdir() if not path.name.startswith("."))
        if names == self._names:
            return
        self._names = names
        for name in names:
            folder = self.outbox / name
            if folder.is_dir():
                content = self.published.get(name)
                if content is None:
                    check_whole(folder)
                    self.published[name] = content_of(folder)

    def check(self) -> None:
        """All invariants, at the end of a story."""
        jobs = self.jobs()
        for name, content in self.published.items():
            assert content_of(self.outbox / name) == content, f"{name} was changed after it was published"
        by_job: dict[str, list[str]] = {}
        for path in self.outbox.iterdir():
            if path.is_dir() and not path.name.startswith("."):
                check_whole(path)
                by_job.setdefault(json.loads((path / "job.json").read_bytes())["job"]["id"], []).append(path.name)
        known = {job.id: job for job in jobs}
        assert set(by_job) <= set(known), "a result that no job knows of"
        for job in jobs:
            folders = by_job.get(job.id, [])
            assert len(folders) <= 1, f"{job.entry} was published twice: {folders}"
            if job.state is State.SUCCESS:
                assert job.result_path is not None
                check_whole(Path(job.result_path))
                answered = job.answered_by is not None
                assert answered or folders == [Path(job.result_path).name]
            if job.state is State.FAILURE:
                assert len(folders) == 1
                assert job.error is not None
                assert job.error["message"]
            self._check_history(job)
        assert not [path for path in self.outbox.iterdir() if path.name.startswith(".partial-")]

    def _check_history(self, job: Job) -> None:
        before: State | None = None
        for step in self.store.transitions(job.id):
            assert step.before == before
            assert may_follow(before, step.after)
            assert before not in FINAL
            if step.after is State.HELD:
                assert step.reason.strip().endswith("."), f"held without a sentence: {step.reason!r}"
            before = step.after
        assert job.state is before


def check_whole(folder: Path) -> None:
    """A result is whole: every file that its job.json names is there, as it says; nothing is half written."""
    document = json.loads((folder / "job.json").read_bytes())
    names = {path.name for path in folder.iterdir()}
    assert {"quality.json", "error.json"} & names, f"{folder.name} has no verdict"
    for name, facts in document["files"].items():
        data = (folder / name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (facts["bytes"], facts["sha256"]), folder / name
    assert not [name for name in names if name.endswith(".tmp")]


def notices_beside_nothing(inbox: Path) -> list[str]:
    """Notices of jobs whose bundle is no longer there."""
    names = {path.name for path in inbox.iterdir()}
    return [
        name
        for name in names
        if name.endswith(".STATUS.txt")
        and not {name.removesuffix(".STATUS.txt"), name.replace(".STATUS.txt", ".zip")} & names
        and "none yet" not in (inbox / name).read_text()
    ]


def content_of(folder: Path) -> tuple[tuple[str, str], ...]:
    return tuple((path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in sorted(folder.iterdir()))


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
