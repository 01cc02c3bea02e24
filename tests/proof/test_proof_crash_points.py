"""The daemon is killed at every step at which something becomes durable, and started again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.states import State
from tests.proof.amounts import Budget, amount, tell, told
from tests.proof.house import remove, scratch
from tests.proof.prey import Nursery, Prey
from tests.proof.steps import ONCE, all_steps, moments

RUNS_AGAIN_WITHIN_S = 10.0
FRESH_EVERY = 40
ENDS = {"refused": State.FAILURE, "cancelled": State.CANCELLED}
NAMES = {"zip": "chair-{}.zip", "refused": "bad-{}", "cancelled": "stop-{}"}
QUICK = (
    "commit admit: after",
    "rename state/spool/<id>/input.partial -> state/spool/<id>/input: after",
    "rename state/spool/<id>/.done.json.<token>.tmp -> state/spool/<id>/done.json: after",
    "write outbox/.partial-<id>/quality.json: half",
    "rename outbox/.partial-<id> -> outbox/<bundle>: after",
    "rename inbox/<bundle> -> inbox/_done/<bundle>-<id>: after",
)


class Hunt:
    """One kill after another, in the same folders for a while."""

    def __init__(self, folder: Path, nursery: Nursery) -> None:
        self._folder, self._nursery = folder, nursery
        self._prey: Prey | None = None
        self._number = self._kills_here = 0
        self.kills = Counter[str]()
        self.missed: list[str] = []
        self.failures: list[str] = []
        self.ready_s: list[float] = []
        self.done_s: list[float] = []

    def close(self) -> None:
        if self._prey is not None:
            self._prey.kill()
            remove(self._prey.folder)
            self._prey = None

    def prey(self, *, fresh: bool) -> Prey:
        if fresh or self._kills_here >= FRESH_EVERY:
            self.close()
        if self._prey is None:
            self._kills_here = 0
            self._prey = Prey(self._folder / f"h{self._number}", self._nursery)
        return self._prey

    def strike(self, kind: str, step: str, moment: str, nth: int = 1) -> None:
        """Kill it there, start it again, and see that nothing has come of it; what has is kept."""
        try:
            self._strike(kind, step, moment, nth)
        except AssertionError as error:
            self.failures.append(f"{step}: {moment} ({nth}): {error}"[:3000])
            self.close()

    def _strike(self, kind: str, step: str, moment: str, nth: int) -> None:
        self._number += 1
        prey = self.prey(fresh=step in ONCE)
        number = self._number
        where = f"{step}: {moment}"
        if step in ONCE and kind == "start":
            prey.arm(where, nth)
        elif prey.pid is None:
            prey.start()
        wanted: dict[str, State] = {}
        first = f"shoe-{number}" if kind in ("start", "folder", "answered") else NAMES[kind].format(number)
        if kind == "answered":
            prey.drop(first, seed=number)
            assert prey.settle([first])
            wanted[first] = State.SUCCESS
        if not (step in ONCE and kind == "start"):
            prey.arm(where, nth)
        name = f"boot-{number}" if kind == "answered" else first
        # A worker that is killed at once would let the kill of a step that it passes come late: give notices a chance.
        prey.drop(name, seed=number, bad=kind == "refused", cancel=kind == "cancelled")
        wanted[name] = ENDS.get(kind, State.SUCCESS)
        if prey.pid is None:
            prey.start()
        struck = not prey.settle(list(wanted), may_die=True) or self._dies(prey)
        if not struck:
            self.missed.append(f"{where} ({nth})")
            prey.disarm()
            prey.kill()
        began_s = time.monotonic()
        ready_s = prey.start()
        assert ready_s is not None, "it was armed no more, and died"
        prey.settle(list(wanted))
        prey.check(wanted)
        if struck:
            self.kills[where] += 1
            self.ready_s.append(ready_s)
            self.done_s.append(time.monotonic() - began_s)
            assert ready_s <= RUNS_AGAIN_WITHIN_S
        self._kills_here += 1
        prey.sweep([name for name, state in wanted.items() if state is State.FAILURE])

    @staticmethod
    def _dies(prey: Prey) -> bool:
        """Steps that come when all is done: notes, live files, the sweeping of the spool."""
        end_s = time.monotonic() + 7.0
        while time.monotonic() < end_s:
            if prey.has_ended():
                return True
            time.sleep(0.05)
        return False


@pytest.fixture
def hunt() -> Iterator[Hunt]:
    with scratch() as folder, Nursery() as nursery:
        hunt = Hunt(folder, nursery)
        yield hunt
        hunt.close()


def tell_of(hunt: Hunt, name: str, steps: int) -> None:
    before = told(name)
    kills = Counter[str](before.get("struck", {})) + hunt.kills
    of_steps = Counter[str]()
    for where, count in kills.items():
        of_steps[where.rsplit(": ", 1)[0]] += count
    tell(
        name,
        kills=kills.total(),
        steps=len(of_steps),
        named=steps,
        points=len(kills),
        least=min(of_steps.values()) if len(of_steps) == steps else 0,
        missed=hunt.missed,
        ready_s_worst=round(max(before.get("ready_s_worst", 0.0), *hunt.ready_s, 0.0), 2),
        done_s_worst=round(max(before.get("done_s_worst", 0.0), *hunt.done_s, 0.0), 2),
        failures=len(hunt.failures) + before.get("failures", 0),
        struck=dict(kills),
    )
    assert not hunt.failures, "\n".join(hunt.failures)


def test_killed_at_the_steps_that_matter_most(hunt: Hunt) -> None:
    kinds = {step: kind for kind, step in all_steps()}
    for where in QUICK:
        step, moment = where.rsplit(": ", 1)
        hunt.strike(kinds[step], step, moment)
    assert not hunt.missed
    tell_of(hunt, "crash_points_quick", len(QUICK))


@pytest.mark.slow
def test_killed_at_every_step(hunt: Hunt) -> None:
    """PROOF_KILLS times each, or until PROOF_CRASH_POINTS_S seconds are over; every moment of a step in turn."""
    budget, steps = Budget("crash_points", 600), all_steps()
    before = Counter[str](told("crash_points").get("struck", {}))
    for turn in range(amount("kills", 1)):
        for kind, step in steps:
            when = moments(step)
            done = before + hunt.kills
            if budget.spent or sum(done[f"{step}: {moment}"] for moment in when) > turn:
                continue  # a run before this one was here, where runs are added up
            moment = min(when, key=lambda moment: done[f"{step}: {moment}"])
            nth = 1 + turn // len(when) % 3 if "<view>" in step or "<file>" in step else 1
            hunt.strike(kind, step, moment, nth)
    assert hunt.kills or before, "nothing was killed"
    tell_of(hunt, "crash_points", len(steps))
    assert len(hunt.missed) <= len(hunt.ready_s) // 20, hunt.missed


@pytest.mark.slow
def test_every_step_that_is_passed_is_named() -> None:
    known = {step for _, step in all_steps()}
    with scratch() as folder, Nursery() as nursery:
        prey = Prey(folder / "h", nursery)
        prey.note_steps()
        prey.start()
        prey.drop("shoe-1", seed=1)
        prey.settle(["shoe-1"])
        prey.drop("boot-1", seed=1)
        prey.drop("chair-1.zip", seed=2)
        prey.drop("bad-1", seed=3, bad=True)
        prey.drop("stop-1", seed=4, cancel=True)
        prey.settle(["boot-1", "chair-1.zip", "bad-1", "stop-1"])
        time.sleep(1.5)
        prey.kill()
        passed = {line.rsplit(": ", 1)[0] for line in prey.steps()}
    assert passed - known == set()
    assert len(passed) > 80
