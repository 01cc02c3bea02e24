"""Why a bundle is where it is: which gate holds it, or what became of its job."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from config.errors import JobNotFound, UsageError
from config.sections import Inbox, Settings
from daemon.names import shown
from daemon.paths import server_path, shown_path
from daemon.status.collect import job_status

if TYPE_CHECKING:
    from daemon.store import Job, Store

_ARCHIVES: Final = ("_done", "_failed", "_cancelled")
_MARKER: Final = re.compile(r"(\.(cancel|cancel-confirm|ready|redo|status))(\.txt)?$", re.IGNORECASE)
_JOB_ID: Final = re.compile(r"-([0-9a-hjkmnp-tv-z]{8})(-\d+)?(\.zip)?$")


def explain_path(path: str, settings: Settings, store: Store) -> str:
    """What there is to say of a bundle, a result or a job, in lines.

    Args:
        path: a path as the server, Windows or macOS calls it, or a job's id.
        settings: the settings.
        store: the store.

    Raises UsageError for a path that is in no inbox or outbox.
    """
    if "/" not in path and "\\" not in path:
        try:
            return _of_job(store.job(path), settings, store)
        except JobNotFound:
            pass
    given = server_path(path, settings, Path.cwd())
    for inbox in settings.all_inboxes:
        if given != inbox.path and given.is_relative_to(inbox.path):
            return _in_inbox(given.relative_to(inbox.path).parts, inbox, settings, store)
    for inbox in settings.all_inboxes:
        if given != inbox.outbox and given.is_relative_to(inbox.outbox):
            folder = inbox.outbox / given.relative_to(inbox.outbox).parts[0]
            return _in_outbox(folder, settings, store)
    folders = ", ".join(shown_path(inbox.path, settings) for inbox in settings.all_inboxes)
    raise UsageError(
        f"{shown(path)} is in no inbox.",
        suggestion=f"Name something in {folders}, as this machine or yours calls it, or a job's id.",
        path=path,
    )


def _in_inbox(parts: tuple[str, ...], inbox: Inbox, settings: Settings, store: Store) -> str:
    if parts[0] in _ARCHIVES and len(parts) > 1:
        found = _job_of_name(parts[1], store)
        where = f"It was put away in {parts[0]}: its job is over."
        return f"{where}\n{_of_job(found, settings, store)}" if found else f"{where} No job is known for it."
    away = _away(inbox, settings)
    if away is not None:
        return away
    entry = _MARKER.sub("", parts[0]) if not (inbox.path / parts[0]).is_dir() else parts[0]
    if not _exists(inbox.path / entry):
        entry = next((name for name in (f"{entry}.zip", parts[0]) if _exists(inbox.path / name)), entry)
    job = store.last_job(inbox.name, entry)
    if not _exists(inbox.path / entry):
        if job is None:
            return f"There is nothing at {shown_path(inbox.path / entry, settings)}, and nothing is known of it."
        return f"It is no longer in the inbox.\n{_of_job(job, settings, store)}"
    lines = _gates(entry, inbox, settings, store)
    if job is not None:
        lines.append(_of_job(job, settings, store))
    return "\n".join(lines)


def _away(inbox: Inbox, settings: Settings) -> str | None:
    """What is wrong with an inbox that a daemon has used, and what to do; None where it is there."""
    from config.errors import InfrastructureError
    from daemon.clock import SystemClock
    from daemon.files import Files
    from daemon.roots import is_known, open_root

    files = Files()
    if not is_known(inbox.path, settings.state_dir, files):
        return None
    try:
        open_root(inbox.path, "inbox", settings.state_dir, files, SystemClock())
    except InfrastructureError as error:
        return f"{error.message} {error.suggestion}"
    return None


def _gates(entry: str, inbox: Inbox, settings: Settings, store: Store) -> list[str]:
    """The gate that the daemon asks too, without acting."""
    from daemon.caretaker import Caretaker
    from daemon.clock import SystemClock
    from daemon.files import Files
    from daemon.intake import Intake
    from daemon.intake.wording import DRAINING
    from daemon.mounts import mount_of, watch_mode

    clock, files = SystemClock(), Files()
    mode = settings.watch.mode
    polled = mode == "polling" or (mode == "auto" and watch_mode(mount_of(inbox.path).type) == "polling")
    intake = Intake(
        inbox,
        settings,
        store,
        clock,
        files,
        polling=lambda: polled,
        caretaker=Caretaker(inbox, settings, store, clock, files),
        on_change=lambda: None,
    )
    explanation = intake.explain(entry)
    sentence = explanation.sentence
    open_gates = all(gate.passed for gate in explanation.gates if gate.name != "quiet")
    if explanation.job is None and open_gates and store.flag("draining"):
        sentence = DRAINING
    lines = [f"{shown(entry)}: {sentence}"]
    lines += [f"  {'ok ' if gate.passed else '-> '} {gate.name}: {gate.sentence}" for gate in explanation.gates]
    return lines


def _in_outbox(folder: Path, settings: Settings, store: Store) -> str:
    made = [job for job in store.jobs(newest_first=True) if job.result_path == str(folder)]
    found = made[0] if made else _job_of_name(folder.name, store)
    if found is None:
        return f"No job is known for {shown_path(folder, settings)}."
    return _of_job(found, settings, store)


def _of_job(job: Job, settings: Settings, store: Store) -> str:
    status = job_status(job, settings)
    lines = [f"Job {job.id} of {shown(job.entry)}: {job.state}, {status.sentence}"]
    if job.error and job.error.get("suggestion"):
        lines.append(f"  What to do: {shown(str(job.error['suggestion']))}")
    if status.result:
        lines.append(f"  Result: {status.result}")
    lines += [
        f"  {step.at.astimezone():%Y-%m-%d %H:%M:%S}  {step.after}: {shown(step.reason)}"
        + ("" if step.by == "daemon" else f" ({shown(step.by)})")
        for step in store.transitions(job.id)
    ]
    return "\n".join(lines)


def _job_of_name(name: str, store: Store) -> Job | None:
    match = _JOB_ID.search(name)
    try:
        return store.job(match[1]) if match else None
    except JobNotFound:
        return None


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True
