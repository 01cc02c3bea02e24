"""What is wrong with a bundle, collected, and told as one error: the gate and the engine say it alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from config.errors import FileTooLarge, InputError, InvalidFileCount, InvalidFileFormat, ValidationFailed

_PRECEDENCE: Final[tuple[type[InputError], ...]] = (InvalidFileCount, FileTooLarge, InvalidFileFormat, ValidationFailed)
"""Which error a bundle with several kinds of problem is given: the first of these that applies."""


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
        return self.told(str)

    def told(self, shown: Callable[[str], str]) -> str:
        """The sentence, the file's name as `shown` writes it."""
        return f"{shown(self.file)} {self.message}" if self.file else self.message


def _sentences(problems: list[Problem], shown: Callable[[str], str]) -> list[str]:
    """What is wrong, each thing said once: files with the same fault share a sentence."""
    alike: dict[str, list[Problem]] = {}
    for problem in problems:
        alike.setdefault(problem.message if problem.file else str(problem), []).append(problem)
    return [
        same[0].told(shown)
        if len(same) == 1
        else f"{', '.join(shown(problem.file) for problem in same)}: each {same[0].message}"
        for same in alike.values()
    ]


def error_of(problems: Iterable[Problem], *, shown: Callable[[str], str] = str, most: int = 12) -> InputError | None:
    """One error with all the problems of the kind that comes first; None where there is no problem.

    shown: how a file's name is written for people. most: how many problems the sentence lists; the details list all.
    """
    found = list(dict.fromkeys(problems))
    kind = next((kind for kind in _PRECEDENCE if any(problem.kind is kind for problem in found)), None)
    if kind is None:
        return None
    ours = [problem for problem in found if problem.kind is kind]
    listed = "; ".join(_sentences(ours[:most], shown))
    if len(ours) > most:
        listed += f"; and {len(ours) - most} more"
    suggestions = list(dict.fromkeys(problem.suggestion for problem in ours if problem.suggestion))
    return kind(
        (listed[0].upper() + listed[1:] if not ours[0].file else listed) + ".",
        suggestion=" ".join(suggestions) or None,
        files=list(dict.fromkeys(shown(problem.file) for problem in ours if problem.file)),
        problems=[{"file": shown(problem.file), "message": problem.message} for problem in ours],
    )
