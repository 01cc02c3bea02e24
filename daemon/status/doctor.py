"""What a support person asks first, checked: each finding with what to do about it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from config.errors import MeshdropError
from config.sections import Settings
from daemon.status.findings import Finding, fail, note, ok, warn
from daemon.status.machine import check_gpu, check_inotify, check_packages, check_python
from daemon.status.shares import check_share, check_space

if TYPE_CHECKING:
    from rich.console import Console

_ANSWER_WITHIN_S: Final = 10.0


def examine(settings: Settings) -> list[Finding]:
    """Check everything. A share that hangs is a finding, not a wait."""
    findings = [*check_python(), *check_packages(), *check_gpu(settings), *_check_settings(settings)]
    shares = {settings.state_dir: "state_dir"}
    for inbox in settings.all_inboxes:
        which = f" of {inbox.name}" if settings.inboxes else ""
        shares.setdefault(inbox.path, f"inbox{which}")
        shares.setdefault(inbox.outbox, f"outbox{which}")
    for path, name in shares.items():
        findings += _in_time(check_share, path, name, settings)
        if not name.startswith("inbox"):
            findings += _in_time(check_space, path, name, settings)
    return [*findings, *check_inotify(settings), *_check_database(settings)]


def print_examination(findings: list[Finding], console: Console | None = None) -> None:
    """Print the findings, the worst last."""
    from rich.console import Console
    from rich.text import Text

    console = console or Console()
    words = {"ok": ("ok  ", "green"), "note": ("note", "cyan"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}
    for level, (word, colour) in words.items():
        for finding in findings:
            if finding.level != level:
                continue
            console.print(Text.assemble((word, colour), f"  {finding.name}: {finding.sentence}"), soft_wrap=True)
            if finding.remedy:
                console.print(Text(f"      {finding.remedy}", "dim"), soft_wrap=True)


def _in_time(
    check: Callable[[Path, str, Settings], Iterator[Finding]], path: Path, name: str, settings: Settings
) -> list[Finding]:
    """What a check finds, or that the share does not answer."""
    found: list[Finding] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.extend(check(path, name, settings))
        except (OSError, MeshdropError) as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_ANSWER_WITHIN_S)
    if thread.is_alive():
        remedy = "Check the network and the server; a share mounted with `soft` fails instead of hanging."
        return [fail(name, f"{path} does not answer within {_ANSWER_WITHIN_S:.0f} s.", remedy)]
    if failed:
        return [*found, fail(name, f"{path}: {failed[0]}", "Check that it is mounted and that this user may use it.")]
    return found


def _check_settings(settings: Settings) -> Iterator[Finding]:
    from daemon.roots import check_folders

    try:
        check_folders(settings)
    except MeshdropError as error:
        yield fail("settings", error.message, error.suggestion)
    else:
        yield ok("settings", "They can be read, and no folder lies in another.")
    group = settings.publish.group
    if group is not None:
        import grp

        try:
            members = grp.getgrnam(group)
        except KeyError:
            yield fail("publish.group", f"There is no group {group}.", "Make the group, or correct the setting.")
        else:
            if os.geteuid() and members.gr_gid not in (os.getegid(), *os.getgroups()):
                yield warn("publish.group", f"This user is not in the group {group}.", f"usermod -aG {group} USER")
    if not settings.support.contact:
        yield note("support.contact", "Is not set: statuses don't say whom to ask.", "Set it to a name or an address.")


def _check_database(settings: Settings) -> Iterator[Finding]:
    from daemon.clock import SystemClock
    from daemon.status.collect import collect
    from daemon.store import DATABASE_NAME, open_store

    if not (settings.state_dir / DATABASE_NAME).exists():
        yield note("database", "There is none yet.", "The daemon makes it at its first start.")
        return
    clock = SystemClock()
    try:
        with open_store(settings.state_dir, clock=clock, create=False) as store:
            yield ok("database", f"Is sound; {sum(store.counts().values())} jobs.")
            status = collect(store, settings, clock)
            newest = max((job.updated_at for job in store.jobs(newest_first=True, limit=20)), default=None)
    except MeshdropError as error:
        yield fail("database", error.message, error.suggestion)
        return
    level = {"running": ok, "stuck": fail}.get(status.daemon.state, note)
    yield level("daemon", status.daemon.sentence, status.daemon.last_error)
    yield from (warn("daemon", problem, None) for problem in status.problems if problem != status.daemon.sentence)
    if newest is not None and (newest - clock.now()).total_seconds() > 60:
        yield warn(
            "clock",
            f"The newest job is from the future ({newest:%Y-%m-%d %H:%M} UTC): the clock was put back.",
            "Let the machine set its clock by itself: timedatectl set-ntp true. Times are only shown; nothing is lost.",
        )
