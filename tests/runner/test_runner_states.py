"""The runner with a scripted worker and a clock of its own: no process, no waiting."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.spool import spool_folder
from daemon.states import State
from daemon.worker.protocol import Step, Stopped
from tests.runner.runner_house import FakeClock, House, failed

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
