"""Disks that are really full, shares that are really gone, frozen or read-only; programs in the way. Most need root."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from daemon.states import State
from daemon.store import DATABASE_NAME
from tests.daemon_stand_in import ROOT, make_bundle
from tests.proof.amounts import Budget, amount, tell
from tests.proof.house import check_whole
from tests.service.conftest import make_daemon  # noqa: F401 - a fixture
from tests.service.daemon_process import Daemon, until

pytestmark = pytest.mark.slow
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
needs_bindfs = pytest.mark.skipif(shutil.which("bindfs") is None, reason="needs bindfs")
Make = Callable[..., Daemon]
RESUMES_WITHIN_S = 60.0
BEHIND = 20


@contextmanager
def tmpfs(folder: Path, options: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True, timeout=20)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=20)


def fill(folder: Path) -> Path:
    """Use up all that is free."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return path


def drop(daemon: Daemon, name: str, **words: object) -> None:
    make_bundle(daemon.folder / "made" / name, **words)  # type: ignore[arg-type]
    shutil.copytree(daemon.folder / "made" / name, daemon.inbox / name)


def states_of(daemon: Daemon, job: str) -> list[State]:
    with daemon.store() as store:
        return [step.after for step in store.transitions(job)]


def status(daemon: Daemon) -> tuple[float, dict[str, object]]:
    """What `meshdrop status --json` says, and how long it took, its own start left out."""
    script = (
        "import sys, time, json\nfrom pathlib import Path\n"
        "from config.settings import load_settings\nfrom daemon.clock import SystemClock\n"
        "from daemon.store import open_store\nfrom daemon.status import collect\n"
        "settings = load_settings(Path(sys.argv[1]), environment={})\nbegin = time.monotonic()\n"
        "with open_store(settings.state_dir, clock=SystemClock(), create=False) as store:\n"
        "    told = collect(store, settings, SystemClock())\n"
        "print(json.dumps([time.monotonic() - begin, json.loads(told.model_dump_json())]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(daemon.config)], cwd=ROOT, capture_output=True, timeout=30, check=True
    )
    took_s, told = json.loads(done.stdout)
    return float(took_s), told


def check_published(daemon: Daemon, *names: str) -> None:
    """Each of them once, and nothing half."""
    assert len(daemon.jobs()) == len(names)
    assert daemon.results() == sorted(names)
    for name in names:
        check_whole(daemon.outbox / name)
    assert not [path for path in daemon.outbox.iterdir() if path.name.startswith(".partial-")]


@needs_root
@pytest.mark.parametrize("place", ["outbox", "state", "spool"])
def test_a_full_disk_holds_and_resumes(make_daemon: Make, place: str) -> None:  # noqa: F811
    """spool: a disk of its own below the state folder, where the database still has room."""
    daemon = make_daemon(run__hold_retry_s=2.0)
    folder = {"outbox": daemon.outbox, "state": daemon.state, "spool": daemon.state / "spool"}[place]
    with tmpfs(folder, "size=6m"):
        daemon.start()
        drop(daemon, "shoe", seconds=2.0)
        job = daemon.job("shoe", State.PROGRESS, State.PENDING)
        filler = fill(folder)
        time.sleep(10.0)
        with closing(sqlite3.connect(daemon.state / DATABASE_NAME)) as connection:
            (state,) = connection.execute("SELECT state FROM jobs").fetchone()
        assert state not in ("FAILURE", "CANCELLED", "SUCCESS")
        if place != "state":  # there the database has no room to say so
            assert state == "HELD"
        assert daemon.process is not None
        assert daemon.process.poll() is None
        filler.unlink()
        begin_s = time.monotonic()
        assert daemon.job("shoe", patience_s=RESUMES_WITHIN_S).state is State.SUCCESS
        took_s = time.monotonic() - begin_s
        check_published(daemon, "shoe")
        assert State.FAILURE not in states_of(daemon, job.id)
        assert daemon.stop() == 0
        tell(f"full_{place}", resumed_s=round(took_s, 1), bar_s=RESUMES_WITHIN_S)
        daemon.close()


@needs_root
def test_a_full_inbox_costs_the_notices_alone(make_daemon: Make) -> None:  # noqa: F811
    daemon = make_daemon()
    with tmpfs(daemon.inbox, "size=3m"):
        daemon.start()
        drop(daemon, "shoe")
        fill(daemon.inbox)
        assert daemon.job("shoe").state is State.SUCCESS
        check_published(daemon, "shoe")
        daemon.stop()
        tell("full_inbox", state="SUCCESS")
        daemon.close()


@needs_root
def test_an_outbox_that_becomes_read_only_holds_and_resumes(make_daemon: Make) -> None:  # noqa: F811
    daemon = make_daemon(run__hold_retry_s=2.0)
    with tmpfs(daemon.outbox, "size=20m"):
        daemon.start()
        drop(daemon, "shoe", seconds=1.0)
        daemon.job("shoe", State.PROGRESS)
        subprocess.run(["mount", "-o", "remount,ro", str(daemon.outbox)], check=True, timeout=20)
        job = daemon.job("shoe", State.HELD)
        assert job.hold_reason
        assert "read-only" in job.hold_reason
        subprocess.run(["mount", "-o", "remount,rw", str(daemon.outbox)], check=True, timeout=20)
        begin_s = time.monotonic()
        assert daemon.job("shoe").state is State.SUCCESS
        tell("read_only_outbox", resumed_s=round(time.monotonic() - begin_s, 1), reason=job.hold_reason)
        check_published(daemon, "shoe")
        daemon.stop()
        daemon.close()


@contextmanager
def disk(folder: Path, image: Path) -> Iterator[None]:
    """A disk of its own, checked first, as after a reboot."""
    subprocess.run(["e2fsck", "-fy", str(image)], check=False, timeout=60, capture_output=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True, timeout=20)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=20)


@needs_root
@pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="needs mkfs.ext4")
@pytest.mark.parametrize("place", ["inbox", "state"])
def test_a_disk_that_the_kernel_has_given_up(make_daemon: Make, place: str) -> None:  # noqa: F811
    """Read-only at once and for good, under open files: what ext4 does after an error. Mended by a check and a restart.

    Of an inbox this costs the notices and the tidying up; of the state folder, the time until it is mended.
    """
    daemon = make_daemon(run__hold_retry_s=2.0)
    folder = daemon.inbox if place == "inbox" else daemon.state
    folder.mkdir(exist_ok=True)
    image = daemon.folder / "image"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, timeout=60)
    try:
        with disk(folder, image):
            daemon.start()
            drop(daemon, "shoe", seconds=2.0)
            job = daemon.job("shoe", State.PROGRESS)
            subprocess.run(["sync", "-f", str(folder)], check=True, timeout=60)  # what people dropped is on the disk
            subprocess.run(["mount", "-o", "remount,abort", str(folder)], check=True, timeout=20)
            time.sleep(8.0)
            assert daemon.process is not None
            assert daemon.process.poll() is None
            if place == "inbox":
                assert daemon.job("shoe").state is State.SUCCESS
            daemon.stop()
        with disk(folder, image):
            begin_s = time.monotonic()
            daemon.start()
            assert daemon.job("shoe", patience_s=RESUMES_WITHIN_S).state is State.SUCCESS
            took_s = time.monotonic() - begin_s
            until(lambda: not (daemon.inbox / "shoe").exists(), RESUMES_WITHIN_S)
            check_published(daemon, "shoe")
            assert State.FAILURE not in states_of(daemon, job.id)
            assert daemon.stop() == 0
        tell(f"given_up_{place}", resumed_s=round(took_s, 1))
    finally:
        daemon.close()
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True, timeout=20)


@needs_root
@needs_bindfs
def test_a_share_that_is_away_for_long(make_daemon: Make) -> None:  # noqa: F811
    """For PROOF_AWAY_S seconds, with one job running, one waiting and one bundle half copied."""
    poll_s, away_s = 1.0, float(amount("away_s", 15))
    daemon = make_daemon(watch__poll_s=poll_s, intake__quiet_s=0.5, run__hold_retry_s=1.0)
    behind = daemon.folder / "behind"
    behind.mkdir()
    mount = ["bindfs", str(behind), str(daemon.inbox)]
    subprocess.run(mount, check=True, timeout=20)
    try:
        daemon.start()
        make_bundle(behind / "shoe", seconds=4.0)
        daemon.job("shoe", State.PROGRESS)
        make_bundle(behind / "boot", seed=1)
        daemon.job("boot", State.PENDING)
        made = make_bundle(daemon.folder / "made" / "half", seed=2)
        shutil.copytree(made / "multi_views", behind / "half" / "multi_views")
        time.sleep(2 * poll_s)
        subprocess.run(["umount", "-l", str(daemon.inbox)], check=True, timeout=20)
        shutil.copytree(made / "depth_renders", behind / "half" / "depth_renders")
        time.sleep(away_s)
        assert {job.entry for job in daemon.jobs()} == {"shoe", "boot"}
        assert all(job.state is not State.CANCELLED for job in daemon.jobs())
        assert not any(path.name != ".meshdrop" for path in daemon.inbox.iterdir())
        subprocess.run(mount, check=True, timeout=20)
        begin_s = time.monotonic()
        daemon.job("half", *State)
        resumed_s = time.monotonic() - begin_s
        for name in ("shoe", "boot", "half"):
            job = daemon.job(name)
            assert job.state is State.SUCCESS
            assert states_of(daemon, job.id).count(State.PROGRESS) == 1
        check_published(daemon, "boot", "half", "shoe")
        tell("away", away_s=round(away_s), resumed_s=round(resumed_s, 1), polls=round(resumed_s / poll_s, 1), runs=1)
        assert resumed_s <= 2 * poll_s + 0.5 + 3.0  # two polls, the quiet time, and a machine that is busy
        daemon.stop()
    finally:
        daemon.close()
        subprocess.run(["umount", "-l", str(daemon.inbox)], check=False, timeout=20)


@needs_root
@needs_bindfs
@pytest.mark.parametrize("place", ["inbox", "outbox"])
def test_a_frozen_share_is_waited_for_and_status_answers(make_daemon: Make, place: str) -> None:  # noqa: F811
    daemon = make_daemon(watch__poll_s=0.5, run__hold_retry_s=2.0)
    folder = daemon.inbox if place == "inbox" else daemon.outbox
    behind = daemon.folder / "behind"
    behind.mkdir()
    server = subprocess.Popen(["bindfs", "-f", str(behind), str(folder)])
    try:
        until(folder.is_mount)
        daemon.start()
        drop(daemon, "shoe", seconds=2.0)
        daemon.job("shoe", State.PROGRESS)
        server.send_signal(signal.SIGSTOP)
        time.sleep(4.0)
        took_s, told = status(daemon)
        assert took_s <= 1.0
        assert told["counts"]
        assert daemon.process is not None
        assert daemon.process.poll() is None
        server.send_signal(signal.SIGCONT)
        assert daemon.job("shoe").state is State.SUCCESS
        check_published(daemon, "shoe")
        tell(f"frozen_{place}", status_s=round(took_s, 2), bar_s=1.0)
        daemon.stop()
    finally:
        server.send_signal(signal.SIGCONT)
        daemon.close()
        subprocess.run(["umount", "-l", str(folder)], check=False, timeout=20)
        server.terminate()
        server.wait(20)


@needs_root
@needs_bindfs
def test_an_outbox_that_is_unmounted_and_mounted_again(make_daemon: Make) -> None:  # noqa: F811
    daemon = make_daemon(watch__poll_s=0.5, run__hold_retry_s=1.0)
    behind = daemon.folder / "behind"
    behind.mkdir()
    mount = ["bindfs", str(behind), str(daemon.outbox)]
    subprocess.run(mount, check=True, timeout=20)
    try:
        daemon.start()
        drop(daemon, "shoe", seconds=1.0)
        daemon.job("shoe", State.PROGRESS)
        subprocess.run(["umount", "-l", str(daemon.outbox)], check=True, timeout=20)
        assert daemon.job("shoe", State.HELD).hold_code == "SHARE_UNAVAILABLE"
        time.sleep(2.0)
        assert not [path for path in daemon.outbox.iterdir() if path.name != ".meshdrop"], "it wrote below the mount"
        subprocess.run(mount, check=True, timeout=20)
        begin_s = time.monotonic()
        job = daemon.job("shoe")
        assert job.state is State.SUCCESS
        assert states_of(daemon, job.id).count(State.PROGRESS) == 1
        check_published(daemon, "shoe")
        tell("remounted_outbox", resumed_s=round(time.monotonic() - begin_s, 1), runs=1)
        daemon.stop()
    finally:
        daemon.close()
        subprocess.run(["umount", "-l", str(daemon.outbox)], check=False, timeout=20)


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


def test_a_steady_stream_leaks_nothing(make_daemon: Make) -> None:  # noqa: F811
    """One bundle a second, for PROOF_STREAM_S seconds: memory and descriptors stay what they were.

    On a machine that is too busy for one a second, as many as are done: a queue that grows takes memory by right.
    """
    daemon = make_daemon(intake__quiet_s=0.3).start()
    assert daemon.process is not None
    process = psutil.Process(daemon.process.pid)
    budget, number = Budget("stream", 60), 0
    seen: list[tuple[int, int, int]] = []

    def measured() -> tuple[int, int, int]:
        return process.memory_info().rss, process.num_fds(), process.num_threads()

    def done() -> int:
        with daemon.store() as store:
            return store.counts().get(State.SUCCESS, 0)

    made = make_bundle(daemon.folder / "made" / "one")
    begin_s = time.monotonic()
    while not budget.spent:
        if number - done() >= BEHIND:
            time.sleep(0.2)
            continue
        target = daemon.folder / "made" / f"s{number}"
        shutil.copytree(made, target)
        (target / "job.toml").write_text(f"seed = {number}\n")
        target.rename(daemon.inbox / f"s{number}")
        number += 1
        if number % 5 == 0:
            seen.append(measured())
        time.sleep(max(0.0, begin_s + number - time.monotonic()))

    until(lambda: done() == number, 60 + 3 * BEHIND, 0.5)
    until(lambda: not [path for path in daemon.inbox.iterdir() if path.name.startswith("s")], 60, 0.5)
    seen.append(measured())
    third = max(1, len(seen) // 3)
    early, late = seen[third : 2 * third] or seen, seen[-third:]
    mean = lambda some, at: sum(each[at] for each in some) / len(some)  # noqa: E731
    grown_mb = (mean(late, 0) - mean(early, 0)) / 2**20
    tell(
        "stream",
        bundles=number,
        minutes=round(budget.took_s / 60, 1),
        rss_mb=round(late[-1][0] / 2**20),
        rss_grown_mb=round(grown_mb, 1),
        descriptors=[early[0][1], late[-1][1]],
        threads=[early[0][2], late[-1][2]],
    )
    assert number >= amount("stream_least", 10)
    assert grown_mb < 20
    assert late[-1][1] <= early[0][1] + 8
    assert late[-1][2] <= early[0][2] + 4
