"""Killed again and again while bundles keep coming: in the end each has exactly one result."""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing

from daemon.states import State
from daemon.store import DATABASE_NAME
from tests.proof.amounts import Budget, amount, tell
from tests.proof.house import scratch
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


def test_killed_at_random_times() -> None:
    wanted_kills, seed = amount("random_kills", 6), amount("seed", int(time.time()))
    print(f"PROOF_SEED={seed}")
    chance, budget = random.Random(seed), Budget("random_kills", 600)
    kills = bundles = unsound = 0
    ready_s: list[float] = []
    with scratch() as folder, Nursery() as nursery:
        while kills < wanted_kills and not budget.spent:
            prey = Prey(folder / f"r{kills}", nursery)
            wanted: dict[str, State] = {}
            here = 0
            while here < min(FOLDERS_FOR, wanted_kills) and kills < wanted_kills and not budget.spent:
                started = prey.start()
                assert started is not None
                ready_s.append(started)
                end_s = time.monotonic() + chance.choice((0.2, 0.8, LONGEST_LIFE_S)) * chance.random()
                while time.monotonic() < end_s:
                    # No faster than they are made: what lies there at the end has to be done by one more start.
                    if len(wanted) < here // 2 + 2:
                        name, state = drop_something(prey, chance, bundles)
                        wanted[name], bundles = state, bundles + 1
                    time.sleep(min(0.2 * chance.random(), max(0.0, end_s - time.monotonic())))
                prey.kill()
                kills, here = kills + 1, here + 1
                unsound += not is_sound(prey)
            assert prey.start() is not None
            prey.settle(list(wanted), within_s=60 + 5.0 * len(wanted))
            prey.check(wanted)
            prey.kill()
            assert is_sound(prey)
    tell(
        "random_kills",
        kills=kills,
        bundles=bundles,
        unsound=unsound,
        ready_s_worst=round(max(ready_s), 2),
        minutes=round(budget.took_s / 60, 1),
        seed=seed,
    )
    assert unsound == 0
    assert max(ready_s) <= RUNS_AGAIN_WITHIN_S
