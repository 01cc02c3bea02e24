"""A record is one line, whatever it holds."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from daemon.logs import configure_logs, one_line

NASTY = "a\nb\r\x1b[31m\u2028\u202e\udcff'\""


@pytest.fixture(autouse=True)
def _unchanged() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _written(style: Literal["json", "pretty"]) -> list[str]:
    stream = io.StringIO()
    configure_logs(style, "info", stream)
    structlog.get_logger("x").info("job.state", bundle=NASTY, path=Path("/in") / NASTY, n=3)
    logging.getLogger("other").warning("said %s", NASTY)
    structlog.get_logger("x").debug("quiet")
    stream.getvalue().encode("utf-8")
    return stream.getvalue().split("\n")


def test_json_is_one_object_a_line() -> None:
    first, second, end = _written("json")
    record = json.loads(first)
    assert (record["event"], record["n"], record["level"]) == ("job.state", 3, "info")
    assert "\n" not in record["bundle"]
    assert "\x1b" not in second
    assert end == ""


def test_pretty_is_one_line_a_record_without_escapes_from_names() -> None:
    lines = _written("pretty")
    assert len(lines) == 3
    assert not any("\x1b" in line or "\u202e" in line for line in lines)


@given(st.text(alphabet=st.characters(codec=None)))
def test_any_text_stays_within_its_line(text: str) -> None:
    shown = one_line(text)
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")
