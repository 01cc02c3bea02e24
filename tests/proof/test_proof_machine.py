"""The machine around a real daemon: a limit of watches, a clock that jumps, programs that keep or cut its database."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from daemon.states import State
from daemon.store import DATABASE_NAME
from tests.daemon_stand_in import ROOT, make_bundle
from tests.proof.amounts import tell
from tests.proof.real import Make, check_published, drop, states_of
from tests.service.conftest import make_daemon  # noqa: F401 - a fixture
from tests.service.daemon_process import Daemon, until

pytestmark = pytest.mark.slow


def _may_limit_watches() -> bool:
    """Whether a user namespace of one's own can be had, in which the kernel's limits can be set."""
    if shutil.which("unshare") is None:
        return False
    told = subprocess.run(["unshare", "-U", "-r", "sh", "-c", LIMIT + " true"], capture_output=True, check=False)
    return told.returncode == 0


LIMIT = "echo 1 > /proc/sys/user/max_inotify_watches &&"


@pytest.mark.skipif(not _may_limit_watches(), reason="needs a user namespace")
def test_a_limit_of_one_watch(daemon_of_one_watch: Daemon) -> None:
    """The kernel's own limit: it polls, says so with the sysctl that mends it, and takes what is dropped."""
    daemon = daemon_of_one_watch
    drop(daemon, "shoe")
    assert daemon.job("shoe").state is State.SUCCESS

    def report() -> dict[str, object] | None:
        with daemon.store() as store:
            told = store.daemon_report()
        return told.watches.get("inbox") if told and told.watches.get("inbox", {}).get("remedy") else None

    watch = until(report)
    assert (watch["mode"], watch["healthy"]) == ("polling", False)
    assert "sysctl -w fs.inotify.max_user_watches" in str(watch["remedy"])
    check_published(daemon, "shoe")
    tell("one_watch", mode=watch["mode"], remedy=watch["remedy"])


@pytest.fixture
def daemon_of_one_watch(make_daemon: Make) -> Daemon:  # noqa: F811
    daemon = make_daemon(watch__poll_s=0.5, intake__quiet_s=0.5)
    command = [sys.executable, "-m", "tests.daemon_stand_in.service", str(daemon.config)]
    with daemon.log.open("ab") as log:
        daemon.process = subprocess.Popen(
            ["unshare", "-U", "-r", "sh", "-c", LIMIT + ' exec "$@"', "sh", *command], cwd=ROOT, stdout=log, stderr=log
        )
    until(lambda: b'"service.ready"' in daemon.log.read_bytes())
    return daemon


# -- the clock ----------------------------------------------------------------------------------------------------

SHIFTED = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long shift(void) {
  char text[32] = {0};
  int file = open(getenv("SHIFTED"), O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  long got = read(file, text, sizeof text - 1);
  close(file);
  return got > 0 ? atol(text) : 0;
}
int clock_gettime(clockid_t clock, struct timespec *at) {
  int failed = syscall(SYS_clock_gettime, clock, at);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += shift();
  return failed;
}
int gettimeofday(struct timeval *at, void *zone) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec, at->tv_usec = now.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return at ? *at = now.tv_sec : now.tv_sec;
}
"""
DAY_S = 86400


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_a_real_clock_that_jumps_a_day(make_daemon: Make, tmp_path: Path) -> None:  # noqa: F811
    """Forward and back, of daemon and worker: while a bundle gets quiet, while it runs and between.

    Nothing is early, late or stuck. The clock is the C library's, with a shift that a file tells.
    """
    told, library = tmp_path / "shift", tmp_path / "shifted.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), "-x", "c", "-"]
    subprocess.run(command, input=SHIFTED.encode(), check=True, timeout=60)

    def jump(seconds: int) -> None:
        (tmp_path / "shift.new").write_text(str(seconds))
        (tmp_path / "shift.new").rename(told)

    jump(0)
    quiet_s = 6.0
    daemon = make_daemon(intake__quiet_s=quiet_s, run__timeout_s=60)
    daemon.start(environment={"LD_PRELOAD": str(library), "SHIFTED": str(told)})
    seconds: list[float] = []
    for number, by in enumerate((DAY_S, -DAY_S, DAY_S, 0)):
        name = f"b{number}"
        made = make_bundle(daemon.folder / "made" / name, seed=number, seconds=2.0)
        last = Path("depth_renders", "top.png")
        shutil.copytree(made, daemon.inbox / name, ignore=shutil.ignore_patterns(last.name))
        shutil.copy(made / "multi_views" / last.name, daemon.inbox / name / "multi_views")
        until((daemon.inbox / name / "STATUS.txt").exists)  # it has been seen, and waits for the last file
        begin_s = time.monotonic()
        shutil.copy(made / last, daemon.inbox / name / last)
        time.sleep(1.0)
        jump(by)  # while it gets quiet
        time.sleep(1.0)
        jobs = daemon.jobs()
        if time.monotonic() < begin_s + quiet_s:
            assert not jobs[number:], "taken early"
        daemon.job(name, State.PROGRESS)
        jump(0 if by else -DAY_S)  # while it runs
        job = daemon.job(name)
        assert job.state is State.SUCCESS, job
        seconds.append(time.monotonic() - begin_s)
        assert states_of(daemon, job.id).count(State.PROGRESS) == 1
    jumped = {str(record["timestamp"])[:10] for record in daemon.records() if "timestamp" in record}
    assert len(jumped) >= 3, "the clock did not jump"
    assert max(seconds) < 40  # the machine may be busy; a timer that follows the clock would be late by a day
    check_published(daemon, *(f"b{number}" for number in range(4)))
    tell("clock", jumps=8, slowest_s=round(max(seconds), 1))


# -- programs in the way ------------------------------------------------------------------------------------------


def test_a_database_that_another_program_keeps(make_daemon: Make) -> None:  # noqa: F811
    """Half a minute, longer than the daemon waits for it: nothing is lost, and it goes on by itself."""
    daemon = make_daemon().start()
    drop(daemon, "shoe", seconds=1.0)
    daemon.job("shoe", State.PROGRESS)
    with closing(sqlite3.connect(daemon.state / DATABASE_NAME, isolation_level=None, timeout=20)) as other:
        other.execute("BEGIN IMMEDIATE")
        drop(daemon, "boot", seed=1)
        time.sleep(30.0)
        assert daemon.process is not None
        assert daemon.process.poll() is None
        other.execute("ROLLBACK")
    begin_s = time.monotonic()
    assert daemon.job("shoe", patience_s=60).state is State.SUCCESS
    assert daemon.job("boot", patience_s=60).state is State.SUCCESS
    check_published(daemon, "shoe", "boot")
    tell("locked_database", kept_s=30, done_after_s=round(time.monotonic() - begin_s, 1))


def test_a_database_that_is_truncated_is_said_and_the_next_start_refuses_it(make_daemon: Make) -> None:  # noqa: F811
    daemon = make_daemon().start()
    drop(daemon, "shoe")
    daemon.job("shoe")
    until(lambda: not (daemon.inbox / "shoe").exists())
    daemon.stop()
    path = daemon.state / DATABASE_NAME
    os.truncate(path, path.stat().st_size // 2)
    again = subprocess.run(
        [sys.executable, "-m", "tests.daemon_stand_in.service", str(daemon.config)],
        cwd=ROOT, capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert again.returncode != 0
    said = again.stderr.decode()
    assert "damaged" in said
    assert "Traceback" not in said
    path.unlink()  # as the sentence says: moved away; what was published comes back from the outbox
    for more in ("-wal", "-shm"):
        path.with_name(path.name + more).unlink(missing_ok=True)
    daemon.start()
    assert [(job.entry, job.state) for job in daemon.jobs()] == [("shoe", State.SUCCESS)]
    check_published(daemon, "shoe")
    tell("truncated_database", rebuilt=1)
