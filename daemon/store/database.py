"""The database file: how it is opened, checked, read and written.

Two engines on one file. Writers take the write lock when they begin (BEGIN IMMEDIATE), so that what they read is still
true when they write; a plain BEGIN that reads first fails at once, whatever the busy timeout, when somebody else wrote
in between. Readers never wait for writers (WAL).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from config.errors import DiskFull, MeshdropError, ShareUnavailable, UnknownError

BUSY_TIMEOUT_S: Final = 20.0
_READERS: Final = 8
_VALUES_AT_ONCE: Final = 500
_FIRST_BYTE: Final = 0xFF  # of SQLite's extended error codes: the class of the error


class StoreDamaged(UnknownError):
    """The database does not pass its check; the daemon does not run on it."""

    default_suggestion = (
        "Stop the daemon, move meshdrop.db and meshdrop.db-wal away (keep them), and start it again: "
        "finished jobs are read back from the outbox, and what lies in the inbox is taken anew."
    )


class StoreBusy(ShareUnavailable):
    """Somebody else kept the database for too long."""

    default_suggestion = "Find out which program holds meshdrop.db open (lsof), and end it."


class Database:
    """One SQLite file, for all threads of this process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        facts = path.stat()
        self._file = (facts.st_dev, facts.st_ino)
        self._writer = engine_of(path, "BEGIN IMMEDIATE", connections=1)
        self._reader = engine_of(path, "BEGIN", connections=_READERS)
        self._counter: sqlite3.Connection | None = None
        self._counter_lock = threading.Lock()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that may write: all of it or nothing, on the disk when the block ends."""
        with translated(self.path), self._writer.begin() as connection:
            self._check_in_place()
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one moment of the database."""
        with translated(self.path), self._reader.begin() as connection:
            yield connection

    def _check_in_place(self) -> None:
        """Raise ShareUnavailable where the file was removed or replaced: SQLite would go on writing to what is gone."""
        try:
            facts = self.path.stat()
            here = (facts.st_dev, facts.st_ino)
        except OSError:
            here = None
        if here != self._file:
            raise ShareUnavailable(
                f"The database {self.path} was removed or replaced while the program ran.",
                suggestion="Put it back, or restart the daemon: finished jobs are read back from the outbox.",
                path=str(self.path),
            )

    def check(self, thoroughly: bool) -> None:
        """Raise StoreDamaged unless the database is sound."""
        check: Literal["integrity_check", "quick_check"] = "integrity_check" if thoroughly else "quick_check"
        with self.reading() as connection:
            problems = [str(row[0]) for row in connection.exec_driver_sql(f"PRAGMA {check}(5)") if row[0] != "ok"]
            if thoroughly and not problems:
                problems = [
                    f"row {row[1]} of {row[0]} refers to a row of {row[2]} that is missing"
                    for row in connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(5)
                ]
        if problems:
            raise StoreDamaged(
                f"The database {self.path} is damaged: {'; '.join(problems)}.", path=str(self.path), problems=problems
            )

    def changes(self) -> int:
        """A number that grows whenever anybody has committed anything.

        SQLite counts for each connection the commits of all others; this one never writes, so it counts every one.
        """
        with self._counter_lock, translated(self.path):
            if self._counter is None:
                self._counter = connect(self.path, check_same_thread=False)
            return int(self._counter.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Close every connection."""
        self._reader.dispose()
        self._writer.dispose()
        with self._counter_lock:
            if self._counter is not None:
                self._counter.close()
                self._counter = None


def in_pieces(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """So many at once as one query may be asked about."""
    return (names[first : first + _VALUES_AT_ONCE] for first in range(0, len(names), _VALUES_AT_ONCE))


def connect(path: Path, *, foreign_keys: bool = True, check_same_thread: bool = True) -> sqlite3.Connection:
    """A connection to an existing database, without implicit transactions, set up for durability."""
    # mode=rw: a database that vanished is an error, not a new and empty one.
    connection = sqlite3.connect(
        f"file:{quote(str(path).encode('utf-8', 'surrogateescape'))}?mode=rw",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=check_same_thread,
    )
    try:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", f"foreign_keys = {'ON' if foreign_keys else 'OFF'}"):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def engine_of(path: Path, begin: str, connections: int, *, foreign_keys: bool = True) -> Engine:
    """An engine whose transactions begin as `begin` says."""
    engine = create_engine(
        "sqlite://",
        creator=lambda: connect(path, foreign_keys=foreign_keys, check_same_thread=False),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=2 * BUSY_TIMEOUT_S,
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Say SQLite's errors in the program's own."""
    try:
        yield
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise _said(error.orig, path) from error
        raise
    except sqlite3.Error as error:
        raise _said(error, path) from error
    except PoolTimeout as error:
        raise _busy(path) from error


def _said(error: sqlite3.Error, path: Path) -> MeshdropError:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & _FIRST_BYTE
    details = {"path": str(path), "sqlite": getattr(error, "sqlite_errorname", type(error).__name__)}
    if code == sqlite3.SQLITE_FULL:
        return DiskFull(f"The disk of the state folder {path.parent} is full.", **details)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreDamaged(f"The database {path} is damaged: {error}.", **details)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _busy(path)
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return ShareUnavailable(
            f"The database {path} can't be used: {error}.",
            suggestion=f"Check that this user may write to {path.parent} and that its disk is healthy.",
            **details,
        )
    return UnknownError(f"The database {path} refused a change: {error}.", **details)


def _busy(path: Path) -> StoreBusy:
    return StoreBusy(f"The database {path} was kept by somebody else for {BUSY_TIMEOUT_S:.0f} s.", path=str(path))
