from __future__ import annotations

import gc
import threading
import weakref

import pytest

from config.errors import Cancelled
from config.sections import Engine
from engine import machine
from engine.jit import beside, parallel_map
from engine.progress import Checkpoint


def untold(fraction: float) -> None:
    """For what is waited for without a word."""


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest):
    machine.use(Engine(threads=request.param))
    yield request.param
    machine.use(Engine())


def test_a_map_keeps_its_items_order(threads: int) -> None:
    assert parallel_map(lambda item: item * item, range(1000)) == [item * item for item in range(1000)]
    assert parallel_map(str, ()) == []


def test_a_map_is_done_on_several_threads_of_which_one_is_the_caller_s() -> None:
    machine.use(Engine(threads=2))
    try:
        met = threading.Barrier(2)

        def meet(_: int) -> int:
            met.wait(10)
            return threading.get_ident()

        found = parallel_map(meet, range(2))
        assert len(set(found)) == 2
        assert threading.get_ident() in found
    finally:
        machine.use(Engine())


def test_the_first_item_s_error_is_raised_whichever_came_first(threads: int) -> None:
    later, begun = threading.Event(), list[int]()

    def fails(item: int) -> None:
        begun.append(item)
        if item == 0 and threads > 1:
            later.wait(10)
        if item == 1:
            later.set()
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 0"):
        parallel_map(fails, range(100))
    assert len(begun) <= 2, "what had not begun is left out"


def test_maps_within_maps_do_not_wait_for_each_other(threads: int) -> None:
    """Five deep, from four threads at once: more of them wait than the pool has threads."""

    def deep(levels: int) -> int:
        return sum(parallel_map(lambda _: deep(levels - 1), range(4))) if levels else 1

    done: list[int] = []
    callers = [threading.Thread(target=lambda: done.append(deep(5)), daemon=True) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert done == [4**5] * 4


def test_what_failed_is_held_by_nobody(threads: int) -> None:
    class Large:
        pass

    item = Large()
    gone = weakref.ref(item)

    def fails(_: Large) -> None:
        raise ValueError

    gc.disable()  # or cycles would be found some time
    try:
        with pytest.raises(ValueError, match="^$"):
            parallel_map(fails, [item, item, item])
        del item
        assert gone() is None
    finally:
        gc.enable()


def test_what_a_map_computes_with_is_held_by_nobody_afterwards() -> None:
    """Not even by the pool, whose threads may all be busy and find what was taken back only later."""

    class Large:
        pass

    def count_with(large: Large) -> None:
        assert parallel_map(lambda item: item + (large is not None), range(3)) == [1, 2, 3]

    machine.use(Engine(threads=2))
    busy, free = threading.Event(), threading.Event()

    def keep_busy(_: int) -> None:
        if threading.current_thread() is not keeper:
            busy.set()
        assert free.wait(60)

    keeper = threading.Thread(target=lambda: parallel_map(keep_busy, range(2)))
    gc.disable()
    try:
        keeper.start()
        assert busy.wait(60)
        large = Large()
        gone = weakref.ref(large)
        count_with(large)
        del large
        assert gone() is None
    finally:
        gc.enable()
        free.set()
        keeper.join(60)
        machine.use(Engine())


def test_what_runs_beside_hands_on_its_value(threads: int) -> None:
    with beside(lambda _: threading.get_ident()) as waited_for:
        own = threading.get_ident()
        assert (waited_for(untold) == own) == (threads == 1)


def test_two_threads_are_at_work_at_once() -> None:
    machine.use(Engine(threads=2))
    try:
        met = threading.Barrier(2)
        with beside(lambda _: met.wait(10)) as waited_for:
            met.wait(10)
            waited_for(untold)
    finally:
        machine.use(Engine())


def test_what_runs_beside_raises_where_it_is_waited_for(threads: int) -> None:
    def fails(_: Checkpoint) -> None:
        raise ValueError("not this")

    with pytest.raises(ValueError, match="not this"), beside(fails) as waited_for:
        waited_for(untold)


def test_the_block_s_own_error_is_the_one_that_is_told(threads: int) -> None:
    ended = threading.Event()

    def runs(_: Checkpoint) -> None:
        ended.set()

    with pytest.raises(KeyError), beside(runs):
        raise KeyError
    assert ended.is_set() == (threads > 1), (
        "it has ended once the block is left, and never began where it had no thread"
    )


def test_what_runs_beside_is_told_to_stop_once_the_block_is_left() -> None:
    machine.use(Engine(threads=2))
    stopped, begun = threading.Event(), threading.Event()

    def runs(checkpoint: Checkpoint) -> None:
        begun.set()
        try:
            while True:
                checkpoint(0.5)
        except Cancelled:
            stopped.set()
            raise

    try:
        with pytest.raises(KeyError), beside(runs):
            assert begun.wait(10)
            raise KeyError
        assert stopped.is_set()
    finally:
        machine.use(Engine())


def test_who_waits_is_told_how_far_it_is_and_may_stop_it() -> None:
    machine.use(Engine(threads=2))

    def runs(checkpoint: Checkpoint) -> None:
        while True:
            checkpoint(0.25)

    told = []

    def cancel(fraction: float) -> None:
        told.append(fraction)
        if told[-1] == 0.25:
            raise Cancelled

    try:
        with pytest.raises(Cancelled), beside(runs) as waited_for:
            waited_for(cancel)
        assert told[-1] == 0.25
    finally:
        machine.use(Engine())
