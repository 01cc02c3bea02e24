"""What is promised of disks and shares that fail."""

from __future__ import annotations

from typing import Final

from tests.proof.rows.row import Part, Row
from tests.proof.rows.suites import (
    FAULTS,
    INBOX,
    PEERS,
    PUBLISH_FAULTS,
    REAL,
    SPOOL,
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
                "faults_once": "{struck_once} of {calls_of} calls with one of the errors, {stories} of {of} with each: "
                "{errors}; {failures} failures; calls in a story: {calls}; "
                "the longest story took {longest_s} s of its own clock"
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
            (
                REAL + "test_a_full_disk_holds_and_resumes",
                PUBLISH_FAULTS + "test_no_space_holds_at_once_and_names_the_share",
            ),
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
                PUBLISH_FAULTS + "test_a_read_only_outbox_holds_at_once_and_is_logged_once",
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
