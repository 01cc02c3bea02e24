"""What is promised of a process that is killed."""

from __future__ import annotations

from typing import Final

from tests.proof.rows.row import Part, Row
from tests.proof.rows.suites import (
    CRASH,
    KILLS,
    MODEL,
    STORE_MACHINE,
)

KILLED: Final = Part(
    "K",
    "Killed",
    "The process is ended by SIGKILL and started again. Nothing may be lost, done twice or half published, the "
    "database has to pass `PRAGMA integrity_check`, and the queue has to run again within 10 s.",
    (
        Row(
            "Killed before, in the middle of and after every step at which something becomes durable",
            "0 lost, 0 twice, 0 partial; ready again in 10 s; 25 kills a step",
            (CRASH + "test_killed_at_every_step", CRASH + "test_killed_at_the_steps_that_matter_most"),
            {
                "crash_points": "{kills} kills at {steps} of {named} named steps ({points} moments; each step {least} "
                "times or more), {failures} with any damage; ready again after {ready_s_worst} s at worst, all done "
                "after {done_s_worst} s"
            },
        ),
        Row(
            "No durable step is without a name",
            "every step that a bundle passes is in `tests/proof/steps.py`",
            (CRASH + "test_every_step_that_is_passed_is_named",),
        ),
        Row(
            "Killed at random times over a stream of bundles",
            "exactly one result a bundle; the database sound after each kill; 1,000 kills",
            (KILLS + "test_killed_at_random_times",),
            {
                "random_kills": "{kills} kills over {bundles} bundles in {minutes} minutes: {unsound} unsound "
                "databases, one result each; ready again after {ready_s_worst} s at worst"
            },
        ),
        Row(
            "Killed between any two calls to the file system (whole daemon in one process, clock of its own)",
            "one result, the engine never asked twice for a result that was recorded",
            (MODEL + "test_killed_between_any_two_calls",),
            {
                f"calls_{kind}": f"{kind}: {{kills}} kills over {{calls}} calls"
                for kind in ("folder", "zip", "answered", "refused", "failed", "cancelled")
            },
        ),
        Row(
            "Killed before and after every commit",
            "as above",
            (MODEL + "test_killed_around_every_commit",),
            {
                f"commits_{kind}_{when}": f"{kind}, {when}: {{kills}} of {{of}}"
                for kind in ("folder", "zip", "answered", "refused", "failed", "cancelled")
                for when in ("before", "after")
            },
        ),
        Row(
            "Anything in any order: drops, changes, markers, cancels, clocks, broken shares, kills",
            "nothing partial is ever seen, what is final stays, all come to an end",
            (MODEL + "test_whatever_happens", STORE_MACHINE + "TestStoreAgainstModel"),
            {"model": "{stories} stories of 25 steps, {kills} kills in them"},
        ),
    ),
)
