"""Time, passed in: nothing in the daemon asks the machine for it directly."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Two times that are never mixed: one to measure with, one to show."""

    def monotonic_s(self) -> float:
        """Seconds since some moment; never jumps. Everything that waits is measured with it."""

    def now(self) -> datetime:
        """The wall clock's time in UTC, for people to read. Decides nothing."""


class SystemClock:
    """The machine's clocks."""

    def monotonic_s(self) -> float:
        """Seconds since the machine started; CLOCK_MONOTONIC."""
        return time.monotonic()

    def now(self) -> datetime:
        """The wall clock's time in UTC."""
        return datetime.now(UTC)
