"""What is promised of processes that fail, of clocks, and of the database."""

from __future__ import annotations

from typing import Final

from daemon.store.migrate import VERSIONS
from tests.proof.rows.row import Part, Row
from tests.proof.rows.suites import (
    CRASHES,
    INBOX,
    MACHINE,
    MODEL,
    PUBLISH_FAULTS,
    RUN,
    RUNNER_MEMORY,
    STATES,
    STORE,
    UPGRADE,
    WHOLE,
)

PROCESSES: Final = Part(
    "P",
    "Processes that fail",
    "One child process runs the jobs; whatever becomes of it, the daemon and the queue go on.",
    (
        Row(
            "The worker segfaults, aborts, exits, is killed",
            "tried again, then WORKER_CRASHED; the next job runs",
            (
                RUN + "test_a_job_that_kills_every_worker_fails_and_the_next_one_runs",
                RUN + "test_killed_from_outside_the_job_runs_again",
                WHOLE + "test_a_crash_ends_the_job_and_not_the_daemon",
            ),
        ),
        Row(
            "The worker runs out of memory (rlimit; the kernel's OOM killer in a memory cgroup)",
            "one try at a lower quality, then MODEL_OOM",
            (
                RUN + "test_a_limit_of_memory_ends_in_model_oom",
                RUNNER_MEMORY + "test_a_job_that_the_kernel_kills_for_memory_ends_in_model_oom",
                RUNNER_MEMORY + "test_a_real_kill_for_memory_is_told_from_any_other",
                RUN + "test_memory_that_ran_out_is_tried_at_a_lower_quality",
            ),
        ),
        Row(
            "The worker hangs, or spins holding Python's lock",
            "ended after run.silent_s",
            (RUN + "test_a_job_that_hangs_is_ended", RUN + "test_a_time_limit_ends_what_does_not_listen"),
        ),
        Row(
            "It ignores SIGTERM",
            "SIGKILL in 5 s; its memory is back",
            (
                RUN + "test_a_cancelled_job_is_gone_with_its_memory",
                WHOLE + "test_cancel_marker_stops_a_running_job_and_its_process",
            ),
        ),
        Row(
            "It floods progress",
            "written down four times a second at most",
            (
                STATES + "test_progress_is_written_down_at_most_four_times_a_second",
                RUN + "test_jobs_run_one_after_the_other_in_a_warm_worker",
            ),
        ),
        Row(
            "The daemon dies while publishing, or when a result is whole and not recorded",
            "published once, the engine not asked again",
            (
                CRASHES + "test_killed_between_result_and_record_the_engine_does_not_run_twice",
                PUBLISH_FAULTS + "test_any_call_may_fail",
            ),
        ),
        Row(
            "The clock jumps a day, both ways",
            "no early, late or stuck job",
            (
                MACHINE + "test_a_real_clock_that_jumps_a_day",
                INBOX + "test_a_clock_that_jumps_a_day_changes_nothing",
                STATES + "test_the_wall_clock_stops_nothing",
                MODEL + "test_whatever_happens",
            ),
            {"clock": "{jumps} jumps of a real daemon's clock; the slowest bundle took {slowest_s} s"},
        ),
        Row(
            "Two daemons on one inbox, or on one state folder",
            "the second is refused and told of the first",
            (WHOLE + "test_a_second_daemon_is_refused_and_told_of_the_first",),
        ),
        Row(
            "Another program keeps the database locked for 30 s",
            "nothing lost, goes on by itself",
            (
                MACHINE + "test_a_database_that_another_program_keeps",
                STORE + "test_a_database_that_somebody_keeps_is_said",
            ),
            {"locked_database": "locked {kept_s} s; all done {done_after_s} s later"},
        ),
        Row(
            "The database is truncated",
            "refused with words; rebuilt from the outbox once it is moved away",
            (
                MACHINE + "test_a_database_that_is_truncated_is_said_and_the_next_start_refuses_it",
                STORE + "test_a_damaged_database_is_refused_with_what_to_do",
            ),
        ),
        Row(
            "The database is of an earlier version",
            "brought up with all its jobs, from every version",
            (
                UPGRADE + "test_every_version_is_brought_up_with_its_jobs",
                STORE + "test_a_migration_that_fails_changes_nothing",
            ),
            {
                f"upgrade_{version}": f"from {version}: {{jobs}} jobs, one in every state, to {{to}}"
                for version in VERSIONS
            },
        ),
        Row(
            "The database is of a later version",
            "refused with words, unchanged",
            (
                UPGRADE + "test_an_earlier_program_refuses_this_ones_database",
                STORE + "test_a_newer_database_is_refused",
            ),
        ),
    ),
)
