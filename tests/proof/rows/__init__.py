"""What is promised, and what shows it: a row each, in the order of docs/reliability.md; a module for each part.

A test is named as pytest names it, without its parameters. A figure is a format of what the proof's tests have told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.proof.rows.disks import FAULTY
from tests.proof.rows.hostile import HARMFUL
from tests.proof.rows.killed import KILLED
from tests.proof.rows.load import LOAD
from tests.proof.rows.processes import PROCESSES
from tests.proof.rows.reported import REPORTED
from tests.proof.rows.row import Part, Row
from tests.proof.rows.rules import RULES

__all__ = ["PARTS", "RULES", "Part", "Row", "all_tests", "named"]

PARTS: Final = (KILLED, FAULTY, PROCESSES, LOAD, HARMFUL, REPORTED, RULES)


def named() -> dict[str, Row]:
    """The rows by their names: the part's letter and the number in it."""
    return {f"{part.letter}{number}": row for part in PARTS for number, row in enumerate(part.rows, 1)}


def all_tests(names: Sequence[str] = ()) -> list[str]:
    """Every test that these rows name, or any where none is given, once. Raises KeyError."""
    rows = [named()[name] for name in names] if names else list(named().values())
    return list(dict.fromkeys(test for row in rows for test in row.tests))
