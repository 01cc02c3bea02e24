"""Whose job is next: the highest priority, then each owner in turn, then the oldest. Pure but for the queries."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, func, select

from daemon.states import LIVE, State
from daemon.store import tables
from daemon.store.database import Database
from daemon.store.jobs import COLUMNS, Jobs
from daemon.store.records import Job

Owner = tuple[str, str]
"""An inbox and who dropped the bundle in it."""


def in_turn(waiting: Iterable[tuple[int, int, Owner]], last_turns: Mapping[Owner, int], count: int) -> list[int]:
    """The numbers of the jobs that come next, as if each took its owner's turn.

    Args:
        waiting: (number, priority, owner) of each job; a higher number is younger.
        last_turns: a number for each owner who had a turn; the lowest was longest ago.
        count: how many are wanted.

    """
    queues: dict[int, dict[Owner, deque[int]]] = defaultdict(lambda: defaultdict(deque))
    for number, priority, owner in sorted(waiting):
        queues[priority][owner].append(number)
    turns, clock = dict(last_turns), max(last_turns.values(), default=0)
    chosen: list[int] = []
    for priority in sorted(queues, reverse=True):
        heap = [(turns.get(owner, -1), queue[0], owner) for owner, queue in queues[priority].items()]
        heapq.heapify(heap)
        while heap:
            if len(chosen) == count:
                return chosen
            _, number, owner = heapq.heappop(heap)
            chosen.append(number)
            clock += 1
            turns[owner] = clock
            queue = queues[priority][owner]
            queue.popleft()
            if queue:
                heapq.heappush(heap, (clock, queue[0], owner))
    return chosen


class Order(Jobs):
    """The part of the store that says which jobs are next."""

    _database: Database

    def next_jobs(self, n: int) -> list[Job]:
        """The PENDING jobs that are to run next, in that order; those that are only refused are not among them."""
        table = tables.jobs.c
        rank = func.row_number().over(partition_by=(table.priority, table.inbox, table.owner), order_by=table.number)
        ranked = (
            select(table.number, table.priority, table.inbox, table.owner, rank.label("rank"))
            .where(table.state == State.PENDING, table.error.is_(None))
            .subquery()
        )
        heads = select(ranked.c.number, ranked.c.priority, ranked.c.inbox, ranked.c.owner).where(ranked.c.rank <= n)
        with self._database.reading() as connection:
            waiting = [
                (number, priority, (inbox, owner)) for number, priority, inbox, owner in connection.execute(heads)
            ]
            return self._numbered(connection, in_turn(waiting, _turns(connection), n))

    def places(self) -> dict[str, int]:
        """The place in the queue, from 1, of every job that `next_jobs` would give."""
        table = tables.jobs.c
        query = select(table.number, table.priority, table.inbox, table.owner, table.id)
        query = query.where(table.state == State.PENDING, table.error.is_(None))
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
            turns = _turns(connection)
        ids = {row.number: row.id for row in rows}
        order = in_turn([(row.number, row.priority, (row.inbox, row.owner)) for row in rows], turns, len(rows))
        return {ids[number]: place for place, number in enumerate(order, 1)}

    def refused_jobs(self, n: int) -> list[Job]:
        """PENDING jobs of bundles that the gate refused (`error` is set), oldest first: nothing to run, only to say."""
        table = tables.jobs.c
        query = select(table.number).where(table.state == State.PENDING, table.error.is_not(None))
        query = query.order_by(table.number).limit(n)
        with self._database.reading() as connection:
            return self._numbered(connection, list(connection.scalars(query)))

    def cancel_asked(self) -> list[Job]:
        """The jobs that somebody wants cancelled and that are not final yet, oldest first."""
        table = tables.jobs.c
        query = select(table.number).where(table.cancel_requested_at.is_not(None), table.state.in_(sorted(LIVE)))
        with self._database.reading() as connection:
            return self._numbered(connection, list(connection.scalars(query.order_by(table.number))))

    def _numbered(self, connection: Connection, numbers: list[int]) -> list[Job]:
        query = select(tables.jobs.c.number, *COLUMNS).where(tables.jobs.c.number.in_(numbers))
        found = {row[0]: Job(*row[1:]) for row in connection.execute(query)}
        return [found[number] for number in numbers]


def _turns(connection: Connection) -> dict[Owner, int]:
    return {(inbox, owner): last for inbox, owner, last in connection.execute(select(tables.turns))}
