"""What holds the queue, and what needs no run, with a scripted worker and a clock of its own."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest

from config.errors import error_classes
from daemon.files import Files
from daemon.spool import spool_folder
from daemon.states import State
from daemon.store import Job
from tests.runner.runner_house import FakeClock, House, failed

# -- held -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["DISK_FULL", "GPU_UNAVAILABLE", "MEMORY_EXHAUSTED", "SHARE_UNAVAILABLE"])
def test_the_machine_s_faults_hold_the_queue_and_let_it_go_on(house: House, code: str) -> None:
    job, other = house.admit(priority=1), house.admit("other", seed=1)
    house.begin(job).says(failed(job, code))
    house.step()
    held = house.job(job)
    assert (held.state, held.hold_code, held.hold_reason) == (State.HELD, code, "It went wrong.")
    for _ in range(5):
        house.step(1)
    assert house.job(other).state is State.PENDING
    house.step(30)
    house.begin(job)
    assert house.finish(job).outcome is State.SUCCESS
    house.begin(other)


class FullFiles(Files):
    """A file system that has as much room as the test says. full: where nothing can be written."""

    def __init__(self) -> None:
        self.room: dict[str, int] = {}
        self.full: Path | None = None

    def statvfs(self, path: Path) -> Any:
        free = next((room for name, room in self.room.items() if name in str(path)), 1 << 40)
        return SimpleNamespace(f_bavail=free >> 12, f_frsize=1 << 12)

    @contextmanager
    def writing(self, path: Path, mode: int = 0o666, *, durable: bool = True) -> Iterator[BinaryIO]:
        if self.full is not None and path.is_relative_to(self.full):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        with super().writing(path, mode, durable=durable) as file:
            yield file


@pytest.fixture
def files() -> FullFiles:
    return FullFiles()


@pytest.fixture
def tight(tmp_path: Path, files: FullFiles) -> Iterator[House]:
    made = House(tmp_path, clock=FakeClock(), fake=True, files=files, run={"reserve_mb": 100})
    yield made
    made.close()


@pytest.mark.parametrize("where", ["/state", "/outbox"])
def test_a_job_begins_only_where_there_is_room(tight: House, files: FullFiles, where: str) -> None:
    files.room[where] = 99 << 20
    jobs = [tight.admit(f"b{n}", seed=n) for n in range(3)]
    for _ in range(10):
        tight.step(1)
    held = [job for job in map(tight.job, jobs) if job.state is State.HELD]
    assert len(held) == 1  # one says it for all
    assert held[0].hold_code == "DISK_FULL"
    assert where in str(held[0].hold_reason)
    steps = len(tight.path(held[0]))
    for _ in range(10):
        tight.step(31)
    assert len(tight.path(held[0])) == steps  # it is not tried in vain
    files.room.clear()
    tight.step(31)
    tight.begin(jobs[0])


def test_free_space_is_believed_only_once_something_could_be_written(tight: House, files: FullFiles) -> None:
    job = tight.admit()
    tight.begin(job).says(failed(job, "DISK_FULL"))
    files.full = tight.state / "spool"
    for _ in range(4):
        tight.step(31)
    assert tight.job(job).state is State.HELD
    files.full = None
    tight.step(31)
    tight.begin(job)


def test_a_full_disk_can_t_make_a_failure_of_a_job(tight: House, files: FullFiles) -> None:
    job = tight.admit()
    tight.begin(job).says(failed(job, "CALIBRATION_FAILED"))
    files.full = tight.state / "spool"
    tight.step()
    assert tight.job(job).state is State.HELD
    assert tight.job(job).hold_code == "DISK_FULL"


def test_a_share_that_never_answers_does_not_stop_the_runner(tight: House, files: FullFiles) -> None:
    frozen, asked = threading.Event(), files.statvfs

    def statvfs(path: Path) -> Any:
        if "/outbox" in str(path):
            frozen.wait(20)
        return asked(path)

    files.statvfs = statvfs  # type: ignore[method-assign]
    job = tight.admit()
    try:
        tight.begin(job)
    finally:
        frozen.set()


# -- what needs no run ------------------------------------------------------------------------------------------


def test_a_refused_bundle_becomes_a_result_of_its_error(house: House) -> None:
    error = error_classes()["INVALID_FILE_COUNT"]("top.png is missing.").as_json()
    job = house.admit(spooled=False, error=error)
    house.step()
    job = house.job(job)
    assert (job.state, job.outcome, job.error) == (State.PUBLISHING, State.FAILURE, error)
    assert house.path(job) == ["PENDING", "PUBLISHING"]
    assert (spool_folder(house.state, job.id) / "result" / "error.json").exists()


def earlier(house: House, **changes: Any) -> Job:
    job = house.admit("earlier", seed=9, content_key="the same")
    house.begin(job)
    house.finish(job)
    house.store.update(job.id, **changes)
    return house.store.transition(job.id, State.SUCCESS, reason="published")


def until_it_moves(house: House, job: Job) -> Job:
    for _ in range(200):
        house.step(0.01)
        if house.job(job).state is not State.PENDING:
            return house.job(job)
    raise AssertionError("it does not move")


def test_the_same_content_is_answered_by_the_earlier_result(house: House) -> None:
    first = earlier(house)
    house.runner._answering._find = lambda job: first
    job = until_it_moves(house, house.admit(content_key="the same"))
    assert (job.state, job.outcome, job.answered_by, job.verdict) == (
        State.PUBLISHING, State.SUCCESS, first.id, "normal",
    )  # fmt: skip


@pytest.mark.parametrize("why", ["force", "lowered", "not there any more"])
def test_the_same_content_runs_again_where_it_should(house: House, why: str) -> None:
    first = earlier(house, lowered=why == "lowered")
    house.runner._answering._find = lambda job: None if why == "not there any more" else house.job(first)
    job = house.admit(content_key="the same", options={"force": True} if why == "force" else {})
    assert until_it_moves(house, job).state is State.PROGRESS


def test_the_same_content_waits_for_a_result_that_is_being_published(house: House) -> None:
    """As a bundle's that was renamed while it ran."""
    first = house.admit(content_key="the same")
    second = house.admit("renamed", content_key="the same")
    other = house.admit("other", seed=1)
    house.begin(first)
    house.finish(first)
    house.runner._answering._find = lambda job: house.job(first)
    house.begin(other)
    house.finish(other)
    house.step(1.0)
    assert house.job(second).state is State.PENDING
    house.store.transition(first.id, State.SUCCESS, reason="published")
    house.step(1.0)
    house.step(1.0)
    assert (house.job(second).state, house.job(second).answered_by) == (State.PUBLISHING, first.id)


def test_an_outbox_that_never_answers_costs_a_minute(house: House) -> None:
    earlier(house)
    frozen = threading.Event()
    house.runner._answering._find = lambda job: frozen.wait(30) and None
    job = house.admit(content_key="the same")
    try:
        for _ in range(3):
            house.step(1)
        assert house.job(job).state is State.PENDING
        house.step(60)
        assert until_it_moves(house, job).state is State.PROGRESS
    finally:
        frozen.set()
