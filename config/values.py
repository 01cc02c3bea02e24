"""Values as people write them in the settings: durations, modes, folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field
from pydantic.fields import FieldInfo

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(value: Any) -> Any:
    """A duration as people write it, "7d" or "1.5h", in seconds; numbers are seconds."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", value)
        if match is None:
            raise ValueError('a duration is a number of seconds, or text such as "90s", "30m", "12h", "7d"')
        return float(match[1]) * _SECONDS[match[2]]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _mode(value: Any) -> Any:
    if not isinstance(value, str) or re.fullmatch(r"[0-7]{3,4}", value) is None:
        raise ValueError('a mode is text of three or four octal digits, such as "0664"')
    return value


def is_duration(field: FieldInfo) -> bool:
    """Whether a key takes durations as people write them."""
    return any(getattr(part, "func", None) is _seconds for part in field.metadata)


def duration_text(seconds: float) -> str:
    """A duration as people write it, in the largest unit that leaves no fraction."""
    unit = next((unit for unit in "dhm" if seconds and seconds % _SECONDS[unit] == 0), "s")
    return f"{seconds / _SECONDS[unit]:g}{unit}"


Duration = Annotated[float, BeforeValidator(_seconds), Field(ge=0)]
Mode = Annotated[str, BeforeValidator(_mode)]

Folder = Annotated[Path, Field(strict=False)]
