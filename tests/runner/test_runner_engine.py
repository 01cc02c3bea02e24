"""The engine itself in the real worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config.bundle_layout import IMAGE_DIRS
from daemon.runner.runner import WORKER_COMMAND
from daemon.spool import spool_folder
from daemon.states import State
from engine.sample import make_sample
from tests.runner.runner_house import House, write_files


@pytest.mark.slow
def test_the_engine_runs_in_the_worker_and_the_next_job_begins_at_once(tmp_path: Path) -> None:
    bundle = make_sample(tmp_path / "sample", object_name="robot", size_px=512)
    made = {f"{folder}/{path.name}": path.read_bytes() for folder in IMAGE_DIRS for path in (bundle / folder).iterdir()}
    house = House(tmp_path, command=WORKER_COMMAND)
    jobs = [house.admit(f"robot-{n}", seed=n, options={"quality": "draft"}) for n in range(2)]
    for job in jobs:
        write_files(spool_folder(house.state, job.id) / "input", made)
    stages = set()

    def ended() -> bool:
        current = house.runner.current()
        stages.add(current.stage if current else None)
        return house.job(jobs[1]).state is State.PUBLISHING

    house.until(ended, within_s=300)
    first, second = map(house.job, jobs)
    assert (first.outcome, second.outcome) == (State.SUCCESS, State.SUCCESS)
    assert first.verdict == "normal"
    assert {"calibrate", "texture", "quality"} <= stages
    ended_at = next(step.at for step in house.store.transitions(first.id) if step.after is State.PUBLISHING)
    assert second.started_at is not None
    assert (second.started_at - ended_at).total_seconds() <= 0.3
    folder = spool_folder(house.state, first.id) / "result"
    assert {path.name for path in folder.iterdir()} == set(first.manifest or {})
    assert json.loads((folder / "job.json").read_text())["options"]["quality"] == "draft"
    house.store.request_cancel(jobs[1].id, "ann")
    third = house.admit("third", seed=3, options={"quality": "high"})
    write_files(spool_folder(house.state, third.id) / "input", made)
    house.until(lambda: house.job(third).stage not in (None, "starting", "bundle"), within_s=60)
    pid = house.runner.worker_pid()
    house.store.request_cancel(third.id, "ann")
    assert house.until(lambda: house.job(third).state is State.CANCELLED) <= 5
    assert house.runner.worker_pid() != pid
    house.close()
