"""The steps of jobs that a webhook is still to be told of. They outlive the daemon; each is told at least once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import delete, func, insert, select, update

from daemon.states import State
from daemon.store import tables
from daemon.store.database import Database
from daemon.store.records import Delivery

_CURSOR: Final = "webhook"


class Deliveries:
    """The part of the store that remembers what a webhook was told."""

    _database: Database

    def queue_deliveries(self, states: Collection[State]) -> None:
        """Take up the steps into these states since the last time; at the first time, those from now on."""
        steps, cursors = tables.transitions.c, tables.cursors
        newest = select(func.coalesce(func.max(steps.number), 0))
        seen = select(cursors.c.number).where(cursors.c.name == _CURSOR)
        with self._database.reading() as connection:
            if connection.scalar(newest) == connection.scalar(seen):
                return
        with self._database.writing() as connection:
            last, since = connection.scalar(newest), connection.scalar(seen)
            if since is None:
                connection.execute(insert(cursors).values(name=_CURSOR, number=last))
                return
            new = select(steps.number).where(steps.number > since, steps.after.in_(sorted(states)))
            connection.execute(insert(tables.deliveries).from_select(["number"], new))
            connection.execute(update(cursors).where(cursors.c.name == _CURSOR).values(number=last))

    def forget_deliveries(self) -> None:
        """Nobody is to be told any more: begin from then on when somebody is again."""
        with self._database.reading() as connection:
            if connection.scalar(select(tables.cursors.c.number).where(tables.cursors.c.name == _CURSOR)) is None:
                return
        with self._database.writing() as connection:
            connection.execute(delete(tables.cursors).where(tables.cursors.c.name == _CURSOR))
            connection.execute(delete(tables.deliveries))

    def deliveries(self, limit: int | None = None) -> list[Delivery]:
        """What is still to be told, oldest first."""
        steps, open_ones = tables.transitions, tables.deliveries
        fields = (steps.c.job, steps.c.at, steps.c.before, steps.c.after, steps.c.reason, steps.c.by)
        query = select(open_ones.c.number, *fields, open_ones.c.attempts).join(steps).order_by(open_ones.c.number)
        with self._database.reading() as connection:
            return [Delivery(*row) for row in connection.execute(query.limit(limit))]

    def count_attempt(self, number: int) -> None:
        """Note that a step was told in vain once more."""
        table = tables.deliveries
        with self._database.writing() as connection:
            connection.execute(
                update(table).where(table.c.number == number).values(attempts=table.c.attempts + 1),
            )

    def close_delivery(self, number: int) -> None:
        """A step was told, or is given up."""
        with self._database.writing() as connection:
            connection.execute(delete(tables.deliveries).where(tables.deliveries.c.number == number))
