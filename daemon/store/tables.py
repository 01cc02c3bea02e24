"""The tables as the program knows them. Databases are made and changed by `migrations` alone; a test compares."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

from daemon.states import LIVE, State

_STATES = ", ".join(f"'{state}'" for state in State)
_LIVE = ", ".join(f"'{state}'" for state in State if state in LIVE)


class RawName(TypeDecorator[str]):
    """A file name or path of any bytes: a str with surrogate escapes here, the bytes themselves there."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        """To the database."""
        return None if value is None else value.encode("utf-8", "surrogateescape")

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:
        """From the database."""
        return None if value is None else value.decode("utf-8", "surrogateescape")


class PlainText(TypeDecorator[str]):
    """Text for people: what can't be encoded is escaped, so that no sentence is lost for a file's name."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else value.encode("utf-8", "backslashreplace").decode("utf-8")


class Json(TypeDecorator[Any]):
    """JSON in ASCII: lone surrogates pass through unharmed; what JSON has no type for becomes text. None is NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else json.dumps(value, allow_nan=False, separators=(",", ":"), default=str)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """From the database."""
        return None if value is None else json.loads(value)


class UtcTime(TypeDecorator[datetime]):
    """A moment as ISO text in UTC, which people can read and which sorts."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        return None if value is None else datetime.fromisoformat(value)


class StateName(TypeDecorator[State]):
    """One of the machine's states."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: State | None, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else State(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> State | None:
        """From the database."""
        return None if value is None else State(value)


metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("number", Integer, primary_key=True),  # the order of admission; clocks jump, numbers don't
    Column("id", Text, nullable=False, unique=True),
    Column("inbox", Text, nullable=False),
    Column("entry", RawName, nullable=False),
    Column("name", PlainText, nullable=False),
    Column("state", StateName, nullable=False),
    Column("outcome", StateName),
    Column("priority", Integer, nullable=False),
    Column("owner", PlainText, nullable=False),
    Column("options", Json, nullable=False),
    Column("content_key", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("crashes", Integer, nullable=False, server_default=text("0")),
    Column("spooled", Boolean, nullable=False, server_default=text("0")),
    Column("held_from", StateName),
    Column("hold_code", Text),
    Column("hold_reason", PlainText),
    Column("stage", PlainText),
    Column("fraction", Float, nullable=False, server_default=text("0")),
    Column("eta_s", Float),
    Column("error", Json),
    Column("verdict", Text),
    Column("manifest", Json),
    Column("result_path", RawName),
    Column("answered_by", Text),
    Column("retry_of", Text),
    Column("source", RawName, nullable=False),
    Column("cancel_requested_at", UtcTime),
    Column("cancel_by", PlainText),
    Column("lowered", Boolean, nullable=False, server_default=text("0")),
    Column("notes", Json, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("finished_at", UtcTime),
    Column("updated_at", UtcTime, nullable=False),
    Column("timings_s", Json),
    CheckConstraint(f"state IN ({_STATES})", name="known_state"),
    CheckConstraint("state NOT IN ('PUBLISHING', 'SUCCESS', 'FAILURE') OR outcome IS NOT NULL", name="has_outcome"),
    CheckConstraint("state <> 'HELD' OR held_from IS NOT NULL", name="held_from_somewhere"),
    CheckConstraint("(finished_at IS NOT NULL) = (state IN ('SUCCESS', 'FAILURE', 'CANCELLED'))", name="finished"),
    UniqueConstraint("inbox", "entry", "attempt", name="one_attempt"),
)
Index("jobs_by_state", jobs.c.state, jobs.c.number)
Index("jobs_by_drop", jobs.c.inbox, jobs.c.entry, jobs.c.fingerprint)
Index("jobs_by_content", jobs.c.content_key)
# The same drop is never live twice, whoever tries to write it.
Index(
    "one_live_job_a_drop",
    jobs.c.inbox,
    jobs.c.entry,
    jobs.c.fingerprint,
    unique=True,
    sqlite_where=text(f"state IN ({_LIVE})"),
)

transitions = Table(
    "transitions",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("job", Text, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at", UtcTime, nullable=False),
    Column("before", StateName),
    Column("after", StateName, nullable=False),
    Column("reason", PlainText, nullable=False),
    Column("by", PlainText, nullable=False),
)

inputs = Table(
    "inputs",
    metadata,
    Column("job", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("path", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("bytes", Integer),
    sqlite_with_rowid=False,
)

deliveries = Table(
    "deliveries",  # transitions that a webhook is still to be told of
    metadata,
    Column("number", Integer, ForeignKey("transitions.number", ondelete="CASCADE"), primary_key=True),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
)

cursors = Table(
    "cursors",  # how far somebody has read the transitions
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    sqlite_with_rowid=False,
)

turns = Table(
    "turns",  # whose job ran when, for the round among owners
    metadata,
    Column("inbox", Text, primary_key=True),
    Column("owner", PlainText, primary_key=True),
    Column("last", Integer, nullable=False),  # the number of the transition that began it
    sqlite_with_rowid=False,
)

entries = Table(
    "entries",
    metadata,
    Column("inbox", Text, primary_key=True),
    Column("entry", RawName, primary_key=True),
    Column("fingerprint", Text),
    Column("job", Text),
    Column("used_markers", Json, nullable=False),
    Column("status_text", PlainText),
    Column("note", PlainText),
    Column("updated_at", UtcTime, nullable=False),
    sqlite_with_rowid=False,
)

flags = Table(
    "flags",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Boolean, nullable=False),
    Column("by", PlainText, nullable=False),
    Column("at", UtcTime, nullable=False),
)

daemon = Table(
    "daemon",  # one row: what the daemon last said of itself
    metadata,
    Column("only", Integer, CheckConstraint("only = 1", name="one_row"), primary_key=True),
    Column("report", Json, nullable=False),
)
