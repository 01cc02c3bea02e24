"""The copies that jobs run on: ahead of their turn, checked again, and held where a disk or a share fails."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from daemon.files import Files
from daemon.spool import Spooler, spool_folder
from daemon.states import State
from daemon.store import Job
from tests.daemon_stand_in import make_zip
from tests.daemon_stand_in.bundles import bundle_files
from tests.runner.runner_house import FakeClock, House


class BrokenFiles(Files):
    """A file system that fails where the test says, with the error that it says."""

    def __init__(self) -> None:
        self.reads: dict[Path, int] = {}
        self.writes: dict[Path, int] = {}
        self.fsyncs: dict[Path, int] = {}

    @staticmethod
    def _check(broken: dict[Path, int], path: Path) -> None:
        for folder, number in broken.items():
            if path.is_relative_to(folder):
                raise OSError(number, os.strerror(number), str(path))

    def lstat(self, path: Path) -> os.stat_result:
        self._check(self.reads, path)
        return super().lstat(path)

    @contextmanager
    def reading(self, path: Path) -> Iterator[BinaryIO]:
        self._check(self.reads, path)
        with super().reading(path) as file:
            yield file

    @contextmanager
    def writing(self, path: Path, mode: int = 0o666, *, durable: bool = True) -> Iterator[BinaryIO]:
        self._check(self.writes, path)
        with super().writing(path, mode, durable=durable) as file:
            yield file
        if durable:
            self._check(self.fsyncs, path)


class Copies(House):
    """A spooler over a store. away: why the inbox's share is not there."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.broken = BrokenFiles()
        super().__init__(folder, clock=FakeClock(), files=self.broken, fake=True, **settings)
        self.away: str | None = None
        self.spooler = Spooler(
            self.settings, self.store, self.clock, self.files, lambda inbox: self.away, self._changed
        )

    def spool(self, steps: int = 10, seconds: float = 1.0) -> None:
        for _ in range(steps):
            self.clock.passed_s += seconds  # type: ignore[attr-defined]
            self.spooler.step(self.clock.monotonic_s())

    def input(self, job: Job) -> Path:
        return spool_folder(self.state, job.id) / "input"

    def drop(self, name: str = "red-shoe", seed: int = 0, **words: object) -> Job:
        return self.admit(name, seed=seed, spooled=False, **words)  # type: ignore[arg-type]

    def zipped(self, name: str = "blue-chair.zip") -> Job:
        """A job whose bundle is a zip."""
        job = self.drop(name)
        shutil.rmtree(self.settings.inbox / name)
        make_zip(self.settings.inbox / name)
        return job


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Copies]:
    made = Copies(tmp_path)
    yield made
    made.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_jobs_are_copied_ahead(house: Copies) -> None:
    jobs = [house.drop(f"b{n}", n) for n in range(4)]
    house.spool()
    assert [house.job(job).spooled for job in jobs] == [True, True, False, False]
    assert contents(house.input(jobs[1])) == bundle_files(seed=1)
    house.store.transition(jobs[0].id, State.PROGRESS, reason="its turn")
    house.spool(2)
    assert [house.job(job).spooled for job in jobs] == [True, True, True, False]


def test_job_toml_comes_along(house: Copies) -> None:
    job = house.drop(job='quality = "draft"\n')
    house.spool(2)
    assert (house.input(job) / "job.toml").read_text() == 'quality = "draft"\n'


def test_a_bundle_in_wrapping_folders_and_other_letters_has_the_engine_s_layout(house: Copies) -> None:
    job = house.drop()
    source = house.settings.inbox / "red-shoe"
    inner = source / "from ann" / "shoe"
    inner.mkdir(parents=True)
    (source / "multi_views").rename(inner / "Multi_Views")
    (source / "depth_renders").rename(inner / "depth_renders")
    (inner / "Multi_Views" / "front.png").rename(inner / "Multi_Views" / "FRONT.PNG")
    house.spool(2)
    assert contents(house.input(job)) == bundle_files()


def test_a_zip_is_taken_out(house: Copies) -> None:
    job = house.zipped()
    house.spool(2)
    assert house.job(job).spooled
    assert contents(house.input(job)) == bundle_files()


@pytest.mark.parametrize("zipped", [False, True])
def test_what_was_changed_before_it_was_copied_is_taken_anew(house: Copies, zipped: bool) -> None:
    job = house.zipped() if zipped else house.drop()
    source = Path(job.source)
    if zipped:
        make_zip(source, seed=5)
    else:
        (source / "depth_renders" / "top.png").write_bytes(bundle_files(seed=5)["depth_renders/top.png"])
    house.spool(2)
    job = house.job(job)
    assert job.state is State.CANCELLED
    assert "changed before it was copied" in house.store.transitions(job.id)[-1].reason
    assert not house.input(job).parent.exists()


@pytest.mark.parametrize("how", ["a file is gone", "a link", "a fifo", "a folder", "damaged zip"])
def test_what_is_no_longer_a_bundle_was_changed(house: Copies, how: str, tmp_path: Path) -> None:
    job = house.zipped() if how == "damaged zip" else house.drop()
    path = Path(job.source) / "multi_views" / "left.png"
    if how == "damaged zip":
        Path(job.source).write_bytes(Path(job.source).read_bytes()[:-100])
    else:
        path.unlink()
    if how == "a link":
        path.symlink_to("/etc/passwd")
    elif how == "a fifo":
        os.mkfifo(path)
    elif how == "a folder":
        path.mkdir()
    house.spool(2)
    assert house.job(job).state is State.CANCELLED
    assert "changed" in house.store.transitions(job.id)[-1].reason


def test_a_folder_that_was_removed_says_so(house: Copies) -> None:
    job = house.drop()
    shutil.rmtree(job.source)
    house.spool(2)
    assert house.job(job).state is State.CANCELLED
    assert house.store.transitions(job.id)[-1].reason == "the folder was removed"


@pytest.mark.parametrize("lost", ["a file", "half of it"])
def test_a_share_that_goes_away_during_the_look_has_changed_nothing(house: Copies, lost: str) -> None:
    job = house.drop()
    kept = house.settings.inbox.with_name("kept")
    shutil.copytree(job.source, kept)
    folder = Path(job.source) / "depth_renders"
    (folder / "top.png").unlink() if lost == "a file" else shutil.rmtree(folder)
    house.away = "The inbox is not mounted."
    house.spool(5)
    held = house.job(job)
    assert (held.state, held.hold_code) == (State.HELD, "SHARE_UNAVAILABLE")
    shutil.rmtree(job.source)
    kept.rename(job.source)
    house.away = None
    house.spool(10)
    assert house.job(job).spooled


def test_a_share_that_is_away_has_removed_nothing(house: Copies) -> None:
    """Its jobs wait, one of them says why, and go on when it is back; other inboxes' jobs are another matter."""
    jobs = [house.drop(f"b{n}", n) for n in range(5)]
    away = house.settings.inbox.with_name("elsewhere")
    house.settings.inbox.rename(away)
    house.settings.inbox.mkdir()
    house.away = "The inbox is not the folder that it was: its marker is missing."
    house.spool(30)
    states = [house.job(job).state for job in jobs]
    assert states.count(State.HELD) == 1
    assert states.count(State.PENDING) == 4
    held = house.store.jobs(states={State.HELD})[0]
    assert (held.hold_code, held.hold_reason) == ("SHARE_UNAVAILABLE", house.away)
    assert len(house.path(held)) == 2
    house.settings.inbox.rmdir()
    away.rename(house.settings.inbox)
    house.away = None
    house.spool(10)  # two polls
    assert [house.job(job).spooled for job in jobs].count(True) == 2


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE, errno.ETIMEDOUT])
def test_a_file_that_can_t_be_read_holds_its_job_alone(house: Copies, number: int) -> None:
    job, other = house.drop(), house.drop("other", 1)
    front = Path(job.source) / "multi_views" / "front.png"
    house.broken.reads[front] = number
    house.spool(4)
    held = house.job(job)
    assert (held.state, held.hold_code) == (State.HELD, "SHARE_UNAVAILABLE")
    assert "front.png" in str(held.hold_reason)
    assert house.job(other).spooled
    steps = len(house.path(job))
    house.spool(30)
    assert len(house.path(job)) == steps  # it is not tried in vain
    house.broken.reads.clear()
    house.spool(10)
    assert house.job(job).spooled


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["writes", "fsyncs"])
def test_a_full_spool_holds_and_goes_on_once_something_could_be_written(house: Copies, number: int, call: str) -> None:
    job, other = house.drop(), house.drop("other", 1)
    getattr(house.broken, call)[house.state / "spool"] = number
    house.spool(40)
    held = house.job(job)
    assert (held.state, held.hold_code) == (State.HELD, "DISK_FULL")
    assert str(house.state) in str(held.hold_reason)
    assert house.job(other).state is State.PENDING
    assert len(house.path(job)) == 2  # it is not tried in vain
    assert not house.input(job).parent.exists()
    getattr(house.broken, call).clear()
    house.spool(6)
    assert house.job(job).spooled
    assert house.job(other).spooled


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_really_full_disk_holds_and_goes_on(tmp_path: Path) -> None:
    state = tmp_path / "state" / "spool"
    state.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1600k", "tmpfs", str(state)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        house = Copies(tmp_path)
        (state / "ballast").write_bytes(b"\0" * (1560 << 10))
        job = house.drop()
        house.spool(20)
        assert house.job(job).hold_code == "DISK_FULL"
        (state / "ballast").unlink()
        house.spool(12, seconds=5)
        assert house.job(job).spooled
        house.close()
    finally:
        subprocess.run(["umount", str(state)], check=True)


def test_the_spool_has_a_limit_but_one_job_always_fits(tmp_path: Path) -> None:
    house = Copies(tmp_path, spool={"max_bytes": 1 << 20, "jobs_ahead": 2})
    job, other = house.drop(), house.drop("other", 1)
    result = spool_folder(house.state, other.id)
    house.store.update(other.id, notes=[])
    (result / "result").mkdir(parents=True)
    (result / "result" / "mesh.glb").write_bytes(b"\0" * (1 << 20))
    house.spool(3)
    assert not house.job(job).spooled  # an unpublished result fills it
    assert house.job(job).state is State.PENDING
    shutil.rmtree(result)
    house.spool(3)
    assert house.job(job).spooled
    house.close()


def test_a_job_cancelled_while_it_is_copied_is_dropped(house: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    job = house.drop()
    copy = house.spooler._copy_file

    def copy_and_cancel(source: Path, target: Path) -> str:
        house.store.request_cancel(job.id, "ann")
        return copy(source, target)

    monkeypatch.setattr(house.spooler, "_copy_file", copy_and_cancel)
    house.spool(2)
    assert not house.job(job).spooled
    assert not house.input(job).parent.exists()


def test_what_no_job_needs_any_more_is_removed(house: Copies) -> None:
    job, kept = house.drop(), house.drop("kept", 1)
    house.spool(3)
    nobody = house.state / "spool" / "0123abcd"
    nobody.mkdir()
    mine = house.state / "spool" / "notes of the administrator"
    mine.mkdir()
    house.store.transition(job.id, State.CANCELLED, reason="cancelled")
    house.spool(10)
    assert not spool_folder(house.state, job.id).exists()
    assert not nobody.exists()
    assert house.input(kept).exists()
    assert mine.exists()


def test_a_stopped_spooler_leaves_half_copies_to_nobody(house: Copies) -> None:
    job = house.drop()
    house.spooler.shutdown()
    house.spool(2)
    assert not house.job(job).spooled
    house.spooler = Spooler(house.settings, house.store, house.clock, house.files, lambda inbox: None)
    (house.input(job).parent / "input.partial").mkdir(parents=True)
    house.spool(2)
    assert house.job(job).spooled
    assert sorted(path.name for path in house.input(job).parent.iterdir()) == ["input"]
