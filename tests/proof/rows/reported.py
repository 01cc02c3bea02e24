"""What users of other hot folders report, and what shows that it can't happen here."""

from __future__ import annotations

from typing import Final

from tests.proof.rows.row import Part, Row
from tests.proof.rows.suites import (
    COMMANDS_DAEMON,
    GATE,
    GATE_LAYOUT,
    INBOX,
    INTAKE_MANY,
    JOBS,
    KILLS,
    MACHINE_PROCESS,
    MARKERS,
    ORDER,
    PEERS,
    PUBLISH,
    PUBLISH_FAULTS,
    REAL,
    ROOTS,
    RUN,
    SPOOL,
    STATES,
    STORE,
    WATCH,
    WATCH_LOST,
    WHOLE,
    WRITERS,
    ZIP,
)

REPORTED: Final = Part(
    "U",
    "What users of other hot folders report",
    "Each of these was reported of another program.",
    (
        Row(
            "Taken while it is still being copied",
            "never",
            (
                WRITERS + "test_nothing_is_taken_before_it_has_been_written",
                PEERS + "test_a_slow_writer_with_pauses_longer_than_the_quiet_time",
                PEERS + "test_a_preallocating_writer_that_pauses",
            ),
        ),
        Row(
            "When is a tree of folders done?",
            "the bundle is the unit",
            (
                INBOX + "test_a_bundle_copied_in_is_taken_once_it_is_quiet",
                GATE_LAYOUT + "test_it_names_what_is_missing",
                GATE + "test_incomplete_for_too_long_is_expired_and_may_still_be_completed",
            ),
        ),
        Row(
            "The watcher lives, a file is stranded",
            "a periodic scan finds it",
            (
                INBOX + "test_without_hints_the_scan_finds_it",
                WATCH_LOST + "test_events_that_do_not_come_are_polled_for_until_they_do",
            ),
        ),
        Row(
            "The same file is queued twice",
            "one job a drop",
            (JOBS + "test_the_same_drop_is_one_job_however_often_it_is_admitted",),
        ),
        Row(
            "A restart takes half copies",
            "the same gate",
            (INBOX + "test_after_a_restart_nothing_is_admitted_twice_and_half_copies_go_through_the_gate",),
        ),
        Row(
            "The share drops, the watcher is dead, no error is seen",
            "supervised and said",
            (
                WATCH_LOST + "test_a_root_that_goes_is_said_and_one_that_comes_back_is_watched_again",
                WATCH_LOST + "test_a_thread_that_died_is_replaced",
                WHOLE + "test_a_share_that_is_away_is_said_though_nothing_is_to_be_done",
            ),
        ),
        Row(
            "An empty mount point is read as “all deleted”",
            "known by its marker",
            (
                ROOTS + "test_an_emptied_mount_point_is_refused_and_left_alone",
                INBOX + "test_a_vanished_share_is_no_deletion",
            ),
        ),
        Row(
            "The inotify limit silently disables watching",
            "polls, and says the sysctl",
            (WATCH_LOST + "test_the_limit_leads_to_polling_with_the_setting_to_raise_and_back",),
        ),
        Row(
            "Junk: `._*`, .DS_Store, Thumbs.db …",
            "ignored",
            (
                GATE_LAYOUT + "test_leftovers_and_other_files_do_no_harm",
                ZIP + "test_other_separators_and_leftovers_are_fine",
            ),
        ),
        Row(
            "Temporary names: `.part`, `.crdownload`, `~$` …",
            "not complete while one is there",
            (GATE_LAYOUT + "test_a_temporary_file_holds_the_bundle_however_long_it_is_quiet",),
        ),
        Row(
            "NFC and NFD, Front.PNG",
            "keyed on NFC and case fold; collisions refused",
            (
                GATE_LAYOUT + "test_names_in_other_forms_are_taken",
                GATE_LAYOUT + "test_names_that_differ_in_case_alone_are_refused",
            ),
        ),
        Row(
            "Polling costs",
            "top level first, open bundles alone below",
            (INTAKE_MANY + "test_many_bundles_at_once", WATCH + "test_an_idle_watch_costs_next_to_nothing"),
        ),
        Row(
            "Failed input has no reason, or is lost",
            "a reason in the folder; nothing is moved away",
            (WHOLE + "test_a_refused_bundle_says_why_and_mending_one_file_is_enough",),
        ),
        Row(
            "No retry once the disk is free again",
            "held, resumes alone",
            (
                REAL + "test_a_full_disk_holds_and_resumes",
                SPOOL + "test_a_full_spool_holds_and_goes_on_once_something_could_be_written",
            ),
        ),
        Row(
            "A rename on SMB fails while a handle is open",
            "new names, closed first, tried again",
            (
                PUBLISH_FAULTS + "test_any_call_may_fail",
                PUBLISH_FAULTS + "test_a_rename_that_reports_a_failure_but_happened",
                PEERS + "test_samba",
            ),
        ),
        Row(
            "Cancel does not stop, or keeps the memory",
            "one child a job: asked, SIGTERM, SIGKILL",
            (
                STATES + "test_cancel_asks_then_terminates_then_kills",
                RUN + "test_a_cancelled_job_is_gone_with_its_memory",
            ),
        ),
        Row(
            "A task is lost on kill",
            "the row stays until it is done",
            (KILLS + "test_killed_at_random_times", STORE + "test_what_was_said_to_be_recorded_outlives_kill_9"),
        ),
        Row(
            "A long job is run twice by a lease",
            "process identity, no wall clock",
            (
                MACHINE_PROCESS + "test_a_pid_that_went_to_another_process_is_not_the_same",
                STATES + "test_the_wall_clock_stops_nothing",
            ),
        ),
        Row(
            "The queue forgets on a crash; no pause, order, drain",
            "durable, with all of them",
            (
                WHOLE + "test_sigusr1_pauses_and_resumes",
                COMMANDS_DAEMON + "test_pause_and_drain_hold_new_bundles_until_resume",
                ORDER + "test_the_highest_priority_is_first",
            ),
        ),
        Row(
            "Renamed in: folder and zip",
            "at work in 2 s",
            (
                WHOLE + "test_latency_from_the_last_byte_to_progress",
                PEERS + "test_a_fuse_mount_without_events_is_polled",
            ),
        ),
        Row("Input deleted while it runs", "finishes from its own copy", (WHOLE + "test_input_deleted_while_it_runs",)),
        Row(
            "Same name, other content",
            "two results, nothing overwritten",
            (
                WHOLE + "test_same_name_other_content_gives_two_results",
                PUBLISH + "test_a_target_that_appears_at_the_last_moment_is_not_replaced",
            ),
        ),
        Row(
            "`.cancel` before, while, after",
            "stops in 5 s; after: a no-op with the reason",
            (
                MARKERS + "test_cancel_before_it_is_taken_is_recorded_and_archived",
                WHOLE + "test_cancel_marker_stops_a_running_job_and_its_process",
                MARKERS + "test_cancel_after_the_end_is_answered_and_never_applies_to_a_later_drop",
            ),
        ),
    ),
)
