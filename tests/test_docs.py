"""The documents keep up with the program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from daemon.cli import app

ROOT = Path(__file__).parent.parent
COMMANDS = dict(getattr(typer.main.get_command(app), "commands"))  # noqa: B009 - typer's group type is not exported


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    command: Any = COMMANDS[name]
    text = (ROOT / "docs" / "commands.md").read_text()
    section = re.split(r"^## ", text.split(f"## `meshdrop {name} ", 1)[1], flags=re.M)[0]
    for parameter in command.params:
        for spelling in parameter.opts:
            if spelling.startswith("--") and spelling != "--help":
                assert f"`{spelling}`" in section, f"{spelling} of {name} is not in docs/commands.md"


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md")), ids=str)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_every_make_target_is_documented() -> None:
    targets = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M)
    assert targets
    text = (ROOT / "docs" / "commands.md").read_text()
    for target in targets[1].split():
        assert f"`make {target}`" in text


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    for path in folder.glob("0*.md"):
        assert f"({path.name})" in index
