"""How a running job tells where it is, and learns that it should stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from config.errors import Cancelled, TimedOut


@dataclass(frozen=True)
class Progress:
    """One step forward. fraction: 0..1 of the whole job. eta_s: seconds left, None while unknown."""

    stage: str
    fraction: float
    eta_s: float | None


OnProgress = Callable[[Progress], None]
ShouldCancel = Callable[[], bool]
Checkpoint = Callable[[float], None]
"""What a stage calls with its own fraction done (0..1); raises Cancelled when the job should stop."""

_ETA_FROM = 0.05  # below this share of the work, the time so far says too little


class Tracker:
    """Turns each stage's own fraction into the job's, and measures the stages.

    shares: stage name -> its expected share of the whole time, in the order that the stages run; any unit.
    """

    def __init__(
        self,
        shares: dict[str, float],
        on_progress: OnProgress,
        should_cancel: ShouldCancel,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timeout_s: float | None = None  # known once the job's options are read
        self._on_progress = on_progress
        self._should_cancel = should_cancel
        self._clock = clock
        self._plan = list(shares.items())
        self._in_seconds = False
        self._begun: list[int] = []
        self._started_s = clock()
        self._fraction = 0.0
        self.timings_s: dict[str, float] = {}

    def weigh(self, shares: dict[str, float]) -> None:
        """Take other shares, once the job's options tell which stages are to come; what is over is among them."""
        self._replan(list(shares.items()))

    def expect(self, seconds: Sequence[tuple[str, float]]) -> None:
        """Take another plan, once the job's options and this machine tell what is to come.

        seconds: each stage's name and how long it is expected to take, in their order, those that are over included; a
        name that comes twice is a stage that runs twice. The time left is told from now on.
        """
        self._in_seconds = True
        self._replan(list(seconds))

    def _replan(self, plan: list[tuple[str, float]]) -> None:
        self._plan = plan
        self._begun = [index for index, (name, _) in enumerate(self._plan) if name in self.timings_s]

    @contextmanager
    def stage(self, name: str) -> Iterator[Checkpoint]:
        """Run one stage: yields its checkpoint, reports its begin and end, adds its time to `timings_s`."""
        begin_s = self._clock()
        places = [index for index, (planned, _) in enumerate(self._plan) if planned == name]
        place = next((index for index in places if index not in self._begun), places[-1])
        self._begun.append(place)
        before = sum(share for _, share in self._plan[:place])
        share = self._plan[place][1]

        def checkpoint(fraction: float) -> None:
            if self._should_cancel():
                raise Cancelled
            if self.timeout_s is not None and self._clock() - self._started_s > self.timeout_s:
                raise TimedOut(
                    f"The job took longer than its limit of {self.timeout_s:g} s; it was at {name}.", stage=name
                )
            self._report(name, before + share * min(max(fraction, 0.0), 1.0))

        checkpoint(0.0)
        yield checkpoint
        checkpoint(1.0)
        self.timings_s[name] = self.timings_s.get(name, 0.0) + self._clock() - begin_s

    def _report(self, name: str, done: float) -> None:
        total = sum(share for _, share in self._plan)
        self._fraction = max(self._fraction, done / total)  # a bar that runs backwards is believed by nobody
        # Another plan may leave less done than the bar shows: the time left follows the plan.
        fraction = done / total if self._in_seconds else self._fraction
        elapsed_s = self._clock() - self._started_s
        eta_s = elapsed_s * (1 / fraction - 1) if fraction >= _ETA_FROM else None
        if eta_s is None and self._in_seconds:
            eta_s = total - done
        self._on_progress(Progress(name, self._fraction, eta_s))
