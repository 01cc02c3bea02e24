"""A lock is held by one process at a time, names it, and ends with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from config.errors import ShareUnavailable
from daemon.files import Files
from daemon.locks import AlreadyLocked, FileLock, gpu_lock_path, holder_alive
from daemon.process import this_process

ROOT = Path(__file__).parent.parent.parent
HOLD = """
import sys
from pathlib import Path
from daemon.locks import FileLock
lock = FileLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)


def test_the_second_is_told_who_has_it_and_gets_it_when_the_first_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    process = hold(path)
    lock = FileLock(path, "the inbox /srv/inbox")
    with pytest.raises(AlreadyLocked, match=rf"^The inbox /srv/inbox is in use by process {process.pid} on ") as error:
        lock.acquire()
    assert holder_alive(error.value.details["holder"])
    assert not lock.held
    end(process)
    holder = lock.holder()
    assert holder is not None
    assert not holder_alive(holder)
    with lock:
        assert lock.held
        assert (lock.holder() or {})["pid"] == os.getpid()
    assert not lock.held
    assert lock.holder() is None
    assert path.exists()


def test_two_locks_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock") as first:
        assert first.acquire() is first
        with pytest.raises(AlreadyLocked):
            FileLock(tmp_path / "lock").acquire()
    FileLock(tmp_path / "lock").acquire().release()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"pid": "x"}', b"0" * 100_000])
def test_a_holder_that_can_not_be_read_is_another_process(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lock"
    process = hold(path)
    path.write_bytes(content)
    with pytest.raises(AlreadyLocked):
        FileLock(path).acquire()
    end(process)
    FileLock(path).acquire().release()


def test_a_lock_that_can_not_be_made_is_said(tmp_path: Path) -> None:
    with pytest.raises(ShareUnavailable, match="can't be locked"):
        FileLock(tmp_path / "none" / "lock").acquire()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ShareUnavailable):
        FileLock(tmp_path / "link").acquire()
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_keeps_nobody_from_locking(tmp_path: Path) -> None:
    class Full(Files):
        def rewrite(self, descriptor: int, data: bytes) -> None:
            raise OSError(28, "No space left on device")

    lock = FileLock(tmp_path / "lock", files=Full())
    before = len(list(Path("/proc/self/fd").iterdir()))
    with lock, pytest.raises(AlreadyLocked, match="another process"):
        FileLock(tmp_path / "lock").acquire()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_another_users_lock_file_is_locked_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lock").touch()
    system_open = os.open

    def not_mine(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_RDWR | os.O_CREAT):
            raise PermissionError(13, "Permission denied")
        return system_open(path, flags, mode)

    monkeypatch.setattr(os, "open", not_mine)
    with FileLock(tmp_path / "lock"), pytest.raises(AlreadyLocked):
        FileLock(tmp_path / "lock").acquire()


def test_a_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock").acquire()
    child = subprocess.Popen(["sleep", "30"])
    lock.release()
    try:
        FileLock(tmp_path / "lock").acquire().release()
    finally:
        child.kill()
        child.wait()


def test_every_user_finds_a_gpus_lock_in_the_same_place() -> None:
    path = gpu_lock_path("GPU-1a/../b")
    assert path.name == "meshdrop-gpu-GPU-1a----b.lock"
    assert path == gpu_lock_path("GPU-1a/../b")


def test_the_holder_is_written_as_json(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock"):
        holder = json.loads((tmp_path / "lock").read_text())
    assert {**this_process().as_json(), "command": holder["command"]} == holder
