"""submit: drop a bundle into the inbox, whole."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import Cancelled, MeshdropError, OutputExists, UnknownError, UsageError
from config.sections import Inbox, Settings
from config.settings import load_settings
from daemon.commands.common import ConfigOption, exit_status, until_interrupted

if TYPE_CHECKING:
    from daemon.store import Job, Store

_LOOK_EVERY_S = 0.3
_IDLE_WITHIN_S = 60.0
_LOG = "run.log"
_NO_DAEMON = {True: "the daemon starts", False: "no daemon has run yet: start one (make serve)"}
_WAITS = {"PENDING": "waits for its turn", "PUBLISHING": "is being published"}


def submit(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder, or a zip of one.")],
    name: Annotated[
        str | None, typer.Option(help="What it is called in the inbox.", show_default="its own name")
    ] = None,
    inbox: Annotated[str | None, typer.Option(help="Which inbox, by its name.", show_default="the first")] = None,
    force: Annotated[bool, typer.Option("--force", help="Run even where the content has a result already.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Show the progress, and end as the job ends.")] = False,
    start: Annotated[
        bool, typer.Option("--start", help="Start a daemon where none runs, until it is idle; implies --wait.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Copy a bundle into the inbox, so that it appears there whole; with --wait, follow its job."""
    with exit_status(), until_interrupted() as interrupted:
        settings = load_settings(config)
        chosen = _choose(settings, inbox)
        earlier = _last_job(settings, chosen.name, entry_name(bundle, name))
        target = drop(bundle, chosen, name, force=force)
        typer.echo(f"Dropped: {target}")
        if wait or start:
            with _daemon(settings, config) if start else nullcontext() as daemon:
                job = follow(settings, chosen.name, target.name, interrupted, but=earlier, daemon=daemon)
            finish(job)


def _choose(settings: Settings, name: str | None) -> Inbox:
    for inbox in settings.all_inboxes:
        if name in (None, inbox.name):
            return inbox
    known = ", ".join(inbox.name for inbox in settings.all_inboxes)
    raise UsageError(f"There is no inbox called {name!r}.", suggestion=f"Known: {known}.")


def entry_name(bundle: Path, name: str | None = None) -> str:
    """What a bundle is called in an inbox. Raises UsageError where there is no bundle, or the name won't do."""
    if not bundle.is_dir() and not (bundle.is_file() and bundle.suffix.lower() == ".zip"):
        raise UsageError(
            f"{bundle} is neither a folder nor a zip.", suggestion="Name a bundle's folder, or a zip of one."
        )
    whole = bundle.resolve()
    shown = name or whole.name
    if whole.is_file() and not shown.lower().endswith(".zip"):
        shown += ".zip"
    if "/" in shown or shown in ("", ".", "..") or shown.startswith((".", "_")):
        raise UsageError(f"{shown!r} can't be a bundle's name.", suggestion="Choose one with --name.")
    return shown


def _last_job(settings: Settings, inbox: str, entry: str) -> str | None:
    """The id of the last job of that name, where a daemon has run."""
    from daemon.clock import SystemClock
    from daemon.store import open_store

    with suppress(MeshdropError), open_store(settings.state_dir, clock=SystemClock(), create=False) as store:
        job = store.last_job(inbox, entry)
        return job.id if job else None
    return None


def drop(bundle: Path, inbox: Inbox, name: str | None = None, *, force: bool = False) -> Path:
    """Copy a bundle beside the inbox's own files, then rename it into view.

    Raises UsageError where there is no bundle, OutputExists where the name is taken.
    """
    whole = bundle.resolve()
    target = inbox.path / entry_name(bundle, name)
    if os.path.lexists(target):
        raise OutputExists(f"There is already something at {target}.", suggestion="Choose another --name.")
    private = inbox.path / ".meshdrop"
    private.mkdir(parents=True, exist_ok=True)
    beside = private / f"incoming-{secrets.token_hex(4)}"
    try:
        if whole.is_dir():
            shutil.copytree(whole, beside, copy_function=shutil.copyfile)
            if force:
                (beside / ".redo").touch()
        else:
            shutil.copyfile(whole, beside)
            if force:
                (inbox.path / f"{target.stem}.redo").touch()
        beside.rename(target)
    except BaseException:
        if beside.is_dir():
            shutil.rmtree(beside, ignore_errors=True)
        else:
            beside.unlink(missing_ok=True)
        raise
    return target


@contextmanager
def _daemon(settings: Settings, config: Path | None) -> Iterator[subprocess.Popen[bytes] | None]:
    """A daemon of our own that ends when it is idle, where none runs; it writes its log into the state folder."""
    from daemon.locks import AlreadyLocked, FileLock

    settings.state_dir.mkdir(parents=True, exist_ok=True)
    try:
        FileLock(settings.state_dir / "meshdrop.lock").acquire().release()
    except AlreadyLocked:
        yield None
        return
    command = [sys.executable, "-m", "daemon", "run", "--until-idle"]
    if config is not None:
        command += ["--config", str(config)]
    with (settings.state_dir / _LOG).open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
        process.wait(_IDLE_WITHIN_S)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def follow(
    settings: Settings,
    inbox: str,
    entry: str,
    interrupted: list[int],
    *,
    but: str | None = None,
    daemon: subprocess.Popen[bytes] | None = None,
) -> Job:
    """Show the progress of an entry's newest job until it ends, and return it.

    but: the id of an earlier drop's job, which is not the one. daemon: what was started for it; None where another
    runs, or should.
    Raises Cancelled where the command was interrupted, UnknownError where that daemon has ended before the job.
    """
    from daemon.clock import SystemClock
    from daemon.store import open_store
    from daemon.terminal import ProgressPrinter

    store: Store | None = None
    try:
        with ProgressPrinter() as printer:
            while True:
                if interrupted:
                    raise Cancelled
                if store is None:
                    with suppress(MeshdropError):  # a daemon that starts is just making it
                        store = open_store(settings.state_dir, clock=SystemClock(), create=False)
                ended = daemon.poll() if daemon else None  # asked first: what it did before counts
                job = store.last_job(inbox, entry) if store else None
                if ended is not None and (job is None or job.id == but or job.finished_at is None):
                    raise UnknownError(
                        f"The daemon that was started has ended (exit status {ended}), and {entry} is not finished.",
                        suggestion=f"{settings.state_dir / _LOG} says why; `meshdrop doctor` looks at the machine.",
                    )
                if job is None or job.id == but:
                    printer.waiting("waiting to be taken" if store else _NO_DAEMON[daemon is not None])
                elif job.finished_at is not None:
                    break
                elif job.state == "PROGRESS":
                    printer.update(_Step(job.stage or "starting", job.fraction, job.eta_s))
                else:
                    printer.waiting(_WAITS.get(job.state, job.hold_reason or str(job.state).lower()))
                time.sleep(_LOOK_EVERY_S)
    finally:
        if store is not None:
            store.close()
    return job


def finish(job: Job) -> None:
    """Print how a job ended; raise what it ended in."""
    from daemon.states import State

    if job.state is State.CANCELLED:
        typer.echo(f"{job.id}: cancelled.")
        raise typer.Exit(Cancelled.exit_status)
    if job.result_path:
        for name in ("mesh.glb", "report.html", "error.json"):
            if (found := Path(job.result_path) / name).exists():
                typer.echo(found)
    if job.error:
        raise _error_of(job.error)
    typer.echo(f"{job.id}: {job.verdict or job.state}")


class _Step:
    """A job's progress as a terminal shows it."""

    def __init__(self, stage: str, fraction: float, eta_s: float | None) -> None:
        self.stage, self.fraction, self.eta_s = stage, fraction, eta_s


def _error_of(error: dict[str, object]) -> MeshdropError:
    from config.errors import error_classes

    cls = error_classes().get(str(error.get("code")), UnknownError)
    return cls(str(error.get("message")), suggestion=str(error.get("suggestion") or "") or None)
