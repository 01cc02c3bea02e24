"""What is wrong with a bundle, as one error whose names are safe to show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import config.problems
from config.errors import InputError
from config.problems import Problem
from daemon.names import shown

_LISTED: Final = 6


def error_of(problems: Iterable[Problem]) -> InputError:
    """One error with all the problems of the kind that comes first. There must be one."""
    error = config.problems.error_of(problems, shown=shown, most=_LISTED)
    assert error is not None, "no problem was given"
    return error
