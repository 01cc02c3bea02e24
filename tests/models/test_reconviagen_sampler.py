"""The sampler against its definitions, in float64 and by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.models.reconviagen.sampler import LATENTS, STRUCTURE, Schedule, evaluations, guided, sample, times
from tests.models.made_up import wave


def _by_definition(x: Tensor, t: float, pos: Tensor, neg: Tensor, w: float, rescale: float, ddof: int) -> np.ndarray:
    """w·pos + (1 - w)·neg, its estimate of the data brought `rescale` of the way back to pos's spread."""
    state, p, n = (each.double().numpy() for each in (x, pos, neg))
    v = w * p + (1 - w) * n
    at = 1e-5 + (1 - 1e-5) * t
    data_p, data = (1 - 1e-5) * state - at * p, (1 - 1e-5) * state - at * v
    data = data * (rescale * data_p.std(ddof=ddof) / data.std(ddof=ddof) + 1 - rescale)
    return np.asarray(((1 - 1e-5) * state - data) / at)


@pytest.mark.parametrize(("schedule", "ddof"), [(STRUCTURE, 1), (LATENTS, 0)], ids=["structure", "latents"])
def test_guidance_is_w_times_the_condition_and_one_less_w_without(schedule: Schedule, ddof: int) -> None:
    x, pos, neg = wave((9,), "x"), wave((9,), "p"), wave((9,), "n", 0.9)
    found = guided(x, 0.8, pos, neg, schedule).double().numpy()
    expected = _by_definition(x, 0.8, pos, neg, schedule.strength, schedule.rescale, ddof)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # As older versions count, (1 + w)·pos - w·neg, w is another thing.
    older = _by_definition(x, 0.8, pos, neg, schedule.strength + 1, schedule.rescale, ddof)
    assert np.abs(found - older).max() > 0.05


def test_which_spread_is_taken_does_not_matter_as_long_as_it_is_one() -> None:
    # They differ by a factor that depends on the count alone, and only their ratio enters.
    x, pos, neg = wave((2, 2), "x") + 0.5, wave((2, 2), "p") + 0.7, wave((2, 2), "n", 0.9)
    a = guided(x, 0.8, pos, neg, STRUCTURE)
    torch.testing.assert_close(a, guided(x, 0.8, pos, neg, dataclasses.replace(STRUCTURE, spread="biased")))
    assert (a - guided(x, 0.8, pos, neg, dataclasses.replace(STRUCTURE, rescale=0.0))).abs().max() > 0.05


def test_times_run_from_noise_to_data_denser_at_the_noise() -> None:
    ends = times(STRUCTURE)
    assert len(ends) == 31
    assert (ends[0], ends[-1]) == (1.0, 0.0)
    assert ends[15] == pytest.approx(5 * 0.5 / (1 + 4 * 0.5))
    assert np.diff(ends).max() < 0


def test_guidance_acts_within_its_interval_alone() -> None:
    runs = evaluations(STRUCTURE)
    assert [t for t, n in zip(times(STRUCTURE), runs, strict=False) if n == 2] == [
        t for t in times(STRUCTURE) if t >= 0.6
    ]
    asked: list[tuple[float, bool]] = []

    def velocity(x: Tensor, t: float, conditioned: bool) -> Tensor:
        asked.append((t, conditioned))
        return torch.ones_like(x)

    sample(velocity, torch.zeros(3), STRUCTURE)
    assert len(asked) == sum(runs)
    assert all(t >= 0.6 for t, conditioned in asked if not conditioned)


def test_a_straight_flow_arrives_whatever_the_steps() -> None:
    data, noise = wave((4, 3), "d"), wave((4, 3), "n")
    plain = Schedule(5, 1.0, (0.0, 1.0), 0.0, 3.0, "biased")
    torch.testing.assert_close(sample(lambda x, t, conditioned: noise - data, noise, plain), data)


def test_a_step_can_stop_it() -> None:
    def stop(step: int) -> None:
        if step == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        sample(lambda x, t, conditioned: x, torch.zeros(2), LATENTS, stop)
