"""The texture's fit as a solver, wherever the views and the texture are held."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import ViewName
from config.errors import ModelNotConverged

AGREEMENT = 80.0
"""Local difference from the bake, in sRGB steps, by which a pixel's weight falls to 1/e. With more, views that are not
of one object are averaged: their pictures come out nearer by the figures, with ghosts; with less, colours at the edges
of what a view sees are given up."""
NEIGHBOURHOOD_PX = 15
PRIOR = 0.3
"""Weight of the bake, in pixels a texel."""
Float32 = NDArray[np.float32]
Image = TypeVar("Image")
"""A texture [S, S, 3] of sRGB values 0..255, float32: an array, or a tensor on a device."""


class Views(Protocol[Image]):
    """A baked texture, and what the views say of it."""

    @property
    def start(self) -> Image:
        """The texture as baked."""
        ...

    @property
    def agreement(self) -> dict[ViewName, float]:
        """How much of each view's trusted pixels counts, 0..1."""
        ...

    def step(self, image: Image) -> tuple[float, Image]:
        """The weighted mean squared error of the drawn texture, and minus half its gradient times the weights' sum."""
        ...

    def moved(self, image: Image, gradient: Image) -> Image:
        """The texture one step on; may use the gradient's memory."""
        ...


@dataclass(frozen=True, eq=False)
class Fit:
    """The fitted texture [S, S, 3] float32 on the host, `Views.agreement`, the error before each step and after the
    last, and what computed it."""

    texture: Float32
    agreement: dict[ViewName, float]
    errors: tuple[float, ...]
    device: Literal["cpu", "cuda"]


def never() -> bool:
    """For what may take as long as it likes."""
    return False


def solve(
    views: Views[Any], steps: int, checkpoint: Callable[[float], None], over: Callable[[], bool] = never
) -> tuple[Any, tuple[float, ...]]:
    """The best texture in at most `steps` steps, and the error before each and after the last.

    A step that makes the error larger, or none any more, is taken back, and the last. None is begun once it is over.
    checkpoint: told of the share of steps done. Raises ModelNotConverged where the start has no error that is a number.
    """
    best, current, errors = views.start, views.start, list[float]()
    for step in range(steps + 1):
        error, gradient = views.step(current)
        if not isfinite(error) and not errors:
            raise ModelNotConverged(
                "The texture can't be fitted to the views: how far it is off is not a number.",
                suggestion='Ask for quality = "draft", which does not fit it, and report it with the log.',
            )
        if not isfinite(error) or (errors and error >= errors[-1]):
            break
        errors.append(error)
        best = current
        if step == steps or over():
            break
        current = views.moved(current, gradient)
        checkpoint((step + 1) / (steps + 1))
    checkpoint(1.0)
    return best, tuple(errors)
