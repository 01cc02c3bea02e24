"""The job's states and the publish protocol as a machine: anything may come next, a kill between any two calls too.

Real store, real rooms, real publisher; the clock and the moments of death are the machine's. What interface.md
promises is checked after every step and, once all faults are gone, at the end.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daemon.states import FINAL, State
from tests.daemon_stand_in.bundles import png_bytes
from tests.proof.amounts import Budget, amount, tell, told
from tests.proof.faults import Killed
from tests.proof.house import SHM, House, notices_beside_nothing, remove, scratch
from tests.proof.stories import ENDS, calls_of, error_of, prepared

# A question that is asked aside dies in a thread of its own.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
ENTRIES = st.sampled_from(["shoe", "boot", "hat.zip"])
KINDS = ("folder", "zip", "answered", "refused", "failed", "cancelled")


@pytest.fixture(autouse=True)
def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


class Anything(RuleBasedStateMachine):
    """People, shares, disks and kills, in any order."""

    stories = kills = 0

    @initialize()
    def begin(self) -> None:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        type(self).stories += 1
        self.folder = Path(tempfile.mkdtemp(prefix="meshdrop-model-", dir=SHM if SHM.is_dir() else None))
        self.house = House(self.folder, finished={"then": "archive"})
        self.final: dict[str, tuple[State, str | None]] = {}
        self.alive(self.house.begin)

    def alive(self, do: Callable[[], object]) -> None:
        """Do something of the daemon's; where it dies of it, the next one begins."""
        try:
            do()
            if self.house.files.dead:
                raise Killed
        except Killed:
            type(self).kills += 1
            self.house.die()
            self.house.begin()

    # -- people -------------------------------------------------------------------------------------------------

    @rule(entry=ENTRIES, seed=st.integers(0, 1), kind=st.sampled_from(["good", "good", "good", "bad", "poor"]))
    def drop(self, entry: str, seed: int, kind: str) -> None:
        if (self.house.inbox / entry).exists():
            return
        words = {"verdict": "failure"} if kind == "poor" else {}
        path = self.house.drop(entry, seed=seed, **words)
        if kind == "bad" and path.is_dir():
            (path / "multi_views" / "left.png").write_bytes(b"\xff\xd8\xff a JPEG")

    @rule(entry=ENTRIES, seed=st.integers(5, 6))
    def change(self, entry: str, seed: int) -> None:
        path = self.house.inbox / entry / "multi_views" / "left.png"
        if path.exists():
            path.write_bytes(png_bytes(256, seed=seed))

    @rule(entry=ENTRIES)
    def take_away(self, entry: str) -> None:
        remove(self.house.inbox / entry)

    @rule(entry=ENTRIES, name=st.sampled_from([".cancel", ".redo", "READY.txt"]))
    def mark(self, entry: str, name: str) -> None:
        path = self.house.inbox / entry
        if path.is_dir():
            (path / name).touch()
        elif path.exists():
            (self.house.inbox / f"{path.stem}{name}").touch()

    @rule(number=st.integers(0, 9))
    def cancel(self, number: int) -> None:
        jobs = self.house.jobs()
        if jobs:
            self.alive(lambda: self.house.store.request_cancel(jobs[number % len(jobs)].id, "ann"))

    # -- the daemon and the machine -----------------------------------------------------------------------------

    @rule(room=st.integers(0, 9))
    def step(self, room: int) -> None:
        loops = self.house.loops
        self.alive(lambda: self.house.step(loops[room % len(loops)]))

    @rule(turns=st.integers(1, 40))
    def go_on(self, turns: int) -> None:
        for _ in range(turns):
            self.alive(self.house.turn)

    @rule(seconds=st.sampled_from([0.5, 5.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.house.clock.at_s += seconds

    @rule()
    def clock_jumps(self) -> None:
        self.house.clock.wall = self.house.clock.wall.replace(year=2027 if self.house.clock.wall.year == 2026 else 2026)

    @rule(calls=st.integers(1, 400))
    def kill_at_a_call(self, calls: int) -> None:
        """Within the next steps, if there are so many calls in them."""
        self.house.files.fail(calls, Killed)
        self.go_on(20)

    @rule(transactions=st.integers(1, 6), after=st.booleans())
    def kill_at_a_commit(self, transactions: int, after: bool) -> None:
        self.house.fail_transaction = (self.house.transactions + transactions, Killed, after)
        self.go_on(20)

    @rule(place=st.sampled_from(["outbox", "inbox", "state/spool"]), number=st.sampled_from([errno.ENOSPC, errno.EIO]))
    def breaks(self, place: str, number: int) -> None:
        self.house.files.where = self.folder / place
        self.house.files.fail(1, error_of(number), None)

    @precondition(lambda self: self.house.files.at is not None)
    @rule()
    def works_again(self) -> None:
        self.house.files.mend()
        self.house.files.where = None

    # -- what holds ---------------------------------------------------------------------------------------------

    @invariant()
    def nothing_partial_is_seen_and_nothing_changes(self) -> None:
        self.house.look()

    @invariant()
    def what_is_final_is_final(self) -> None:
        for job in self.house.jobs():
            if job.state in FINAL:
                assert self.final.setdefault(job.id, (job.state, job.result_path)) == (job.state, job.result_path)
            else:
                assert job.id not in self.final
        assert len(self.house.store.jobs(states={State.PROGRESS})) <= 1

    def teardown(self) -> None:
        try:
            self.house.files.where = None
            self.house.files.mend()
            self.house.fail_transaction = None
            there = [name for name in ("shoe", "boot", "hat.zip") if (self.house.inbox / name).exists()]
            self.house.drive(lambda: False, 3.0)  # what was dropped a moment ago is found
            done = self.house.drive(lambda: self.house.idle(0), 8000.0)
            assert done, [(job.entry, job.state, job.hold_reason) for job in self.house.jobs()]
            self.house.drive(lambda: False, 30.0)  # notices go last of all
            self.what_is_final_is_final()
            self.house.check()
            assert not notices_beside_nothing(self.house.inbox)
            known = {job.entry for job in self.house.jobs()}
            assert set(there) <= known, f"lost: {set(there) - known}"
            for name in there:
                if (self.house.inbox / name).exists():
                    job = self.house.store.last_job("inbox", name)
                    assert job is not None
                    assert job.state is State.FAILURE, f"{name} was neither refused nor put away: {job}"
        finally:
            self.house.close()
            remove(self.folder)


@pytest.mark.parametrize("examples", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_whatever_happens(examples: int) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    Anything.stories = Anything.kills = 0
    begin = Budget("model", 0)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Anything,
        settings=settings(
            max_examples=amount("model", examples) if examples > 3 else examples,
            stateful_step_count=25 if examples > 3 else 15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # the steps are few, and to make them fewer takes many minutes
            print_blob=True,
        ),
    )
    if examples > 3:
        tell(
            "model",
            add=("stories", "kills"),
            stories=Anything.stories,
            kills=Anything.kills,
            minutes=round(begin.took_s / 60, 1),
        )


def killed_at(kind: str, at: int, *, commit: bool = False, after: bool = False) -> bool:
    """One story with a kill at one call, or around one commit; whether it came to that."""
    with scratch() as folder:
        house = prepared(folder, kind)
        try:
            before = house.transactions
            if commit:
                house.fail_transaction = (before + at, Killed, after)
            else:
                house.files.fail(at, Killed)
            died = False
            entries = 2 if kind == "answered" else 1
            try:
                house.begin()
                house.drive(lambda: house.idle(entries))
                house.drive(lambda: False, 12.0)
            except Killed:
                died = True
                recorded = {job.id for job in _states(house)} if house.service else set()
                house.die()
                house.begin()
            if not died:
                return False
            assert house.drive(lambda: house.idle(entries), 900.0), house.jobs()
            house.check()
            wanted = [State.SUCCESS] * (entries - 1) + [ENDS.get(kind, State.SUCCESS)]
            assert [job.state for job in house.jobs()] == wanted
            assert not any(house.runs[job] > 1 for job in recorded), "it had a result, and was run again"
            return True
        finally:
            house.close()


def _states(house: House) -> list:  # type: ignore[type-arg]
    """The jobs that had a result when it died."""
    house.files.dead = False
    return [job for job in house.jobs() if job.manifest or job.state in FINAL]


@pytest.mark.parametrize(
    ("kind", "stride"), [("folder", 311), *[pytest.param(kind, 0, marks=pytest.mark.slow) for kind in KINDS]]
)
def test_killed_between_any_two_calls(kind: str, stride: int) -> None:
    """Every PROOF_CALL_STRIDEth of them; with 1, each one."""
    budget, name = Budget("calls", 100), f"calls_{kind}" if not stride else "calls_quick"
    step, before = stride or amount("call_stride", 61), told(name)
    if before.get("step") != step:  # what was sampled says nothing of where each one has been struck
        before = {}
    at, kills = 1 + int(before.get("of", 0 if step == 1 else len(kind))), int(before.get("kills", 0))
    while not budget.spent and killed_at(kind, at):
        at, kills = at + step, kills + 1
    assert kills
    tell(name, kills=kills, of=at - 1, step=step, calls=max(calls_of(kind), kills))


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_killed_around_every_commit(kind: str, after: bool) -> None:
    at = 1
    while killed_at(kind, at, commit=True, after=after):
        at += 1
    assert at > 3
    tell(f"commits_{kind}_{'after' if after else 'before'}", kills=at - 1, of=at - 1)


def test_a_notice_whose_bundle_went_while_no_daemon_lived_goes_at_the_next_start() -> None:
    """Killed between the bundle's rename and the notice's removal, or the bundle was taken away by people."""
    with scratch() as folder:
        house = prepared(folder, "zip")
        try:
            house.begin()
            assert house.drive(house.idle)
            (job,) = house.jobs()
            house.end()
            told = "Finished.\n\nJob:  {}\nTime: now\n"
            notices = {"shoe": job.id, "other": job.id, "strange": "abcdefgh", "answer": "none yet"}
            for name, tells in notices.items():
                (house.inbox / f"{name}.STATUS.txt").write_text(told.format(tells))
            (house.inbox / "mine.STATUS.txt").write_text("not the daemon's")
            house.begin()
            house.drive(lambda: False, 5.0)
            left = sorted(path.name for path in house.inbox.glob("*.STATUS.txt"))
            assert left == [f"{name}.STATUS.txt" for name in ("answer", "mine", "other", "strange")]
        finally:
            house.close()


@pytest.mark.parametrize("seconds", [0.0, 1.0, 5.0])
def test_a_notice_of_an_earlier_run_goes_with_its_bundle(seconds: float) -> None:
    """The bundle is taken away soon after a start, before the daemon has anything to say of it."""
    with scratch() as folder:
        house = prepared(folder, "zip")
        try:
            house.begin()
            house.store.set_flag("paused", True, by="ann")
            notice = house.inbox / "shoe.STATUS.txt"
            assert house.drive(notice.exists, 60.0)
            house.end()
            house.begin()
            house.drive(lambda: False, seconds)
            (house.inbox / "shoe.zip").unlink()
            house.drive(lambda: False, 10.0)
            assert not notice.exists()
            house.store.set_flag("paused", False, by="ann")
            assert house.drive(house.idle)
            house.check()
        finally:
            house.close()


def test_the_models_machine_can_fail() -> None:
    """A result that is changed after it was published is seen."""
    with scratch() as folder:
        house = prepared(folder, "folder")
        try:
            house.begin()
            assert house.drive(house.idle)
            house.check()
            with (house.outbox / "shoe" / "mesh.obj").open("a") as file:
                file.write("v 0 0 0\n")
            with pytest.raises(AssertionError, match="changed"):
                house.check()
            os.replace(house.outbox / "shoe", house.outbox / "else")  # noqa: PTH105
        finally:
            house.close()
