"""Whose job is next: priority, then each owner in turn, then the oldest."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from daemon.states import State
from daemon.store import Store
from daemon.store.order import in_turn
from tests.store.made import new_job

OWNERS = st.tuples(st.sampled_from(["props", "cars"]), st.sampled_from(["ann", "bob", "eve"]))
WAITING = st.lists(st.tuples(st.integers(-1, 1), OWNERS), max_size=20).map(
    lambda jobs: [(number, priority, owner) for number, (priority, owner) in enumerate(jobs)]
)
TURNS = st.dictionaries(OWNERS, st.integers(0, 50))


def run_all(store: Store) -> list[str]:
    """Run every job in turn; the entries in that order."""
    ran = []
    while jobs := store.next_jobs(1):
        ran.append(jobs[0].entry)
        store.transition(jobs[0].id, State.PROGRESS, reason="its turn")
        store.transition(jobs[0].id, State.CANCELLED, reason="enough")
    return ran


def test_the_oldest_is_first(store: Store) -> None:
    store.admit([new_job("b"), new_job("a"), new_job("c")])
    assert run_all(store) == ["b", "a", "c"]


def test_the_highest_priority_is_first(store: Store) -> None:
    store.admit([new_job("low", priority=-5), new_job("normal"), new_job("high", priority=50)])
    assert run_all(store) == ["high", "normal", "low"]


def test_who_drops_many_does_not_keep_others_waiting(store: Store) -> None:
    store.admit([new_job(f"ann-{number}") for number in range(4)])
    store.admit([new_job("bob-0", owner="bob"), new_job("bob-1", owner="bob")])
    store.admit([new_job("cars-0", inbox="cars")])
    assert run_all(store) == ["ann-0", "bob-0", "cars-0", "ann-1", "bob-1", "ann-2", "ann-3"]


def test_whose_turn_it_is_outlives_the_jobs(store: Store) -> None:
    store.admit([new_job("ann-0")])
    run_all(store)
    store.admit([new_job("ann-1"), new_job("bob-0", owner="bob")])
    assert run_all(store) == ["bob-0", "ann-1"]


def test_a_job_that_comes_back_is_the_oldest_of_its_owner(store: Store) -> None:
    first, _ = store.admit([new_job("a"), new_job("b")])
    store.transition(first.id, State.PROGRESS, reason="its turn")
    store.transition(first.id, State.PENDING, reason="the daemon was stopped")
    assert run_all(store) == ["a", "b"]


def test_the_next_are_those_that_run_one_after_the_other(store: Store) -> None:
    store.admit([new_job(f"ann-{number}") for number in range(3)])
    store.admit([new_job(f"bob-{number}", owner="bob", priority=number) for number in range(3)])
    ahead = [job.entry for job in store.next_jobs(10)]
    assert ahead == run_all(store)


def test_refused_bundles_do_not_wait_for_the_worker(store: Store) -> None:
    store.admit([new_job("good"), new_job("bad", error={"code": "X"}), new_job("worse", error={"code": "X"})])
    assert [job.entry for job in store.next_jobs(5)] == ["good"]
    assert [job.entry for job in store.refused_jobs(5)] == ["bad", "worse"]
    assert [job.entry for job in store.refused_jobs(1)] == ["bad"]


@given(WAITING, TURNS, st.integers(0, 25))
def test_some_ahead_are_the_first_of_all(
    waiting: list[tuple[int, int, tuple[str, str]]], turns: dict[tuple[str, str], int], some: int
) -> None:
    everything = in_turn(waiting, turns, len(waiting))
    assert sorted(everything) == [job[0] for job in waiting]
    assert in_turn(waiting, turns, some) == everything[:some]


@given(WAITING, TURNS)
def test_all_ahead_are_the_next_one_again_and_again(
    waiting: list[tuple[int, int, tuple[str, str]]], turns: dict[tuple[str, str], int]
) -> None:
    left, served, clock, one_by_one = list(waiting), dict(turns), count(100), []
    while left:
        (number,) = in_turn(left, served, 1)
        job = next(job for job in left if job[0] == number)
        left.remove(job)
        served[job[2]] = next(clock)
        one_by_one.append(number)
    assert in_turn(waiting, turns, len(waiting)) == one_by_one


@given(WAITING, TURNS)
def test_priority_is_kept_and_nobody_has_two_turns_while_another_waits(
    waiting: list[tuple[int, int, tuple[str, str]]], turns: dict[tuple[str, str], int]
) -> None:
    facts = {number: (priority, owner) for number, priority, owner in waiting}
    order = in_turn(waiting, turns, len(waiting))
    priorities = [facts[number][0] for number in order]
    assert priorities == sorted(priorities, reverse=True)
    for place, number in enumerate(order):
        priority, owner = facts[number]
        since = []
        for later in order[place + 1 :]:
            if facts[later] == (priority, owner):
                waited = {facts[other][1] for other in order[place + 1 :] if facts[other][0] == priority} - {owner}
                assert waited <= set(since)
                assert number < later
                break
            since.append(facts[later][1])
