"""A house for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from config.sections import Settings
from daemon.files import Files
from daemon.roots import open_root
from daemon.store import DATABASE_NAME, open_store
from tests.publish.house import BreakingFiles, FakeClock, House


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that can be had: a database on a disk waits for it at each step."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(prefix="meshdrop-", dir=memory) as name:
        yield Path(name)


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database: it takes a while to make, and less to copy."""
    folder = tmp_path_factory.mktemp("database")
    open_store(folder, clock=FakeClock()).close()
    return folder / DATABASE_NAME


@pytest.fixture
def house(folder: Path, database: Path) -> Iterator[House]:
    """The roots are known, as after the start of the daemon."""
    clock = FakeClock()
    settings = Settings(inbox=folder / "inbox", outbox=folder / "outbox", state_dir=folder / "state")
    settings.inbox.mkdir()
    settings.outbox.mkdir()
    settings.state_dir.mkdir()
    shutil.copy(database, settings.state_dir)
    with open_store(settings.state_dir, clock=clock) as store:
        open_root(settings.outbox, "outbox", settings.state_dir, Files(), clock)
        yield House(settings, store, clock, BreakingFiles())
