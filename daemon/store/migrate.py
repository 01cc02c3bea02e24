"""Bring a database to this program's version. Alembic is imported only when there is something to do."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from config.errors import UsageError
from daemon.store.database import StoreDamaged, connect, engine_of, translated

MIGRATIONS: Final = Path(__file__).parent / "migrations"
VERSIONS: Final = ("0001", "0002")
"""Every version there was, the present one last; a test holds them to the migrations."""


def version_of(connection: sqlite3.Connection) -> str | None:
    """The version of a database, None for an empty one."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "alembic_version" in tables:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None
    return "unknown" if tables else None


def migrate(path: Path, *, may_change: bool) -> None:
    """Bring the database at `path` to the present version, in one transaction.

    may_change: whether an old version is brought up; commands leave that to the daemon.

    Raises UsageError where the database is newer than this program, or older and may not be changed.
    """
    with translated(path):
        with contextlib.closing(connect(path)) as connection:
            if _is_present(connection, path):
                return
        if not may_change:
            raise UsageError(
                f"The database {path} is of an earlier version of the program.",
                suggestion="Restart the daemon: it brings the database up to date.",
                path=str(path),
            )
        # Tables are changed by copying them, which foreign keys would take for deleting.
        engine = engine_of(path, "BEGIN IMMEDIATE", connections=1, foreign_keys=False)
        try:
            with engine.begin() as changing:
                # Another process may be at the same: whoever gets the lock second finds nothing left to do.
                if not _is_present(_driver(changing), path):
                    _upgrade(changing)
                    broken = changing.exec_driver_sql("PRAGMA foreign_key_check").first()
                    if broken is not None:
                        raise StoreDamaged(f"The database {path} could not be brought up to date: {broken}.")
        finally:
            engine.dispose()


def _is_present(connection: sqlite3.Connection, path: Path) -> bool:
    version = version_of(connection)
    if version is not None and version not in VERSIONS:
        raise UsageError(
            f"The database {path} was made by a newer version of the program (it is at {version}, "
            f"this program knows {VERSIONS[-1]}).",
            suggestion="Install the newer version, or choose another state_dir.",
            path=str(path),
            version=version,
        )
    return version == VERSIONS[-1]


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
