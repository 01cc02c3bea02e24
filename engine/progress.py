"""How a running job tells where it is, and learns that it should stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


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
