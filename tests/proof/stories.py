"""One bundle's way from the inbox to the outbox, broken at one call: what it came to."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import MeshdropError
from daemon.states import State
from tests.proof.house import House, scratch
from tests.proof.victim import Steps

LASTS_S = 130.0
STARTS = 5


@dataclass(frozen=True)
class Ended:
    """hit: the call that failed, None where the story has fewer. held: the sentences of HELD. refused: a start was."""

    hit: tuple[str, Path] | None
    seconds: float
    held: tuple[str, ...]
    refused: str | None
    runs: int
    calls: int


def error_of(number: int) -> Callable[[], OSError]:
    return lambda: OSError(number, os.strerror(number))


def prepared(folder: Path, kind: str, **settings: Any) -> House:
    """A house in which something is to be done, the daemon not started. kind: of the story."""
    house = House(folder, **settings)
    match kind:
        case "folder":
            house.drop("shoe")
        case "zip":
            house.drop("shoe.zip")
        case "refused":
            made = house.drop("shoe")
            (made / "depth_renders" / "top.png").write_bytes(b"\xff\xd8\xff\xe0 a JPEG")
        case "failed":
            house.drop("shoe", verdict="failure")
        case "cancelled":
            (house.drop("shoe") / ".cancel").touch()
        case "answered":
            house.drop("shoe")
            house.begin()
            assert house.drive(house.idle)
            house.end()
            house.drop("boot")
        case _:
            raise ValueError(kind)
    return house


ENDS = {"refused": State.FAILURE, "failed": State.FAILURE, "cancelled": State.CANCELLED}


def points_of(kind: str) -> list[str]:
    """Every point at which a story without faults makes a call, once, in the order in which they come first."""
    return list(_without_faults(kind)[0])


def calls_of(kind: str) -> int:
    """How many calls a story without faults makes, by about a hundredth: threads may be faster or slower."""
    return _without_faults(kind)[1]


def _without_faults(kind: str) -> tuple[Counter[str], int]:
    with scratch() as folder:
        house = prepared(folder, kind)
        try:
            house.files.role, house.files.points, house.files.calls = Steps(folder).role, Counter(), 0
            house.begin()
            assert house.drive(lambda: house.idle(2 if kind == "answered" else 1))
            house.drive(lambda: False, 12.0)
            return house.files.points, house.files.calls
        finally:
            house.close()


def fault(kind: str, at: int | str, number: int, *, lasting: bool = False, **settings: Any) -> Ended:
    """Let call `at` fail, and all after it for a while where that is `lasting`; then all must come to its end.

    at: the number of a call, or the point at which the first one fails.
    """
    with scratch() as folder:
        if lasting:  # fewer looks at what fails for minutes
            settings = {"watch": {"poll_s": 5.0}, "run": {"hold_retry_s": 20.0}, **settings}
        house = prepared(folder, kind, **settings)
        try:
            if isinstance(at, str):
                house.files.role = Steps(folder).role
                house.files.fail_at_point(at, error_of(number))
            else:
                house.files.fail(at, error_of(number), None if lasting else 1)
            refused = _begin(house)
            begun_s = house.clock.at_s
            if lasting:
                house.drive(lambda: house.files.hit is not None and house.clock.at_s > begun_s + LASTS_S, 2 * LASTS_S)
                house.files.mend()
            entries = 2 if kind == "answered" else 1
            done = house.drive(lambda: house.idle(entries), 4000.0)
            assert done, [(job.entry, job.state, job.hold_reason) for job in house.jobs()]
            house.drive(lambda: False, 12.0)  # what is due once all is done
            jobs = house.jobs()
            wanted = ENDS.get(kind, State.SUCCESS)
            assert [job.state for job in jobs] == [*[State.SUCCESS] * (entries - 1), wanted], jobs
            house.check()
            steps = [step for job in jobs for step in house.store.transitions(job.id)]
            held = tuple(step.reason for step in steps if step.after is State.HELD)
            runs = max(house.runs.values(), default=0)
            return Ended(house.files.hit, house.clock.at_s - begun_s, held, refused, runs, house.files.calls)
        finally:
            house.close()


def _begin(house: House) -> str | None:
    """Start it as systemd does: again, where it was refused. What it said when it was; None where it was not."""
    refused = None
    for _ in range(STARTS):
        try:
            house.begin()
        except MeshdropError as error:
            refused = error.message
            assert refused.endswith(".")
            house.clock.at_s += 10.0
            house.files.mend()
        else:
            return refused
    raise AssertionError(f"it does not start: {refused}")
