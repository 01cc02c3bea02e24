"""Workers and daemons that die, with a scripted worker and a clock of its own."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from daemon.runner import workers
from daemon.spool import spool_folder
from daemon.states import State
from daemon.store import Job
from daemon.worker.protocol import Step
from tests.runner.runner_house import FakeChild, FakeClock, House, failed

# -- crashes ----------------------------------------------------------------------------------------------------


def crash(house: House, job: Job, code: int = -11) -> None:
    house.begin(job).code = code
    house.step()


def test_crashes_are_tried_again_and_others_run_meanwhile(house: House) -> None:
    job = house.admit(priority=5)
    crash(house, job)
    assert house.job(job).state is State.PENDING
    assert house.job(job).crashes == 1
    other = house.admit("other", seed=1)
    house.begin(other)
    house.finish(other)
    house.step(1.1)
    crash(house, job)
    house.step(3.5)
    assert house.job(job).state is State.PENDING
    house.step(0.6)
    crash(house, job)
    ended = house.job(job)
    assert (ended.state, ended.outcome, ended.crashes) == (State.PUBLISHING, State.FAILURE, 3)
    assert ended.error is not None
    assert ended.error["code"] == "WORKER_CRASHED"
    assert ended.error["details"]["exit"] == "SIGSEGV"


def test_a_worker_that_says_nothing_is_taken_for_hung(house: House) -> None:
    job = house.admit()
    child = house.begin(job)
    child.says(Step(job.id, "fuse", 0.3))
    house.step(200)
    house.step(299)
    assert child.signals == []
    house.step(2)
    house.step()
    assert "KILL" in child.signals
    assert house.job(job).state is State.PENDING
    assert "300 s at stage fuse" in house.store.transitions(job.id)[-1].reason


def test_a_worker_that_dies_after_its_result_is_complete_has_not_failed(house: House) -> None:
    job = house.admit()
    house.begin(job)
    house.done(job)
    house.child.code = -9
    house.step()
    assert house.job(job).outcome is State.SUCCESS


def test_out_of_memory_is_tried_again_lower_and_noted(house: House) -> None:
    job = house.admit(options={"quality": "standard", "texture_size_px": 8192})
    child = house.begin(job)
    child.says(failed(job, "MODEL_OOM"))
    house.step()
    assert child.signals == ["KILL"]  # its memory is wanted back
    again = house.begin(job)
    assert again.run.options["quality"] == "draft"
    assert again.run.options["texture_size_px"] is None
    assert "draft" in again.run.facts["notes"][0]
    assert house.job(job).options["quality"] == "standard"
    again.says(failed(job, "MODEL_OOM"))
    house.step()
    assert house.job(job).outcome is State.FAILURE


def test_out_of_memory_words_before_an_abort_are_believed(house: House) -> None:
    job = house.admit(options={"quality": "draft"})
    house.begin(job).last_words.append("terminate called after throwing an instance of 'std::bad_alloc'")
    house.child.code = -6
    house.step()
    error = house.job(job).error
    assert error is not None
    assert error["code"] == "MODEL_OOM"


def test_input_errors_fail_at_once_and_the_worker_stays(house: House) -> None:
    job = house.admit()
    child = house.begin(job)
    child.says(failed(job, "CALIBRATION_FAILED"))
    house.step()
    assert house.job(job).outcome is State.FAILURE
    assert child.signals == []


def test_a_worker_is_replaced_after_an_engine_s_error_and_after_so_many_jobs(tmp_path: Path) -> None:
    house = House(tmp_path, clock=FakeClock(), fake=True, run={"recycle_after_jobs": 2})
    jobs = [house.admit(f"b{n}", seed=n) for n in range(4)]
    first = house.begin(jobs[0])
    house.finish(jobs[0])
    assert house.begin(jobs[1]) is first
    house.finish(jobs[1])
    second = house.begin(jobs[2])
    assert second is not first
    assert first.signals == ["KILL"]
    second.says(failed(jobs[2], "MODEL_FAILED"))
    house.step()
    assert house.begin(jobs[3]) is not second
    house.close()


def test_what_a_job_leaves_behind_costs_it_the_worker(house: House) -> None:
    job = house.admit()
    child = house.begin(job)
    child.left = 1
    house.finish(job)
    assert child.signals == ["KILL"]


def test_no_job_is_blamed_for_a_worker_that_can_t_start(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    class Dead(FakeChild):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self._says = []
            self.code = 1
            self.last_words.append("ModuleNotFoundError: No module named 'torch'")

    monkeypatch.setattr(house.runner._workers, "_spawn", Dead)
    job, other = house.admit(), house.admit("other", seed=1)
    for _ in range(400):
        house.step(0.5)
    held = house.job(job)
    assert held.state is State.HELD
    assert held.hold_reason is not None
    assert "No module named 'torch'" in held.hold_reason
    assert house.job(other).state is State.PENDING
    assert len(house.path(job)) == 2
    monkeypatch.setattr(house.runner._workers, "_spawn", FakeChild)
    for _ in range(200):
        house.step(0.5)
        if house.job(job).state is State.PROGRESS:
            break
    assert house.job(job).state is State.PROGRESS


def test_a_worker_that_can_t_be_forked_is_tried_later(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> FakeChild:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(house.runner._workers, "_spawn", refuse)
    job = house.admit()
    for _ in range(5):
        house.step(0.1)
    assert house.job(job).state is State.PENDING
    monkeypatch.setattr(house.runner._workers, "_spawn", FakeChild)
    house.step(workers._RESPAWN_S[-1])
    house.begin(job)


# -- start and end of the daemon --------------------------------------------------------------------------------


def test_stopped_at_once_the_job_runs_again(house: House) -> None:
    job = house.admit()
    child = house.begin(job)
    house.runner.shutdown()
    assert child.signals == ["KILL"]
    assert house.job(job).state is State.PENDING
    assert house.step() > 0
    assert house.job(job).state is State.PENDING
    house.runner = house.new_runner()
    house.begin(job)
    assert house.finish(job).outcome is State.SUCCESS


def test_killed_between_result_and_record_the_engine_does_not_run_twice(house: House) -> None:
    whole, damaged, cancelled, cut = (house.admit(f"b{n}", seed=n) for n in range(4))
    for job in (whole, damaged, cancelled, cut):
        house.store.transition(job.id, State.PROGRESS, reason="its turn")
    for job in (whole, damaged):
        house.done(job)
    (spool_folder(house.state, damaged.id) / "result" / "quality.json").write_text("{ ")
    house.store.request_cancel(cancelled.id, "ann")
    house.store.set_flag("paused", True, by="ann")
    house.runner = house.new_runner()
    house.step()
    states = [house.job(job).state for job in (whole, damaged, cancelled, cut)]
    assert states == [State.PUBLISHING, State.PENDING, State.CANCELLED, State.PENDING]
    assert house.job(whole).outcome is State.SUCCESS


@pytest.mark.parametrize("said", ["done", "failed"])
def test_an_end_that_can_t_be_recorded_is_recorded_later(
    house: House, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    job = house.admit()
    child = house.begin(job)
    child.says(house.done(job) if said == "done" else failed(job, "CALIBRATION_FAILED"))

    def refuse(*arguments: Any, **changes: Any) -> Job:
        raise OSError(errno.ENOSPC, "database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(house.store, "transition", refuse)
        for _ in range(3):
            with pytest.raises(OSError, match="full"):
                house.step(1)
    house.step(1)
    if said == "done":
        assert house.job(job).outcome is State.SUCCESS
        assert house.path(job) == ["PENDING", "PROGRESS", "PUBLISHING"]
    else:
        house.begin(job)
    assert child.signals == []  # it has done nothing wrong


def test_what_a_kill_has_left_half_written_does_not_hold_the_job(house: House) -> None:
    job = house.admit()
    (spool_folder(house.state, job.id) / ".done.json.1e5b734f.tmp").write_bytes(b"{")
    house.begin(job)
    assert not list(spool_folder(house.state, job.id).glob(".done*"))


def test_what_an_earlier_attempt_has_left_is_cleared(house: House) -> None:
    job = house.admit()
    folder = spool_folder(house.state, job.id)
    house.done(job)
    (folder / ".result.partial-1234").mkdir()
    house.begin(job)
    assert [path.name for path in folder.iterdir()] == ["input"]
