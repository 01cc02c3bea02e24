"""Figures over all jobs, for monitoring."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from daemon.states import State
from daemon.store import tables
from daemon.store.database import Database


@dataclass(frozen=True, slots=True)
class JobFigures:
    """Counts and moments over all jobs that the database knows."""

    counts: dict[tuple[str, State], int]  # by inbox and state
    held: dict[str, int]  # by code
    crashes: int  # of workers, over all jobs
    oldest_pending: datetime | None  # when the job was recorded that waits the longest
    last_success: datetime | None


class Figures:
    """The part of the store that counts."""

    _database: Database

    def figures(self) -> JobFigures:
        """All of them, at one moment."""
        jobs = tables.jobs.c
        with self._database.reading() as connection:
            counts = connection.execute(select(jobs.inbox, jobs.state, func.count()).group_by(jobs.inbox, jobs.state))
            by_state = {(inbox, state): int(count) for inbox, state, count in counts}
            held = connection.execute(
                select(jobs.hold_code, func.count()).where(jobs.state == State.HELD).group_by(jobs.hold_code)
            )
            by_code = {str(code or "UNKNOWN_ERROR"): int(count) for code, count in held}
            return JobFigures(
                by_state,
                by_code,
                int(connection.scalar(select(func.coalesce(func.sum(jobs.crashes), 0))) or 0),
                connection.scalar(select(func.min(jobs.created_at)).where(jobs.state == State.PENDING)),
                connection.scalar(select(func.max(jobs.finished_at)).where(jobs.state == State.SUCCESS)),
            )

    def timings_since(self, number: int) -> tuple[int, list[dict[str, float]]]:
        """The seconds by stage of the results that were made after a transition; the number of the last one."""
        steps, jobs = tables.transitions, tables.jobs
        made = (steps.c.number > number, steps.c.after == State.PUBLISHING, jobs.c.timings_s.is_not(None))
        query = select(jobs.c.timings_s).join(steps, steps.c.job == jobs.c.id).where(*made)
        with self._database.reading() as connection:
            last = connection.scalar(select(func.coalesce(func.max(steps.c.number), 0)))
            return int(last or 0), list(connection.scalars(query))
