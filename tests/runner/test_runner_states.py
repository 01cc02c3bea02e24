"""The runner with a scripted worker and a clock of its own: no process, no waiting."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import error_classes
from daemon.files import Files
from daemon.runner import workers
from daemon.spool import spool_folder
from daemon.states import State
from daemon.store import Job
from daemon.worker.protocol import Failed, Step, Stopped
from tests.runner.runner_house import FakeChild, FakeClock, House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, clock=FakeClock(), fake=True)
    yield made
    made.close()


def failed(job: Job, code: str) -> Failed:
    return Failed(job.id, error_classes()[code]("It went wrong.").as_json())


# -- results ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "outcome"), [("normal", State.SUCCESS), ("warning", State.SUCCESS), ("failure", State.FAILURE)]
)
def test_a_result_goes_on_to_be_published(house: House, verdict: str, outcome: State) -> None:
    job = house.admit()
    house.begin(job)
    job = house.finish(job, verdict)
    assert (job.state, job.outcome, job.verdict) == (State.PUBLISHING, outcome, verdict)
    assert job.manifest
    assert (job.error is not None) == (verdict == "failure")
    assert house.path(job) == ["PENDING", "PROGRESS", "PUBLISHING"]


def test_the_worker_is_told_all_that_it_needs(house: House) -> None:
    job = house.admit("r\udcffd", options={"quality": "high", "seed": 3})
    run = house.begin(job).run
    folder = spool_folder(house.state, job.id)
    assert (run.job, run.bundle, run.out) == (job.id, str(folder / "input"), str(folder / "result"))
    assert run.options == {"quality": "high", "seed": 3}
    assert run.settings["state_dir"] == str(house.state)
    assert run.facts["id"] == job.id
    assert run.facts["started_at"]
    assert run.zip_name is not None
    assert run.zip_name.endswith(".zip")


def test_progress_is_written_down_at_most_four_times_a_second(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    job = house.admit()
    child = house.begin(job)
    told: list[float] = []
    monkeypatch.setattr(house.store, "progress", lambda job_id, stage, fraction, eta_s: told.append(fraction))
    for number in range(1000):
        child.says(Step(job.id, "texture", number / 1000, 1.0))
        house.step(0.01)
    assert 30 <= len(told) <= 41
    assert told == sorted(told)
    current = house.runner.current()
    assert current is not None
    assert (current.job, current.stage, current.fraction) == (job.id, "texture", 0.999)


def test_the_highest_priority_goes_first_and_one_at_a_time(house: House) -> None:
    jobs = [house.admit(f"b{n}", seed=n, priority=n) for n in range(3)]
    order = []
    for _ in jobs:
        house.step()
        house.step()
        (running,) = house.store.jobs(states={State.PROGRESS})
        order.append(running.priority)
        house.finish(running)
    assert order == [2, 1, 0]


def test_a_job_without_its_copy_waits_for_it(house: House) -> None:
    job = house.admit(spooled=False)
    for _ in range(3):
        house.step(1)
    assert house.job(job).state is State.PENDING


def test_a_copy_that_is_gone_is_made_again(house: House) -> None:
    job = house.admit()
    house.files.remove_tree(spool_folder(house.state, job.id))
    for _ in range(3):
        house.step(1)
    assert house.job(job).state is State.PENDING
    assert not house.job(job).spooled


def test_paused_finishes_what_runs_and_begins_nothing(house: House) -> None:
    first, second = house.admit("a"), house.admit("b", seed=1)
    house.begin(first)
    house.store.set_flag("paused", True, by="ann")
    house.finish(first)
    for _ in range(3):
        house.step(1)
    assert house.job(second).state is State.PENDING
    house.store.set_flag("paused", False, by="ann")
    house.begin(second)


# -- stopping ---------------------------------------------------------------------------------------------------


def test_cancel_asks_then_terminates_then_kills(house: House) -> None:
    job = house.admit()
    child = house.begin(job)
    child.immortal = True
    house.store.request_cancel(job.id, "ann")
    house.step(0.3)
    assert child.was_asked
    assert child.signals == []
    house.step(1.9)
    assert child.signals == []
    house.step(0.2)
    assert child.signals == ["TERM"]
    house.step(1.3)
    assert child.signals == ["TERM"]
    house.step(0.2)
    assert child.signals == ["TERM", "KILL"]
    assert house.job(job).state is State.PROGRESS  # it is not cancelled before its memory is back
    child.code = -9
    house.step()
    cancelled = house.job(job)
    assert cancelled.state is State.CANCELLED
    assert house.store.transitions(job.id)[-1].by == "ann"


def test_a_worker_that_has_stopped_a_cancelled_job_is_replaced(house: House) -> None:
    job = house.admit()
    child = house.begin(job)
    house.store.request_cancel(job.id, "ann")
    house.step(0.3)
    child.says(Stopped(job.id))
    house.step()
    house.step()
    assert child.signals[-1] == "KILL"
    assert house.job(job).state is State.CANCELLED
    house.step()
    assert house.child is not child


def test_a_cancel_in_the_last_moment_counts(house: House) -> None:
    job = house.admit()
    house.begin(job)
    house.store.request_cancel(job.id, "ann")
    assert house.finish(job).state is State.CANCELLED


@pytest.mark.parametrize("held", [False, True])
def test_what_does_not_run_is_cancelled_at_once(house: House, held: bool) -> None:
    house.store.set_flag("paused", True, by="ann")
    job = house.admit()
    if held:
        house.store.transition(job.id, State.HELD, reason="the share is away", hold_code="SHARE_UNAVAILABLE")
    house.store.request_cancel(job.id, "ann")
    house.step()
    assert house.job(job).state is State.CANCELLED


@pytest.mark.parametrize(("own", "limit_s"), [(None, 3600.0), (7.0, 7.0)])
def test_a_job_has_a_limit_of_time(house: House, own: float | None, limit_s: float) -> None:
    job = house.admit(options={"timeout_s": own} if own else {})
    child = house.begin(job)
    for _ in range(19):
        child.says(Step(job.id, "texture", 0.5))
        house.step(limit_s / 20)
    assert not child.was_asked
    child.says(Step(job.id, "texture", 0.5))
    house.step(limit_s / 20 + 0.1)
    assert child.was_asked
    house.step(2.1)
    house.step(1.6)
    house.step()
    ended = house.job(job)
    assert (ended.state, ended.outcome) == (State.PUBLISHING, State.FAILURE)
    assert ended.error is not None
    assert ended.error["code"] == "TIMEOUT"
    assert ended.manifest is not None
    assert set(ended.manifest) == {"error.json", "job.json"}


def test_the_wall_clock_stops_nothing(house: House) -> None:
    job = house.admit()
    child = house.begin(job)
    clock = house.clock
    now = clock.now
    for days in (1, -1):
        clock.now = lambda days=days: now() + timedelta(days=days)  # type: ignore[method-assign,misc]
        house.step(1)
    assert not child.was_asked
    assert house.finish(job).state is State.PUBLISHING


def test_a_result_that_comes_with_the_time_limit_is_taken(house: House) -> None:
    job = house.admit(options={"timeout_s": 5})
    house.begin(job)
    house.step(5.1)
    house.finish(job)
    house.step()
    assert house.job(job).outcome is State.SUCCESS


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


# -- anything, in any order -------------------------------------------------------------------------------------

ACTIONS = ("admit", "cancel", "done", "oom", "crash", "hold", "stopped", "wait", "long", "restart", "pause", "input")


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(ACTIONS), max_size=20))
def test_whatever_happens_one_job_runs_at_most_and_all_come_to_an_end(
    tmp_path_factory: pytest.TempPathFactory, actions: list[str]
) -> None:
    house = House(tmp_path_factory.mktemp("any"), clock=FakeClock(), fake=True)
    jobs = [house.admit("b0")]
    for action in actions:
        running = house.store.jobs(states={State.PROGRESS})
        assert len(running) <= 1
        job = running[0] if running else None
        match action:
            case "admit":
                jobs.append(house.admit(f"b{len(jobs)}", seed=len(jobs)))
            case "cancel":
                house.store.request_cancel(jobs[len(actions) % len(jobs)].id, "ann")
            case "restart":
                house.runner.shutdown()
                house.runner = house.new_runner()
            case "pause":
                house.store.set_flag("paused", not house.store.flag("paused"), by="ann")
            case "long":
                house.step(301)
            case _ if job is not None:
                said = {"oom": "MODEL_OOM", "hold": "GPU_UNAVAILABLE", "input": "CALIBRATION_FAILED"}.get(action)
                if said:
                    house.child.says(failed(job, said))
                elif action == "done":
                    house.child.says(house.done(job))
                elif action == "crash":
                    house.child.code = -11
                elif action == "stopped":
                    house.child.says(Stopped(job.id))
        house.step(0.5)
    house.store.set_flag("paused", False, by="ann")
    for _ in range(400):
        left = house.store.jobs(states={State.PENDING, State.PROGRESS, State.HELD})
        if not left:
            break
        for job in left:
            if job.state is State.PROGRESS:
                house.child.says(house.done(job))
        house.step(5)
    else:
        pytest.fail(f"these never end: {left}")
    house.close()
