"""What the runner and its worker say to each other: one JSON object a line.

The runner writes to the worker's standard input, the worker answers on its standard output.

```
runner                worker
                      Ready      once, when the engine is imported
Run          ──▶
                      Step       at each new stage and a few times a second
Cancel       ──▶                 the job stops at its next checkpoint
                      Done | Failed | Stopped      the end of the job, once
the pipe's end ──▶               the process exits
```

A line that is none of these is dropped, with a record in the log. Everything is ASCII: names that are no UTF-8 travel
as surrogate escapes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

LONGEST_LINE: Final = 4 << 20  # bytes; a line that is longer is no message


class ProtocolError(ValueError):
    """A line that is no message."""


@dataclass(frozen=True, slots=True)
class Run:
    """Begin a job. At most one is under way.

    bundle: the folder to read. out: the result folder to make, in the spool. options: JobOptions as JSON. settings:
    Settings as JSON. facts: what is merged into job.json (see daemon.publish.package). zip_name: of the zip in the
    result, None for none. manifest_path: the file that says that the result is whole.
    """

    job: str
    bundle: str
    out: str
    options: dict[str, Any]
    settings: dict[str, Any]
    facts: dict[str, Any]
    zip_name: str | None
    manifest_path: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop a job at its next checkpoint. Of no effect on another job, or when none runs."""

    job: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The engine is imported."""

    pid: int


@dataclass(frozen=True, slots=True)
class Step:
    """One step forward. fraction: 0..1 of the job. eta_s: seconds left, None while unknown."""

    job: str
    stage: str
    fraction: float
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """The result lies whole at `out`, on the disk, and so does its manifest.

    verdict: normal, warning or failure. manifest: name -> {bytes, sha256}. error: error.json's content where the
    verdict is failure.
    """

    job: str
    verdict: str
    manifest: dict[str, Any]
    error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no result. error: error.json's content."""

    job: str
    error: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stopped:
    """Cancelled as asked; there is no result."""

    job: str


Message = Run | Cancel | Ready | Step | Done | Failed | Stopped
_TYPES: Final[dict[str, type[Message]]] = {
    cls.__name__.lower(): cls for cls in (Run, Cancel, Ready, Step, Done, Failed, Stopped)
}


def encode(message: Message) -> bytes:
    """A message as a line."""
    return json.dumps({"type": type(message).__name__.lower(), **asdict(message)}).encode("ascii") + b"\n"


def decode(line: bytes) -> Message:
    """The message that a line holds. Raises ProtocolError."""
    try:
        table = json.loads(line)
        cls = _TYPES[table.pop("type")]
        known = {item.name for item in fields(cls)}
        return cls(**{key: value for key, value in table.items() if key in known})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ProtocolError(f"no message: {line[:200]!r}") from error
