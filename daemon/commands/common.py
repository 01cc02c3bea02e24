"""What all commands share: options, the store, and the exit status that stands for an error."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer

from config.errors import Cancelled, MeshdropError, ShareUnavailable
from config.sections import Settings
from config.settings import load_settings
from daemon.terminal import print_error

if TYPE_CHECKING:
    from daemon.store import Job, Store

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="A settings file.", show_default="MESHDROP_CONFIG, config/, /etc/meshdrop/"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="A job's id, its first four characters or more, or a bundle's name.")
]


@contextmanager
def exit_status() -> Iterator[None]:
    """Print what went wrong, and leave with the status that stands for it."""
    try:
        yield
    except Cancelled:
        print_error("Cancelled; nothing was written.")
        raise typer.Exit(Cancelled.exit_status) from None
    except MeshdropError as error:
        named = error.kind != "usage" or type(error).__dict__.get("code")
        print_error(error.message, code=error.code if named else None, suggestion=error.suggestion)
        raise typer.Exit(error.exit_status) from None
    except BrokenPipeError:  # whoever reads the output has had enough: no error of ours
        raise
    except OSError as error:
        print_error(f"{error.filename or 'A file'}: {error.strerror}", code=ShareUnavailable.code)
        raise typer.Exit(ShareUnavailable.exit_status) from None


@contextmanager
def until_interrupted() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list; a second one ends the process the usual way."""
    seen: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        if seen:
            signal.default_int_handler(number, frame)
        seen.append(number)

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    except KeyboardInterrupt:
        raise Cancelled from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ended_tidily() -> Iterator[None]:
    """Let SIGTERM, as from a monitoring's time limit, and SIGHUP end a command as an error does: it leaves nothing."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def opened_store(config: Path | None, overrides: dict[str, Any] | None = None) -> Iterator[tuple[Settings, Store]]:
    """The settings and the store of the daemon that runs, or ran, with them."""
    from daemon.clock import SystemClock
    from daemon.store import open_store

    settings = load_settings(config, overrides)
    with quiet(), open_store(settings.state_dir, clock=SystemClock(), create=False) as store:
        yield settings, store


@contextmanager
def quiet(level: int = logging.WARNING) -> Iterator[None]:
    """Log warnings and worse alone, or what `level` says.

    A command says in its own words what it has done, and the daemon logs what follows.
    """
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
    try:
        yield
    finally:
        structlog.configure(wrapper_class=before)


def find_job(store: Store, text: str) -> Job:
    """The job that somebody means: by id, the beginning of one, or the newest of a bundle's name.

    Raises JobNotFound.
    """
    from config.errors import JobNotFound

    try:
        return store.job(text)
    except JobNotFound:
        named = [job for job in store.jobs(newest_first=True) if text in (job.name, job.entry)]
        if not named:
            raise
        return next((job for job in named if job.finished_at is None), named[0])
