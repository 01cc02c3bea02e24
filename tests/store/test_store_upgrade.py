"""A database of an earlier version, with jobs in it, is brought up to date and loses nothing."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from daemon.states import State
from daemon.store import DATABASE_NAME, migrate
from tests.store.made import make_store, new_job


def at_version(path: Path, version: str) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(migrate.MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    engine.dispose()


def test_from_the_first_version(tmp_path: Path) -> None:
    """Its rows are written as the program of that version wrote them."""
    with make_store(tmp_path / "new") as store:
        (old,) = store.admit([new_job("shoe")])
        store.transition(old.id, State.PROGRESS, reason="begins")
        store.transition(old.id, State.PUBLISHING, reason="made", outcome=State.SUCCESS, manifest={"a": {"bytes": 1}})
        wanted = store.transition(old.id, State.SUCCESS, reason="done", verdict="normal")
        steps = store.transitions(old.id)
    (tmp_path / "old" / "state").mkdir(parents=True)
    path = tmp_path / "old" / "state" / DATABASE_NAME
    at_version(path, "0001")
    with (
        closing(sqlite3.connect(tmp_path / "new" / "state" / DATABASE_NAME)) as there,
        closing(sqlite3.connect(path)) as here,
    ):
        for table in ("jobs", "transitions", "inputs", "turns", "entries", "flags"):
            columns = [row[1] for row in here.execute(f"PRAGMA table_info({table})")]
            names = ", ".join(f'"{column}"' for column in columns)
            rows = there.execute(f"SELECT {names} FROM {table}").fetchall()
            here.executemany(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})", rows)
        here.commit()
        assert "timings_s" not in [row[1] for row in here.execute("PRAGMA table_info(jobs)")]
    with make_store(tmp_path / "old") as store:
        assert store.job(old.id) == wanted
        assert store.transitions(old.id) == steps
        assert store.inputs(old.id) == new_job("shoe").digests
        store.queue_deliveries({State.SUCCESS})
        assert store.deliveries() == [], "what happened before is told to nobody"
        (job,) = store.admit([new_job("hat")])
        store.transition(job.id, State.CANCELLED, reason="")
        store.queue_deliveries({State.CANCELLED})
        assert [step.job for step in store.deliveries()] == [job.id]
        assert json.dumps(store.job(job.id).timings_s) == "null"
    with make_store(tmp_path / "old") as store:
        assert len(store.jobs()) == 2
