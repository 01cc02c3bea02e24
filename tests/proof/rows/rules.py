"""The rules of the share, the states and the codes."""

from __future__ import annotations

from typing import Final

from tests.proof.rows.row import Part, Row
from tests.proof.rows.suites import (
    ANSWERS,
    CARETAKER_ARCHIVES,
    CARETAKER_PERMISSIONS,
    CRASHES,
    GATE,
    GATE_LAYOUT,
    INBOX,
    JOBS,
    LIVE,
    MARKERS,
    NAMES,
    ORDER,
    PUBLISH,
    PUBLISH_FAULTS,
    REBUILD,
    RETENTION,
    ROOTS,
    RULES_01_ARCHIVE,
    RULES_03_NOTICES,
    RULES_06_MARKERS,
    RULES_07_MODES,
    RULES_08_SPOOL,
    RULES_12_TO_14_WHOLE,
    RUN,
    RUNNER_GPU,
    SPOOL,
    STATUS_EXPLAIN,
    STORE_MACHINE,
    WHOLE,
)

RULES: Final = Part(
    "R",
    "The rules of the share, the states and the codes",
    "See [hot-folder.md](hot-folder.md) and [errors.md](errors.md) for what each says in full.",
    (
        Row(
            "1. A path is not a job",
            "what changed is a new drop",
            (
                RULES_01_ARCHIVE + "test_written_between_the_look_and_the_rename_it_is_given_back_and_taken_anew",
                INBOX + "test_what_changed_while_it_ran_is_not_archived_but_taken_anew",
                SPOOL + "test_a_folder_that_was_removed_says_so",
                INBOX + "test_what_changed_before_it_was_copied_replaces_its_job",
                RULES_01_ARCHIVE + "test_a_polled_bundle_that_has_changed_is_not_put_away_although_lstat_says_nothing",
                WHOLE + "test_input_deleted_while_it_runs",
            ),
        ),
        Row(
            "2. The fingerprint",
            "times compared for equality; quiet by the monotonic clock",
            (
                GATE_LAYOUT + "test_what_counts_as_a_change",
                GATE + "test_times_of_files_are_never_compared_with_a_clock",
                GATE + "test_quiet_needs_two_looks_however_late_the_first_one_is",
                INBOX + "test_polled_inboxes_need_two_unchanged_polls",
                GATE_LAYOUT + "test_the_daemons_own_files_markers_and_leftovers_are_no_change",
                RULES_01_ARCHIVE + "test_a_polled_bundle_that_still_grows_is_seen_by_opening_it",
            ),
        ),
        Row(
            "3. STATUS.txt",
            "after 10 s, only when its sentence changes, beside where it must",
            (
                RULES_03_NOTICES
                + "test_a_notice_comes_ten_seconds_after_the_last_change_and_never_for_what_is_no_bundle",
                RULES_03_NOTICES + "test_a_notice_is_written_only_where_it_says_something_else_over_restarts_too",
                CARETAKER_PERMISSIONS + "test_a_foreign_bundle_is_run_stays_and_is_told_so_beside_it",
                CARETAKER_PERMISSIONS + "test_an_unreadable_file_is_waited_for_told_and_holds_nobody_up",
                CARETAKER_PERMISSIONS + "test_an_inbox_that_can_not_be_written_is_read_all_the_same",
            ),
        ),
        Row(
            "4. Archiving is best effort",
            "changes no state; never taken again",
            (
                RULES_01_ARCHIVE + "test_a_refused_archive_changes_no_state_and_is_never_taken_again",
                RULES_01_ARCHIVE + "test_what_was_refused_and_is_then_changed_is_a_new_drop",
            ),
        ),
        Row(
            "5. An input error leaves the bundle where it is",
            "fixing one file is enough; nothing is deleted unasked",
            (
                INBOX + "test_mending_one_file_after_a_failure_is_enough",
                RETENTION + "test_by_default_nothing_is_ever_deleted",
                RETENTION + "test_what_the_database_does_not_know_stays",
                CARETAKER_ARCHIVES + "test_a_refused_bundle_stays_its_time_over_restarts_and_then_is_put_away",
            ),
        ),
        Row(
            "6. Markers work once",
            "in every spelling; answered where there is nothing",
            (
                MARKERS + "test_spellings",
                RULES_06_MARKERS + "test_the_history_says_who_cancelled_and_a_marker_that_stays_never_applies_again",
                MARKERS + "test_a_marker_beside_nothing_is_answered_after_a_while",
                GATE + "test_ready_never_skips_the_content_check",
                RULES_06_MARKERS + "test_ready_with_files_missing_waits_a_minute_and_one_more_file_is_enough",
                RULES_06_MARKERS + "test_a_job_toml_from_a_windows_editor_is_read",
                RULES_06_MARKERS + "test_a_zip_is_cancelled_beside_it",
            ),
        ),
        Row(
            "7. Modes",
            "what people of the group need, whatever the umask",
            (
                RULES_07_MODES + "test_people_of_the_outboxs_group_may_use_and_remove_what_is_published",
                RULES_07_MODES + "test_shares_that_refuse_modes_and_groups_get_their_results_with_one_warning",
                PUBLISH + "test_modes_and_group_are_the_settings_whatever_the_umask",
            ),
        ),
        Row(
            "8. Admission keeps nothing; the next two are copied",
            "EDQUOT is ENOSPC, wherever it shows",
            (
                RULES_08_SPOOL + "test_admission_keeps_nothing",
                RULES_08_SPOOL + "test_no_room_is_no_room_wherever_it_shows",
                SPOOL + "test_two_jobs_are_copied_ahead",
                SPOOL + "test_the_spool_has_a_limit_but_one_job_always_fits",
                SPOOL + "test_what_was_changed_before_it_was_copied_is_taken_anew",
                SPOOL + "test_a_file_that_can_t_be_read_holds_its_job_alone",
            ),
        ),
        Row(
            "9. Publish is a phase of its own",
            "the engine never runs twice for it",
            (
                PUBLISH_FAULTS + "test_any_call_may_fail_for_long",
                PUBLISH + "test_what_is_there_in_any_form_is_taken",
                PUBLISH_FAULTS + "test_retries_grow_to_a_minute_and_then_the_job_is_held",
                PUBLISH + "test_two_names_that_clash_get_two_folders_and_one_latest",
                CRASHES + "test_killed_between_result_and_record_the_engine_does_not_run_twice",
            ),
        ),
        Row(
            "10. Live files",
            "beside and renamed, on change, three tries; delay nothing",
            (
                LIVE + "test_only_on_change",
                LIVE + "test_at_most_every_refresh_s",
                LIVE + "test_a_refusal_is_three_tries_and_then_the_next_tick",
                RULES_03_NOTICES + "test_a_notice_that_can_not_be_written_is_given_up_for_a_while_and_delays_nothing",
            ),
        ),
        Row(
            "11. Same content again",
            "only a whole success answers; a lost database is rebuilt first",
            (
                WHOLE + "test_the_same_content_again_is_answered",
                ANSWERS + "test_only_a_whole_result_answers",
                REBUILD + "test_everything_comes_back",
                ANSWERS + "test_the_same_name_gets_no_new_folder",
                ANSWERS + "test_another_name_gets_its_own_complete_folder",
                ANSWERS + "test_force_runs",
            ),
        ),
        Row(
            "12. Names",
            "names everywhere; 140 bytes; nothing overwritten",
            (
                NAMES + "test_what_is_made_is_a_name_everywhere",
                PUBLISH + "test_no_path_below_the_outbox_is_over_140_bytes",
                INBOX + "test_a_zip_and_a_folder_of_one_name_are_two_jobs",
                INBOX + "test_loose_files_and_folders_of_bundles_get_a_sentence_in_the_inbox",
                GATE_LAYOUT + "test_one_or_two_wrapping_folders_are_looked_through",
                PUBLISH + "test_the_daemons_own_names_are_not_given_away",
            ),
        ),
        Row(
            "13. Several inboxes",
            "order, locks, roots known by their marker",
            (
                RULES_12_TO_14_WHOLE + "test_two_inboxes_with_ways_of_their_own",
                ORDER + "test_who_drops_many_does_not_keep_others_waiting",
                RUNNER_GPU + "test_a_gpu_in_use_is_waited_for_and_given_back",
                ROOTS + "test_another_share_in_its_place_is_refused",
                ORDER + "test_the_highest_priority_is_first",
                WHOLE + "test_a_second_daemon_is_refused_and_told_of_the_first",
            ),
        ),
        Row(
            "14. Paths as people know them",
            "in statuses and in `explain`",
            (
                RULES_12_TO_14_WHOLE + "test_paths_are_told_as_people_know_them_and_every_status_ends_alike",
                STATUS_EXPLAIN + "test_windows_and_mac_paths",
            ),
        ),
        Row(
            "The states",
            "no way but the machine's; each step one log record; a cancel that has to be confirmed",
            (
                STORE_MACHINE + "TestStoreAgainstModel",
                STORE_MACHINE + "test_the_database_itself_refuses_ways_that_do_not_exist",
                JOBS + "test_each_step_is_one_log_record",
                MARKERS + "test_two_steps_where_the_settings_ask_for_them",
                MARKERS + "test_an_unconfirmed_cancel_runs_out",
                WHOLE + "test_quality_failure_publishes_everything",
            ),
        ),
        Row(
            "The codes",
            "what is wrong has its code: input fails, infrastructure holds, the engine's end is told",
            (
                RUN + "test_what_the_engine_raises_has_a_code",
                RULES_12_TO_14_WHOLE + "test_bad_input_is_told_where_it_lies_and_in_the_outbox_and_the_daemon_goes_on",
                WHOLE + "test_a_crash_ends_the_job_and_not_the_daemon",
            ),
        ),
    ),
)
