"""The worker's own side: take a job, run it, tell how it goes, and die with the daemon.

Standard output is the daemon's line to this process. It is moved out of reach before anything else happens: what a
library prints goes to standard error, which the daemon writes into its log.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import json
import os
import queue
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Never, Protocol

import structlog

from config.errors import (
    Cancelled,
    DiskFull,
    MeshdropError,
    ModelOutOfMemory,
    ModelOutOfVram,
    ShareUnavailable,
    UnknownError,
)
from config.job import JobOptions, parse_job_options
from config.sections import Settings
from daemon.files import Files
from daemon.logs import configure_logs
from daemon.publish.package import ERROR_FILE, package_result
from daemon.publish.trouble import NO_SPACE
from daemon.worker.confine import give_up_calls, give_up_privileges
from daemon.worker.protocol import (
    Cancel,
    Done,
    Failed,
    Message,
    ProtocolError,
    Ready,
    Run,
    Step,
    Stopped,
    decode,
    encode,
)

STEP_EVERY_S: Final = 0.2
_PR_SET_PDEATHSIG: Final = 1
_LARGEST_FILE: Final = 16 << 30  # bytes; no result is near it, and no disk is filled by one file that never ends
_OOM_SCORE: Final = 500  # where memory runs out on the machine, this process goes before the daemon

log = structlog.get_logger(__name__)


class ProgressLike(Protocol):
    """See engine.progress.Progress."""

    @property
    def stage(self) -> str:
        """What is being done."""

    @property
    def fraction(self) -> float:
        """0..1 of the job."""

    @property
    def eta_s(self) -> float | None:
        """Seconds left, None while unknown."""


class ResultLike(Protocol):
    """See engine.pipeline.Result."""

    @property
    def status(self) -> str:
        """The verdict."""


class Reconstruct(Protocol):
    """See engine.pipeline.reconstruct."""

    def __call__(
        self,
        bundle: Path,
        out: Path,
        options: JobOptions,
        on_progress: Callable[[Any], None],
        should_cancel: Callable[[], bool],
        *,
        settings: Settings,
        name: str | None,
    ) -> ResultLike:
        """Turn a bundle folder into a result folder."""


def serve(reconstruct: Reconstruct | None = None, arguments: Sequence[str] | None = None) -> Never:
    """Run jobs until the daemon hangs up.

    reconstruct: what runs a job; None imports the engine. arguments: of the command line; sys.argv's where None.
    """
    parser = argparse.ArgumentParser(prog="python -m daemon.worker", description="Started by the daemon alone.")
    parser.add_argument("--parent", type=int, required=True, help="process id of the daemon")
    parser.add_argument("--memory-mb", type=int, default=0, help="limit of the address space; 0: none")
    given = parser.parse_args(arguments)
    line = _take_standard_streams()
    _die_with(given.parent)
    configure_logs("json")
    _limit(given.memory_mb)
    _Server(line, reconstruct or _engine()).run()


def _engine() -> Reconstruct:
    from engine import reconstruct
    from engine.warmup import start

    start()  # after an installation: what the first job needs is compiled while nobody waits for it
    return reconstruct


def _take_standard_streams() -> tuple[int, int]:
    """The line to the daemon as two descriptors that only this process has; 0 and 1 become harmless."""
    requests, replies = os.dup(0), os.dup(1)  # not inheritable: a child process does not keep the line open
    void = os.open(os.devnull, os.O_RDONLY)
    os.dup2(void, 0)
    os.close(void)
    os.dup2(2, 1)
    return requests, replies


def _die_with(parent: int) -> None:
    """Let the kernel end this process when the daemon's does, even inside a call that never returns."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before the kernel was told
        os._exit(0)


def _limit(memory_mb: int) -> None:
    """Keep no more rights than a job needs: what it reads was dropped by anybody."""
    faulthandler.enable()
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE), encoding="ascii")
    _at_most(resource.RLIMIT_CORE, 0)
    _at_most(resource.RLIMIT_FSIZE, _LARGEST_FILE)
    if memory_mb:
        _at_most(resource.RLIMIT_AS, memory_mb << 20)
    log.info("worker.confined", no_new_privileges=give_up_privileges(), no_network=give_up_calls())


def _at_most(what: int, size: int) -> None:
    """Lower a limit, for this process and all that it starts; one that is lower already stays."""
    soft, hard = (size if at == resource.RLIM_INFINITY else min(at, size) for at in resource.getrlimit(what))
    resource.setrlimit(what, (soft, hard))


class _Server:
    """Jobs run in the main thread; a second one listens, so that a cancel is heard at any time."""

    def __init__(self, line: tuple[int, int], reconstruct: Reconstruct) -> None:
        self._requests, self._replies = line
        self._reconstruct = reconstruct
        self._runs: queue.SimpleQueue[Run] = queue.SimpleQueue()
        self._writing = threading.Lock()
        self._cancelled: set[str] = set()

    def run(self) -> Never:
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        self._say(Ready(os.getpid()))
        while True:
            run = self._runs.get()
            with structlog.contextvars.bound_contextvars(job=run.job):
                self._say(self._one(run))

    def _listen(self) -> None:
        with open(self._requests, "rb") as requests:  # noqa: PTH123 - a descriptor
            for line in requests:
                try:
                    message = decode(line)
                except ProtocolError as error:
                    log.warning("worker.not_understood", error=str(error))
                    continue
                if isinstance(message, Run):
                    self._runs.put(message)
                elif isinstance(message, Cancel):
                    self._cancelled.add(message.job)
        # The daemon is gone. What jobs have started goes with it.
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(0)

    def _say(self, message: Message) -> None:
        data = encode(message)
        with self._writing:
            while data:
                try:
                    data = data[os.write(self._replies, data) :]
                except BrokenPipeError:
                    os._exit(0)

    def _one(self, run: Run) -> Message:
        try:
            return self._attempt(run)
        except Cancelled:
            return Stopped(run.job)
        except Exception as error:
            return Failed(run.job, json.loads(json.dumps(_as_error(error, run).as_json(), default=str)))

    def _attempt(self, run: Run) -> Message:
        options = parse_job_options(run.options)
        settings = Settings.model_validate(run.settings)
        out, files = Path(run.out), Files()
        steps = _Steps(run.job, self._say)
        result = self._reconstruct(
            Path(run.bundle),
            out,
            options,
            steps.report,
            lambda: run.job in self._cancelled,
            settings=settings,
            name=run.facts.get("bundle"),  # its folder in the spool has another
        )
        self._say(Step(run.job, "package", 1.0, 0.0))
        verdict = result.status
        error = json.loads((out / ERROR_FILE).read_text(encoding="utf-8")) if verdict == "failure" else None
        manifest = package_result(out, run.facts, run.zip_name, files)
        done = Done(run.job, verdict, manifest, error)
        files.replace(Path(run.manifest_path), encode(done))
        files.fsync_folder(Path(run.manifest_path).parent)
        return done


class _Steps:
    """Progress, as often as somebody can use it: a job that reports in a tight loop slows nobody down."""

    def __init__(self, job: str, say: Callable[[Message], None]) -> None:
        self._job, self._say = job, say
        self._stage: str | None = None
        self._said_s = 0.0

    def report(self, progress: ProgressLike) -> None:
        now_s = time.monotonic()
        if progress.stage == self._stage and now_s - self._said_s < STEP_EVERY_S:
            return
        self._stage, self._said_s = progress.stage, now_s
        self._say(Step(self._job, progress.stage, float(progress.fraction), progress.eta_s))


def _as_error(error: Exception, run: Run) -> MeshdropError:
    """The error of the tree that stands for what went wrong."""
    kind = error.details.get("error") if isinstance(error, MeshdropError) else type(error).__name__
    if kind == "OutOfMemoryError":  # torch's, whether the engine has wrapped it or not
        return ModelOutOfVram("The engine ran out of GPU memory.")
    if isinstance(error, MeshdropError):
        return error
    if isinstance(error, MemoryError):
        return ModelOutOfMemory("The engine ran out of memory.")
    log.error("worker.failed", exc_info=error)
    if isinstance(error, OSError):
        where = str(error.filename or Path(run.out).parent)
        if error.errno in NO_SPACE:
            return DiskFull(f"No space is left for {where}.", path=where)
        return ShareUnavailable(f"Can't use {where}: {error.strerror}.", path=where)
    return UnknownError(f"The job failed: {type(error).__name__}: {error}", error=type(error).__name__)
