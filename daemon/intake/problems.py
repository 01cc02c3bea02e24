"""What is wrong with a bundle, collected, and told as one error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from config.errors import FileTooLarge, InputError, InvalidFileCount, InvalidFileFormat, ValidationFailed
from daemon.names import shown

# Which error a bundle with several kinds of problem is given: the first of these that applies.
_PRECEDENCE: Final[tuple[type[InputError], ...]] = (InvalidFileCount, FileTooLarge, InvalidFileFormat, ValidationFailed)
_SHOWN: Final = 6


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. file: its path within the bundle, raw, "" for the bundle itself.

    message: what follows the file's name in a sentence, without a full stop. suggestion: what to do, a sentence.
    """

    kind: type[InputError]
    file: str
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        return f"{shown(self.file)} {self.message}" if self.file else self.message


def error_of(problems: Iterable[Problem]) -> InputError:
    """One error with all the problems of the kind that comes first. There must be one."""
    found = list(dict.fromkeys(problems))
    kind = next(kind for kind in _PRECEDENCE if any(problem.kind is kind for problem in found))
    ours = [problem for problem in found if problem.kind is kind]
    listed = "; ".join(str(problem) for problem in ours[:_SHOWN])
    if len(ours) > _SHOWN:
        listed += f"; and {len(ours) - _SHOWN} more"
    suggestions = list(dict.fromkeys(problem.suggestion for problem in ours if problem.suggestion))
    return kind(
        (listed[0].upper() + listed[1:] if not ours[0].file else listed) + ".",
        suggestion=" ".join(suggestions) or None,
        files=list(dict.fromkeys(shown(problem.file) for problem in ours if problem.file)),
        problems=[{"file": shown(problem.file), "message": problem.message} for problem in ours],
    )
