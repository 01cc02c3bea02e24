"""How jobs come into the database: a bundle that intake admits, a result that only the outbox remembers."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, insert, select

from daemon.states import LIVE, State
from daemon.store import tables
from daemon.store.jobs import COLUMNS, ID_ALPHABET, Jobs, log_step, step_row
from daemon.store.records import Job, NewJob, PublishedJob

ID_LENGTH: Final = 8


class Admission(Jobs):
    """The part of the store that makes jobs."""

    def admit(self, jobs: Sequence[NewJob]) -> list[Job]:
        """Record new jobs, all of them or none, and give them in the same order.

        The same drop (inbox, entry, fingerprint) is one job, however often it is admitted: its newest job is given,
        unless the new one is a `redo` or a `retry_of` and no job of the drop is live.
        """
        chosen: list[str] = []
        rows: list[dict[str, Any]] = []
        steps: list[dict[str, Any]] = []
        inputs: list[dict[str, Any]] = []
        with self._database.writing() as connection:
            drops, new_ids = _Drops(connection, jobs), _new_ids(connection, len(jobs))
            for job in jobs:
                known = drops.job_of(job)
                if known is not None:
                    chosen.append(known)
                    continue
                job_id = new_ids.pop()
                rows.append(self._row(job, job_id, drops.add(job, job_id)))
                steps.append(step_row(self._clock, job_id, None, State.PENDING, _why_admitted(job), "daemon"))
                inputs += [
                    {"job": job_id, "path": path, "sha256": digest, "bytes": job.sizes.get(path)}
                    for path, digest in job.digests.items()
                ]
                chosen.append(job_id)
            for table, values in ((tables.jobs, rows), (tables.transitions, steps), (tables.inputs, inputs)):
                if values:
                    connection.execute(insert(table), values)
            found = _by_id(connection, chosen)
        for step in steps:
            log_step(found[step["job"]], None, step["reason"])
        return [found[job_id] for job_id in chosen]

    def rebuild(self, jobs: Iterable[PublishedJob]) -> int:
        """Record finished jobs that only the outbox remembers; known ids are left alone. Gives how many were new."""
        count = 0
        with self._database.writing() as connection:
            in_order = sorted(jobs, key=lambda job: (job.finished_at, job.id))
            drops = _Drops(connection, in_order)
            known = set(connection.scalars(select(tables.jobs.c.id)))
            for job in in_order:
                if job.id in known:
                    continue
                known.add(job.id)
                attempt = drops.add(job, job.id)
                connection.execute(insert(tables.jobs), self._row_of_published(job, attempt))
                connection.execute(
                    insert(tables.transitions),
                    step_row(self._clock, job.id, None, job.state, "found in the outbox", "daemon"),
                )
                if job.digests:
                    connection.execute(
                        insert(tables.inputs),
                        [{"job": job.id, "path": path, "sha256": sha} for path, sha in job.digests.items()],
                    )
                count += 1
        return count

    def _row(self, job: NewJob, job_id: str, attempt: int) -> dict[str, Any]:
        now = self._clock.now()
        return {
            "id": job_id,
            "inbox": job.inbox,
            "entry": job.entry,
            "name": job.name,
            "state": State.PENDING,
            "priority": job.priority,
            "owner": job.owner,
            "options": job.options,
            "content_key": job.content_key,
            "fingerprint": job.fingerprint,
            "attempt": attempt,
            "error": job.error,
            "retry_of": job.retry_of,
            "source": job.source,
            "notes": list(job.notes),
            "created_at": now,
            "updated_at": now,
        }

    def _row_of_published(self, job: PublishedJob, attempt: int) -> dict[str, Any]:
        return {
            "id": job.id,
            "inbox": job.inbox,
            "entry": job.entry,
            "name": job.name,
            "state": job.state,
            "outcome": job.state,
            "priority": 0,
            "owner": job.owner,
            "options": job.options,
            "content_key": job.content_key,
            "fingerprint": job.fingerprint,
            "attempt": attempt,
            "fraction": 1.0,
            "error": job.error,
            "verdict": job.verdict,
            "manifest": job.manifest,
            "result_path": job.result_path,
            "source": "",
            "notes": [],
            "created_at": job.created_at or job.finished_at,
            "started_at": job.started_at,
            "finished_at": job.finished_at,
            "updated_at": self._clock.now(),
        }


class _Drops:
    """What jobs the entries have already, those of the transaction under way included."""

    def __init__(self, connection: Connection, new: Sequence[NewJob | PublishedJob]) -> None:
        table = tables.jobs.c
        wanted = defaultdict[str, set[str]](set)
        for job in new:
            wanted[job.inbox].add(job.entry)
        query = select(table.entry, table.id, table.fingerprint, table.state, table.attempt).order_by(table.number)
        self._jobs = defaultdict[tuple[str, str], list[tuple[str, str, State, int]]](list)
        for inbox, entries in wanted.items():
            for some in _chunks(sorted(entries)):
                for row in connection.execute(query.where(table.inbox == inbox, table.entry.in_(some))):
                    self._jobs[inbox, row[0]].append((row[1], row[2], row[3], row[4]))

    def job_of(self, new: NewJob) -> str | None:
        """The job that this drop has already, where it answers the new one."""
        same = [job for job in self._jobs[new.inbox, new.entry] if job[1] == new.fingerprint]
        again = new.redo or new.retry_of is not None
        return next((job[0] for job in reversed(same) if not again or job[2] in LIVE), None)

    def add(self, new: NewJob | PublishedJob, job_id: str) -> int:
        """Note a new job, and give the attempt that it is."""
        jobs = self._jobs[new.inbox, new.entry]
        attempt = max((job[3] for job in jobs), default=0) + 1
        state = State.PENDING if isinstance(new, NewJob) else new.state
        jobs.append((job_id, new.fingerprint, state, attempt))
        return attempt


def _by_id(connection: Connection, ids: Sequence[str]) -> dict[str, Job]:
    found: dict[str, Job] = {}
    for some in _chunks(ids):
        query = select(*COLUMNS).where(tables.jobs.c.id.in_(some))
        found |= {row.id: Job(*row) for row in connection.execute(query)}
    return found


def _chunks(values: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    """SQLite takes a limited number of parameters."""
    return (values[start : start + size] for start in range(0, len(values), size))


def _new_ids(connection: Connection, count: int) -> list[str]:
    """Random ids that no job has."""
    ids = set[str]()
    while len(ids) < count:
        some = {_random_id() for _ in range(count - len(ids))}
        ids |= some - set(_by_id(connection, sorted(some)))
    return list(ids)


def _random_id() -> str:
    bits = secrets.randbits(5 * ID_LENGTH)
    return "".join(ID_ALPHABET[bits >> shift & 31] for shift in range(0, 5 * ID_LENGTH, 5))


def _why_admitted(job: NewJob) -> str:
    if job.retry_of is not None:
        return f"retry of {job.retry_of}"
    if job.error is not None:
        return f"refused: {job.error.get('message') or job.error.get('code') or 'no reason given'}"
    return "run again on request" if job.redo else "the bundle is complete"
