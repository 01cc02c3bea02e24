"""A room's thread lives on, whatever a step meets, and is seen when it hangs."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from config.errors import DiskFull
from daemon.loops import Loop


@dataclass
class FakeClock:
    time_s: float = 0.0

    def monotonic_s(self) -> float:
        return self.time_s

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC)


def test_errors_are_waited_after_longer_and_longer_and_forgotten() -> None:
    answers: list[float | Exception] = [DiskFull("full"), OSError(5, "io"), ValueError("bug"), 3.0, OSError(5, "io")]

    def step(_now_s: float) -> float:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    loop = Loop("room", step, FakeClock())
    assert [loop.once() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 0.5]
    assert loop.beat.error is not None


def test_a_step_that_hangs_is_stuck_and_a_slow_wait_is_not() -> None:
    clock = FakeClock()
    inside, go_on = threading.Event(), threading.Event()

    def step(_now_s: float) -> float:
        inside.set()
        go_on.wait(10)
        return 1000.0

    loop = Loop("room", step, clock, stale_after_s=60.0)
    clock.time_s = 1000.0
    assert not loop.stuck(clock.time_s)
    loop.start()
    try:
        assert inside.wait(10)
        clock.time_s = 1061.0
        assert loop.stuck(clock.time_s)
    finally:
        loop.stop()
        go_on.set()
    assert loop.join(10)
    assert not loop.stuck(clock.time_s)


def test_waking_calls_the_step_again() -> None:
    calls = threading.Semaphore(0)

    def step(_now_s: float) -> float:
        calls.release()
        return 1e9

    loop = Loop("room", step, FakeClock())
    loop.start()
    try:
        assert calls.acquire(timeout=10)
        loop.wake()
        assert calls.acquire(timeout=4)
    finally:
        loop.stop()
    assert loop.join(10)
