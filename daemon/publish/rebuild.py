"""A lost database, rebuilt from what the results in the outboxes say of their jobs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import structlog

from config.sections import Settings
from daemon.files import Files, NotRegular
from daemon.publish.delivery import Target, read_job_json
from daemon.publish.package import ERROR_FILE, JOB_FILE, QUALITY_FILE, Manifest, digest
from daemon.states import State

if TYPE_CHECKING:
    from daemon.store import PublishedJob, Store

log = structlog.get_logger(__name__)


def rebuild_if_lost(settings: Settings, store: Store, files: Files) -> int:
    """Where the store is empty, record the jobs whose results lie in the outboxes; how many there were.

    For the start of the daemon, before bundles are looked at: what was made is not made again. Outboxes that can't be
    read are left out.
    """
    if store.known_ids():
        return 0
    found: dict[str, PublishedJob] = {}
    for outbox in dict.fromkeys(inbox.outbox for inbox in settings.all_inboxes):
        for job in _published_jobs(outbox, files):
            if job.id not in found or _is_its_own(job):  # somebody may have copied a result
                found[job.id] = job
    count = store.rebuild(found.values()) if found else 0
    if count:
        log.warning("store.rebuilt", jobs=count)
    return count


def _published_jobs(outbox: Path, files: Files) -> Iterator[PublishedJob]:
    try:
        names = files.names(outbox)
    except OSError as error:
        log.warning("store.outbox_not_read", outbox=str(outbox), reason=str(error.strerror))
        return
    for name in names:
        if name.startswith("."):
            continue
        try:
            job = _published_job(outbox / name, files)
        except (OSError, KeyError, TypeError, ValueError) as error:
            log.warning("store.result_not_read", path=str(outbox / name), reason=str(error))
            continue
        if job is not None:
            yield job


def _published_job(folder: Path, files: Files) -> PublishedJob | None:
    from daemon.store import PublishedJob

    document = read_job_json(folder, files)
    facts = document.get("job")
    if not isinstance(facts, dict):
        return None
    finished = _moment(facts.get("finished_at")) or datetime.fromtimestamp(files.lstat(folder).st_mtime, UTC)
    error = _read(folder / ERROR_FILE, files)
    return PublishedJob(
        id=str(facts["id"]),
        inbox=str(facts["inbox"]),
        entry=os.fsdecode(unquote_to_bytes(str(facts["entry"]))),
        name=str(facts["name"]),
        state=State.SUCCESS if error is None else State.FAILURE,
        result_path=str(folder),
        finished_at=finished,
        options=dict(document.get("options") or {}),
        content_key=str(facts.get("content_key") or ""),
        fingerprint=str(facts.get("fingerprint") or ""),
        attempt=int(facts.get("attempt") or 1),
        owner=str(facts.get("owner") or ""),
        verdict=(_read(folder / QUALITY_FILE, files) or {}).get("status"),
        error=error,
        manifest=_manifest(folder, document, files),
        digests=dict(document.get("inputs") or {}),
        created_at=_moment(facts.get("submitted_at")),
        started_at=_moment(facts.get("started_at")),
    )


def _manifest(folder: Path, document: dict[str, Any], files: Files) -> Manifest:
    """What job.json lists, itself and the zip."""
    own = [name for name in files.names(folder) if name == JOB_FILE or name.endswith(".zip")]
    return {**document.get("files", {}), **{name: digest(folder / name, files) for name in own}}


def _is_its_own(job: PublishedJob) -> bool:
    folder = Path(job.result_path)
    return Target(folder.parent, job.id, job.name, failed=job.state is State.FAILURE).may_be(folder.name)


def _read(path: Path, files: Files) -> dict[str, Any] | None:
    try:
        with files.reading(path) as file:
            document = json.loads(file.read())
    except (FileNotFoundError, NotRegular, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _moment(text: Any) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(str(text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
