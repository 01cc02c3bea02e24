"""From noise to latents along a learned flow, guided by what the views say.

Sources: Lipman et al. 2023 and Liu et al. 2023 (rectified flow, Euler steps); Ho and Salimans 2022 (classifier-free
guidance); Kynkäänniemi et al. 2024 (guidance in an interval of times); Lin et al. 2024 (guidance rescale).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

_SIGMA_MIN: Final = 1e-5

Velocity = Callable[[Tensor, float, bool], Tensor]
"""The flow's velocity at a state and a time (1: noise, 0: data), with the condition or with the zero condition."""


@dataclass(frozen=True)
class Schedule:
    """How a flow is followed.

    steps: how many. strength: w of the guidance w·conditioned + (1 - w)·unconditioned. interval: the times at which
    there is guidance; at all others the conditioned velocity alone counts. rescale: how far the guided estimate's
    spread is brought back to the conditioned one's, 0 to 1. shift: how much denser the steps are at the noisy end.
    spread: "unbiased" divides the squares by one less than they are; "biased" is the root of the squares' mean less
    the mean's square.
    """

    steps: int
    strength: float
    interval: tuple[float, float]
    rescale: float
    shift: float
    spread: Literal["unbiased", "biased"]


STRUCTURE: Final = Schedule(30, 7.5, (0.6, 1.0), 0.7, 5.0, "unbiased")
LATENTS: Final = Schedule(12, 7.5, (0.0, 1.0), 0.5, 3.0, "biased")
"""The published settings of the two flows; the second one's interval may stand in the checkpoint's pipeline.json."""


def times(schedule: Schedule) -> list[float]:
    """The times of the steps' ends: `steps` + 1, from 1 to 0."""
    even = [1 - step / schedule.steps for step in range(schedule.steps + 1)]
    return [schedule.shift * t / (1 + (schedule.shift - 1) * t) for t in even]


def evaluations(schedule: Schedule) -> list[int]:
    """How often the network runs in each step: twice with guidance, else once."""
    low, high = schedule.interval
    return [2 if low <= t <= high and schedule.strength != 1 else 1 for t in times(schedule)[:-1]]


def _spread(x: Tensor, kind: Literal["unbiased", "biased"]) -> Tensor:
    if kind == "unbiased":
        return x.std()
    return torch.sqrt((x * x).mean() - x.mean() ** 2)


def guided(x: Tensor, t: float, conditioned: Tensor, unconditioned: Tensor, schedule: Schedule) -> Tensor:
    """Combine the two velocities.

    The rescale acts on the estimates of the data that the velocities stand for.
    """
    w = schedule.strength
    velocity = w * conditioned + (1 - w) * unconditioned
    if schedule.rescale == 0:
        return velocity
    noise = _SIGMA_MIN + (1 - _SIGMA_MIN) * t
    data_conditioned = (1 - _SIGMA_MIN) * x - noise * conditioned
    data = (1 - _SIGMA_MIN) * x - noise * velocity
    ratio = _spread(data_conditioned, schedule.spread) / _spread(data, schedule.spread)
    data = schedule.rescale * (data * ratio) + (1 - schedule.rescale) * data
    return ((1 - _SIGMA_MIN) * x - data) / noise


def sample(
    velocity: Velocity, noise: Tensor, schedule: Schedule, on_step: Callable[[int], None] = lambda step: None
) -> Tensor:
    """Follow the flow from noise to data.

    noise: any shape, float32. on_step: called after each step with the number done; may raise to stop.
    Returns the same shape.
    """
    x, ends = noise, times(schedule)
    for step, (runs, t, after) in enumerate(zip(evaluations(schedule), ends, ends[1:], strict=False)):
        v = velocity(x, t, True)
        if runs == 2:
            v = guided(x, t, v, velocity(x, t, False), schedule)
        x = x - (t - after) * v
        on_step(step + 1)
    return x
