"""What a support person asks first, checked: each finding with what to do about it.

Nothing here waits for long: shares are asked side by side and given up after a while, programs have a time limit.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING, Final

from config.errors import MeshdropError
from config.sections import Settings
from daemon.names import shown
from daemon.status.findings import Finding, fail, note, ok, warn
from daemon.status.machine import (
    check_clock,
    check_gpu,
    check_inotify,
    check_models,
    check_packages,
    check_python,
)
from daemon.status.shares import check_share, check_space, user_name
from daemon.status.trial import self_test

if TYPE_CHECKING:
    from rich.console import Console

_ANSWER_WITHIN_S: Final = 10.0
_EXIT_STATUS: Final = {"ok": 0, "note": 0, "warn": 1, "fail": 5}
_SLOW_SHARE: Final = "Check the network and the file server. Jobs of that share wait until it answers, others go on."


def examine(settings: Settings, quick: bool = False, say: Callable[[str], None] = lambda what: None) -> list[Finding]:
    """Check everything. A share that hangs is a finding, not a wait.

    quick: without the self-test. say: is told what is being done. To be called from the main thread.
    """
    say("Looking at the machine, the folders and the database …")
    checks: list[tuple[str, str, Callable[[], Iterator[Finding]]]] = []
    names: dict[Path, str] = {settings.state_dir: "state_dir"}
    for inbox in settings.all_inboxes:
        which = f" of {inbox.name}" if settings.inboxes else ""
        names.setdefault(inbox.path, f"inbox{which}")
        names.setdefault(inbox.outbox, f"outbox{which}")
    for path, name in names.items():
        checks.append((name, str(path), partial(_check_folder, path, name, settings)))
    checks += [
        ("settings", "A folder of the settings", partial(_check_settings, settings)),
        ("inotify", "", partial(check_inotify, settings)),  # which inbox is silent is said there
        ("models", str(settings.models.reconviagen.weights), partial(check_models, settings)),
        ("database", str(settings.state_dir), partial(_check_database, settings)),
    ]
    asked = [_Asked(*check) for check in checks]
    findings = [*check_python(), *check_packages(), *check_gpu(settings), *check_clock()]
    until_s = time.monotonic() + _ANSWER_WITHIN_S
    for each in asked:
        findings += each.findings(until_s - time.monotonic())
    if not quick:
        say("Reconstructing a small sample; --quick leaves it out …")
        findings += self_test(settings)
    return findings


def exit_status_of(findings: list[Finding]) -> int:
    """For monitoring: 0 where all is well, 1 where something does not work as it should, 5 where it does not work."""
    return max(_EXIT_STATUS[finding.level] for finding in findings)


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


class _Asked:
    """A check that touches folders, under way in a thread of its own."""

    def __init__(self, name: str, what: str, check: Callable[[], Iterator[Finding]]) -> None:
        self._name, self._what, self._check = name, what, check
        self._found: list[Finding] = []
        self._thread = threading.Thread(target=self._run, name=f"check {name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for finding in self._check():
                self._found.append(finding)
        except MeshdropError as error:
            self._found.append(fail(self._name, error.message, error.suggestion))
        except OSError as error:
            text = f"{self._what}: {error.strerror or error}."
            self._found.append(fail(self._name, text, "Check that it is mounted and that this user may use it."))

    def findings(self, within_s: float) -> list[Finding]:
        """What it has found, and that there is no answer where none comes in time."""
        self._thread.join(max(0.0, within_s))
        if not self._thread.is_alive():
            return self._found
        if not self._what:
            return self._found
        silent = f"{shown(self._what)} does not answer within {_ANSWER_WITHIN_S:.0f} s."
        return [*self._found, fail(self._name, silent, _SLOW_SHARE)]


def _check_folder(path: Path, name: str, settings: Settings) -> Iterator[Finding]:
    yield from check_share(path, name, settings)
    if not name.startswith("inbox"):
        yield from check_space(path, name, settings)


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
    from daemon.store.database import Database

    path = settings.state_dir / DATABASE_NAME
    if not path.exists():
        yield note("database", "There is none yet.", "The daemon makes it at its first start.")
        return
    clock = SystemClock()
    try:
        with open_store(settings.state_dir, clock=clock, create=False) as store:
            database = Database(path)
            try:
                database.check(thoroughly=True)
            finally:
                database.close()
            yield ok("database", f"Is sound; {sum(store.counts().values())} jobs.")
            status = collect(store, settings, clock)
            newest = max((job.updated_at for job in store.jobs(newest_first=True, limit=20)), default=None)
    except MeshdropError as error:
        yield fail("database", error.message, error.suggestion)
        return
    level = {"running": ok, "stuck": fail}.get(status.daemon.state, note)
    remedy = {
        "running": None,
        "stuck": "Look for a share that hangs, above; then restart the daemon.",
    }.get(status.daemon.state, "Start it: systemctl start meshdrop, or make serve.")
    yield level("daemon", status.daemon.sentence, status.daemon.last_error or remedy)
    if status.daemon.state == "running" and status.daemon.pid is not None and status.daemon.host == gethostname():
        yield from check_user_of(status.daemon.pid)
    yield from (
        warn("daemon", problem, "`meshdrop status` shows it.")
        for problem in status.problems
        if problem != status.daemon.sentence
    )
    if newest is not None and (newest - clock.now()).total_seconds() > 60:
        yield warn(
            "clock",
            f"The newest job is from the future ({newest:%Y-%m-%d %H:%M} UTC): the clock was put back.",
            "Let the machine set its clock by itself: timedatectl set-ntp true. Times are only shown; nothing is lost.",
        )


def check_user_of(daemon_pid: int) -> Iterator[Finding]:
    """Whether the daemon's user is who asks: what is found of rights holds for the latter."""
    try:
        owner = Path(f"/proc/{daemon_pid}").stat().st_uid
    except OSError:
        return
    if owner != os.geteuid():
        yield warn(
            "user",
            f"The daemon runs as {user_name(owner)}, this is {user_name(os.geteuid())}: what is said of rights holds "
            "for the latter.",
            f"sudo -u {user_name(owner)} meshdrop doctor",
        )
