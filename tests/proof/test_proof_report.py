"""Every row of the report names tests that there are, and every row is in it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.daemon_stand_in import ROOT
from tests.proof.__main__ import DOCUMENT, document
from tests.proof.rows import PARTS, RULES, all_tests


@pytest.mark.parametrize("file", sorted({test.partition("::")[0] for test in all_tests()}))
def test_the_tests_that_are_named_are_there(file: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    there |= {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    wanted = {test.partition("::")[2] for test in all_tests() if test.startswith(f"{file}::")}
    assert wanted <= there


def test_every_row_is_in_the_document() -> None:
    text = DOCUMENT.read_text()
    for part in PARTS:
        assert f"## {part.title}" in text
        for row in part.rows:
            assert f" | {row.what} | {row.bar} |" in text, "run `make proof`"
    assert len(RULES.rows) == 16  # the fourteen rules, the states, the codes


def test_what_fails_or_was_not_run_is_said(tmp_path: Path) -> None:
    test = PARTS[0].rows[0].tests[0]
    file, _, name = test.partition("::")
    (tmp_path / "results-000.xml").write_text(
        f'<testsuites><testsuite><testcase file="{file}" name="{name}[a]"/>'
        f'<testcase file="{file}" name="{name}[b]"><failure/></testcase></testsuite></testsuites>'
    )
    text = document(tmp_path)
    (line,) = [line for line in text.splitlines() if line.startswith(f"| K1 | {PARTS[0].rows[0].what} ")]
    assert "**FAILS**" in line
    assert "not run" in text


def test_the_day_of_the_last_run_is_told_and_that_of_tests_left_behind(tmp_path: Path) -> None:
    row = PARTS[0].rows[0]
    for number, (day, tests) in enumerate({"2030-01-02": row.tests, "2030-03-04": row.tests[:1]}.items()):
        cases = "".join('<testcase file="{}" name="{}"/>'.format(*test.split("::")) for test in tests)
        (tmp_path / f"results-{number}.xml").write_text(
            f'<testsuites><testsuite timestamp="{day}T09:00:00">{cases}</testsuite></testsuites>'
        )
    (line,) = [line for line in document(tmp_path).splitlines() if line.startswith(f"| K1 | {row.what} ")]
    assert line.endswith(f"| 2030-03-04 | `{row.tests[0]}`<br>`{row.tests[1]}` (2030-01-02) |")
