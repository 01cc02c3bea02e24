"""The daemon is killed at every step at which something becomes durable, and started again.

A bundle's way has some sixty. One daemon after another is killed on it, each some steps further on: what the first left
behind, the second has to live with, and the last has to bring to its end.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from daemon.states import State
from daemon.store import DATABASE_NAME
from tests.intake.scene import empty_database
from tests.proof.amounts import Budget, amount, tell, told
from tests.proof.house import remove, scratch
from tests.proof.prey import Nursery, Prey
from tests.proof.steps import STEPS, all_steps, moments

RUNS_AGAIN_WITHIN_S = 10.0
BLOWS = 12  # at one bundle
ENDS = {"refused": State.FAILURE, "cancelled": State.CANCELLED}
NAMES = {"zip": "chair-1.zip", "refused": "bad-1", "cancelled": "stop-1"}
QUICK = (
    "commit admit: after",
    "rename state/spool/<id>/input.partial -> state/spool/<id>/input: after",
    "rename state/spool/<id>/.done.json.<token>.tmp -> state/spool/<id>/done.json: after",
    "write outbox/.partial-<id>/quality.json: half",
    "rename outbox/.partial-<id> -> outbox/<bundle>: after",
    "rename inbox/<bundle> -> inbox/_done/<bundle>-<id>: after",
)
QUICK_ZIP = "rename inbox/<bundle>.zip -> inbox/_done/<bundle>-<id>.zip: after"  # its notice lies beside it


@dataclass(frozen=True)
class Blow:
    """A kill. moment: of the step; nth: at which passing of it. again: it was missed once."""

    step: str
    moment: str
    nth: int = 1
    again: bool = False

    @property
    def where(self) -> str:
        return f"{self.step}: {self.moment}"


class Hunt:
    """Bundles whose daemon is killed at one step of their way after another, each time to be started again."""

    def __init__(self, folder: Path, nursery: Nursery) -> None:
        self._folder, self._nursery = folder, nursery
        self._number = 0
        self.kills = Counter[str]()
        self.missed: list[Blow] = []
        self.failures: list[str] = []
        self.ready_s: list[float] = []
        self.done_s: list[float] = []

    def chase(self, kind: str, blows: Sequence[Blow], *, database: bool = True) -> list[Blow]:
        """Let one bundle of a kind go its way, and see that nothing has come of the kills; those that did not strike.

        database: there is one already, empty.
        """
        self._number += 1
        prey = Prey(self._folder / f"h{self._number}", self._nursery)
        try:
            if database:
                prey.state.mkdir()
                (prey.state / DATABASE_NAME).write_bytes(empty_database())
            missed = self._chase(prey, kind, blows)
        except AssertionError as error:
            self.failures.append(f"{', '.join(blow.where for blow in blows)}: {error}"[:4000])
            return []
        finally:
            prey.kill()
            remove(prey.folder)
        self.missed += missed
        return missed

    def _chase(self, prey: Prey, kind: str, blows: Sequence[Blow]) -> list[Blow]:
        wanted: dict[str, State] = {}
        if kind == "answered":
            prey.start()
            prey.drop("shoe-1")
            wanted["shoe-1"] = State.SUCCESS
            prey.settle(list(wanted))
            prey.kill()
        name = "boot-1" if kind == "answered" else NAMES.get(kind, "shoe-1")
        prey.drop(name, bad=kind == "refused", cancel=kind == "cancelled")
        wanted[name] = ENDS.get(kind, State.SUCCESS)
        missed = []
        for blow in blows:
            prey.arm(blow.where, blow.nth)
            ready_s = prey.start()
            self.ready_s += [] if ready_s is None else [ready_s]
            if prey.has_ended() or not prey.settle(list(wanted), may_die=True) or self._dies(prey):
                self.kills[blow.where] += 1
                prey.look()
            else:
                missed.append(blow)
                prey.disarm()
                prey.kill()
        began_s = time.monotonic()
        ready_s = prey.start()
        assert ready_s is not None, "it was armed no more, and died"
        prey.settle(list(wanted))
        prey.check(wanted)
        self.ready_s.append(ready_s)
        self.done_s.append(time.monotonic() - began_s)
        assert max(self.ready_s) <= RUNS_AGAIN_WITHIN_S
        return missed

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
def hunts() -> Iterator[list[Hunt]]:
    """PROOF_HUNTERS of them, to be busy at the same time: most of a daemon's life is waiting."""
    empty_database()  # made once, and not by several threads: alembic's context is the process's
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        made = [
            Hunt(folder / f"hunt{number}", stack.enter_context(Nursery())) for number in range(amount("hunters", 1))
        ]
        yield made


def tell_of(hunts: list[Hunt], name: str, steps: int) -> None:
    before = told(name)
    kills = Counter[str](before.get("struck", {})) + sum((hunt.kills for hunt in hunts), Counter[str]())
    missed = [blow.where for hunt in hunts for blow in hunt.missed]
    failures = [failure for hunt in hunts for failure in hunt.failures]
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
        missed=missed,
        ready_s_worst=round(max([before.get("ready_s_worst", 0.0), *(s for hunt in hunts for s in hunt.ready_s)]), 2),
        done_s_worst=round(max([before.get("done_s_worst", 0.0), *(s for hunt in hunts for s in hunt.done_s)]), 2),
        failures=len(failures) + before.get("failures", 0),
        struck=dict(kills),
    )
    assert not failures, "\n".join(failures)


def test_killed_at_the_steps_that_matter_most(hunts: list[Hunt]) -> None:
    blows = [Blow(*where.rsplit(": ", 1)) for where in QUICK]
    assert not hunts[0].chase("folder", blows)
    assert not hunts[0].chase("zip", [Blow(*QUICK_ZIP.rsplit(": ", 1))])
    tell_of(hunts[:1], "crash_points_quick", len(QUICK) + 1)


Chain = tuple[str, list[Blow], bool]
"""What `Hunt.chase` is given."""


def chains_of(turns: int, done: Counter[str]) -> deque[Chain]:
    """So that each step is struck so many times, every moment of it in turn. done: what was struck before.

    The steps of a bundle's way are dealt out: a daemon that was killed at one has others to pass before the next.
    """
    found: deque[Chain] = deque()
    done = done.copy()
    for turn in range(turns):
        for kind, steps in STEPS.items():
            blows = []
            for step in steps:
                when = moments(step)
                if sum(done[f"{step}: {moment}"] for moment in when) > turn:
                    continue
                moment = min(when, key=lambda moment: done[f"{step}: {moment}"])
                nth = 1 + turn // len(when) % 3 if "<view>" in step or "<file>" in step else 1
                blows.append(Blow(step, moment, nth))
                done[f"{step}: {moment}"] += 1
            hands = -(-len(blows) // BLOWS)
            found += [(kind, blows[hand::hands], kind != "start" or turn > 0) for hand in range(hands)]
    return found


@pytest.mark.slow
def test_killed_at_every_step(hunts: list[Hunt]) -> None:
    """PROOF_KILLS times each, or until PROOF_CRASH_POINTS_S seconds are over; every moment of a step in turn.

    A run before this one counts, where runs are added up. A step that was not reached is tried once more.
    """
    budget = Budget("crash_points", 600)
    before = Counter[str](told("crash_points").get("struck", {}))
    waiting = chains_of(amount("kills", 1), before)

    def work(hunt: Hunt) -> None:
        while not budget.spent:
            try:
                kind, blows, database = waiting.popleft()
            except IndexError:
                return
            missed = hunt.chase(kind, blows, database=database)
            if again := [replace(blow, again=True) for blow in missed if not blow.again]:
                waiting.append((kind, again, database))

    with ThreadPoolExecutor(len(hunts)) as pool:
        for running in [pool.submit(work, hunt) for hunt in hunts]:
            running.result()
    struck = sum(hunt.kills.total() for hunt in hunts)
    assert struck or before, "nothing was killed"
    tell_of(hunts, "crash_points", len(all_steps()))
    missed = [blow.where for hunt in hunts for blow in hunt.missed]
    assert len(missed) <= struck // 20, missed


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
