"""What is wrong with a bundle, collected, and raised as one error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from config.errors import FileTooLarge, InputError, InvalidFileCount, InvalidFileFormat, ValidationFailed

# Which error a bundle with several kinds of problem is given: the first of these that applies.
_PRECEDENCE: tuple[type[InputError], ...] = (InvalidFileCount, FileTooLarge, InvalidFileFormat, ValidationFailed)
_SHOWN = 12


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. file: its path within the bundle, "" for the bundle itself.

    message: what follows the file's name in a sentence, without a full stop. suggestion: what to do, a sentence.
    """

    kind: type[InputError]
    file: str
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        return f"{self.file} {self.message}" if self.file else self.message


class ProblemError(Exception):
    """Carries a problem out of a reader."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def raise_first_kind(problems: Iterable[Problem]) -> None:
    """Raise one error with all the problems of the kind that comes first, if there are any."""
    found = list(problems)
    for kind in _PRECEDENCE:
        ours = list(dict.fromkeys(problem for problem in found if problem.kind is kind))
        if not ours:
            continue
        shown = "; ".join(str(problem) for problem in ours[:_SHOWN])
        if len(ours) > _SHOWN:
            shown += f"; and {len(ours) - _SHOWN} more"
        suggestions = list(dict.fromkeys(problem.suggestion for problem in ours if problem.suggestion))
        files = list(dict.fromkeys(problem.file for problem in ours if problem.file))
        raise kind(
            shown[0].upper() + shown[1:] + "." if not ours[0].file else shown + ".",
            suggestion=" ".join(suggestions) or None,
            files=files,
            problems=[{"file": problem.file, "message": problem.message} for problem in ours],
        )
