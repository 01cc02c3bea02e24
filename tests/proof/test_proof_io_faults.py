"""The Nth call to the file system fails, for every N until the story has fewer: no bundle is lost, refused or doubled.

The whole daemon, all its rooms, in one process with a clock of its own; the faults are those of a dying disk, a full
one, a share that takes back permissions and a server that has forgotten its files.
"""

from __future__ import annotations

import errno
from collections import Counter

import pytest
import structlog

from config.errors import DiskFull, ShareUnavailable
from tests.proof.amounts import Budget, amount, tell
from tests.proof.house import scratch
from tests.proof.stories import Ended, fault, prepared

ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES, errno.ESTALE)
KINDS = ("folder", "zip", "answered", "refused", "failed", "cancelled")
ONCE_WITHIN_S = 120.0


@pytest.fixture(autouse=True)
def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


class Sweep:
    """Stories, each with its fault one call later than the last."""

    def __init__(self, name: str, budget: Budget) -> None:
        self.name, self.budget = name, budget
        self.stories = 0
        self.calls: dict[str, int] = {}
        self.errors = Counter[str]()
        self.held = Counter[str]()
        self.failures: list[str] = []
        self.whole: list[str] = []
        self.longest_s = 0.0

    def go(self, kind: str, numbers: tuple[int, ...], step: int, first: int = 1, *, lasting: bool = False) -> None:
        at = first
        while not self.budget.spent:
            some = numbers if step == 1 else (numbers[at % len(numbers)],)
            ended = [self.story(kind, at, number, lasting=lasting) for number in some]
            if all(each is not None and each.hit is None for each in ended):
                self.calls[kind] = ended[0].calls  # type: ignore[union-attr]
                if step == 1:
                    self.whole.append(kind)
                return
            at += step

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
        self.held.update(ended.held)
        return ended

    def tell(self) -> None:
        tell(
            self.name,
            stories=self.stories,
            errors=dict(self.errors),
            calls=self.calls,
            every_call_of=self.whole,
            held=self.held.total(),
            longest_s=round(self.longest_s),
            failures=len(self.failures),
            minutes=round(self.budget.took_s / 60, 1),
        )
        assert not self.failures, "\n".join(self.failures)


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
    """Every PROOF_FAULT_STRIDEth call; with 1, each call with each error."""
    sweep = Sweep("faults_once", Budget("faults", 300))
    for kind in KINDS:
        sweep.go(kind, ERRORS, amount("fault_stride", 41), 1)
    sweep.tell()


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
