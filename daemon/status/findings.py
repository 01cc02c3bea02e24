"""What a check of `meshdrop doctor` found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. level: ok; note: worth knowing; warn: works, but not as it should; fail: does not work."""

    name: str
    level: Literal["ok", "note", "warn", "fail"]
    sentence: str
    remedy: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The same as a dict."""
        return asdict(self)


def ok(name: str, sentence: str, remedy: str | None = None) -> Finding:
    """It is as it should be."""
    return Finding(name, "ok", sentence, remedy)


def note(name: str, sentence: str, remedy: str | None = None) -> Finding:
    """It is worth knowing."""
    return Finding(name, "note", sentence, remedy)


def warn(name: str, sentence: str, remedy: str | None) -> Finding:
    """It works, but not as it should."""
    return Finding(name, "warn", sentence, remedy)


def fail(name: str, sentence: str, remedy: str | None) -> Finding:
    """It does not work."""
    return Finding(name, "fail", sentence, remedy)
