"""The solver of the texture's fit, apart from textures and views."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from config.bundle_layout import ViewName
from config.errors import ModelNotConverged
from engine.refine.sirt import solve

NAN = float("nan")


@dataclass
class Told:
    """The error of each step is told beforehand; an image is its number."""

    errors: list[float]
    start: int = 0
    agreement: dict[ViewName, float] = field(default_factory=dict)

    def step(self, image: int) -> tuple[float, int]:
        return self.errors[image], 1

    def moved(self, image: int, gradient: int) -> int:
        return image + gradient


@pytest.mark.parametrize(
    ("errors", "best"),
    [
        ([4.0, 2.0, 1.0], 2),
        ([4.0, 2.0, 3.0], 1),
        ([4.0, 2.0, 2.0], 1),
        ([4.0, 2.0, NAN], 1),
        ([4.0, float("inf"), 1.0], 0),
        ([0.0, 0.0, 0.0], 0),
    ],
)
def test_the_last_good_step_counts(errors: list[float], best: int) -> None:
    found, told = solve(Told(errors), 2, lambda fraction: None)
    assert found == best
    assert told == tuple(errors[: best + 1])


def test_no_step_is_begun_once_the_time_is_over() -> None:
    errors = [4.0, 3.0, 2.0, 1.0]
    asked = iter([False, True])
    assert solve(Told(errors), 3, lambda fraction: None, lambda: next(asked)) == (1, (4.0, 3.0))
    told: list[float] = []
    assert solve(Told(errors), 3, told.append, lambda: True) == (0, (4.0,))
    assert told == [1.0]


def test_a_start_without_an_error_is_no_start() -> None:
    with pytest.raises(ModelNotConverged, match="is not a number") as failure:
        solve(Told([NAN, 1.0]), 1, lambda fraction: None)
    assert failure.value.code == "MODEL_CONVERGENCE_FAILED"
    assert "draft" in failure.value.suggestion
