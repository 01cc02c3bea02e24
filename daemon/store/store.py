"""The whole store, and how it is opened."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from config.errors import ShareUnavailable, UsageError, ValidationFailed
from daemon.clock import Clock
from daemon.mounts import is_local, mount_of
from daemon.store.admission import Admission
from daemon.store.database import Database, translated
from daemon.store.deliveries import Deliveries
from daemon.store.figures import Figures
from daemon.store.memory import Memory
from daemon.store.migrate import migrate
from daemon.store.order import Order

DATABASE_NAME: Final = "meshdrop.db"


class Store(Admission, Order, Deliveries, Figures, Memory):
    """Every job and all that is remembered. All methods may be called from any thread, and each is one transaction."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """See `open_store`."""
        self._database = database
        self._clock = clock

    @property
    def path(self) -> Path:
        """The database's file."""
        return self._database.path

    def changes(self) -> int:
        """A number that grows with every commit, by this process or another; cheap, for those who poll."""
        return self._database.changes()

    def close(self) -> None:
        """Close the database. The store is of no more use."""
        self._database.close()

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the database."""
        self.close()


def open_store(state_dir: Path, *, clock: Clock, create: bool = True) -> Store:
    """Open the database of a state folder.

    Args:
        state_dir: the folder; on a local disk.
        clock: what the time is.
        create: the daemon's way: the folder and database are made where they are missing, brought up to date, and
            checked thoroughly. Without it, the commands' way: nothing is made or changed, and the check is quick.

    Raises:
        UsageError: there is no database and none is to be made; or its version is not this program's.
        ValidationFailed: the folder is not on a local disk.
        ShareUnavailable, DiskFull: the folder can't be used.
        StoreDamaged: the database does not pass its check.

    """
    path = state_dir / DATABASE_NAME
    _refuse_network(state_dir)
    if create:
        _make(path)
    elif not os.path.lexists(path):
        raise UsageError(
            f"No daemon has run here yet: there is no {path}.",
            suggestion="Start one with `meshdrop run`, or name its settings with --config.",
            path=str(path),
        )
    migrate(path, may_change=create)
    database = Database(path)
    try:
        database.check(thoroughly=create)
    except BaseException:
        database.close()
        raise
    return Store(database, clock)


def _refuse_network(state_dir: Path) -> None:
    mount = mount_of(state_dir)
    if not is_local(mount.type):
        raise ValidationFailed(
            f"The state folder {state_dir} lies on a {mount.type} file system, which is not known to be a local disk; "
            "SQLite loses data on network file systems.",
            suggestion="Set state_dir (MESHDROP_STATE_DIR) to a folder on a local disk of this machine.",
            path=str(state_dir),
            type=mount.type,
            mount=mount.point,
        )


def _make(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with translated(path):
            # SQLite itself opens existing files only (see `connect`), so that a vanished database is noticed.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
    except OSError as error:
        raise ShareUnavailable(
            f"The state folder {path.parent} can't be used: {error.strerror}.",
            suggestion="Make it and give it to the daemon's user, or set state_dir to another folder on a local disk.",
            path=str(path.parent),
        ) from error
