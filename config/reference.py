"""Write what the documents say of settings, job options and error codes from the code: `make docs`.

config/meshdrop.toml is written whole; in docs/settings.md, docs/job-toml.md and docs/errors.md what stands between the
marks. `python -m config.reference --check` only names those that are out of date, with exit status 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from pydantic_core import PydanticUndefined

from config.errors import error_classes
from config.job import JobOptions
from config.sections import Settings
from config.tables import Key, keys_of
from config.values import duration_text, is_duration

ROOT: Final = Path(__file__).resolve().parent.parent
BEGIN: Final = "<!-- made by `make docs`: change the code instead -->"
END: Final = "<!-- end -->"
_HEAD: Final = "| key | default | meaning |\n|---|---|---|\n"
_COMMENT_COLUMNS: Final = 116
_PREAMBLE: Final = """\
# Meshdrop's settings, each at its default. Delete what you don't change: an absent key has its default.
# Relative paths count from this file. Any key may come from the environment instead: MESHDROP_ENGINE__THREADS=2.
# Durations are seconds, or text such as "90s", "30m", "12h", "7d".
"""


def settings_tables() -> str:
    """docs/settings.md's tables of all settings, one below a heading for each table of the file."""
    text = ""
    for name, keys in groupby(
        keys_of(Settings), lambda key: key.dotted.partition(".")[0] if len(key.tables) > 1 else ""
    ):
        section = list(keys)
        if name:
            listed = name.endswith("[]")
            plain = name.removesuffix("[]")
            text += (
                f"\n## `{'[[' if listed else '['}{plain}{']]' if listed else ']'}`\n\n{_words(section[0].tables[1])}\n"
            )
        text += f"\n{_HEAD}{_rows(section)}"
    return text.lstrip("\n")


def job_table() -> str:
    """docs/job-toml.md's table of all keys of a job.toml."""
    return _HEAD + _rows(keys_of(JobOptions))


def error_table() -> str:
    """docs/errors.md's table of all codes."""
    rows = [
        f"| `{code}` | {cls.kind} | {cls.exit_status} | {cls.__doc__} | {cls.default_suggestion} |\n"
        for code, cls in error_classes().items()
    ]
    return "| code | kind | exit status | meaning | what to do |\n|---|---|---|---|---|\n" + "".join(rows)


def settings_file(values: Mapping[str, Any] | None = None) -> str:
    """config/meshdrop.toml: every setting with its meaning, at its default or at `values`, by dotted key.

    What has no value stands there as a comment, with an example; so do tables that there may be several of.
    """
    sections = [(table, list(keys)) for table, keys in groupby(keys_of(Settings), _table_of)]
    text = _PREAMBLE
    for table, keys in sorted(sections, key=lambda section: section[0].endswith("[]")):  # those are examples alone
        listed = table.endswith("[]")
        lines = _comment(_words(keys[0].tables[-1])) if table else []
        if table:
            lines.append(f"[[{table.removesuffix('[]')}]]" if listed else f"[{table}]")
        for key in keys:
            lines += _comment(key.field.description or "")
            value = (values or {}).get(key.dotted, _file_default(key))
            name = key.dotted.rpartition(".")[2]
            if listed or value is None:
                example = (key.field.examples or [key.default])[0]
                lines.append(f"{'' if listed else '# '}{name} = {_toml(example)}")
            else:
                lines.append(f"{name} = {_toml(value)}")
        text += "\n" + "".join(f"{'# ' if listed else ''}{line}\n" for line in lines)
    return text


def made() -> dict[Path, str]:
    """Every file of which something is made from the code, and what must stand in it.

    Raises FileNotFoundError where the documents are not there: in an installed program.
    """
    files = {ROOT / "config" / "meshdrop.toml": settings_file()}
    for name, text in (("settings", settings_tables()), ("job-toml", job_table()), ("errors", error_table())):
        path = ROOT / "docs" / f"{name}.md"
        before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise ValueError(f"{path} lacks the marks {BEGIN} and {END}")
        files[path] = f"{before}{BEGIN}\n\n{text}\n{END}{after}"
    return files


def main(arguments: list[str]) -> int:
    """Write, or check, all of them; the exit status."""
    stale = [(path, text) for path, text in made().items() if _read(path) != text]
    for path, text in stale:
        print(path.relative_to(ROOT))
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    return int(bool(stale) and "--check" in arguments)


def _table_of(key: Key) -> str:
    return key.dotted.rpartition(".")[0]


def _rows(keys: Iterable[Key]) -> str:
    return "".join(f"| `{key.dotted}` | {_shown_default(key)} | {_one_line(key.field.description)} |\n" for key in keys)


def _shown_default(key: Key) -> str:
    if key.default is PydanticUndefined:
        return "required"
    if key.default is None:
        return "none"
    return f"`{key.default if isinstance(key.default, Path) else _toml(_duration(key))}`"


def _file_default(key: Key) -> Any:
    """The default as it stands in the file, whose folder is one below the program's."""
    return Path("..") / key.default if isinstance(key.default, Path) else _duration(key)


def _duration(key: Key) -> Any:
    """A default; a duration whose key does not name its unit with one."""
    if key.default and is_duration(key.field) and not key.dotted.endswith("_s"):
        return duration_text(key.default)
    return key.default


def _toml(value: Any) -> str:
    """A plain value as TOML writes it; text with a backslash in single quotes."""
    text = str(value) if isinstance(value, Path) else value
    if isinstance(text, str) and "\\" in text and "'" not in text:
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False)


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _words(table: type[object]) -> str:
    return _one_line(table.__doc__)


def _comment(text: str) -> list[str]:
    """Text as comment lines; no marks of a document in it."""
    import textwrap

    plain = _one_line(text).replace("`", "")
    lines = textwrap.wrap(plain, _COMMENT_COLUMNS, break_long_words=False, break_on_hyphens=False)
    return [f"# {line}" for line in lines]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
