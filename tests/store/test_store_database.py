"""The database is durable, shared by many, checked when it is opened, and refused where it would not be safe."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from structlog.testing import capture_logs

from config.errors import DiskFull, ShareUnavailable, UnknownError, UsageError, ValidationFailed, error_classes
from daemon.mounts import Mount
from daemon.states import State
from daemon.store import DATABASE_NAME, Store, StoreDamaged, database, migrate, open_store, tables
from tests.store.made import FakeClock, make_store, new_job

ROOT = Path(__file__).parent.parent.parent


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_a_state_folder_is_made_where_it_is_missing(tmp_path: Path) -> None:
    with make_store(tmp_path / "deep" / "er") as store:
        assert store.path == tmp_path / "deep" / "er" / "state" / DATABASE_NAME
        assert store.path.exists()


def test_it_is_set_up_for_durability(store: Store) -> None:
    for engine in (store._database._writer, store._database._reader):
        with engine.connect() as connection:
            found = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            }
        assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_jobs_outlive_the_process(tmp_path: Path) -> None:
    with make_store(tmp_path) as store:
        (job,) = store.admit([new_job()])
    with make_store(tmp_path) as store:
        assert store.jobs() == [job]


def test_commands_open_what_is_there_and_make_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No daemon has run here yet"):
        open_store(tmp_path / "state", clock=FakeClock(), create=False)
    assert not (tmp_path / "state").exists()
    make_store(tmp_path).close()
    open_store(tmp_path / "state", clock=FakeClock(), create=False).close()


def test_a_path_of_any_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "a b%20?#\udcff"
    with make_store(folder) as store:
        store.admit([new_job()])
        assert sorted(path.name for path in (folder / "state").iterdir())[0] == DATABASE_NAME


@pytest.mark.parametrize("file_system", ["nfs4", "cifs", "fuse.sshfs", "9p", "virtiofs", "something-new"])
def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_system: str) -> None:
    monkeypatch.setattr("daemon.store.store.mount_of", lambda path: Mount("/mnt", file_system, "nas:/x"))
    with pytest.raises(ValidationFailed, match=re.escape(file_system)) as error:
        make_store(tmp_path)
    assert "MESHDROP_STATE_DIR" in error.value.suggestion
    assert str(tmp_path) in error.value.message
    assert not (tmp_path / "state").exists()


def test_a_state_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(ShareUnavailable, match="can't be used"):
        make_store(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_state_folder_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o500)
    with pytest.raises(ShareUnavailable):
        make_store(tmp_path)


def test_a_damaged_database_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with make_store(tmp_path) as store:
        store.admit([new_job(f"{number}") for number in range(200)])
    path = tmp_path / "state" / DATABASE_NAME
    whole = path.read_bytes()
    for start in range(8192, len(whole), 4096):
        path.write_bytes(whole[:start] + b"\xa5" * 2048 + whole[start + 2048 :])
        with pytest.raises(StoreDamaged) as error:
            make_store(tmp_path).close()
        assert "meshdrop.db" in error.value.suggestion
        break
    path.write_bytes(b"this is no database at all, but text" * 200)
    with pytest.raises(StoreDamaged):
        make_store(tmp_path)


def test_rows_that_refer_to_nothing_are_damage(tmp_path: Path) -> None:
    make_store(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "state" / DATABASE_NAME)) as connection:
        connection.execute("INSERT INTO inputs VALUES ('none', 'a', 'b', 1)")
        connection.commit()
    with pytest.raises(StoreDamaged, match="inputs"):
        make_store(tmp_path)


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    make_store(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "state" / DATABASE_NAME)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    for create in (True, False):
        with pytest.raises(UsageError, match=r"newer version.*9999"):
            open_store(tmp_path / "state", clock=FakeClock(), create=create)


def test_an_older_database_is_left_to_the_daemon(tmp_path: Path) -> None:
    make_store(tmp_path).close()
    path = tmp_path / "state" / DATABASE_NAME
    path.write_bytes(b"")
    with pytest.raises(UsageError, match="earlier version"):
        open_store(tmp_path / "state", clock=FakeClock(), create=False)
    make_store(tmp_path).close()


def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with closing(sqlite3.connect(tmp_path / "state" / DATABASE_NAME)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(UsageError, match="unknown"):
        make_store(tmp_path)


def test_the_migrations_make_the_tables_that_the_program_knows(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    engine = create_engine(f"sqlite:///{store.path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, tables.metadata) == []
        checks = connection.exec_driver_sql("SELECT group_concat(sql) FROM sqlite_master").scalar_one()
    engine.dispose()
    for table in tables.metadata.tables.values():
        for constraint in table.constraints:
            if constraint.name:
                assert f"CONSTRAINT {constraint.name} " in checks
    scripts = ScriptDirectory(str(migrate.MIGRATIONS))
    assert tuple(reversed([script.revision for script in scripts.walk_revisions()])) == migrate.VERSIONS


def test_the_migrations_are_packaged() -> None:
    from setuptools import find_packages

    found = find_packages(str(ROOT), include=["daemon*"])
    assert {"daemon.store", "daemon.store.migrations", "daemon.store.migrations.versions"} <= set(found)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(connection: object) -> None:
        migrate_whole(connection)
        raise OSError(28, "No space left on device")

    migrate_whole = migrate._upgrade
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "_upgrade", half)
        with pytest.raises(OSError, match="No space"):
            make_store(tmp_path)
    with closing(sqlite3.connect(tmp_path / "state" / DATABASE_NAME)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    make_store(tmp_path).close()


def test_a_full_disk_is_said_and_nothing_is_written(store: Store) -> None:
    (job,) = store.admit([new_job()])
    with store._database._writer.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFull, match="is full") as error:
        store.admit([new_job(f"{number}") for number in range(500)])
    assert error.value.retry
    assert store.jobs() == [job]
    with store._database._writer.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 100000")
    assert len(store.admit([new_job(f"{number}") for number in range(500)])) == 500


def test_a_database_that_was_removed_is_not_made_anew_behind_our_back(tmp_path: Path) -> None:
    with make_store(tmp_path) as store:
        store.close()
        shutil.rmtree(tmp_path / "state")
        with pytest.raises(ShareUnavailable):
            store.jobs()


@pytest.mark.parametrize("replaced", [False, True])
def test_nothing_is_written_to_a_database_that_is_gone(tmp_path: Path, replaced: bool) -> None:
    with make_store(tmp_path) as store:
        (job,) = store.admit([new_job()])
        store.path.rename(tmp_path / "aside.db")
        if replaced:
            store.path.write_bytes((tmp_path / "aside.db").read_bytes())
        with pytest.raises(ShareUnavailable, match="removed or replaced"):
            store.admit([new_job("b")])
        store.path.unlink(missing_ok=True)
        (tmp_path / "aside.db").rename(store.path)
        assert len(store.admit([new_job("b")])) == 1
        assert store.jobs()[0] == job


def test_changes_grow_with_every_commit_of_anybody(tmp_path: Path) -> None:
    with make_store(tmp_path) as store, make_store(tmp_path) as other:
        seen = [store.changes(), store.changes()]
        assert seen[0] == seen[1]
        (job,) = store.admit([new_job()])
        seen.append(store.changes())
        other.update(job.id, priority=3)
        seen.append(store.changes())
        other.set_flag("paused", True, by="test")
        seen.append(store.changes())
        store.jobs()
        assert store.changes() == seen[-1]
        assert seen[1:] == sorted(set(seen[1:]))


READ_THEN_WRITE = """
import sys
from pathlib import Path
from daemon.clock import SystemClock
from daemon.store import open_store
import structlog
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
store = open_store(Path(sys.argv[1]), clock=SystemClock(), create=False)
for number in range(int(sys.argv[2])):
    with store._database.writing() as connection:
        count = connection.exec_driver_sql("SELECT crashes FROM jobs").scalar_one()
        connection.exec_driver_sql("UPDATE jobs SET crashes = ?", (count + 1,))
"""


def test_read_then_write_from_several_processes_loses_nothing(tmp_path: Path) -> None:
    with make_store(tmp_path) as store:
        (job,) = store.admit([new_job()])
        processes = [python(READ_THEN_WRITE, tmp_path / "state", 50) for _ in range(4)]
        assert [process.wait(60) for process in processes] == [0] * 4
        for process in processes:
            process.communicate()
        assert store.job(job.id).crashes == 200


def test_threads_share_one_store(store: Store) -> None:
    (job,) = store.admit([new_job()])
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(20):
                with store._database.writing() as connection:
                    count = connection.exec_driver_sql("SELECT crashes FROM jobs WHERE id = ?", (job.id,)).scalar_one()
                    connection.exec_driver_sql("UPDATE jobs SET crashes = ? WHERE id = ?", (count + 1, job.id))
                store.admit([new_job(f"{number}-{step}")])
                store.job(job.id)
                store.changes()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert store.job(job.id).crashes == 100
    assert len(store.jobs()) == 101


def test_processes_that_start_at_once_make_one_database(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from daemon.clock import SystemClock
from daemon.store import open_store
open_store(Path(sys.argv[1]), clock=SystemClock()).close()
"""
    processes = [python(code, tmp_path / "state") for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    for process in processes:
        process.communicate()
    make_store(tmp_path).close()


ADMIT = """
import sys
from pathlib import Path
import structlog
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
from daemon.clock import SystemClock
from daemon.states import State
from daemon.store import open_store
from tests.store.made import new_job
store = open_store(Path(sys.argv[1]), clock=SystemClock())
number = 0
while True:
    jobs = store.admit([new_job(f"{sys.argv[2]}-{number}-{index}") for index in range(5)])
    store.transition(jobs[0].id, State.PROGRESS, reason="go")
    print(*(job.id for job in jobs), flush=True)
    number += 1
"""


def test_what_was_said_to_be_recorded_outlives_kill_9(tmp_path: Path) -> None:
    said: set[str] = set()
    for run in range(2):
        process = python(ADMIT, tmp_path / "state", run)
        assert process.stdout is not None
        said |= set(process.stdout.readline().split())
        time.sleep(0.05 * run)
        process.send_signal(signal.SIGKILL)
        said |= set(process.stdout.read().split())
        process.wait(10)
        process.stdout.close()
        said = {job_id for job_id in said if len(job_id) == 8}
    with make_store(tmp_path) as store:
        jobs = store.jobs()
        assert said <= {job.id for job in jobs}
        assert len(jobs) % 5 == 0
        for job in jobs:
            steps = [step.after for step in store.transitions(job.id)]
            assert steps[-1] is job.state
            assert steps[0] is State.PENDING
            assert len(store.inputs(job.id)) == 4


def test_ten_thousand_bundles_are_admitted_in_seconds(store: Store) -> None:
    began_s = time.process_time()
    with capture_logs():
        for start in range(0, 10_000, 100):
            store.admit([new_job(f"{start + index}") for index in range(100)])
    assert time.process_time() - began_s < 10
    assert store.counts()[State.PENDING] == 10_000
    began_s = time.process_time()
    assert len(store.next_jobs(2)) == 2
    assert time.process_time() - began_s < 0.5


def test_commands_need_no_alembic(tmp_path: Path) -> None:
    make_store(tmp_path).close()
    code = """
import sys
from pathlib import Path
from daemon.clock import SystemClock
from daemon.store import open_store
open_store(Path(sys.argv[1]), clock=SystemClock()).close()
heavy = {"alembic", "numpy", "torch", "PIL", "engine", "watchdog", "rich.progress"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    process = python(code, tmp_path / "state")
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_connections_refuse_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        database.connect(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_a_database_that_somebody_keeps_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    impatient = database.Database(store.path)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(database.StoreBusy, match="somebody else"), impatient.writing():
            pass
        assert store.jobs() == []  # readers don't wait
        other.execute("ROLLBACK")
    with impatient.writing(), pytest.raises(database.StoreBusy), impatient.writing():
        pass
    impatient.close()


def test_the_stores_own_errors_do_not_stand_for_a_code() -> None:
    assert error_classes()["UNKNOWN_ERROR"] is UnknownError
    assert error_classes()["SHARE_UNAVAILABLE"] is ShareUnavailable
