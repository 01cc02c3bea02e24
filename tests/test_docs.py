"""The documents keep up with the program."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main
from pydantic import ValidationError

from config.errors import error_classes
from config.job import JobOptions
from config.sections import Settings
from daemon.cli import app

ROOT = Path(__file__).parent.parent
COMMANDS = dict(getattr(typer.main.get_command(app), "commands"))  # noqa: B009 - typer's group type is not exported
PAGES: Final = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md"))
MAKEFILE: Final = (ROOT / "Makefile").read_text()
FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)


def _prose(text: str) -> str:
    """A page without what stands in fences."""
    return FENCE.sub("", text)


def _anchors(path: Path) -> set[str]:
    """What GitHub calls a page's headings in links."""
    headings = re.findall(r"^#+ (.+)$", _prose(path.read_text()), re.M)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


def _shown_commands(text: str) -> list[list[str]]:
    """The commands of a page: its `sh` fences, and whole commands of ours that stand in a sentence."""
    lines = []
    for language, block in FENCE.findall(text):
        if language in ("sh", "bash", "console"):
            lines += block.replace("\\\n", " ").splitlines()
    lines += re.findall(r"`((?:meshdrop|make) [^`]+)`", _prose(text))
    commands = []
    for line in lines:
        words: list[str] = []
        lexer = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        for word in [*lexer, ";"]:
            if word in ("|", "||", "&", "&&", ";", "(", ")"):
                commands.append(words)
                words = []
            else:
                words.append(word)
    return [words for words in commands if words]


def _check_ours(words: list[str], commands: dict[str, Any]) -> None:
    """Whether a command line of ours would be understood, as far as names of commands and options go."""
    if not words or words[0].startswith("-") or words[0].isupper():
        assert set(words) <= {"--help", "--version"} or words[0].isupper(), words
        return
    assert words[0] in commands, f"there is no command {words[0]}"
    command = commands[words[0]]
    if hasattr(command, "commands"):
        _check_ours(words[1:], command.commands)
        return
    rest = [word for word in words[1:] if word not in ("--help", "...", "…")]
    context = command.context_class(command, info_name=words[0])
    _, surplus, _ = command.make_parser(context).parse_args(rest)  # raises where an option is unknown
    assert not surplus, f"{words[0]} takes no {surplus}"


def _check_make(words: list[str]) -> None:
    for word in words:
        if "=" in word:
            assert re.search(rf"\$[({{]{re.escape(word.split('=')[0])}[)}}]", MAKEFILE), f"make knows no {word}"
        elif not word.startswith("-"):
            assert re.search(rf"^{re.escape(word)}:", MAKEFILE, re.M), f"make has no target {word}"


def _check_script(path: Path, words: list[str]) -> None:
    """A script of docs/ that has an `arguments` function for its command line."""
    assert path.exists(), path
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.arguments(words)  # exits where it is wrong


def _check(words: list[str]) -> None:
    if words[:3] == ["docker", "compose", "exec"]:
        words = words[4:]
    while words and (words[0] in ("sudo", "-u") or re.match(r"[A-Z_]+=", words[0])):
        words = words[2:] if words[0] == "-u" else words[1:]
    if not words:
        return
    program, rest = words[0].rsplit("/", 1)[-1], words[1:]
    redirected = next((i for i, word in enumerate(rest) if word.startswith((">", "<"))), len(rest))
    rest = rest[:redirected]
    if program == "meshdrop":
        _check_ours(rest, COMMANDS)
    elif program == "make":
        _check_make(rest)
    elif program.startswith("python") and rest[:1] == ["-m"] and rest[1].split(".")[0] in ("tests", "daemon", "engine"):
        assert importlib.util.find_spec(rest[1]), f"there is no module {rest[1]}"
    elif program == "blender":
        _check_script(ROOT / rest[rest.index("--python") + 1], rest[rest.index("--") + 1 :])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    command: Any = COMMANDS[name]
    text = (ROOT / "docs" / "commands.md").read_text()
    section = re.split(r"^## ", text.split(f"## `meshdrop {name} ", 1)[1], flags=re.M)[0]
    for parameter in command.params:
        for spelling in parameter.opts:
            if spelling.startswith("--") and spelling != "--help":
                assert f"`{spelling}`" in section, f"{spelling} of {name} is not in docs/commands.md"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)", _prose(path.read_text())):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        to = path.parent / name if name else path
        assert to.exists(), f"{path.name} links to {target}"
        assert not anchor or anchor in _anchors(to), f"{path.name} links to {target}; {to.name} has no such heading"


# The changes tell of the past.
@pytest.mark.parametrize(
    "path", [path for path in PAGES if path.name != "CHANGELOG.md"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_commands_in_the_documents_can_be_given(path: Path) -> None:
    for words in _shown_commands(path.read_text()):
        try:
            _check(words)
        except (Exception, SystemExit) as error:
            pytest.fail(f"{path.name} shows `{shlex.join(words)}`: {error}")


@pytest.mark.parametrize(
    "command",
    [
        "meshdrop reconstrukt a b",
        "meshdrop status --wach",
        "meshdrop config shout",
        "sudo -u meshdrop meshdrop dokter",
        "make everything",
        "make bench BUNDELS=x",
        "python -m tests.benchmark",
        "blender --python docs/blender_export.py -- out --fow 30",
    ],
)
def test_a_command_that_can_not_be_given_is_noticed(command: str) -> None:
    ((*words,),) = _shown_commands(f"```sh\n{command}   # and why\n```\n")
    with pytest.raises((Exception, SystemExit)):
        _check(words)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_in_other_languages_are_right(path: Path) -> None:
    for language, block in FENCE.findall(path.read_text()):
        _check_example(language, block)


def _check_example(language: str, block: str) -> None:
    if language == "python":
        compile(block, "example", "exec")
    elif language == "json":
        json.loads(block)
    elif language == "toml":
        table = tomllib.loads(block)
        try:
            JobOptions.model_validate(table)
        except ValidationError:
            Settings.model_validate(table)


@pytest.mark.parametrize(
    ("language", "block"),
    [("python", "a ="), ("json", "{'a': 1}"), ("toml", "qality = 1"), ("toml", "[watch]\npoll = 1")],
)
def test_a_wrong_example_is_noticed(language: str, block: str) -> None:
    with pytest.raises((SyntaxError, ValueError)):
        _check_example(language, block)


def test_every_page_is_in_the_readme() -> None:
    linked = set(re.findall(r"\]\(([^)#\s]+)", (ROOT / "README.md").read_text()))
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert pages | {"docs/decisions/README.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= linked


def test_error_codes_are_explained_in_the_words_of_the_code() -> None:
    text = (ROOT / "docs" / "errors.md").read_text()
    for code, cls in error_classes().items():
        row = f"| `{code}` | {cls.kind} | {cls.exit_status} | {cls.__doc__} | {cls.default_suggestion} |"
        assert row in text, row


def test_quoted_sentences_are_the_programs_own() -> None:
    """In docs/troubleshooting.md … stands for what differs from time to time, as do an f-string's fields."""
    said = [
        node.value
        for package in ("config", "daemon", "engine")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    quotes = re.findall(r'"([^"|]+)"', (ROOT / "docs" / "troubleshooting.md").read_text())
    assert len(quotes) > 40
    for quote in quotes:
        for piece in quote.split("…"):
            words = piece.strip(" .")
            assert any(words in text for text in said), f'nothing says "{words}" (of "{quote}")'


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
