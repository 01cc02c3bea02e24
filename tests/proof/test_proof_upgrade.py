"""A database of each version that ever was is brought up to the present with all that is in it; none goes back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from config.errors import UsageError
from daemon.states import State
from daemon.store import DATABASE_NAME, migrate, open_store
from daemon.store.database import connect, engine_of
from tests.proof.amounts import tell
from tests.store.made import FakeClock, new_job

VERSIONS = migrate.VERSIONS
WAYS: dict[State, list[State]] = {
    State.PENDING: [],
    State.PROGRESS: [State.PROGRESS],
    State.PUBLISHING: [State.PROGRESS, State.PUBLISHING],
    State.HELD: [State.HELD],
    State.SUCCESS: [State.PROGRESS, State.PUBLISHING, State.SUCCESS],
    State.FAILURE: [State.PUBLISHING, State.FAILURE],
    State.CANCELLED: [State.CANCELLED],
}


def database_of(version: str, folder: Path) -> dict[str, Any]:
    """Make a database as that version's program left it, with a job in every state; what is in it."""
    from alembic import command
    from alembic.config import Config

    (folder / "now").mkdir()
    with open_store(folder / "now", clock=FakeClock()) as store:  # the rows, as the present program writes them
        for number, (state, ways) in enumerate(WAYS.items()):
            (job,) = store.admit([new_job(f"b{number}\udcff", fingerprint=str(number), notes=[f"note {number}"])])
            for to in ways:
                given = {"outcome": state if state in (State.SUCCESS, State.FAILURE) else State.SUCCESS}
                store.transition(job.id, to, reason="it had to be", **(given if to is State.PUBLISHING else {}))
        store.remember("inbox", "b0\udcff", fingerprint="0", job=store.jobs()[0].id, used_markers={"a": "b"})
        store.set_flag("paused", True, by="ann")
    (folder / "old").mkdir()
    path = folder / "old" / DATABASE_NAME
    path.touch()
    engine = engine_of(path, "BEGIN IMMEDIATE", connections=1, foreign_keys=False)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(migrate.MIGRATIONS).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    engine.dispose()
    with closing(connect(path, foreign_keys=False)) as old:
        old.execute("ATTACH DATABASE ? AS now", (str(folder / "now" / DATABASE_NAME),))
        tables = [row[0] for row in old.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")]
        for table in tables:
            if table == "alembic_version" or table.startswith("sqlite_"):
                continue
            known = [row[1] for row in old.execute(f"PRAGMA main.table_info({table})")]
            columns = ", ".join(f'"{name}"' for name in known)
            old.execute(f"DELETE FROM main.{table}")
            old.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM now.{table}")
        assert migrate.version_of(old) == version
    with open_store(folder / "now", clock=FakeClock()) as store:
        return what_is_in(store)


def what_is_in(store: Any) -> dict[str, Any]:
    jobs = store.jobs()
    return {
        "jobs": jobs,
        "transitions": [store.transitions(job.id) for job in jobs],
        "inputs": [store.inputs(job.id) for job in jobs],
        "entries": store.entries("inbox", [job.entry for job in jobs]),
        "paused": store.flag("paused"),
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_is_brought_up_with_its_jobs(version: str, tmp_path: Path) -> None:
    before = database_of(version, tmp_path)
    with open_store(tmp_path / "old", clock=FakeClock()) as store:
        after = what_is_in(store)
        assert after == before
        assert len(after["jobs"]) == len(State)
        pending = next(job for job in after["jobs"] if job.state is State.PENDING)
        assert store.transition(pending.id, State.PROGRESS, reason="its turn").state is State.PROGRESS
        assert store.admit([new_job("new", fingerprint="new")])[0].state is State.PENDING
    with closing(sqlite3.connect(tmp_path / "old" / DATABASE_NAME)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert migrate.version_of(connection) == VERSIONS[-1]
    tell(f"upgrade_{version}", jobs=len(State), to=VERSIONS[-1])


@pytest.mark.parametrize("create", [True, False])
def test_an_earlier_program_refuses_this_ones_database(
    create: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(tmp_path, clock=FakeClock()).close()
    content = (tmp_path / DATABASE_NAME).read_bytes()
    monkeypatch.setattr(migrate, "VERSIONS", VERSIONS[:-1])
    with pytest.raises(UsageError, match="newer version") as caught:
        open_store(tmp_path, clock=FakeClock(), create=create)
    assert VERSIONS[-1] in caught.value.message
    assert "Install the newer version" in caught.value.suggestion
    assert (tmp_path / DATABASE_NAME).read_bytes() == content
