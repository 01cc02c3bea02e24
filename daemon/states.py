"""The states of a job and the ways between them. Pure: no database, no clock.

PENDING ──▶ PROGRESS ──▶ PUBLISHING ──▶ SUCCESS | FAILURE
   │            │             │
   ├────────────┴─────────────┴──▶ HELD ──▶ back to PENDING or PUBLISHING
   └──▶ CANCELLED ◀── PROGRESS, HELD

PROGRESS goes back to PENDING when the daemon stops or the worker dies: the job runs again. PENDING goes to PUBLISHING
at once where there is nothing to run: a bundle that is refused, or one whose result is there already. What is being
published is no longer cancelled, unless it is held. The last three are final: another try is another job.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from config.errors import UnknownError


class State(StrEnum):
    """Where a job is."""

    PENDING = "PENDING"  # recorded; waits for its turn
    PROGRESS = "PROGRESS"  # the worker is at it
    PUBLISHING = "PUBLISHING"  # the result lies whole in the spool and is on its way to the outbox
    HELD = "HELD"  # the machine or the share is at fault; goes on by itself
    SUCCESS = "SUCCESS"  # the result is in the outbox; its verdict is normal or warning
    FAILURE = "FAILURE"  # what there is of it, and error.json, is in the outbox
    CANCELLED = "CANCELLED"  # somebody asked, or the folder went away


FINAL: Final = frozenset({State.SUCCESS, State.FAILURE, State.CANCELLED})
LIVE: Final = frozenset(State) - FINAL

_NEXT: Final[Mapping[State | None, frozenset[State]]] = {
    None: frozenset({State.PENDING}),
    State.PENDING: frozenset({State.PROGRESS, State.PUBLISHING, State.HELD, State.CANCELLED}),
    State.PROGRESS: frozenset({State.PENDING, State.PUBLISHING, State.HELD, State.CANCELLED}),
    State.PUBLISHING: frozenset({State.SUCCESS, State.FAILURE, State.HELD, State.PENDING}),
    State.HELD: frozenset({State.PENDING, State.PUBLISHING, State.CANCELLED}),
    State.SUCCESS: frozenset(),
    State.FAILURE: frozenset(),
    State.CANCELLED: frozenset(),
}


class IllegalTransition(UnknownError):
    """Somebody tried to write a way that does not exist: a bug, and nothing was written."""


def may_follow(before: State | None, after: State) -> bool:
    """Whether a job in `before` (None: not recorded yet) may become `after`."""
    return after in _NEXT[before]


def check_transition(before: State | None, after: State, job_id: str = "") -> None:
    """Raise IllegalTransition unless `after` may follow `before`."""
    if not may_follow(before, after):
        raise IllegalTransition(
            f"Job {job_id or '?'} can't go from {before or 'nothing'} to {after}.",
            job=job_id,
            before=before,
            after=after,
        )
