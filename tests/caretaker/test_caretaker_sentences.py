"""The words that people read, as a table."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from config.errors import InvalidFileFormat, JobExpired, TimedOut
from daemon.caretaker.sentences import about_job, status_text
from daemon.states import State
from daemon.store import Job

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
JOB = Job(
    id="k3v9x2ab", inbox="inbox", entry="shoe", name="shoe", state=State.PENDING, outcome=None, priority=0, owner="a",
    options={}, content_key="", fingerprint="", attempt=1, crashes=0, spooled=False, held_from=None, hold_code=None,
    hold_reason=None, stage=None, fraction=0.0, eta_s=None, error=None, verdict=None, manifest=None, result_path=None,
    answered_by=None, retry_of=None, source="", cancel_requested_at=None, cancel_by=None, lowered=False, notes=[],
    created_at=NOW, started_at=None, finished_at=None, updated_at=NOW,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "Taken; it waits for its turn."),
        ({"state": State.PROGRESS}, "It is being reconstructed."),
        ({"state": State.PROGRESS, "cancel_requested_at": NOW}, "It is being cancelled."),
        ({"state": State.PUBLISHING}, "It is done; what came of it is on its way to the outbox."),
        (
            {"state": State.HELD, "hold_reason": "No space is left on the outbox"},
            "On hold: No space is left on the outbox. It goes on by itself; nothing is lost.",
        ),
        ({"state": State.SUCCESS, "verdict": "normal"}, "Finished: Z:\\out\\shoe"),
        (
            {"state": State.SUCCESS, "verdict": "warning"},
            "Finished, but please have a look at report.html: the quality is not what it could be. Z:\\out\\shoe",
        ),
        (
            {"state": State.SUCCESS, "answered_by": "aaaabbbb"},
            "This was made before, from the same files (job aaaabbbb): Z:\\out\\shoe. To have it made again all the "
            "same, drop it with an empty file named .redo in it, or use meshdrop submit --force.",
        ),
        (
            {"state": State.CANCELLED, "cancel_by": "anna"},
            "Cancelled by anna. To have it made after all, drop it again.",
        ),
        (
            {"state": State.FAILURE, "error": InvalidFileFormat("multi_views/top.png is a JPEG.").as_json()},
            "It can't be taken: multi_views/top.png is a JPEG. Export the file again as PNG: RGB or RGBA for views, "
            "8- or 16-bit grayscale for depth. Mend it here: it is taken again as soon as a file changes.",
        ),
        (
            {"state": State.FAILURE, "error": JobExpired("Nothing has changed for 1 day: 11 of 12 files.").as_json()},
            "Nothing has changed for 1 day: 11 of 12 files. Add the missing files: the bundle is taken as soon as it "
            "is complete.",
        ),
        (
            {"state": State.FAILURE, "error": TimedOut("It took longer than 60 minutes.").as_json()},
            "It failed: It took longer than 60 minutes. Raise timeout_s in job.toml, or ask for a lower quality. "
            "To try again, put an empty file named .redo into this folder.",
        ),
    ],
)
def test_sentences(changes: dict[str, Any], sentence: str) -> None:
    assert about_job(replace(JOB, **changes), "Z:\\out\\shoe") == sentence


def test_no_job_of_any_state_breaks_the_line() -> None:
    for state in State:
        job = replace(JOB, state=state, hold_reason="a\nb", error={"message": "a\nb\u202e"}, cancel_by="x\ny")
        assert len(about_job(job, "somewhere").splitlines()) == 1


def test_the_whole_text_ends_with_job_time_and_whom_to_ask() -> None:
    lines = status_text("Finished.", "k3v9x2ab", NOW, "Tom, room 3").splitlines()
    assert lines[0] == "Finished."
    assert lines[2] == "Job:  k3v9x2ab"
    assert lines[3].startswith("Time: 2026-03-01 ")
    assert lines[4] == "Help: Tom, room 3"
    assert "Help" not in status_text("x", None, NOW, "")
