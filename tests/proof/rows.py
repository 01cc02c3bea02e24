"""What is promised, and what shows it: a row each, in the order of docs/reliability.md.

A test is named as pytest names it, without its parameters. A figure is a format of what the proof's tests have told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from daemon.store.migrate import VERSIONS


@dataclass(frozen=True)
class Row:
    """what: the promise or the failure. bar: what has to hold. figures: name of what was told -> its words."""

    what: str
    bar: str
    tests: tuple[str, ...]
    figures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """Rows that belong together. letter: begins the names of its rows, K1, K2 and so on."""

    letter: str
    title: str
    words: str
    rows: tuple[Row, ...]


CRASH = "tests/proof/test_proof_crash_points.py::"
KILLS = "tests/proof/test_proof_random_kills.py::"
FAULTS = "tests/proof/test_proof_io_faults.py::"
MODEL = "tests/proof/test_proof_model.py::"
REAL = "tests/proof/test_proof_real.py::"
HOSTILE = "tests/proof/test_proof_hostile.py::"
UPGRADE = "tests/proof/test_proof_upgrade.py::"
WHOLE = "tests/service/test_service_whole.py::"
BARS = "tests/service/test_service_bars.py::"
ROOTS = "tests/service/test_service_roots.py::"
PEERS = "tests/peers/test_peers.py::"
INBOX = "tests/intake/test_intake_inbox.py::"
GATE = "tests/intake/test_intake_gate.py::"
ZIP = "tests/intake/test_intake_zip.py::"
NAMES = "tests/intake/test_intake_names.py::"
LINKS = "tests/intake/test_intake_links.py::"
MARKERS = "tests/intake/test_intake_markers.py::"
WRITERS = "tests/intake/test_intake_writers.py::"
WATCH = "tests/watch/test_watch_inotify.py::"
SPOOL = "tests/spool/test_spool_copies.py::"
PUBLISH = "tests/publish/test_publish_publisher.py::"
ANSWERS = "tests/publish/test_publish_answers.py::"
RETENTION = "tests/publish/test_publish_retention.py::"
REBUILD = "tests/publish/test_publish_rebuild.py::"
RUN = "tests/runner/test_runner_processes.py::"
STATES = "tests/runner/test_runner_states.py::"
STORE = "tests/store/test_store_database.py::"
JOBS = "tests/store/test_store_jobs.py::"
ORDER = "tests/store/test_store_order.py::"
LIVE = "tests/status/test_status_live.py::"
CARETAKER_PERMISSIONS = "tests/caretaker/test_caretaker_permissions.py::"
CARETAKER_ARCHIVES = "tests/caretaker/test_caretaker_archives.py::"
BUNDLE_LOAD = "tests/bundle/test_bundle_load.py::"
BUNDLE_PNG = "tests/bundle/test_bundle_png.py::"
COMMANDS_DAEMON = "tests/commands/test_commands_daemon.py::"
INSTALL_UNITS = "tests/install/test_install_units.py::"
INTAKE_MANY = "tests/intake/test_intake_many.py::"
MACHINE_PROCESS = "tests/machine/test_machine_process.py::"
RULES_01_ARCHIVE = "tests/rules/test_rules_01_archive.py::"
RULES_03_NOTICES = "tests/rules/test_rules_03_notices.py::"
RULES_06_MARKERS = "tests/rules/test_rules_06_markers.py::"
RULES_07_MODES = "tests/rules/test_rules_07_modes.py::"
RULES_08_SPOOL = "tests/rules/test_rules_08_spool.py::"
RULES_12_TO_14_WHOLE = "tests/rules/test_rules_12_to_14_whole.py::"
CONFINED = "tests/runner/test_runner_confined.py::"
RUNNER_GPU = "tests/runner/test_runner_gpu.py::"
RUNNER_MEMORY = "tests/runner/test_runner_memory.py::"
STATUS_EXPLAIN = "tests/status/test_status_explain.py::"
STORE_MACHINE = "tests/store/test_store_machine.py::"

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
                f"calls_{kind}": f"{kind}: {{kills}} kills over {{of}} calls"
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

FAULTY: Final = Part(
    "D",
    "Disks and shares that fail",
    "Infrastructure holds a job and never fails it; once the fault is gone everything comes to its end by itself.",
    (
        Row(
            "The Nth call to the file system fails once: EIO, ENOSPC, EACCES, ESTALE",
            "no hang, no refusal, nothing partial; all N",
            (FAULTS + "test_any_call_fails_once", FAULTS + "test_one_call_in_many_fails_once"),
            {
                "faults_once": "{stories} stories ({errors}); {failures} failures; calls in a story: {calls}; each of "
                "them has failed with: {every_call_of}; the longest story took {longest_s} s of its own clock"
            },
        ),
        Row(
            "A call at every point of the program fails once: what is called, on which kind of file, from which lines",
            "no hang, no refusal, nothing partial; all points, each of the four errors",
            (FAULTS + "test_a_call_at_every_point_fails_with_each_error",),
            {
                "faults_points": "{struck_of} of {of}: {points} points in all stories; {failures} failures; "
                "the longest story took {longest_s} s of its own clock"
            },
        ),
        Row(
            "All calls from the Nth on fail for two minutes",
            "held with a sentence, then done",
            (FAULTS + "test_all_calls_fail_for_two_minutes",),
            {"faults_lasting": "{stories} stories ({errors}), {held} times held, {failures} failures"},
        ),
        Row(
            "The Nth transaction fails: the database's disk is full or broken",
            "nothing lost; done at the next try",
            (FAULTS + "test_any_transaction_fails",),
        ),
        Row(
            "ENOSPC on the outbox (a tmpfs of 6 MB)",
            "held, never quarantined; resumes in 60 s",
            (REAL + "test_a_full_disk_holds_and_resumes", PUBLISH + "test_no_space_holds_at_once_and_names_the_share"),
            {"full_outbox": "done {resumed_s} s after space was there"},
        ),
        Row(
            "ENOSPC on state: database and spool",
            "held, never quarantined; resumes in 60 s",
            (REAL + "test_a_full_disk_holds_and_resumes", SPOOL + "test_a_really_full_disk_holds_and_goes_on"),
            {
                "full_state": "done {resumed_s} s after space was there",
                "full_spool": "the spool alone on a full disk: {resumed_s} s",
            },
        ),
        Row(
            "ENOSPC on the inbox",
            "costs the notices alone",
            (REAL + "test_a_full_inbox_costs_the_notices_alone",),
            {"full_inbox": "{state}"},
        ),
        Row(
            "The outbox is remounted read-only",
            "held and said; resumes",
            (
                REAL + "test_an_outbox_that_becomes_read_only_holds_and_resumes",
                PUBLISH + "test_a_read_only_outbox_holds_at_once_and_is_logged_once",
            ),
            {"read_only_outbox": "done {resumed_s} s after it could be written"},
        ),
        Row(
            "The disk of the inbox, or of the state folder, is given up by the kernel: read-only under open files",
            "the daemon lives, no job fails; done after the disk was checked",
            (REAL + "test_a_disk_that_the_kernel_has_given_up",),
            {
                "given_up_inbox": "inbox: done at once, put away after the restart",
                "given_up_state": "state: done {resumed_s} s after the restart",
            },
        ),
        Row(
            "A share is unmounted and mounted again",
            "0 false deletes, 0 second runs, nothing written below the mount point",
            (
                PEERS + "test_a_share_that_goes_away_and_comes_back",
                REAL + "test_an_outbox_that_is_unmounted_and_mounted_again",
                INBOX + "test_a_vanished_share_is_no_deletion",
            ),
            {"remounted_outbox": "done {resumed_s} s after the mount, {runs} run"},
        ),
        Row(
            "A share is away for 10 minutes, with jobs running, waiting and half copied",
            "0 false deletes, 0 second runs, resumes within 2 polls",
            (REAL + "test_a_share_that_is_away_for_long",),
            {
                "away": "away {away_s} s; what was completed meanwhile was taken {resumed_s} s after the mount, with "
                "polls every second and a quiet time of 0.5 s; {runs} run each"
            },
        ),
        Row(
            "A share that freezes (the FUSE server is stopped)",
            "`status` answers in 1 s, the daemon lives, the job is done afterwards",
            (REAL + "test_a_frozen_share_is_waited_for_and_status_answers",),
            {
                "frozen_inbox": "inbox frozen: status in {status_s} s",
                "frozen_outbox": "outbox frozen: status in {status_s} s",
            },
        ),
    ),
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
                STATES + "test_killed_between_result_and_record_the_engine_does_not_run_twice",
                PUBLISH + "test_any_call_may_fail",
            ),
        ),
        Row(
            "The clock jumps a day, both ways",
            "no early, late or stuck job",
            (
                REAL + "test_a_real_clock_that_jumps_a_day",
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
                REAL + "test_a_database_that_another_program_keeps",
                STORE + "test_a_database_that_somebody_keeps_is_said",
            ),
            {"locked_database": "locked {kept_s} s; all done {done_after_s} s later"},
        ),
        Row(
            "The database is truncated",
            "refused with words; rebuilt from the outbox once it is moved away",
            (
                REAL + "test_a_database_that_is_truncated_is_said_and_the_next_start_refuses_it",
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

LOAD: Final = Part(
    "L",
    "Load",
    "Processor time, memory and descriptors, so that a busy machine does not blur the figures.",
    (
        Row(
            "10,000 bundles of 12 files at once",
            "all recorded in 120 s of processor time, 0 missed, 300 MiB at most",
            (BARS + "test_many_bundles_at_once",),
            {"many_bundles": "{bundles}: {cpu_s} s of processor time ({wall_s} s of the clock), {rss_mb} MiB"},
        ),
        Row(
            "200 slow writers: random pauses, preallocated and filled, by temporary names",
            "0 early starts",
            (
                WRITERS + "test_nothing_is_taken_before_it_has_been_written",
                PEERS + "test_two_hundred_writers_at_their_own_pace",
            ),
            {"writers": "{writers} real ones, {early} early; and 200 simulated ones with pauses of up to a minute"},
        ),
        Row(
            "The kernel's queue of events overflows, really",
            "0 missed after one rescan",
            (
                WATCH + "test_a_real_overflow_is_noticed",
                WATCH + "test_an_overflow_is_followed_by_a_full_look_and_new_folders_are_watched",
            ),
        ),
        Row(
            "The limit of inotify watches is reached",
            "polls, says so, prints the sysctl, goes back by itself",
            (
                REAL + "test_a_limit_of_one_watch",
                WATCH + "test_the_limit_leads_to_polling_with_the_setting_to_raise_and_back",
                WATCH + "test_the_limit_reached_later_leads_to_polling_too",
            ),
            {"one_watch": "with the kernel's limit at 1: {mode}; said: “{remedy}”"},
        ),
        Row(
            "A bundle a second",
            "memory, descriptors and threads stay what they are; an hour in `make soak`",
            (REAL + "test_a_steady_stream_leaks_nothing",),
            {
                "stream": "{bundles} bundles in {minutes} minutes: {rss_mb} MiB, {rss_grown_mb} MiB more than in the "
                "second third; descriptors {descriptors}, threads {threads}"
            },
        ),
        Row(
            "From start to READY; idle",
            "1.5 s of processor time; a hundredth of a core",
            (BARS + "test_from_start_to_ready", BARS + "test_idle_costs_less_than_a_hundredth_of_a_core"),
            {"ready": "READY after {cpu_s} s of processor time", "idle": "idle: {percent} % of a core"},
        ),
    ),
)

HARMFUL: Final = Part(
    "H",
    "Hostile input",
    "See [threat-model.md](threat-model.md) for what somebody who can drop bundles can and can't do.",
    (
        Row(
            "Fuzzed: zip reader, PNG gate, job.toml, names",
            "the promised errors alone, in a sentence; nothing outside its folder; no bomb",
            (
                HOSTILE + "test_the_corpus",
                HOSTILE + "test_mutations_of_the_corpus",
                HOSTILE + "test_any_bytes",
                HOSTILE + "test_any_options",
                HOSTILE + "test_what_coverage_leads_to",
            ),
            {
                "fuzz_zip": "zip: {inputs} mutations, {opened} of which open",
                "fuzz_png": "PNG: {inputs}",
                "fuzz_job": "job.toml: {inputs}",
                "fuzz_name": "names: {inputs}",
                "atheris_zip": "guided by coverage, zip: {inputs} in {seconds} s",
                "atheris_png": "PNG: {inputs} in {seconds} s",
                "atheris_job": "job.toml: {inputs} in {seconds} s",
                "atheris_name": "names: {inputs} in {seconds} s",
            },
        ),
        Row(
            "Ways out: links, devices, sockets, paths in zips and job.toml; names that are markup or escapes",
            "0 escapes; one line a log record; no markup in pages",
            (HOSTILE + "test_every_way_out_is_closed",),
            {"hostile_drops": "{dropped} hostile drops at once, {jobs} jobs, {escapes} escapes"},
        ),
        Row(
            "Names with newline, `..`, bytes, 255 bytes, RTL, leading `-`, NFC and NFD twins",
            "0 crashes",
            (
                NAMES + "test_hostile_names_are_bundles_like_any_other",
                NAMES + "test_no_name_stops_the_others",
                NAMES + "test_what_is_shown_is_one_harmless_line",
                NAMES + "test_what_is_made_is_a_name_everywhere",
                RULES_12_TO_14_WHOLE + "test_names_nobody_else_could_hold",
            ),
        ),
        Row(
            "Links out, loops, FIFO, device, socket, hard link",
            "refused by lstat, never opened",
            (
                LINKS + "test_what_is_no_file_is_refused_unopened",
                LINKS + "test_a_device_is_refused_unopened",
                LINKS + "test_loops_of_links_end",
                LINKS + "test_linked_folders_are_refused_and_not_entered",
                LINKS + "test_a_file_exchanged_between_look_and_reading_is_not_believed",
            ),
        ),
        Row(
            "Zip bomb, zip slip, nested, encrypted",
            "refused in 5 s and 256 MiB",
            (
                ZIP + "test_bombs_are_refused_within_5_s_and_256_mib",
                ZIP + "test_paths_that_lead_out_are_refused",
                ZIP + "test_nested_archives_are_refused",
                ZIP + "test_encrypted_zips_are_refused",
            ),
        ),
        Row(
            "PNG bomb, truncated, bad CRC, lying IHDR",
            "refused before a full decode, in 256 MiB",
            (
                ZIP + "test_a_png_that_lies_of_its_size_is_refused_unread",
                INBOX + "test_a_truncated_file_is_waited_for_and_then_refused",
                BUNDLE_LOAD + "test_a_huge_header_is_refused_before_decoding",
                BUNDLE_LOAD + "test_damaged_files_are_all_named",
                BUNDLE_PNG + "test_image_data_that_lies_is_refused",
            ),
        ),
        Row(
            "One bundle that breaks the program itself",
            "its own trouble: the others go on",
            (
                HOSTILE + "test_one_bundle_that_breaks_the_intake_is_its_own_trouble",
                HOSTILE + "test_one_bundle_that_breaks_the_copying_fails_and_the_others_go_on",
            ),
        ),
        Row(
            "The worker's rights",
            "no network, no new privileges, no other process's memory, no core files, limits of file size and memory",
            (
                CONFINED + "test_there_is_no_network_for_any_thread_or_program",
                CONFINED + "test_nobody_else_s_memory_no_mounts_and_no_other_way_to_sockets",
                CONFINED + "test_the_worker_of_a_daemon_is_confined",
                CONFINED + "test_files_have_a_largest_size_and_none_is_dumped",
                CONFINED + "test_kernels_are_compiled_and_tensors_multiplied_all_the_same",
                HOSTILE + "test_the_worker_has_no_more_rights_than_it_needs",
            ),
        ),
        Row(
            "`systemd-analyze security`",
            "2.0 at most",
            (INSTALL_UNITS + "test_the_service_is_hardened",),
        ),
    ),
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
                GATE + "test_it_names_what_is_missing",
                GATE + "test_incomplete_for_too_long_is_expired_and_may_still_be_completed",
            ),
        ),
        Row(
            "The watcher lives, a file is stranded",
            "a periodic scan finds it",
            (
                INBOX + "test_without_hints_the_scan_finds_it",
                WATCH + "test_events_that_do_not_come_are_polled_for_until_they_do",
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
                WATCH + "test_a_root_that_goes_is_said_and_one_that_comes_back_is_watched_again",
                WATCH + "test_a_thread_that_died_is_replaced",
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
            (WATCH + "test_the_limit_leads_to_polling_with_the_setting_to_raise_and_back",),
        ),
        Row(
            "Junk: `._*`, .DS_Store, Thumbs.db …",
            "ignored",
            (GATE + "test_leftovers_and_other_files_do_no_harm", ZIP + "test_other_separators_and_leftovers_are_fine"),
        ),
        Row(
            "Temporary names: `.part`, `.crdownload`, `~$` …",
            "not complete while one is there",
            (GATE + "test_a_temporary_file_holds_the_bundle_however_long_it_is_quiet",),
        ),
        Row(
            "NFC and NFD, Front.PNG",
            "keyed on NFC and case fold; collisions refused",
            (GATE + "test_names_in_other_forms_are_taken", GATE + "test_names_that_differ_in_case_alone_are_refused"),
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
                PUBLISH + "test_any_call_may_fail",
                PUBLISH + "test_a_rename_that_reports_a_failure_but_happened",
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
                GATE + "test_what_counts_as_a_change",
                GATE + "test_times_of_files_are_never_compared_with_a_clock",
                GATE + "test_quiet_needs_two_looks_however_late_the_first_one_is",
                INBOX + "test_polled_inboxes_need_two_unchanged_polls",
                GATE + "test_the_daemons_own_files_markers_and_leftovers_are_no_change",
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
                PUBLISH + "test_any_call_may_fail_for_long",
                PUBLISH + "test_what_is_there_in_any_form_is_taken",
                PUBLISH + "test_retries_grow_to_a_minute_and_then_the_job_is_held",
                PUBLISH + "test_two_names_that_clash_get_two_folders_and_one_latest",
                STATES + "test_killed_between_result_and_record_the_engine_does_not_run_twice",
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
                GATE + "test_one_or_two_wrapping_folders_are_looked_through",
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

PARTS: Final = (KILLED, FAULTY, PROCESSES, LOAD, HARMFUL, REPORTED, RULES)


def named() -> dict[str, Row]:
    """The rows by their names: the part's letter and the number in it."""
    return {f"{part.letter}{number}": row for part in PARTS for number, row in enumerate(part.rows, 1)}


def all_tests(names: Sequence[str] = ()) -> list[str]:
    """Every test that these rows name, or any where none is given, once. Raises KeyError."""
    rows = [named()[name] for name in names] if names else list(named().values())
    return list(dict.fromkeys(test for row in rows for test in row.tests))
