"""Everything that people can write or may meet is documented."""

import re
from pathlib import Path

import pytest

from config.errors import error_classes
from config.job import JobOptions
from config.sections import Settings
from config.tables import schema_of

DOCS = Path(__file__).parents[2] / "docs"


def _rows(name: str) -> dict[str, str]:
    lines = (DOCS / name).read_text(encoding="utf-8").splitlines()
    found = (re.match(r"\| `([^`]+)` \| (.+) \|$", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("settings.md", set(schema_of(Settings))),
        ("job-toml.md", set(schema_of(JobOptions))),
        ("errors.md", set(error_classes())),
    ],
)
def test_every_name_has_a_row_and_no_row_is_stale(name: str, known: set[str]) -> None:
    assert set(_rows(name)) == known


@pytest.mark.parametrize(("name", "model"), [("settings.md", Settings), ("job-toml.md", JobOptions)])
def test_the_defaults_in_the_docs_are_the_defaults(name: str, model: type[Settings] | type[JobOptions]) -> None:
    rows = _rows(name)
    for key, default in schema_of(model).items():
        if isinstance(default, bool):
            shown = str(default).lower()
        elif isinstance(default, str | int | float):
            shown = str(default)
        else:
            continue
        assert rows[key].split(" | ")[0].strip('`"') == shown, key


def test_errors_have_their_kind_and_exit_status() -> None:
    rows = _rows("errors.md")
    for code, cls in error_classes().items():
        kind, exit_status, meaning, advice = rows[code].split(" | ")
        assert (kind, int(exit_status)) == (cls.kind, cls.exit_status)
        assert meaning
        assert advice
