"""What may go: results and archived bundles that the database knows and the settings no longer keep.

Whatever else lies in an outbox or an archive is never touched. A folder is renamed out of sight before it is deleted,
so that nobody finds half of one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from stat import S_ISDIR, S_ISLNK
from typing import TYPE_CHECKING, Final, Literal

import structlog

from config.bundle_layout import name_key
from config.sections import Inbox, Settings
from daemon.clock import Clock
from daemon.files import Files
from daemon.names import shown
from daemon.publish.delivery import LATEST, job_of
from daemon.roots import PRIVATE
from daemon.states import FINAL

if TYPE_CHECKING:
    from daemon.store import Job, Store

log = structlog.get_logger(__name__)

_ARCHIVES: Final = ("_done", "_failed", "_cancelled")
_REMOVING: Final = "removing-"
_MEGABYTE: Final = 1 << 20
_DAY_S: Final = 86400


@dataclass(frozen=True)
class Removal:
    """Something that may be deleted. root: the inbox or outbox that it lies in."""

    path: Path
    root: Path
    job: str
    kind: Literal["result", "archived"]
    reason: str
    bytes: int


def plan_prune(
    settings: Settings, store: Store, clock: Clock, files: Files, *, inboxes: Collection[str] | None = None
) -> list[Removal]:
    """What the settings no longer keep, the oldest first; nothing is changed. inboxes: of these alone."""
    now = clock.now()
    jobs = [job for job in store.jobs(states=FINAL) if inboxes is None or job.inbox in inboxes]
    by_name = {inbox.name: inbox for inbox in settings.all_inboxes}
    results = sorted(_results(jobs, by_name), key=lambda item: item[0])
    plan: list[Removal] = []
    if settings.retention.results:
        plan += _aged(results, now, settings.retention.results, files)
    if settings.retention.free_mb:
        old = {item.path for item in plan}
        left = [(at, item) for at, item in results if item.path not in old]
        plan += _to_free(left, plan, settings.retention.free_mb * _MEGABYTE, files)
    if settings.retention.archived:
        archived = sorted(_archived(jobs, by_name), key=lambda item: item[0])
        plan += _aged(archived, now, settings.retention.archived, files)
    return plan


def apply_prune(plan: Sequence[Removal], store: Store, files: Files) -> list[Removal]:
    """Delete what a plan says, where it still is what it was; what was deleted."""
    done = []
    for item in plan:
        try:
            if not _is_still(item, files):
                continue
            _forget_latest(item, files)
            aside = item.root / PRIVATE / f"{_REMOVING}{item.job}"
            _remove(aside, files)  # what an earlier, interrupted try left
            files.rename(item.path, aside)
            if item.kind == "result":
                for job in store.jobs(states=FINAL):
                    if job.result_path == str(item.path):
                        store.update(job.id, result_path=None)
            _remove(aside, files)
        except OSError as error:
            log.warning("retention.not_deleted", job=item.job, path=str(item.path), reason=str(error.strerror))
            continue
        log.info("retention.deleted", job=item.job, path=shown(str(item.path)), reason=item.reason)
        done.append(item)
    return done


def _results(jobs: list[Job], inboxes: dict[str, Inbox]) -> Iterator[tuple[datetime, Removal]]:
    """Results, each with the time when a job was last answered by it."""
    of_path: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        if job.result_path is not None:
            of_path[job.result_path].append(job)
    for path, sharing in of_path.items():
        ids = {job.id for job in sharing}
        maker = next((job for job in sharing if job.answered_by not in ids), sharing[0])
        inbox = inboxes.get(maker.inbox)
        if inbox is None or Path(path).parent != inbox.outbox:
            continue
        size = sum(int(facts["bytes"]) for facts in (maker.manifest or {}).values())
        last = max(job.finished_at or job.updated_at for job in sharing)
        yield last, Removal(Path(path), inbox.outbox, maker.id, "result", "", size)


def _archived(jobs: list[Job], inboxes: dict[str, Inbox]) -> Iterator[tuple[datetime, Removal]]:
    for job in jobs:
        inbox, path = inboxes.get(job.inbox), Path(job.source)
        if inbox is not None and job.source and path.parent in {inbox.path / name for name in _ARCHIVES}:
            yield job.finished_at or job.updated_at, Removal(path, inbox.path, job.id, "archived", "", 0)


def _aged(items: list[tuple[datetime, Removal]], now: datetime, most_s: float, files: Files) -> Iterator[Removal]:
    for at, item in items:
        age_s = (now - at).total_seconds()
        if age_s > most_s and _is_still(item, files):
            yield replace(item, reason=f"{age_s / _DAY_S:.0f} days old")


def _to_free(
    items: list[tuple[datetime, Removal]], gone: list[Removal], wanted: int, files: Files
) -> Iterator[Removal]:
    """The oldest results, until each outbox would have as much free space as is wanted."""
    free: dict[Path, int] = {}
    for _, item in items:
        if item.root not in free:
            try:
                found = files.statvfs(item.root)
            except OSError:
                continue
            planned = sum(other.bytes for other in gone if other.root == item.root)
            free[item.root] = found.f_bavail * found.f_frsize + planned
        if free[item.root] < wanted and _is_still(item, files):
            free[item.root] += item.bytes
            yield replace(item, reason="the oldest, and space is short")


def _is_still(item: Removal, files: Files) -> bool:
    """Whether what lies there is the job's: by its job.json, or by the job's id in an archived bundle's name."""
    try:
        mode = files.lstat(item.path).st_mode
        if S_ISLNK(mode):
            return False
        if item.kind == "archived":
            return f"-{item.job}" in item.path.name
        return S_ISDIR(mode) and job_of(item.path, files) == item.job
    except OSError:
        return False


def _forget_latest(item: Removal, files: Files) -> None:
    """No latest.json points to what is gone."""
    if item.kind != "result":
        return
    for name in files.names(item.root):
        if not name_key(name).endswith(LATEST):
            continue
        try:
            with files.reading(item.root / name) as file:
                points = json.loads(file.read()).get("path")
        except (OSError, ValueError, AttributeError):
            continue
        if points == item.path.name:
            files.unlink(item.root / name)


def _remove(path: Path, files: Files) -> None:
    if not files.exists(path):
        return
    if S_ISDIR(files.lstat(path).st_mode):
        files.remove_tree(path)
    else:
        files.unlink(path)
