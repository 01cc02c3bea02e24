"""Killed again and again while bundles keep coming: in the end each has exactly one result."""

from __future__ import annotations

import random
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from daemon.states import State
from daemon.store import DATABASE_NAME
from tests.proof.amounts import Budget, amount, tell, told
from tests.proof.house import remove, scratch
from tests.proof.prey import Nursery, Prey

LONGEST_LIFE_S = 3.0
FOLDERS_FOR = 60  # kills; then the next ones in folders of their own: an outbox of thousands would slow each start down
RUNS_AGAIN_WITHIN_S = 10.0


def is_sound(prey: Prey) -> bool:
    path = prey.state / DATABASE_NAME
    if not path.exists():
        return True
    with closing(sqlite3.connect(path, timeout=20)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def drop_something(prey: Prey, chance: random.Random, number: int) -> tuple[str, State]:
    """A bundle of some kind, and the end that it must have."""
    kind = chance.choices(("folder", "zip", "slow", "same", "bad", "quality"), (8, 3, 4, 2, 1, 1))[0]
    name = f"{kind}-{number}" + (".zip" if kind == "zip" else "")
    words: dict[str, object] = {"seconds": round(chance.random(), 2)} if kind == "slow" else {}
    if kind == "quality":
        words["verdict"] = "failure"
    seed = 0 if kind == "same" else number + 1
    prey.drop(name, seed=seed, bad=kind == "bad", **words)
    return name, State.FAILURE if kind in ("bad", "quality") else State.SUCCESS


class Stream:
    """Bundles for one daemon after another in the same folders, each killed at some time."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._chance = folder, random.Random(seed)
        self.kills = self.bundles = self.unsound = 0
        self.ready_s: list[float] = []

    def run(self, kills: int, budget: Budget) -> None:
        with Nursery() as nursery:
            while self.kills < kills and not budget.spent:
                self._some(Prey(self._folder / f"r{self.kills}", nursery), min(FOLDERS_FOR, kills - self.kills), budget)

    def _some(self, prey: Prey, kills: int, budget: Budget) -> None:
        wanted: dict[str, State] = {}
        here = 0
        while here < kills and not budget.spent:
            started = prey.start()
            assert started is not None
            self.ready_s.append(started)
            self._live(prey, wanted, here)
            prey.kill()
            self.kills, here = self.kills + 1, here + 1
            self.unsound += not is_sound(prey)
        assert prey.start() is not None
        prey.settle(list(wanted), within_s=60 + 5.0 * len(wanted))
        prey.check(wanted)
        prey.kill()
        assert is_sound(prey)
        remove(prey.folder)

    def _live(self, prey: Prey, wanted: dict[str, State], here: int) -> None:
        chance = self._chance
        end_s = time.monotonic() + chance.choice((0.2, 0.8, LONGEST_LIFE_S)) * chance.random()
        while time.monotonic() < end_s:
            # No faster than they are made: what lies there at the end has to be done by one more start.
            if len(wanted) < here // 2 + 2:
                name, state = drop_something(prey, chance, self.bundles)
                wanted[name], self.bundles = state, self.bundles + 1
            time.sleep(min(0.2 * chance.random(), max(0.0, end_s - time.monotonic())))


def test_killed_at_random_times() -> None:
    """PROOF_RANDOM_KILLS in all, PROOF_HUNTERS at a time; those of runs before it count where they are added up."""
    before, hunters = told("random_kills"), amount("hunters", 1)
    missing = max(6, amount("random_kills", 6) - before.get("kills", 0))
    seed, budget = amount("seed", int(time.time())), Budget("random_kills", 600)
    print(f"PROOF_SEED={seed}")
    with scratch() as folder, ThreadPoolExecutor(hunters) as pool:
        streams = [Stream(folder / f"s{number}", seed + number) for number in range(hunters)]
        running = [pool.submit(stream.run, -(-missing // hunters), budget) for stream in streams]
        for each in running:
            each.result()
    ready_s = [max(stream.ready_s) for stream in streams]
    unsound = sum(stream.unsound for stream in streams)
    tell(
        "random_kills",
        kills=sum(stream.kills for stream in streams) + before.get("kills", 0),
        bundles=sum(stream.bundles for stream in streams) + before.get("bundles", 0),
        unsound=unsound + before.get("unsound", 0),
        ready_s_worst=round(max(*ready_s, before.get("ready_s_worst", 0.0)), 2),
        minutes=round(budget.took_s / 60 + before.get("minutes", 0.0), 1),
        seeds=[*before.get("seeds", []), seed],
    )
    assert unsound == 0
    assert max(ready_s) <= RUNS_AGAIN_WITHIN_S
