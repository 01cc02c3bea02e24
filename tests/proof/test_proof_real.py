"""Disks that are really full, shares that are really gone, frozen or read-only; a stream of bundles. Most need root."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from daemon.states import State
from daemon.store import DATABASE_NAME
from tests.daemon_stand_in import make_bundle
from tests.proof.amounts import Budget, amount, tell
from tests.proof.real import Make, check_published, drop, states_of, status
from tests.service.conftest import make_daemon  # noqa: F401 - a fixture
from tests.service.daemon_process import until

pytestmark = pytest.mark.slow
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
needs_bindfs = pytest.mark.skipif(shutil.which("bindfs") is None, reason="needs bindfs")
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
