"""The status, put together from the store and the settings alone.

It touches no share, so that it answers while one hangs, and needs no daemon: what a daemon knows beyond the database
stands in the report that it leaves there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from config.sections import Inbox, Settings
from config.text import encodable
from daemon.clock import Clock
from daemon.names import shown
from daemon.paths import shown_path
from daemon.states import FINAL, State
from daemon.status.model import (
    DaemonStatus,
    InboxStatus,
    JobStatus,
    MachineStatus,
    Status,
    WaitingBundle,
    WatchStatus,
)

if TYPE_CHECKING:
    from daemon.store import DaemonReport, Glance, Job, Store

STUCK_AFTER_S: Final = 60.0
_MOST_QUEUED: Final = 100
_MOST_RECENT: Final = 50
_MOST_WAITING: Final = 100


def collect(store: Store, settings: Settings, clock: Clock) -> Status:
    """Everything at a glance."""
    report = store.daemon_report()
    daemon = _daemon(report, store, clock)
    lives = daemon.state in ("running", "stuck")
    waiting = _waiting(report.waiting if report and lives else [])
    counts = store.counts()
    going = store.jobs(states={State.PROGRESS, State.PUBLISHING, State.HELD})
    queue = store.next_jobs(_MOST_QUEUED)
    recent = store.jobs(states=FINAL, newest_first=True, limit=_MOST_RECENT)
    recent.sort(key=lambda job: job.finished_at or job.updated_at, reverse=True)
    inboxes = [
        _inbox(inbox, report if lives else None, settings, sum(item.inbox == inbox.name for item in waiting))
        for inbox in settings.all_inboxes
    ]
    held = [job_status(job, settings) for job in going if job.state is State.HELD]
    return Status(
        at=clock.now(),
        daemon=daemon,
        inboxes=inboxes,
        machine=_machine(report if lives else None, settings),
        counts={str(state): counts.get(state, 0) for state in State},
        running=[job_status(job, settings) for job in going if job.state is not State.HELD],
        queue=[job_status(job, settings, place) for place, job in enumerate(queue, 1)],
        held=held,
        recent=[job_status(job, settings) for job in recent],
        waiting=waiting[:_MOST_WAITING],
        problems=[*_problems(daemon, inboxes, held), *_full_state(settings, held)],
        contact=settings.support.contact,
    )


def job_status(job: Job, settings: Settings, place: int | None = None) -> JobStatus:
    """A job at a glance. place: its place in the queue."""
    result = shown_path(job.result_path, settings) if job.result_path else None
    return JobStatus(
        job=job.id,
        bundle=shown(job.entry),
        inbox=job.inbox,
        state=str(job.state),
        sentence=sentence_of(job, place),
        stage=shown(job.stage) if job.stage else None,
        fraction=min(1.0, max(0.0, job.fraction)),
        eta_s=job.eta_s,
        place=place,
        priority=job.priority,
        attempt=job.attempt,
        verdict=job.verdict,
        error=encodable(job.error),
        result=result,
        folder=shown(Path(job.result_path).name) if job.result_path else None,
        report=_address(job, "report.html"),
        thumbnail=_address(job, "thumbnail.webp", "preview_0.png"),
        answered_by=job.answered_by,
        retry_of=job.retry_of,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        updated_at=job.updated_at,
    )


def _address(job: Job, *names: str) -> str | None:
    """The first of these files that a result has, as a page in the outbox links to it."""
    found = next((name for name in names if name in (job.manifest or ())), None)
    if found is None or job.result_path is None:
        return None
    return f"{quote(Path(job.result_path).name.encode('utf-8', 'surrogateescape'))}/{found}"


def sentence_of(job: Job | Glance, place: int | None) -> str:
    """How a job stands, in words. place: its place in the queue."""
    if job.cancel_requested_at is not None and not job.final and job.state is not State.PUBLISHING:
        return "is being cancelled"
    match job.state:
        case State.PENDING:
            return "waits for its turn" + (f", number {place}" if place else "")
        case State.PROGRESS:
            return f"{job.stage or 'starting'}, {job.fraction:.0%}"
        case State.PUBLISHING:
            return "on its way to the outbox"
        case State.HELD:
            return shown(job.hold_reason or "waits for the machine or the share")
        case State.SUCCESS if job.answered_by:
            return f"the same as {job.answered_by}"
        case State.SUCCESS:
            return {"warning": "finished; have a look at its quality"}.get(job.verdict or "", "finished")
        case State.CANCELLED:
            return f"cancelled by {shown(job.cancel_by)}" if job.cancel_by else "cancelled"
        case State.FAILURE:
            return shown(str((job.error or {}).get("message") or "failed"))


def _daemon(report: DaemonReport | None, store: Store, clock: Clock) -> DaemonStatus:
    paused, draining = store.flag("paused"), store.flag("draining")
    if report is None:
        return DaemonStatus(
            state="never",
            sentence="No daemon has run here yet; start one with `meshdrop run`.",
            paused=paused,
            draining=draining,
        )
    silent_s = (clock.now() - report.beat_at).total_seconds()
    beats = abs(silent_s) < STUCK_AFTER_S
    here = report.process.host == gethostname()
    if report.state == "stopped" or not (report.process.alive if here else beats):
        state, sentence = "stopped", "No daemon is running; start one with `meshdrop run`."
        if report.state != "stopped":
            sentence = "The daemon ended unexpectedly; nothing is lost. Start it again with `meshdrop run`."
    elif not beats:
        state = "stuck"
        sentence = f"The daemon (process {report.process.pid}) lives, but was last heard of {silent_s:.0f} s ago."
    else:
        state, sentence = "running", "The daemon is running."
        if draining:
            sentence = "The daemon is draining: it finishes what is recorded and takes no new bundles."
        elif paused:
            sentence = "The daemon is paused: it takes no jobs until `meshdrop resume`."
    return DaemonStatus(
        state=state,  # type: ignore[arg-type]  # one of the words above
        sentence=sentence,
        version=report.version,
        pid=report.process.pid,
        host=report.process.host,
        started_at=report.started_at,
        beat_at=report.beat_at,
        paused=paused,
        draining=draining,
        last_error=shown(report.last_error) if report.last_error else None,
    )


def _machine(report: DaemonReport | None, settings: Settings) -> MachineStatus:
    gpu = dict((report.facts.get("gpu") if report else None) or {})
    return MachineStatus(
        state_free=_free(report, settings.state_dir),
        gpu=gpu.get("gpu_name"),
        vram_total=gpu.get("vram_total"),
        vram_free=gpu.get("vram_free"),
    )


def _free(report: DaemonReport | None, folder: Path) -> int | None:
    """As the daemon has found it: whoever asks here may ask a share that hangs."""
    free = (report.facts.get("free") or {}).get(str(folder)) if report else None
    return None if free is None else int(free)


def _inbox(inbox: Inbox, report: DaemonReport | None, settings: Settings, waiting: int) -> InboxStatus:
    watch = dict(report.watches.get(inbox.name, {})) if report else {}
    roots = [report.roots.get(str(path), {}) for path in (inbox.path, inbox.outbox)] if report else []
    bad = [root for root in roots if root.get("state") not in (None, "ok")]
    known = [root for root in roots if root.get("state") is not None]
    mode = watch.get("mode")
    return InboxStatus(
        name=inbox.name,
        inbox=shown_path(inbox.path, settings),
        outbox=shown_path(inbox.outbox, settings),
        watch=WatchStatus(
            mode=mode if mode in ("inotify", "polling") else "unknown",
            healthy=bool(watch.get("healthy", False)),
            why=shown(str(watch.get("why") or "No daemon is watching it.")),
            remedy=watch.get("remedy"),
            latency_s=watch.get("detection_latency_s"),
        ),
        reachable=not bad if known else None,
        problem=shown(str(bad[0].get("why") or "It can't be reached.")) if bad else None,
        waiting=waiting,
        inbox_free=_free(report, inbox.path),
        outbox_free=_free(report, inbox.outbox),
    )


def _waiting(items: Iterable[dict[str, Any]]) -> list[WaitingBundle]:
    return [
        WaitingBundle(
            bundle=shown(str(item.get("bundle", "?"))),
            inbox=str(item.get("inbox", "")),
            sentence=shown(str(item.get("sentence", ""))),
            missing=[shown(str(name)) for name in item.get("missing") or ()],
            waiting_s=item.get("waiting_s"),
        )
        for item in items
    ]


def _problems(daemon: DaemonStatus, inboxes: list[InboxStatus], held: list[JobStatus]) -> Iterable[str]:
    if daemon.state != "running" or daemon.paused or daemon.draining:
        yield daemon.sentence
    if daemon.last_error and daemon.state == "running":
        yield daemon.last_error
    for inbox in inboxes:
        if inbox.problem:
            yield f"{inbox.name}: {inbox.problem}"
        if daemon.state == "running" and not inbox.watch.healthy:
            yield f"{inbox.name}: {inbox.watch.why}" + (f" {inbox.watch.remedy}" if inbox.watch.remedy else "")
    for sentence in dict.fromkeys(job.sentence for job in held):
        count = sum(job.sentence == sentence for job in held)
        yield f"{count} job{'s' if count > 1 else ''} on hold: {sentence}"


def _full_state(settings: Settings, held: list[JobStatus]) -> Iterable[str]:
    """A full disk under the database, where no job could be told so. It is a local one, which answers."""
    try:
        found = os.statvfs(settings.state_dir)
    except OSError:
        return
    free_mb = found.f_bavail * found.f_frsize >> 20
    wanted_mb = settings.run.reserve_mb
    if free_mb < wanted_mb and not any(shown(str(settings.state_dir)) in job.sentence for job in held):
        yield (
            f"Only {free_mb} MB are free on the state folder {shown(str(settings.state_dir))}; no job starts below "
            f"{wanted_mb} MB (setting run.reserve_mb). Free some space."
        )
