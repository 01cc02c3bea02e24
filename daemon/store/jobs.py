"""Jobs in the database: admitted, moved from state to state, found again. Every state is written here and only here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Select, Text, cast, func, insert, select, type_coerce, update
from sqlalchemy.dialects.sqlite import insert as insert_or_update

from config.errors import JobNotFound, UnknownError
from daemon.clock import Clock
from daemon.logs import one_line
from daemon.states import FINAL, LIVE, State, check_transition
from daemon.store import tables
from daemon.store.database import Database, in_pieces
from daemon.store.records import Glance, Job, Transition

ID_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_SHORTEST_PREFIX: Final = 4
_MISREAD: Final = str.maketrans("ilo", "110")
COLUMNS: Final = [tables.jobs.c[field.name] for field in fields(Job)]
_RESULT_FILES: Final = {
    "has_thumbnail": "thumbnail.webp", "has_preview": "preview_0.png", "has_report": "report.html",
}  # fmt: skip
_GLANCED: Final = [
    # As text: to read thousands of manifests as JSON takes too long.
    func.coalesce(func.instr(cast(tables.jobs.c.manifest, Text), f'"{_RESULT_FILES[field]}"'), 0) > 0
    if field in _RESULT_FILES
    else tables.jobs.c[field]
    for field in Glance._fields
]
_FIXED: Final = {"id", "inbox", "entry", "fingerprint", "attempt", "retry_of"}
_OWN: Final = {"state", "held_from", "created_at", "finished_at", "updated_at"}  # written here alone
_CHANGEABLE: Final = frozenset(field.name for field in fields(Job)) - _FIXED - _OWN
_NO_RUN: Final[Mapping[str, Any]] = {"stage": None, "fraction": 0.0, "eta_s": None}
_NO_RESULT: Final[Mapping[str, Any]] = {"outcome": None, "verdict": None, "manifest": None, "timings_s": None}
_NO_HOLD: Final[Mapping[str, Any]] = {"held_from": None, "hold_code": None, "hold_reason": None}

log = structlog.get_logger(__name__)


class StateChanged(UnknownError):
    """The job is no longer in the state that the caller expected; nothing was written."""


class Jobs:
    """The part of the store that holds the jobs."""

    _database: Database
    _clock: Clock

    # -- finding ------------------------------------------------------------------------------------------------

    def job(self, id_or_prefix: str) -> Job:
        """The job with this id, or the only one whose id begins so (four characters at least).

        Raises JobNotFound.
        """
        with self._database.reading() as connection:
            return _find(connection, id_or_prefix)

    def jobs(
        self,
        *,
        states: Collection[State] | None = None,
        inbox: str | None = None,
        entry: str | None = None,
        retries: bool = False,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[Job]:
        """Jobs in the order of their admission. retries: those alone that are another try of an earlier one."""
        number = tables.jobs.c.number
        query = select(*COLUMNS).order_by(number.desc() if newest_first else number).limit(limit)
        if states is not None:
            query = query.where(tables.jobs.c.state.in_(sorted(states)))
        if inbox is not None:
            query = query.where(tables.jobs.c.inbox == inbox)
        if entry is not None:
            query = query.where(tables.jobs.c.entry == entry)
        if retries:
            query = query.where(tables.jobs.c.retry_of.is_not(None))
        return self._select(query)

    def stamps(self, inboxes: Collection[str], most: int) -> dict[str, str]:
        """When each job of some inboxes last changed, by id: first those that are not final; the newest first."""
        table, found = tables.jobs.c, dict[str, str]()
        query = select(table.id, type_coerce(table.updated_at, Text)).order_by(table.number.desc())
        query = query.where(table.inbox.in_(sorted(inboxes)))
        with self._database.reading() as connection:
            for states in (LIVE, FINAL):
                rows = connection.execute(query.where(table.state.in_(sorted(states))).limit(most - len(found)))
                found.update((row.id, row[1]) for row in rows)
        return found

    def glances(self, ids: Collection[str]) -> Iterator[Glance]:
        """What lists show of these jobs, in no order."""
        query = select(*_GLANCED).where(tables.jobs.c.id.in_(ids))
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return map(Glance._make, rows)

    def counts(self, inboxes: Collection[str] | None = None) -> dict[State, int]:
        """How many jobs are in each state, every state named. inboxes: of these alone."""
        query = select(tables.jobs.c.state, func.count()).group_by(tables.jobs.c.state)
        if inboxes is not None:
            query = query.where(tables.jobs.c.inbox.in_(sorted(inboxes)))
        with self._database.reading() as connection:
            rows = connection.execute(query)
            found = {state: int(count) for state, count in rows}
        return {state: found.get(state, 0) for state in State}

    def live_job(self, inbox: str, entry: str) -> Job | None:
        """The newest job of an entry that is not final."""
        return next(iter(self.jobs(states=LIVE, inbox=inbox, entry=entry, limit=1, newest_first=True)), None)

    def last_job(self, inbox: str, entry: str) -> Job | None:
        """The newest job of an entry."""
        return next(iter(self.jobs(inbox=inbox, entry=entry, limit=1, newest_first=True)), None)

    def entries_with_jobs(self, inbox: str, entries: Collection[str]) -> set[str]:
        """Those of an inbox's entries that a job was ever made of."""
        table, names, found = tables.jobs.c, sorted(entries), set[str]()
        with self._database.reading() as connection:
            for some in in_pieces(names):
                query = select(table.entry).where(table.inbox == inbox, table.entry.in_(some)).distinct()
                found.update(connection.scalars(query))
        return found

    def successes(self, content_key: str) -> list[Job]:
        """Jobs that succeeded with this content, newest first."""
        table = tables.jobs.c
        return self._select(
            select(*COLUMNS)
            .where(table.content_key == content_key, table.state == State.SUCCESS)
            .order_by(table.number.desc())
        )

    def transitions(self, job_id: str) -> list[Transition]:
        """Every step of a job, oldest first."""
        table = tables.transitions.c
        query = select(table.at, table.before, table.after, table.reason, table.by).where(table.job == job_id)
        with self._database.reading() as connection:
            return [Transition(*row) for row in connection.execute(query.order_by(table.number))]

    def inputs(self, job_id: str) -> dict[str, str]:
        """The digests of a job's files: {"multi_views/front.png": sha256}."""
        table = tables.inputs.c
        query = select(table.path, table.sha256).where(table.job == job_id).order_by(table.path)
        with self._database.reading() as connection:
            return {row.path: row.sha256 for row in connection.execute(query)}

    def known_ids(self) -> set[str]:
        """The ids of all jobs."""
        with self._database.reading() as connection:
            return set(connection.scalars(select(tables.jobs.c.id)))

    def _select(self, query: Select[Any]) -> list[Job]:
        with self._database.reading() as connection:
            return [Job(*row) for row in connection.execute(query)]

    # -- writing ------------------------------------------------------------------------------------------------

    def transition(
        self,
        job_id: str,
        to: State,
        *,
        reason: str,
        by: str = "daemon",
        expect: State | None = None,
        **changes: Any,
    ) -> Job:
        """Move a job to another state, with changes to its other fields, and write down why.

        What goes with a state is done here: PENDING clears the run's progress and result; PROGRESS sets `started_at`
        and takes the owner's turn; PUBLISHING needs an `outcome`; HELD remembers where from (`hold_code` is given,
        `hold_reason` is the reason unless given); the final states set `finished_at`, and `outcome` with SUCCESS and
        FAILURE.

        Raises IllegalTransition where the machine has no such way; StateChanged where the job is not in `expect`;
        JobNotFound.
        """
        _check_names(changes)
        with self._database.writing() as connection:
            before = _find(connection, job_id)
            if expect is not None and before.state is not expect:
                raise StateChanged(
                    f"Job {before.id} is {before.state}, no longer {expect}.", job=before.id, state=before.state
                )
            check_transition(before.state, to, before.id)
            now = self._clock.now()
            values: dict[str, Any] = {**_that_goes_with(before, to, reason), **changes, "state": to, "updated_at": now}
            if to is State.PUBLISHING and (values.get("outcome") or before.outcome) is None:
                raise UnknownError(f"Job {before.id} can't be published without an outcome.", job=before.id)
            if to is State.PROGRESS:
                values["started_at"] = now
            if to in FINAL:
                values["finished_at"] = now
            connection.execute(update(tables.jobs).where(tables.jobs.c.id == before.id), values)
            step = step_row(self._clock, before.id, before.state, to, reason, by)
            (number,) = connection.execute(insert(tables.transitions), step).inserted_primary_key or (0,)
            if to is State.PROGRESS:
                turn = insert_or_update(tables.turns).values(inbox=before.inbox, owner=before.owner, last=number)
                connection.execute(turn.on_conflict_do_update(index_elements=["inbox", "owner"], set_={"last": number}))
            after = _find(connection, before.id)
        log_step(after, before.state, reason)
        return after

    def update(self, job_id: str, **changes: Any) -> Job:
        """Change fields of a job that are not its state. Raises JobNotFound."""
        _check_names(changes)
        with self._database.writing() as connection:
            job = _find(connection, job_id)
            connection.execute(
                update(tables.jobs).where(tables.jobs.c.id == job.id), {**changes, "updated_at": self._clock.now()}
            )
            return _find(connection, job.id)

    def progress(self, job_id: str, stage: str, fraction: float, eta_s: float | None) -> None:
        """Note how far a running job is; nothing happens where it no longer runs."""
        with self._database.writing() as connection:
            connection.execute(
                update(tables.jobs).where(tables.jobs.c.id == job_id, tables.jobs.c.state == State.PROGRESS),
                {"stage": stage, "fraction": fraction, "eta_s": eta_s, "updated_at": self._clock.now()},
            )

    def request_cancel(self, job_id: str, by: str) -> Job:
        """Ask for a job to be cancelled; the first to ask is remembered. A final job is given back unchanged."""
        with self._database.writing() as connection:
            job = _find(connection, job_id)
            if job.final or job.cancel_requested_at is not None:
                return job
            now = self._clock.now()
            connection.execute(
                update(tables.jobs).where(tables.jobs.c.id == job.id),
                {"cancel_requested_at": now, "cancel_by": by, "updated_at": now},
            )
            asked = _find(connection, job.id)
        log.info("job.cancel_requested", job=job.id, bundle=one_line(job.entry), by=one_line(by))
        return asked


def step_row(clock: Clock, job_id: str, before: State | None, after: State, reason: str, by: str) -> dict[str, Any]:
    """A row of the transitions."""
    return {"job": job_id, "at": clock.now(), "before": before, "after": after, "reason": reason, "by": by}


def _find(connection: Connection, id_or_prefix: str) -> Job:
    wanted = id_or_prefix.strip().lower().translate(_MISREAD)
    matches = []
    if len(wanted) >= _SHORTEST_PREFIX and set(wanted) <= set(ID_ALPHABET):
        query = select(*COLUMNS).where(tables.jobs.c.id >= wanted, tables.jobs.c.id < wanted + "~").limit(2)
        matches = [Job(*row) for row in connection.execute(query)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise JobNotFound(
            f"More than one job begins with {wanted}.", suggestion="Give more of the id.", job=id_or_prefix
        )
    raise JobNotFound(
        f"There is no job {one_line(id_or_prefix)}.",
        suggestion=f"`meshdrop status` lists the jobs; the first {_SHORTEST_PREFIX} characters of an id are enough.",
        job=id_or_prefix,
    )


def _that_goes_with(before: Job, to: State, reason: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if before.state is State.HELD:
        values |= _NO_HOLD
    if to is State.PENDING:
        values |= {**_NO_RUN, **_NO_RESULT}
    elif to is State.PROGRESS:
        values |= _NO_RUN
    elif to is State.HELD:
        values |= {**_NO_RUN, "held_from": before.state, "hold_reason": reason}
    elif to in (State.SUCCESS, State.FAILURE):
        values |= {"outcome": to, "stage": None, "eta_s": None, "fraction": 1.0}
    elif to is State.CANCELLED:
        values |= {**_NO_RUN, **_NO_RESULT}
    return values


def _check_names(changes: Mapping[str, Any]) -> None:
    unknown = sorted(set(changes) - _CHANGEABLE)
    if unknown:
        raise TypeError(f"a job's {', '.join(unknown)} can't be changed")


def log_step(job: Job, before: State | None, reason: str) -> None:
    """Write the log record of a step."""
    facts = {"from": before and before.value, "to": (State.PENDING if before is None else job.state).value}
    log.info("job.state", **facts, job=job.id, bundle=one_line(job.entry), inbox=job.inbox, reason=one_line(reason))
