"""The runner with real worker processes, which run a stand-in for the engine as badly behaved as they come."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from daemon.runner.child import Child
from daemon.runner.leftovers import find_marked
from daemon.spool import spool_folder
from daemon.states import State
from daemon.store import Job
from tests.daemon_stand_in import ROOT
from tests.runner.runner_house import House

RUNNING = ("bundle", "texture", "flood")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, run={"crash_retries": 1, "silent_s": 20}, cancel={"ask_s": 0.4, "terminate_s": 0.4})
    yield made
    made.close()


def until_it_works(house: House, job: Job) -> int:
    """Until a job computes; the worker's process id."""
    house.until(lambda: house.job(job).stage in RUNNING)
    pid = house.runner.worker_pid()
    assert pid is not None
    return pid


def code_of(job: Job) -> str:
    assert job.error is not None
    return str(job.error["code"])


def test_jobs_run_one_after_the_other_in_a_warm_worker(house: House) -> None:
    """Nonsense on its standard output, a flood of progress and many words on the other are no trouble."""
    first = house.admit("a", garbage=True, flood=100_000, say="x" * 200_000)
    second = house.admit("b", seed=1, verdict="warning")
    third = house.admit("c", seed=2, verdict="failure")
    house.until_state(third, State.PUBLISHING)
    jobs = [house.job(job) for job in (first, second, third)]
    assert [job.outcome for job in jobs] == [State.SUCCESS, State.SUCCESS, State.FAILURE]
    assert code_of(jobs[2]) == "QUALITY_THRESHOLD_FAILED"
    for before, after in pairwise(jobs):
        ended = next(step.at for step in house.store.transitions(before.id) if step.after is State.PUBLISHING)
        assert after.started_at is not None
        assert (after.started_at - ended).total_seconds() <= 0.3
    folder = spool_folder(house.state, first.id) / "result"
    assert jobs[0].manifest is not None
    assert set(jobs[0].manifest) == {path.name for path in folder.iterdir()}
    assert json.loads((folder / "job.json").read_text())["job"]["id"] == first.id


def test_a_worker_is_given_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHDROP_WEBHOOK__SECRET", "not for workers")
    monkeypatch.setenv("MESHDROP_ENGINE__THREADS", "2")
    child = Child(
        (
            sys.executable,
            "-c",
            "import os, sys; [print(*v, file=sys.stderr) for v in os.environ.items() if 'MESHDROP' in v[0]]",
        )
    )
    try:
        assert child.wait(30)
        child.messages()
        said = " ".join(child.last_words)
    finally:
        child.close()
    assert "MESHDROP_ENGINE__THREADS" in said
    assert "not for workers" not in said


def test_what_the_engine_raises_has_a_code(house: House) -> None:
    codes = {
        "VALIDATION_FAILED": "VALIDATION_FAILED",
        "CALIBRATION_FAILED": "CALIBRATION_FAILED",
        "vram": "MODEL_VRAM_OOM",
        "exception": "UNKNOWN_ERROR",
        "incomplete": "INCOMPLETE_RESULTS",
    }
    options = {"quality": "draft"}
    jobs = {end: house.admit(end, seed=number, end=end, options=options) for number, end in enumerate(codes)}
    last = house.admit("last", seed=99, end="DISK_FULL")
    assert house.until_state(last, State.HELD, within_s=60).hold_code == "DISK_FULL"
    assert {end: code_of(house.job(job)) for end, job in jobs.items()} == codes


def test_memory_that_ran_out_is_tried_at_a_lower_quality(house: House) -> None:
    job = house.admit(end="memory_error", unless_quality="draft", options={"quality": "standard"})
    job = house.until_state(job, State.PUBLISHING)
    assert (job.outcome, job.lowered) == (State.SUCCESS, True)
    document = json.loads((spool_folder(house.state, job.id) / "result" / "job.json").read_text())
    assert document["options"]["quality"] == "draft"
    assert any("draft" in note for note in document["notes"])


def test_a_worker_that_exits_is_replaced_and_the_job_runs_again(house: House) -> None:
    job = house.admit(end="exit", first=1)
    job = house.until_state(job, State.PUBLISHING)
    assert (job.outcome, job.crashes) == (State.SUCCESS, 1)


def test_a_job_that_kills_every_worker_fails_and_the_next_one_runs(house: House) -> None:
    job, other = house.admit(end="segfault"), house.admit("other", seed=1)
    job = house.until_state(job, State.PUBLISHING)
    assert code_of(job) == "WORKER_CRASHED"
    assert job.crashes == 2
    assert any("Segmentation fault" in line for line in job.error["details"]["last_words"])  # type: ignore[index]
    assert house.until_state(other, State.PUBLISHING).outcome is State.SUCCESS


def test_killed_from_outside_the_job_runs_again(house: House) -> None:
    job = house.admit(seconds=1.0)
    os.kill(until_it_works(house, job), signal.SIGKILL)
    assert house.until_state(job, State.PUBLISHING).outcome is State.SUCCESS
    assert house.job(job).crashes == 1


@pytest.mark.parametrize("deaf", [False, True])
def test_a_cancelled_job_is_gone_with_its_memory(tmp_path: Path, deaf: bool) -> None:
    """With the settings as they come; deaf: it neither asks whether to stop nor minds SIGTERM."""
    house = House(tmp_path)
    job = house.admit(seconds=60, memory_mb=300, ignore_cancel=deaf, ignore_sigterm=deaf)
    pid = until_it_works(house, job)
    worker = psutil.Process(pid)
    house.until(lambda: worker.memory_info().rss > 300 << 20)
    house.store.request_cancel(job.id, "ann")
    took_s = house.until(lambda: house.job(job).state is State.CANCELLED)
    assert not psutil.pid_exists(pid)
    assert took_s <= 5
    if not deaf:
        assert took_s <= 1.5
    if deaf:
        house.close()
        return
    following = house.admit("next", seed=1)
    assert house.until_state(following, State.PUBLISHING).outcome is State.SUCCESS
    house.store.request_cancel(following.id, "ann")  # too late: nothing happens
    house.step()
    assert house.job(following).state is State.PUBLISHING
    house.close()


@pytest.mark.parametrize("end", ["hang", "spin"])
def test_a_job_that_hangs_is_ended(tmp_path: Path, end: str) -> None:
    """Also one that never lets go of Python's lock, so that no thread of the worker hears anything."""
    house = House(tmp_path, run={"crash_retries": 0, "silent_s": 1.0})
    job = house.admit(end=end, ignore_sigterm=True)
    job = house.until_state(job, State.PUBLISHING)
    assert code_of(job) == "WORKER_CRASHED"
    assert "said nothing for 1 s" in job.error["message"]  # type: ignore[index]
    house.close()


def test_a_time_limit_ends_what_does_not_listen(house: House) -> None:
    job = house.admit(seconds=60, ignore_cancel=True, ignore_sigterm=True, options={"timeout_s": 0.5})
    assert code_of(house.until_state(job, State.PUBLISHING)) == "TIMEOUT"


@pytest.mark.parametrize("where", ["group", "session"])
def test_processes_that_a_job_has_started_end_with_it(house: House, where: str) -> None:
    job = house.admit(grandchild=where)
    house.until(lambda: house.runner.worker_pid() is not None)
    child = house.runner._workers.current
    assert child is not None
    assert house.until_state(job, State.PUBLISHING).outcome is State.SUCCESS
    house.until(lambda: not find_marked(child.mark))


def test_a_limit_of_memory_ends_in_model_oom(tmp_path: Path) -> None:
    house = House(tmp_path, run={"memory_mb": 1500, "crash_retries": 0})
    job = house.until_state(house.admit(end="eat_memory", options={"quality": "draft"}), State.PUBLISHING)
    assert code_of(job) == "MODEL_OOM"
    house.close()


DAEMON = """
import sys, time
from itertools import pairwise
from pathlib import Path
from tests.runner.runner_house import House
house = House(Path(sys.argv[1]))
while True:
    time.sleep(min(house.step(), 0.02))
"""


def test_the_worker_dies_with_its_daemon_and_the_job_runs_again(tmp_path: Path) -> None:
    house = House(tmp_path)
    job = house.admit(seconds=2.0, ignore_sigterm=True, ignore_cancel=True, grandchild="session")
    daemon = subprocess.Popen([sys.executable, "-c", DAEMON, str(tmp_path)], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: house.job(job).stage in RUNNING)
        mark = json.loads((house.state / "worker.json").read_text())
        (worker,) = [pid for pid in find_marked(mark["mark"]) if pid == mark["pid"]]
    finally:
        daemon.kill()
        daemon.wait()
    wait_for(lambda: not psutil.pid_exists(worker) or psutil.Process(worker).status() == "zombie", 2)
    assert house.job(job).state is State.PROGRESS
    job = house.until_state(job, State.PUBLISHING)
    assert not find_marked(mark["mark"])  # what the job had started is ended by the next daemon at the latest
    assert job.outcome is State.SUCCESS
    assert job.crashes == 0
    assert house.path(job) == ["PENDING", "PROGRESS", "PENDING", "PROGRESS", "PUBLISHING"]
    house.close()


def test_the_end_of_the_daemon_is_quick_and_leaves_no_process(house: House) -> None:
    job = house.admit(seconds=60, ignore_sigterm=True, ignore_cancel=True, grandchild="session")
    until_it_works(house, job)
    child = house.runner._workers.current
    assert child is not None
    began_s = time.monotonic()
    house.runner.shutdown()
    assert time.monotonic() - began_s < 2
    assert not find_marked(child.mark)
    assert house.job(job).state is State.PENDING


def wait_for(condition, within_s: float = 20.0) -> None:  # type: ignore[no-untyped-def]
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < within_s
        time.sleep(0.02)
