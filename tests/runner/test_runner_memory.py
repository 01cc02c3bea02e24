"""Evidence that memory ran out: the kernel's counts, and a library's last words."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.runner.memory import OomCounts, died_of_memory
from daemon.states import State
from tests.daemon_stand_in import COMMAND
from tests.runner.runner_house import House

COUNTS = ("memory.events", "memory.oom_control")
EATER = "x = []\nfor _ in range(50): x.append(b'1' * (16 << 20))\ninput()"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A /proc and a /sys/fs/cgroup of both versions."""
    for folder in ("proc/7", "cgroup/user/job", "cgroup/memory/user"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc/7/cgroup").write_text("4:cpu,memory:/user\n0::/user/job\n")
    (tmp_path / "proc/vmstat").write_text("pgfault 9\noom_kill 1\n")
    (tmp_path / "cgroup/user/job/memory.events").write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    (tmp_path / "cgroup/memory/user/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n")
    return tmp_path


def counts_of(machine: Path) -> OomCounts:
    return OomCounts.of(7, machine / "proc", machine / "cgroup")


def test_the_kernel_s_counts_are_found(machine: Path) -> None:
    assert sorted(counts_of(machine).by_file.values()) == [1, 2, 5]


@pytest.mark.parametrize(
    "name", ["proc/vmstat", "cgroup/user/job/memory.events", "cgroup/memory/user/memory.oom_control"]
)
def test_a_kill_that_the_kernel_counts_is_for_memory(machine: Path, name: str) -> None:
    counts = counts_of(machine)
    assert not died_of_memory(-signal.SIGKILL, counts, [])
    (machine / name).write_text("oom_kill 6\n")
    assert died_of_memory(-signal.SIGKILL, counts, [])
    assert not died_of_memory(-signal.SIGSEGV, counts, [])


def test_where_nothing_is_counted_nothing_is_claimed(tmp_path: Path) -> None:
    counts = OomCounts.of(7, tmp_path, tmp_path)
    assert counts.by_file == {}
    assert not died_of_memory(-signal.SIGKILL, counts, ["out of memory"])


@pytest.mark.parametrize("line", ["std::bad_alloc", "LLVM ERROR: out of memory", "RuntimeError: can't allocate memory"])
def test_an_abort_with_words_of_memory_is_for_memory(line: str) -> None:
    assert died_of_memory(-signal.SIGABRT, None, ["first", line])
    assert died_of_memory(1, None, [line])
    assert not died_of_memory(-signal.SIGABRT, None, ["assertion failed"])
    assert not died_of_memory(0, None, [line])


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group with a limit of 200 MB, where this user may make one."""
    name = f"meshdrop-test-{secrets.token_hex(4)}"
    for root, limit in (
        (Path("/sys/fs/cgroup"), "memory.max"),
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    ):
        folder = root / name
        if not (root / "cgroup.procs").exists():
            continue
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            (folder / limit).write_text(str(200 << 20))
        except OSError:
            folder.rmdir()
            continue
        yield folder
        folder.rmdir()
        return
    pytest.skip("no control group can be made here")


def test_a_real_kill_for_memory_is_told_from_any_other(group: Path) -> None:
    def run(code: str) -> tuple[int, OomCounts]:
        process = subprocess.Popen([sys.executable, "-c", f"input()\n{code}"], stdin=subprocess.PIPE)
        try:
            (group / "cgroup.procs").write_text(str(process.pid))
            counts = OomCounts.of(process.pid)
            process.communicate(b"\n", timeout=60)
        finally:
            process.kill()
            process.wait()
        return process.returncode, counts

    code, counts = run("import os; os.kill(os.getpid(), 9)")
    assert code == -signal.SIGKILL
    assert not died_of_memory(code, counts, []) or _others_died(counts, group)
    code, counts = run(EATER)
    assert code == -signal.SIGKILL
    if not any(group in file.parents for file in counts.by_file):
        pytest.skip(f"the kernel {os.uname().release} does not count here")
    assert died_of_memory(code, counts, [])


def test_a_job_that_the_kernel_kills_for_memory_ends_in_model_oom(group: Path, tmp_path: Path) -> None:
    """Really: its worker lives in the group, and eats more than the group may have."""
    if not any("oom_kill " in (group / name).read_text() for name in COUNTS if (group / name).exists()):
        pytest.skip(f"the kernel {os.uname().release} does not count here")
    enter = ("sh", "-c", f'echo $$ > {group / "cgroup.procs"} && exec "$@"', "sh")
    house = House(tmp_path, run={"crash_retries": 0}, command=(*enter, *COMMAND))
    try:
        job = house.until_state(house.admit(end="eat_memory", options={"quality": "draft"}), State.PUBLISHING, 60)
        assert job.error is not None
        assert job.error["code"] == "MODEL_OOM"
        later = house.until_state(house.admit("b", seed=1), State.PUBLISHING, 60)
        assert later.outcome is State.SUCCESS
    finally:
        house.close()


def _others_died(counts: OomCounts, group: Path) -> bool:
    """Another process of this machine ran out of memory in this very moment."""
    return not any(group in file.parents for file in counts.by_file)
