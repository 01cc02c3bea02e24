"""What is wrong with a bundle, collected, and raised as one error."""

from __future__ import annotations

from collections.abc import Iterable

from config.problems import Problem, error_of


class ProblemError(Exception):
    """Carries a problem out of a reader."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def raise_first_kind(problems: Iterable[Problem]) -> None:
    """Raise one error with all the problems of the kind that comes first, if there are any."""
    error = error_of(problems)
    if error is not None:
        raise error
