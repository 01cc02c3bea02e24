"""Commands beside a daemon that runs: what they ask for happens to the bundle in the inbox, and is told there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from daemon.cli import app
from daemon.states import State
from daemon.store import Job
from tests.daemon_stand_in import make_bundle, make_zip
from tests.service.daemon_process import Daemon, until


def meshdrop(daemon: Daemon, *arguments: object) -> Result:
    """Run a command in this process, with the daemon's settings."""
    return CliRunner().invoke(app, [*(str(each) for each in arguments), "--config", str(daemon.config)])


def told(path: Path, *words: str) -> bool:
    return path.is_file() and all(word in path.read_text() for word in words)


def newest(daemon: Daemon, but: Job) -> Job:
    """The job that came after another one."""
    return until(lambda: next((job for job in reversed(daemon.jobs()) if job.id != but.id), None))


def test_retry_of_a_failed_bundle_runs_it_and_tidies_up(daemon: Daemon) -> None:
    daemon.start()
    bundle = make_bundle(daemon.folder / "made", end="MODEL_FAILED")
    bundle.rename(daemon.inbox / "shoe")
    failed = daemon.job("shoe")
    status = daemon.inbox / "shoe" / "STATUS.txt"
    until(lambda: told(status, failed.id, "It failed"))
    daemon.stop()
    daemon.start()
    done = meshdrop(daemon, "retry", failed.id)
    assert done.exit_code == 0, done.output
    again = newest(daemon, failed)
    assert (again.retry_of, again.attempt) == (failed.id, 2)
    until(lambda: told(status, again.id), 10)


def test_retry_of_what_was_archived_finds_it(daemon: Daemon) -> None:
    daemon.start()
    make_bundle(daemon.folder / "made", seconds=60.0).rename(daemon.inbox / "shoe")
    job = daemon.job("shoe", State.PROGRESS)
    assert meshdrop(daemon, "cancel", "shoe").exit_code == 0
    assert daemon.job("shoe").state is State.CANCELLED
    until((daemon.inbox / "_cancelled" / f"shoe-{job.id}").is_dir)
    done = meshdrop(daemon, "retry", job.id)
    assert done.exit_code == 0, done.output
    assert newest(daemon, job).retry_of == job.id
    daemon.job("shoe", State.PROGRESS)
    assert meshdrop(daemon, "retry", job.id).exit_code == 0  # one live job of a drop is enough
    assert len(daemon.jobs()) == 2


@pytest.mark.slow
def test_a_retry_is_told_in_the_bundle_and_may_be_cancelled(daemon: Daemon) -> None:
    daemon.start()
    bundle = make_bundle(daemon.folder / "made", end="exit")
    bundle.rename(daemon.inbox / "shoe")
    failed = daemon.job("shoe")
    assert failed.state is State.FAILURE
    until(lambda: told(daemon.inbox / "shoe" / "STATUS.txt", failed.id))
    assert meshdrop(daemon, "pause").exit_code == 0
    assert meshdrop(daemon, "retry", "shoe").exit_code == 0
    again = newest(daemon, failed)
    until(lambda: told(daemon.inbox / "shoe" / "STATUS.txt", again.id, "waits for its turn"), 15)
    assert meshdrop(daemon, "cancel", again.id).exit_code == 0
    until((daemon.inbox / "_cancelled" / f"shoe-{again.id}").is_dir, 10)
    assert meshdrop(daemon, "resume").exit_code == 0


@pytest.mark.ci
def test_submit_force_runs_again_what_has_a_result(daemon: Daemon) -> None:
    daemon.start()
    bundle = make_bundle(daemon.folder / "shoe")
    make_zip(daemon.folder / "boot.zip", seed=1)
    for source, entry in ((bundle, "shoe"), (daemon.folder / "boot.zip", "boot.zip")):
        assert meshdrop(daemon, "submit", source, "--wait").exit_code == 0
        first = daemon.job(entry)
        until(lambda: not (daemon.inbox / entry).exists())  # noqa: B023
        assert meshdrop(daemon, "submit", source, "--wait").exit_code == 0
        answered = daemon.job(entry)
        assert answered.answered_by == first.id
        until(lambda: not (daemon.inbox / entry).exists())  # noqa: B023
        done = meshdrop(daemon, "submit", source, "--force", "--wait")
        forced = daemon.job(entry)
        assert forced.id not in (first.id, answered.id)
        assert forced.id in done.output, "it follows its own job, not an earlier one of the name"
        assert (forced.state, forced.answered_by) == (State.SUCCESS, None)
        until(lambda: not (daemon.inbox / entry).exists())  # noqa: B023
    assert not list(daemon.inbox.glob("*.redo"))


def test_submit_ends_as_the_job_ends(daemon: Daemon) -> None:
    daemon.start()
    bad = make_bundle(daemon.folder / "bad")
    (bad / "multi_views" / "top.png").write_bytes(b"\xff\xd8\xff\xe0 a JPEG")
    done = meshdrop(daemon, "submit", bad, "--wait")
    assert done.exit_code == 3
    assert "INVALID_FILE_FORMAT" in done.output
    assert "top.png" in done.output
    taken = meshdrop(daemon, "submit", bad)
    assert taken.exit_code == 2, "the refused one still lies there"
    assert "already" in taken.output


def test_explain_says_which_gate_holds_it_and_what_became_of_it(daemon: Daemon) -> None:
    daemon.start()
    bundle = make_bundle(daemon.folder / "made")
    (bundle / "depth_renders" / "left.png").unlink()
    bundle.rename(daemon.inbox / "shoe")
    text = meshdrop(daemon, "explain", daemon.inbox / "shoe").output
    assert "11 of 12 files; waiting for depth_renders/left.png" in text
    assert "->  complete" in text
    assert "ok  readable" in text
    assert meshdrop(daemon, "explain", "/elsewhere/shoe").exit_code == 2
    shutil.copyfile(bundle.parent / "inbox/shoe/depth_renders/top.png", daemon.inbox / "shoe/depth_renders/left.png")
    job = daemon.job("shoe")
    until(lambda: not (daemon.inbox / "shoe").exists())
    for path in (daemon.inbox / "shoe", daemon.inbox / "_done" / f"shoe-{job.id}", daemon.outbox / "shoe", job.id):
        text = meshdrop(daemon, "explain", path).output
        assert job.id in text
        assert "SUCCESS" in text


@pytest.mark.slow
def test_redo_makes_a_kept_bundle_again(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(finished__then="keep").start()
    make_bundle(daemon.folder / "made").rename(daemon.inbox / "shoe")
    first = daemon.job("shoe")
    until(lambda: told(daemon.inbox / "shoe" / "STATUS.txt", first.id, "Finished"))
    (daemon.inbox / "shoe" / "REDO.txt").touch()
    second = newest(daemon, first)
    assert daemon.job("shoe").state is State.SUCCESS
    until(lambda: not (daemon.inbox / "shoe" / "REDO.txt").exists())
    assert daemon.results() == ["shoe", f"shoe-{second.id}"]
    assert daemon.job("shoe").answered_by is None


@pytest.mark.slow
def test_a_cancel_that_is_to_be_confirmed(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(cancel__confirm=True).start()
    make_bundle(daemon.folder / "made", seconds=60.0).rename(daemon.inbox / "shoe")
    daemon.job("shoe", State.PROGRESS)
    bundle = daemon.inbox / "shoe"
    (bundle / ".cancel").touch()
    until(lambda: told(bundle / "STATUS.txt", "Cancel it?", ".cancel-confirm", "1 hour"))
    assert daemon.job("shoe", State.PROGRESS).cancel_requested_at is None
    (bundle / ".cancel").unlink()  # withdrawn
    until(lambda: told(bundle / "STATUS.txt", "being reconstructed"), 20)
    (daemon.inbox / "shoe.cancel").touch()
    (daemon.inbox / "shoe.cancel-confirm.txt").touch()
    job = daemon.job("shoe")
    assert job.state is State.CANCELLED
    until((daemon.inbox / "_cancelled" / f"shoe-{job.id}").is_dir)
    assert [path.name for path in daemon.inbox.glob("*cancel*")] == ["_cancelled"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["pause", "drain"])
def test_pause_and_drain_hold_new_bundles_until_resume(daemon: Daemon, command: str) -> None:
    daemon.start()
    assert meshdrop(daemon, command).exit_code == 0
    make_bundle(daemon.folder / "made").rename(daemon.inbox / "shoe")
    if command == "pause":
        assert daemon.job("shoe", State.PENDING).state is State.PENDING
    else:
        until(lambda: '"shoe"' in meshdrop(daemon, "status", "--json").output)
        assert daemon.jobs() == []
    assert meshdrop(daemon, "resume").exit_code == 0
    assert daemon.job("shoe").state is State.SUCCESS
