"""What the daemon remembers besides jobs: entries of the inboxes, flags, and what it last said of itself."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, Final, Literal

import structlog
from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert

from daemon.clock import Clock
from daemon.logs import one_line
from daemon.process import ProcessIdentity
from daemon.store import tables
from daemon.store.database import Database, in_pieces
from daemon.store.records import DaemonReport, EntryRecord

Flag = Literal["paused", "draining"]

_ENTRY_COLUMNS: Final = [tables.entries.c[field.name] for field in fields(EntryRecord)]
_ENTRY_FIELDS: Final = {field.name for field in fields(EntryRecord)} - {"inbox", "entry", "updated_at"}

log = structlog.get_logger(__name__)


class Memory:
    """The part of the store that is no job."""

    _database: Database
    _clock: Clock

    def entry(self, inbox: str, entry: str) -> EntryRecord | None:
        """What is remembered of an entry."""
        table = tables.entries.c
        query = select(*_ENTRY_COLUMNS).where(table.inbox == inbox, table.entry == entry)
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().first()
        return EntryRecord(**row) if row else None

    def entries(self, inbox: str, entries: Collection[str]) -> dict[str, EntryRecord]:
        """What is remembered of some of an inbox's entries, by entry."""
        table, names, found = tables.entries.c, sorted(entries), dict[str, EntryRecord]()
        with self._database.reading() as connection:
            for some in in_pieces(names):
                query = select(*_ENTRY_COLUMNS).where(table.inbox == inbox, table.entry.in_(some))
                found |= {row["entry"]: EntryRecord(**row) for row in connection.execute(query).mappings()}
        return found

    def remember(self, inbox: str, entry: str, **values: Any) -> EntryRecord:
        """Set fields of an entry's record (see EntryRecord); those not named stay as they are."""
        unknown = sorted(set(values) - _ENTRY_FIELDS)
        if unknown:
            raise TypeError(f"nothing named {', '.join(unknown)} is remembered of an entry")
        given = {**values, "updated_at": self._clock.now()}
        statement = insert(tables.entries).values(**{"inbox": inbox, "entry": entry, "used_markers": {}, **given})
        statement = statement.on_conflict_do_update(index_elements=["inbox", "entry"], set_=given)
        table = tables.entries.c
        with self._database.writing() as connection:
            connection.execute(statement)
            query = select(*_ENTRY_COLUMNS).where(table.inbox == inbox, table.entry == entry)
            return EntryRecord(**connection.execute(query).mappings().one())

    def forget(self, inbox: str, entry: str) -> None:
        """Forget an entry; its jobs stay."""
        table = tables.entries.c
        with self._database.writing() as connection:
            connection.execute(delete(tables.entries).where(table.inbox == inbox, table.entry == entry))

    def flag(self, name: Flag) -> bool:
        """Whether a flag is set."""
        with self._database.reading() as connection:
            return bool(connection.scalar(select(tables.flags.c.value).where(tables.flags.c.name == name)))

    def set_flag(self, name: Flag, value: bool, by: str) -> None:
        """Set a flag; it outlives the daemon."""
        given = {"value": value, "by": by, "at": self._clock.now()}
        statement = insert(tables.flags).values(name=name, **given)
        with self._database.writing() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=given))
        log.info("store.flag", flag=name, value=value, by=one_line(by))

    def beat(self, report: DaemonReport) -> None:
        """Write down what the daemon says of itself."""
        data = asdict(report)
        data["started_at"], data["beat_at"] = report.started_at.isoformat(), report.beat_at.isoformat()
        statement = insert(tables.daemon).values(only=1, report=data)
        with self._database.writing() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["only"], set_={"report": data}))

    def daemon_report(self) -> DaemonReport | None:
        """What the daemon last said of itself; None before the first start. See `process.alive` and `beat_at`."""
        with self._database.reading() as connection:
            data = connection.scalar(select(tables.daemon.c.report))
        if data is None:
            return None
        known = {field.name for field in fields(DaemonReport)}
        return DaemonReport(
            **{key: value for key, value in data.items() if key in known}
            | {
                "process": ProcessIdentity.from_json(data["process"]),
                "started_at": datetime.fromisoformat(data["started_at"]),
                "beat_at": datetime.fromisoformat(data["beat_at"]),
            }
        )
