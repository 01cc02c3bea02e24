"""A daemon, and its worker, that kill themselves at a named step: `python -m tests.proof.victim`.

The steps are those at which something is made durable: each write, rename, removal and fsync that goes through
`daemon.files.Files`, and each commit of the store. Which step is the last stands in `armed.json` beside the settings;
`steps.txt` there, where it exists, gets the name of every step that is passed. Production code knows nothing of it.

Started alone it is a nursery: it has imported all that a daemon needs and forks one for each line that it reads, so
that a thousand starts do not cost a thousand imports. Each daemon is a process of its own, to be killed like any.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final
from unittest import mock

from config.settings import load_settings
from daemon.files import Files
from daemon.store import Store
from daemon.store.database import Database
from tests.proof.zygote import Zygote

ARMED: Final = "armed.json"
STEPS: Final = "steps.txt"
ALPHABET: Final = "0-9a-hjkmnp-tv-z"
_JOB: Final = re.compile(rf"(?<=[-/])[{ALPHABET}]{{8}}(?=$|[/.])")
_TOKEN: Final = re.compile(r"\.[0-9a-f]{8}\.tmp")
_VIEW: Final = re.compile(r"(multi_views|depth_renders)/[a-z]+\.png")
_BUNDLE: Final = re.compile(r"(shoe|boot|chair|bad|stop)-\d+")
_FILES: Final = re.compile(
    r"/(mesh\.\w+|material\.mtl|texture_\w+\.png|contact_sheet\.png|preview_\d\.png|cameras\.json)$"
)


class Steps:
    """Where a process dies. folder: of the settings. whom: the process that dies with it."""

    def __init__(self, folder: Path, whom: int | None = None) -> None:
        self._folder, self._whom = folder, whom
        self._passed = Counter[str]()
        self._order: str | None = None
        self._lock = threading.Lock()

    def role(self, path: Path) -> str:
        """What a path is, whichever bundle and job it belongs to."""
        try:
            text = str(path.relative_to(self._folder))
        except ValueError:
            return "elsewhere"
        text = _TOKEN.sub(".<token>.tmp", _BUNDLE.sub("<bundle>", text))
        return _FILES.sub("/<file>", _VIEW.sub(r"\1/<view>.png", _JOB.sub("<id>", text)))

    def reach(self, name: str) -> None:
        """A step is reached: the last one, perhaps."""
        if (self._folder / STEPS).exists():
            with (self._folder / STEPS).open("a", encoding="utf-8") as file:
                file.write(name + "\n")
        try:
            text = (self._folder / ARMED).read_text(encoding="utf-8")
        except OSError:
            return
        with self._lock:
            if text != self._order:
                self._order, self._passed = text, Counter()
            try:
                order = json.loads(text)
            except ValueError:
                return
            self._passed[name] += 1
            if order["step"] == name and self._passed[name] == order["nth"]:
                (self._folder / ARMED).unlink()
                if self._whom is not None:
                    os.kill(self._whom, signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)


class DyingFiles(Files):
    """The real file system, to somebody who may not live to see the end of a call."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    @contextmanager
    def writing(self, path: Path, mode: int = 0o666, *, durable: bool = True) -> Iterator[BinaryIO]:
        name = f"write {self._steps.role(path)}"
        with super().writing(path, mode, durable=durable) as file:
            self._steps.reach(f"{name}: created")
            yield file
            file.flush()
            size = os.fstat(file.fileno()).st_size
            if size > 1:
                position = file.tell()
                self._torn(name, path, size)
                file.seek(position)
        self._steps.reach(f"{name}: done")

    def _torn(self, name: str, path: Path, size: int) -> None:
        """Half of it is there: as when the kill comes between two writes."""
        order = self._steps._folder / ARMED
        if not (order.exists() and f"{name}: half" in order.read_text(encoding="utf-8")):
            self._steps.reach(f"{name}: half")
            return
        data = path.read_bytes()
        os.truncate(path, size // 2)
        self._steps.reach(f"{name}: half")
        with path.open("r+b") as whole:  # it was not this time
            whole.write(data)

    def rewrite(self, descriptor: int, data: bytes) -> None:
        self._steps.reach("lock: before")
        super().rewrite(descriptor, data)
        self._steps.reach("lock: after")


def _dying(method: str) -> Any:
    real = getattr(Files, method)

    def call(self: DyingFiles, path: Path, *rest: Any, **more: Any) -> Any:
        role = self._steps.role(path)
        name = f"{method} {role}"
        if method.startswith("rename"):
            name = f"rename {role} -> {self._steps.role(rest[0])}"
        self._steps.reach(f"{name}: before")
        answer = real(self, path, *rest, **more)
        self._steps.reach(f"{name}: after")
        return answer

    return call


for _name in ("rename", "rename_new", "mkdir", "unlink", "rmdir", "remove_tree", "chmod", "fsync_folder"):
    setattr(DyingFiles, _name, _dying(_name))


def watch_store(steps: Steps) -> None:
    """Let every commit of this process's store be a step, named by what it writes."""
    local = threading.local()
    real = Database.writing

    @contextmanager
    def writing(database: Database) -> Iterator[Any]:
        name = getattr(local, "name", "other")
        with real(database) as connection:
            yield connection
            steps.reach(f"commit {name}: before")
        steps.reach(f"commit {name}: after")

    mock.patch.object(Database, "writing", writing).start()
    for method in ("admit", "transition", "update", "progress", "remember", "forget", "set_flag", "beat", "rebuild"):
        mock.patch.object(Store, method, _named(method, getattr(Store, method), local)).start()


def _named(method: str, real: Callable[..., Any], local: threading.local) -> Callable[..., Any]:
    def call(*given: Any, **more: Any) -> Any:
        name = method
        if method == "transition":
            name = f"{method} to {given[2]}"
        elif method in ("update", "remember"):
            name = f"{method} {' '.join(sorted(more))}"
        local.name = name
        try:
            return real(*given, **more)
        finally:
            local.name = "other"

    return call


def run(folder: Path, zygote: Zygote) -> int:
    """Be a daemon, with the stand-in for an engine, until killed or stopped. zygote: starts its workers."""
    from config.errors import MeshdropError
    from daemon.clock import SystemClock
    from daemon.logs import configure_logs
    from daemon.service import Service

    file = folder / "meshdrop.toml"
    steps = Steps(folder)
    watch_store(steps)
    configure_logs("json", "info")
    settings = load_settings(file, environment={}, folder=folder, system_file=folder / "none.toml")
    try:
        with zygote.stand_in():
            Service(settings, SystemClock(), DyingFiles(steps), worker_command=("zygote",)).run()
    except MeshdropError as error:
        print(f"{error.code}: {error.message}", file=sys.stderr)
        return error.exit_status
    return 0


def work(folder: Path, arguments: Sequence[str]) -> None:
    """Be a worker; its last step is the daemon's, too."""
    from daemon.worker import serve
    from tests.daemon_stand_in.fake import reconstruct

    steps = Steps(folder, whom=os.getppid())
    with mock.patch("daemon.worker.server.Files", return_value=DyingFiles(steps)):
        serve(reconstruct=reconstruct, arguments=arguments)


def _warm_up() -> None:
    """One bundle's way, in this process: what is made once and kept is there in each child."""
    import structlog

    from tests.proof.house import House, scratch

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with scratch() as folder:
        house = House(folder)
        try:
            house.drop("shoe")
            house.begin()
            house.drive(house.idle)
            house.drive(lambda: False, 20.0)
        finally:
            house.close()
    structlog.reset_defaults()
    for thread in threading.enumerate():  # a fork copies the thread that forks, and no other
        if thread is not threading.main_thread():
            thread.join(10)


def nurse() -> None:
    """Fork a daemon for each folder that is named on a line; tell its process id, and later how it ended."""
    for module in (
        "alembic.command", "daemon.caretaker", "daemon.index", "daemon.intake", "daemon.publish.rebuild",
        "daemon.runner.runner", "daemon.service", "daemon.spool", "daemon.status.outboxes", "daemon.watch.tree",
        "daemon.watch.reader", "daemon.worker", "tests.daemon_stand_in.fake",
    ):  # fmt: skip
        __import__(module)
    _warm_up()
    gc.freeze()  # or the first collection of each child would copy all of it
    print(json.dumps({"ready": os.getpid()}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            try:
                _, status = os.waitpid(order["wait"], 0 if order.get("block") else os.WNOHANG)
                done = _ != 0
            except ChildProcessError:
                done, status = True, 0
            print(json.dumps({"ended": os.waitstatus_to_exitcode(status) if done else None}), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            _be_born(Path(order["folder"]))
        print(json.dumps({"pid": pid}), flush=True)


def _be_born(folder: Path) -> None:
    status = 1
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: none is left behind
        log = os.open(folder / "log.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdin, sys.stdout, sys.stderr = (
            open(number, mode, closefd=False, buffering=buffering, encoding="utf-8")  # noqa: SIM115
            for number, mode, buffering in ((0, "r", -1), (1, "w", 1), (2, "w", 1))
        )
        zygote = Zygote(lambda arguments: work(folder, arguments))
        status = run(folder, zygote)
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    nurse()
