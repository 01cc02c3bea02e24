"""A whole daemon process: dropped, recorded, run, published, cancelled, killed, mended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from config.settings import load_settings
from daemon.clock import SystemClock
from daemon.states import State
from daemon.status import collect
from tests.daemon_stand_in import ROOT, make_bundle, make_zip
from tests.service.daemon_process import Daemon, until


def drop(daemon: Daemon, name: str, **words: Any) -> Path:
    """Rename a whole bundle into the inbox."""
    made = make_bundle(daemon.folder / "made" / name, **words)
    made.rename(daemon.inbox / name)
    return daemon.inbox / name


def test_a_copied_folder_becomes_a_result(daemon: Daemon) -> None:
    daemon.start()
    make_bundle(daemon.inbox / "red-shoe")
    job = daemon.job("red-shoe")
    assert job.state is State.SUCCESS
    result = daemon.outbox / "red-shoe"
    told = json.loads((result / "job.json").read_text())
    assert told["job"]["id"] == job.id
    assert {"mesh.glb", "quality.json", "cameras.json", "red-shoe.zip"} <= {path.name for path in result.iterdir()}
    assert json.loads((daemon.outbox / "red-shoe.latest.json").read_text())["job"] == job.id
    archived = daemon.inbox / "_done" / f"red-shoe-{job.id}"
    until(archived.is_dir)
    assert not (daemon.inbox / "red-shoe").exists()
    assert job.id in (archived / "STATUS.txt").read_text()
    assert daemon.stop() == 0
    with daemon.store() as store:
        report = store.daemon_report()
    assert report is not None
    assert report.state == "stopped"


def test_a_zip_becomes_a_result(daemon: Daemon) -> None:
    daemon.start()
    make_zip(daemon.inbox / "blue-chair.zip")
    assert daemon.job("blue-chair.zip").state is State.SUCCESS
    assert (daemon.outbox / "blue-chair" / "mesh.glb").is_file()


@pytest.mark.ci
def test_latency_from_the_last_byte_to_progress(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(intake__quiet_s=3.0).start()
    drop(daemon, "warm-up")
    daemon.job("warm-up")

    def seconds(name: str) -> float:
        begin_s = time.monotonic()
        daemon.job(name, State.PROGRESS, State.PUBLISHING, State.SUCCESS)
        return time.monotonic() - begin_s

    made = make_bundle(daemon.folder / "made" / "copied", seed=1, seconds=1.0)
    for folder in ("multi_views", "depth_renders"):
        shutil.copytree(made / folder, daemon.inbox / "copied" / folder)
        time.sleep(0.5 if folder == "multi_views" else 0.0)
    assert 2.5 < seconds("copied") <= 3.0 + 1.0 + 0.5
    daemon.job("copied")
    drop(daemon, "renamed", seed=2, seconds=1.0)
    assert seconds("renamed") <= 2.0
    daemon.job("renamed")
    make_bundle(daemon.inbox / "ready", seed=3, seconds=1.0)
    (daemon.inbox / "ready" / ".ready").touch()
    assert seconds("ready") <= 1.0 + 0.3  # the look of this test itself takes time


def test_killed_at_work_it_runs_again_and_publishes_once(daemon: Daemon) -> None:
    daemon.start()
    drop(daemon, "shoe", seconds=1.5)
    job = daemon.job("shoe", State.PROGRESS)
    daemon.kill()
    daemon.start()
    done = daemon.job("shoe")
    assert (done.id, done.state) == (job.id, State.SUCCESS)
    assert daemon.results() == ["shoe"]
    assert len(daemon.jobs()) == 1


def test_stopped_at_work_it_runs_again(daemon: Daemon) -> None:
    daemon.start()
    drop(daemon, "shoe", seconds=1.5, ignore_sigterm=True)
    daemon.job("shoe", State.PROGRESS)
    begin_s = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - begin_s < 5.0
    assert [job.state for job in daemon.jobs()] == [State.PENDING]
    daemon.start()
    assert daemon.job("shoe").state is State.SUCCESS


def test_cancel_marker_stops_a_running_job_and_its_process(daemon: Daemon) -> None:
    daemon.start()
    drop(daemon, "shoe", seconds=60, ignore_cancel=True, ignore_sigterm=True)
    daemon.job("shoe", State.PROGRESS)
    workers = psutil.Process(daemon.process.pid).children(recursive=True)  # type: ignore[union-attr]
    assert workers
    begin_s = time.monotonic()
    (daemon.inbox / "shoe" / ".cancel").touch()
    job = daemon.job("shoe")
    assert job.state is State.CANCELLED
    assert time.monotonic() - begin_s <= 5.5
    assert not [worker for worker in workers if worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE]
    assert job.cancel_by
    until((daemon.inbox / "_cancelled" / f"shoe-{job.id}").is_dir)
    assert daemon.results() == []


def test_a_refused_bundle_says_why_and_mending_one_file_is_enough(daemon: Daemon) -> None:
    daemon.start()
    made = make_bundle(daemon.folder / "made")
    (made / "depth_renders" / "top.png").write_bytes(b"\xff\xd8\xff\xe0 a JPEG")
    made.rename(daemon.inbox / "shoe")
    job = daemon.job("shoe")
    assert job.state is State.FAILURE
    bundle = daemon.inbox / "shoe"
    error = until(lambda: (bundle / "error.json").is_file() and json.loads((bundle / "error.json").read_text()))
    assert error["code"] == "INVALID_FILE_FORMAT"
    assert "depth_renders/top.png" in error["message"]
    assert json.loads((daemon.outbox / f"shoe.failed-{job.id}" / "error.json").read_text())["code"] == error["code"]
    until(lambda: (bundle / "STATUS.txt").is_file() and "top.png" in (bundle / "STATUS.txt").read_text())
    good = make_bundle(daemon.folder / "good")
    shutil.copyfile(good / "depth_renders" / "top.png", bundle / "depth_renders" / "top.png")
    again = until(lambda: next((other for other in daemon.jobs() if other.id != job.id), None))
    assert daemon.job("shoe", State.SUCCESS).id == again.id
    assert again.attempt == 2


def test_same_name_other_content_gives_two_results(daemon: Daemon) -> None:
    daemon.start()
    drop(daemon, "shoe", seed=1)
    first = daemon.job("shoe")
    until(lambda: not (daemon.inbox / "shoe").exists())
    drop(daemon, "shoe", seed=2)
    second = until(lambda: next((job for job in daemon.jobs() if job.id != first.id), None))
    daemon.job("shoe", State.SUCCESS)
    until(lambda: daemon.results() == ["shoe", f"shoe-{second.id}"])
    before = json.loads((daemon.outbox / "shoe" / "job.json").read_text())["job"]["id"]
    assert before == first.id


def test_the_same_content_again_is_answered(daemon: Daemon) -> None:
    daemon.start()
    drop(daemon, "shoe", seed=1)
    first = daemon.job("shoe")
    until(lambda: not (daemon.inbox / "shoe").exists())
    drop(daemon, "shoe", seed=1)
    until(lambda: len(daemon.jobs()) == 2)
    second = daemon.job("shoe", State.SUCCESS)
    assert second.answered_by == first.id
    assert daemon.results() == ["shoe"]
    drop(daemon, "boot", seed=1)
    third = daemon.job("boot", State.SUCCESS)
    assert third.answered_by in (first.id, second.id)
    assert daemon.results() == ["boot", "shoe"]
    assert not [
        record for record in daemon.records() if record.get("job") == third.id and record.get("to") == "PROGRESS"
    ]


def test_a_second_daemon_is_refused_and_told_of_the_first(daemon: Daemon) -> None:
    daemon.start()
    other = subprocess.run(
        [sys.executable, "-m", "tests.daemon_stand_in.service", str(daemon.config)],
        cwd=ROOT,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert other.returncode == 2
    assert str(daemon.process.pid) in other.stderr.decode()  # type: ignore[union-attr]
    elsewhere = daemon.folder / "elsewhere"
    elsewhere.mkdir()
    text = daemon.config.read_text().replace('"state"', '"elsewhere/state"').replace('"outbox"', '"elsewhere/out"')
    (daemon.folder / "other.toml").write_text(text)
    other = subprocess.run(
        [sys.executable, "-m", "tests.daemon_stand_in.service", str(daemon.folder / "other.toml")],
        cwd=ROOT,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert other.returncode == 2
    assert "inbox" in other.stderr.decode()


def test_a_crash_ends_the_job_and_not_the_daemon(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(run__crash_retries=0).start()
    drop(daemon, "bad", end="segfault")
    drop(daemon, "good", seed=1)
    bad = daemon.job("bad")
    assert (bad.state, bad.error and bad.error["code"]) == (State.FAILURE, "WORKER_CRASHED")
    assert daemon.job("good").state is State.SUCCESS


def test_quality_failure_publishes_everything(daemon: Daemon) -> None:
    daemon.start()
    drop(daemon, "shoe", verdict="failure")
    job = daemon.job("shoe")
    assert job.state is State.FAILURE
    result = daemon.outbox / f"shoe.failed-{job.id}"
    assert {"mesh.glb", "quality.json", "error.json"} <= {path.name for path in result.iterdir()}
    assert json.loads((result / "error.json").read_text())["code"] == "QUALITY_THRESHOLD_FAILED"


def test_settings_are_reloaded_if_they_are_right(daemon: Daemon) -> None:
    daemon.start()
    daemon.write_settings(support__contact="Ana, ext. 42")
    daemon.send(signal.SIGHUP)
    until(lambda: any(record["event"] == "service.reloaded" for record in daemon.records()))
    daemon.config.write_text(daemon.config.read_text() + "intake.quite_s = 1\n")
    daemon.send(signal.SIGHUP)
    refused = until(lambda: next((r for r in daemon.records() if r["event"] == "service.reload_refused"), None))
    assert "quiet_s" in refused["message"]
    drop(daemon, "shoe", end="VALIDATION_FAILED")
    daemon.job("shoe")
    status = daemon.inbox / "shoe" / "STATUS.txt"
    until(lambda: status.is_file() and "Ana, ext. 42" in status.read_text())


@pytest.mark.ci
def test_a_share_that_is_away_is_said_though_nothing_is_to_be_done(daemon: Daemon) -> None:
    daemon.start()
    for folder in (daemon.inbox, daemon.outbox):
        folder.rename(folder.with_name("away"))
        folder.mkdir()

        def problems() -> list[str]:
            with daemon.store() as store:
                return collect(store, load_settings(daemon.config, environment={}), SystemClock()).problems

        said = until(lambda: [text for text in problems() if str(folder) in text])  # noqa: B023 - called at once
        assert "Mount the share again" in said[0]
        folder.rmdir()
        folder.with_name("away").rename(folder)
        until(lambda: not [text for text in problems() if str(folder) in text])  # noqa: B023


def test_sigusr1_pauses_and_resumes(daemon: Daemon) -> None:
    daemon.start()
    daemon.send(signal.SIGUSR1)
    until(lambda: any(record["event"] == "service.paused" for record in daemon.records()))
    drop(daemon, "shoe")
    daemon.job("shoe", State.PENDING)
    time.sleep(1.0)
    assert daemon.job("shoe", State.PENDING).state is State.PENDING
    daemon.send(signal.SIGUSR1)
    assert daemon.job("shoe").state is State.SUCCESS


def test_until_idle_ends_when_everything_is_done(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(intake__notice_s=0.3)
    drop(daemon, "shoe", seconds=1.5)  # long enough for its STATUS.txt to be written meanwhile
    make_bundle(daemon.folder / "half")
    (daemon.folder / "half" / "multi_views" / "top.png").unlink()
    (daemon.folder / "half").rename(daemon.inbox / "half")
    daemon.start("--until-idle")
    assert daemon.wait(30) == 0
    job = daemon.job("shoe")
    assert job.state is State.SUCCESS
    assert len(daemon.jobs()) == 1
    assert (daemon.inbox / "_done" / f"shoe-{job.id}").is_dir()  # tidied up before it ended


def test_input_deleted_while_it_runs(daemon: Daemon) -> None:
    daemon.start()
    drop(daemon, "shoe", seconds=1.0)
    daemon.job("shoe", State.PROGRESS)
    shutil.rmtree(daemon.inbox / "shoe")
    assert daemon.job("shoe").state is State.SUCCESS


def test_ready_is_told_to_systemd_and_nothing_heavy_is_imported(daemon: Daemon, tmp_path: Path) -> None:
    import socket

    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(address))
        channel.settimeout(20)
        daemon.start(environment={"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "900000"})
        told: list[str] = []
        while not any("WATCHDOG=1" in message for message in told):
            told.append(channel.recv(4096).decode())
        assert "READY=1" in told[0]
        maps = Path(f"/proc/{daemon.process.pid}/maps").read_text()  # type: ignore[union-attr]
        assert not [name for name in ("numpy", "torch", "numba", "PIL") if f"site-packages/{name}/" in maps]
        daemon.send(signal.SIGTERM)
        while "STOPPING=1" not in told[-1]:
            told.append(channel.recv(4096).decode())
    assert daemon.wait() == 0
    assert not os.listdir(daemon.state / "spool") if (daemon.state / "spool").exists() else True  # noqa: PTH208
