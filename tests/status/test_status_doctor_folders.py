"""`meshdrop doctor` on folders that are really full, read-only, frozen or damaged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daemon.files import Files
from daemon.process import this_process
from daemon.roots import open_root
from daemon.status import doctor, machine
from daemon.status.findings import Finding
from daemon.store import DATABASE_NAME

if TYPE_CHECKING:
    from tests.status.conftest import House

ROOT = Path(__file__).parents[2]
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounts")

Mount = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking PyTorch takes seconds."""
    monkeypatch.setattr(machine, "_output", lambda command, within_s: "")


@pytest.fixture
def tmpfs(house: House) -> Iterator[Mount]:
    """Mounts a small file system of its own at a folder."""
    mounted = []

    def mount(folder: Path, options: str) -> Path:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=False)
        if done.returncode:
            pytest.skip("nothing can be mounted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def complaints(house: House, name: str) -> list[Finding]:
    found = doctor.examine(house.settings, quick=True)
    return [finding for finding in found if finding.name == name and finding.level in ("warn", "fail")]


@root_only
def test_an_outbox_that_is_full(house: House, tmpfs: Mount) -> None:
    tmpfs(house.settings.outbox, "size=64k")
    with pytest.raises(OSError, match="No space"):
        (house.settings.outbox / "filler").write_bytes(bytes(1 << 20))
    cannot, space = complaints(house, "outbox")
    assert "can't be written to: No space left on device." in cannot.sentence
    assert cannot.remedy == "Free some space."
    assert "below run.reserve_mb (512) no job starts." in space.sentence
    assert [path.name for path in house.settings.outbox.iterdir()] == ["filler"]


@root_only
def test_an_outbox_that_can_take_no_more_files(house: House, tmpfs: Mount) -> None:
    house.configure(run={"reserve_mb": 1})
    tmpfs(house.settings.outbox, "size=64m,nr_inodes=50")
    (finding,) = complaints(house, "outbox")
    assert "room for only 49 more files" in finding.sentence
    assert "inodes" in (finding.remedy or "")


@root_only
def test_an_inbox_that_is_mounted_read_only(house: House, tmpfs: Mount) -> None:
    tmpfs(house.settings.inbox, "size=1m")
    open_root(house.settings.inbox, "inbox", house.settings.state_dir, Files(), house.clock)
    subprocess.run(["mount", "-o", "remount,ro", str(house.settings.inbox)], check=True)
    found = complaints(house, "inbox")
    assert [finding.remedy for finding in found] == ["Mount it writable."] * 2
    assert f"{house.settings.inbox}/.meshdrop can't be made: Read-only file system." in found[1].sentence


@root_only
def test_a_private_folder_of_another_user(house: House) -> None:
    """The share itself is open to all, but what an earlier daemon has left is not."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        outbox, private = Path(folder), Path(folder) / ".meshdrop"
        outbox.chmod(0o777)
        private.mkdir(0o700)
        os.seteuid(65534)
        try:
            found = list(doctor.check_share(outbox, "outbox", house.settings))
        finally:
            os.seteuid(0)
    (finding,) = [each for each in found if each.level == "fail"]
    assert f"{private} can't be made: Permission denied." in finding.sentence
    assert "Let the user nobody write there" in (finding.remedy or "")


@pytest.mark.ci
@root_only
@pytest.mark.skipif(shutil.which("bindfs") is None, reason="bindfs is not installed")
def test_a_share_that_freezes(house: House, tmp_path: Path) -> None:
    """Really: the process that serves it is stopped. The command ends all the same, and says which one it is."""
    behind = tmp_path / "behind"
    behind.mkdir()
    config = tmp_path / "my.toml"
    keys = ("inbox", "outbox", "state_dir")
    config.write_text("".join(f'{key} = "{getattr(house.settings, key)}"\n' for key in keys))
    inbox = house.settings.inbox
    server = subprocess.Popen(["bindfs", "-f", str(behind), str(inbox)])
    try:
        for _ in range(100):
            if os.path.ismount(inbox):
                break
            time.sleep(0.05)
        assert os.path.ismount(inbox)
        server.send_signal(signal.SIGSTOP)
        begin_s = time.monotonic()
        command = [sys.executable, "-m", "daemon", "doctor", "--quick", "--json", "--config", str(config)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert time.monotonic() - begin_s < 40
        failed = {each["name"]: each for each in json.loads(done.stdout) if each["level"] == "fail"}
        assert done.returncode == 5
        assert failed["inbox"]["sentence"] == f"{inbox} does not answer within 10 s."
        assert "network" in failed["inbox"]["remedy"]
        assert set(failed) == {"inbox"}, "it is said once"
    finally:
        server.send_signal(signal.SIGCONT)
        subprocess.run(["umount", "-l", str(inbox)], check=True)
        server.wait(10)


def test_a_database_whose_rows_contradict_each_other(house: House) -> None:
    """What the quick check of the other commands does not see."""
    house.store.admit([house.new("shoe")])
    house.store.close()
    with closing(sqlite3.connect(house.settings.state_dir / DATABASE_NAME)) as connection:
        connection.execute("DELETE FROM jobs")
        connection.commit()
    (finding,) = complaints(house, "database")
    assert finding.level == "fail"
    assert "that is missing" in finding.sentence
    assert "move meshdrop.db" in (finding.remedy or "")


def test_a_database_with_a_page_of_rubbish(house: House) -> None:
    house.store.admit([house.new(f"shoe{number}") for number in range(200)])
    house.store.close()
    path = house.settings.state_dir / DATABASE_NAME
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = connection.execute("PRAGMA page_size").fetchone()[0]
    with path.open("r+b") as file:
        file.seek(12 * page)
        file.write(b"\xa5" * page)
    (finding,) = complaints(house, "database")
    assert finding.level == "fail"
    assert finding.remedy


@root_only
def test_rights_are_those_of_who_asks(house: House) -> None:
    from daemon.clock import SystemClock

    now = SystemClock().now()
    house.beat(process=this_process(), beat_at=now, started_at=now)
    assert complaints(house, "user") == []
    os.seteuid(65534)
    try:
        status = list(doctor.check_user_of(1))
    finally:
        os.seteuid(0)
    (finding,) = status
    assert "The daemon runs as root, this is nobody" in finding.sentence
    assert finding.remedy == "sudo -u root meshdrop doctor"
