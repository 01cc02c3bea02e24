from __future__ import annotations

import threading

import pytest

from config.sections import Engine
from engine import machine
from engine.jit import beside


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest):
    machine.use(Engine(threads=request.param))
    yield request.param
    machine.use(Engine())


def test_what_runs_beside_hands_on_its_value(threads: int) -> None:
    with beside(threading.get_ident) as waited_for:
        own = threading.get_ident()
        assert (waited_for() == own) == (threads == 1)


def test_two_threads_are_at_work_at_once() -> None:
    machine.use(Engine(threads=2))
    try:
        met = threading.Barrier(2)
        with beside(lambda: met.wait(10)) as waited_for:
            met.wait(10)
            waited_for()
    finally:
        machine.use(Engine())


def test_what_runs_beside_raises_where_it_is_waited_for(threads: int) -> None:
    def fails() -> None:
        raise ValueError("not this")

    with pytest.raises(ValueError, match="not this"), beside(fails) as waited_for:
        waited_for()


def test_the_block_s_own_error_is_the_one_that_is_told(threads: int) -> None:
    ended = threading.Event()

    def runs() -> None:
        ended.set()

    with pytest.raises(KeyError), beside(runs):
        raise KeyError
    assert ended.is_set() == (threads > 1), (
        "it has ended once the block is left, and never began where it had no thread"
    )
