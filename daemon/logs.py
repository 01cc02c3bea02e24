"""Log records: one line each, whatever a file name holds; JSON for machines, pretty on a terminal; always on stderr."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_CONTROLS: Final = (*range(0x20), *range(0x7F, 0xA0))
_TURNERS: Final = (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_ESCAPED: Final = {code: f"\\u{code:04x}" for code in (*_CONTROLS, *_TURNERS)}
"""Control characters, line separators and marks that turn the direction of text around."""
_ESCAPED_BUT_LINES: Final = {code: text for code, text in _ESCAPED.items() if code != 0x0A}


def one_line(text: str) -> str:
    """Text that stays within its line and can be encoded."""
    return text.translate(_ESCAPED).encode("utf-8", "backslashreplace").decode("utf-8")


def _plain(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    return {key: _harmless(key, value) for key, value in event.items()}


def _harmless(key: str, value: Any) -> Any:
    if key in ("exception", "stack"):
        return str(value).translate(_ESCAPED_BUT_LINES)
    return one_line(str(value)) if isinstance(value, str | Path) else value


def _dump(event: Any, **_: Any) -> str:
    return json.dumps(event, ensure_ascii=True, default=lambda value: one_line(str(value)))


def configure_logs(
    style: Literal["auto", "json", "pretty"] = "auto", level: str = "info", stream: TextIO | None = None
) -> None:
    """Set up the logs of this process, of the standard library's loggers (warnings and above) too.

    style: `auto` is pretty where the stream is a terminal.
    """
    out = stream or sys.stderr
    pretty = style == "pretty" or (style == "auto" and out.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if pretty else "iso", utc=not pretty),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _plain,
    ]
    last: Processor = (
        structlog.dev.ConsoleRenderer(colors=out.isatty(), pad_event_to=24, sort_keys=False)
        if pretty
        else structlog.processors.JSONRenderer(serializer=_dump)
    )
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
