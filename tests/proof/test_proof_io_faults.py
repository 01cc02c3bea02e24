"""The Nth call to the file system fails, for every N until the story has fewer: no bundle is lost, refused or doubled.

The whole daemon, all its rooms, in one process with a clock of its own; the faults are those of a dying disk, a full
one, a share that takes back permissions and a server that has forgotten its files.
"""

from __future__ import annotations

import errno
import random
import re
from collections import Counter

import pytest
import structlog

from config.errors import DiskFull, ShareUnavailable
from daemon.states import State
from tests.proof.amounts import Budget, amount, tell, told
from tests.proof.house import scratch
from tests.proof.stories import Ended, calls_of, fault, points_of, prepared

ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES, errno.ESTALE)
KINDS = ("folder", "zip", "answered", "refused", "failed", "cancelled")
ONCE_WITHIN_S = 120.0
NAMES = re.compile(r"names \S+/depth_renders < .* < spool\.py")  # of a folder, when it is to be copied


@pytest.fixture(autouse=True)
def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


class Sweep:
    """Stories, each with its fault at another call; goes on where a run before it has ended.

    at: of each kind the first call that has not failed yet. struck: or, of each kind, those that have, by error.
    """

    def __init__(self, name: str, budget: Budget) -> None:
        self.name, self.budget = name, budget
        before = told(name)
        self.stories, self.minutes = int(before.get("stories", 0)), float(before.get("minutes", 0.0))
        self.calls = dict[str, int](before.get("calls", {}))
        self.at = dict[str, int](before.get("at", {}))
        self.struck = dict[str, dict[str, list[int]]](before.get("struck", {}))
        self.errors = Counter[str](before.get("errors", {}))
        self.held = int(before.get("held", 0))
        self.failures: list[str] = []
        self.longest_s = float(before.get("longest_s", 0.0))

    def go(self, kind: str, numbers: tuple[int, ...], step: int, first: int = 1, *, lasting: bool = False) -> None:
        """Every step-th call with one of the errors in turn."""
        at = self.at.get(kind, first)
        while not self.budget.spent:
            ended = self.story(kind, at, numbers[at % len(numbers)], lasting=lasting)
            if ended is not None and ended.hit is None:
                self.calls[kind] = ended.calls
                break
            at += step
        self.at[kind] = at

    def go_through(self, kinds: tuple[str, ...], numbers: tuple[int, ...], step: int) -> dict[str, int]:
        """Every step-th call of these stories with one of the errors in turn; with step 1 then with each other error.

        In an order that has something of everything wherever it ends. What has been done of how much.
        """
        self.calls = self.calls or {kind: calls_of(kind) for kind in kinds}
        turns = list[tuple[str, int, int]]()
        for turn in range(len(numbers) if step == 1 else 1):
            calls = [(kind, at) for kind in kinds for at in range(1, self.calls[kind] + 1, step)]
            random.Random(1 + turn).shuffle(calls)
            turns += [(kind, at, numbers[(at // step + turn) % len(numbers)]) for kind, at in calls]
        for kind, at, number in turns:
            if self.budget.spent:
                break
            done = self.struck.setdefault(kind, {}).setdefault(errno.errorcode[number], [])
            if at not in done:
                self.story(kind, at, number, lasting=False)
                done.append(at)
        once = {(kind, at) for kind, errors in self.struck.items() for ats in errors.values() for at in ats}
        return {"of": len(turns), "struck_once": len(once), "calls_of": len({turn[:2] for turn in turns})}

    def story(self, kind: str, at: int, number: int, *, lasting: bool) -> Ended | None:
        self.stories += 1
        try:
            ended = fault(kind, at, number, lasting=lasting)
        except AssertionError as error:
            self.failures.append(f"{kind}, call {at}, {errno.errorcode[number]}, lasting={lasting}: {error}"[:2000])
            return None
        if ended.hit is not None:
            self.errors[errno.errorcode[number]] += 1
            self.longest_s = max(self.longest_s, ended.seconds)
            if not lasting and ended.seconds > ONCE_WITHIN_S:
                self.failures.append(f"{kind}, call {at} {ended.hit}: {ended.seconds:.0f} s for one failed call")
        self.held += len(ended.held)
        return ended

    def tell(self, **more: int) -> None:
        tell(
            self.name,
            stories=self.stories,
            **more,
            errors=dict(self.errors),
            calls=self.calls,
            at=self.at,
            struck=self.struck,
            held=self.held,
            longest_s=round(self.longest_s),
            failures=len(self.failures) + told(self.name).get("failures", 0),
            minutes=round(self.minutes + self.budget.took_s / 60, 1),
        )
        assert not self.failures, "\n".join(self.failures)


@pytest.mark.ci
def test_one_call_in_many_fails_once() -> None:
    sweep = Sweep("faults_quick", Budget("faults_quick", 20))
    sweep.go("folder", ERRORS, 223, 11)
    sweep.go("zip", ERRORS, 397, 17)
    sweep.go("refused", ERRORS, 197, 5)
    assert sweep.stories > 3
    sweep.tell()


@pytest.mark.parametrize("at", [2, 12, 31])
def test_a_start_that_can_not_be_made_says_why(at: int) -> None:
    """Never Python's words: `fault` takes a sentence for a refused start and nothing else."""
    ended = fault("folder", at, errno.EACCES, lasting=True)
    assert ended.refused is None or ended.refused.endswith(".")


@pytest.mark.slow
def test_any_call_fails_once() -> None:
    """Every PROOF_FAULT_STRIDEth call; with 1, each call with one error, then with each other."""
    sweep = Sweep("faults_once", Budget("faults", 300))
    sweep.tell(**sweep.go_through(KINDS, ERRORS, amount("fault_stride", 41)))


@pytest.mark.slow
def test_a_call_at_every_point_fails_with_each_error() -> None:
    """A point: what is called, on which kind of path, from which lines of the program. All of all stories, each once.

    A story has a thousand calls and more, most of them the same ones again: looks at what has not changed. At a point
    the first call fails, with one error after another.
    """
    budget, before = Budget("faults_points", 100), told("faults_points")
    done = dict[str, list[str]](before.get("struck", {}))
    points = {point: kind for kind in reversed(KINDS) for point in points_of(kind)}
    turns = [(point, number) for number in ERRORS for point in points]
    random.Random(1).shuffle(turns)  # a run that ends early has something of everything
    stories, missed, failures = int(before.get("stories", 0)), 0, list[str]()
    longest_s = float(before.get("longest_s", 0.0))
    for point, number in turns:
        error = errno.errorcode[number]
        if budget.spent or error in done.get(point, []):
            continue
        stories += 1
        try:
            ended = fault(points[point], point, number)
        except AssertionError as wrong:
            failures.append(f"{points[point]}, {point}, {error}: {wrong}"[:3000])
            continue
        missed += ended.hit is None  # two threads were faster or slower than in the story without faults
        longest_s = max(longest_s, ended.seconds)
        done.setdefault(point, []).append(error)
    struck = sum(len(done.get(point, [])) for point in points)
    tell(
        "faults_points",
        stories=stories,
        points=len(points),
        of=len(turns),
        struck_of=struck,
        missed=missed + before.get("missed", 0),
        struck=done,
        longest_s=round(longest_s),
        failures=len(failures) + before.get("failures", 0),
        minutes=round(budget.took_s / 60 + before.get("minutes", 0.0), 1),
    )
    assert not failures, "\n".join(failures)
    assert len(points) > 100


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
def test_a_folder_that_can_not_be_listed_when_it_is_to_be_copied_is_held(number: int) -> None:
    """Found by the sweep above: it was taken for changed and given up."""
    point = next(each for each in points_of("folder") if NAMES.match(each))
    assert fault("folder", point, number).hit is not None


def test_a_bundle_that_was_moved_away_before_it_was_copied_and_back_is_taken() -> None:
    with scratch() as folder:
        house = prepared(folder, "folder")
        try:
            house.begin()
            assert house.drive(lambda: bool(house.jobs()))
            (house.inbox / "shoe").rename(house.folder / "away")
            assert house.drive(lambda: house.jobs()[0].state is State.CANCELLED)
            house.drive(lambda: False, 5.0)
            (house.folder / "away").rename(house.inbox / "shoe")
            assert house.drive(lambda: len(house.jobs()) == 2)
            assert house.drive(house.idle)
            assert [job.state for job in house.jobs()] == [State.CANCELLED, State.SUCCESS]
            house.check()
        finally:
            house.close()


@pytest.mark.slow
def test_all_calls_fail_for_two_minutes() -> None:
    sweep = Sweep("faults_lasting", Budget("faults_lasting", 200))
    for kind in KINDS:
        sweep.go(kind, ERRORS, amount("lasting_stride", 173), 2, lasting=True)
    sweep.tell()


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("cancelled", DiskFull),
        pytest.param("folder", ShareUnavailable, marks=pytest.mark.slow),
        pytest.param("folder", DiskFull, marks=pytest.mark.slow),
        pytest.param("refused", ShareUnavailable, marks=pytest.mark.slow),
    ],
)
def test_any_transaction_fails(kind: str, error: type[DiskFull | ShareUnavailable]) -> None:
    """The database's disk is full, or fails, at the commit of one transaction: the next try finds all as it was."""
    at, hit = 1, True
    while hit:
        with scratch() as folder:
            house = prepared(folder, kind)
            try:
                house.fail_transaction = (at, lambda: error("It can't be written."), False)
                house.begin()
                assert house.drive(house.idle, 900.0), (at, house.jobs())
                house.check()
                assert max(house.runs.values(), default=0) <= 2
                hit = house.transactions >= at
            finally:
                house.close()
        at += 1
    assert at > 4
