"""Whatever is called in whatever order, the store agrees with a plain model of the states."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from daemon.states import FINAL, LIVE, IllegalTransition, State, may_follow
from daemon.store import Store, database
from tests.proof.amounts import amount
from tests.store.made import FakeClock, make_store, new_job

STATES = st.sampled_from(sorted(State))


class StoreAgainstModel(RuleBasedStateMachine):
    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = FakeClock()
        self.store = make_store(self.folder, self.clock)
        self.model: dict[str, list[State]] = {}
        self.drops: dict[tuple[str, str], str] = {}

    @rule(target=ids, entry=st.sampled_from("abc"), fingerprint=st.sampled_from("12"), redo=st.booleans())
    def admit(self, entry: str, fingerprint: str, redo: bool) -> str:
        (job,) = self.store.admit([new_job(entry, fingerprint=fingerprint, redo=redo)])
        known = self.drops.get((entry, fingerprint))
        if known is not None and (not redo or self.model[known][-1] in LIVE):
            assert job.id == known
        else:
            assert job.id not in self.model
            self.model[job.id] = [State.PENDING]
            self.drops[entry, fingerprint] = job.id
        return job.id

    @rule(job_id=ids, to=STATES, outcome=st.sampled_from([State.SUCCESS, State.FAILURE]))
    def transition(self, job_id: str, to: State, outcome: State) -> None:
        self.clock.time_s += 1
        changes = {"outcome": outcome} if to is State.PUBLISHING else {}
        if may_follow(self.model[job_id][-1], to):
            self.store.transition(job_id, to, reason="model", **changes)
            self.model[job_id].append(to)
        else:
            with pytest.raises(IllegalTransition):
                self.store.transition(job_id, to, reason="model", **changes)

    @rule(job_id=ids)
    def cancel(self, job_id: str) -> None:
        job = self.store.request_cancel(job_id, "somebody")
        assert job.state is self.model[job_id][-1]

    @rule(job_id=ids, fraction=st.floats(0, 1))
    def progress(self, job_id: str, fraction: float) -> None:
        self.store.progress(job_id, "fuse", fraction, None)

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = make_store(self.folder, self.clock)

    @invariant()
    def agrees(self) -> None:
        jobs = {job.id: job for job in self.store.jobs()}
        assert set(jobs) == set(self.model)
        for job_id, states in self.model.items():
            job = jobs[job_id]
            assert job.state is states[-1]
            assert (job.finished_at is not None) == (job.state in FINAL)
            assert (job.held_from is not None) == (job.state is State.HELD)
            assert job.outcome is not None or job.state not in (State.PUBLISHING, State.SUCCESS, State.FAILURE)
            assert [step.after for step in self.store.transitions(job_id)] == states
        pending = {job_id for job_id, states in self.model.items() if states[-1] is State.PENDING}
        assert {job.id for job in self.store.next_jobs(100)} == pending
        counts = self.store.counts()
        assert sum(counts.values()) == len(jobs)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)


StoreAgainstModel.TestCase.settings = settings(
    max_examples=amount("store_model", 8), stateful_step_count=20, deadline=None
)
TestStoreAgainstModel = StoreAgainstModel.TestCase


@pytest.mark.parametrize("before", sorted(State))
@pytest.mark.parametrize("after", sorted(State))
def test_the_database_itself_refuses_ways_that_do_not_exist(store: Store, before: State, after: State) -> None:
    """Nor can anybody else's SQL write one."""
    (job,) = store.admit([new_job()])
    path = {
        State.PENDING: [],
        State.PROGRESS: [State.PROGRESS],
        State.PUBLISHING: [State.PUBLISHING],
        State.HELD: [State.HELD],
        State.CANCELLED: [State.CANCELLED],
        State.SUCCESS: [State.PUBLISHING, State.SUCCESS],
        State.FAILURE: [State.PUBLISHING, State.FAILURE],
    }[before]
    for state in path:
        store.transition(job.id, state, reason="", **({"outcome": before} if state is State.PUBLISHING else {}))
    with closing(database.connect(store.path)) as connection:
        change = (
            "UPDATE jobs SET state = ?, outcome = 'SUCCESS', held_from = 'PENDING', "
            "finished_at = CASE WHEN ? IN ('SUCCESS', 'FAILURE', 'CANCELLED') THEN 'now' END"
        )
        if before is after or may_follow(before, after):
            connection.execute(change, (after, after))
        else:
            with pytest.raises(sqlite3.IntegrityError, match="can not go this way"):
                connection.execute(change, (after, after))
