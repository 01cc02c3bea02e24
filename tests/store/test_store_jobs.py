"""Jobs are admitted once, move only as the machine allows, and are found again as they were."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from config.errors import JobNotFound, UnknownError
from daemon.states import State
from daemon.store import PublishedJob, StateChanged, Store, admission
from daemon.store.jobs import ID_ALPHABET
from tests.store.made import FakeClock, new_job

RAW = st.binary(min_size=1, max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


def test_a_new_job_is_pending_and_holds_what_was_given(store: Store, clock: FakeClock) -> None:
    (job,) = store.admit([new_job(notes=["a note"], priority=7)])
    assert (job.state, job.attempt, job.priority, job.notes) == (State.PENDING, 1, 7, ["a note"])
    assert (job.options, job.source, job.created_at) == ({"quality": "draft"}, "/srv/inbox/shoe", clock.now())
    assert len(job.id) == 8
    assert set(job.id) <= set(ID_ALPHABET)
    assert store.inputs(job.id) == dict(sorted(new_job().digests.items()))
    (step,) = store.transitions(job.id)
    assert (step.before, step.after) == (None, State.PENDING)
    assert store.jobs() == [job]


def test_the_same_drop_is_one_job_however_often_it_is_admitted(store: Store) -> None:
    first = store.admit([new_job(), new_job()])
    again = store.admit([new_job()])
    assert {job.id for job in first + again} == {first[0].id}
    store.transition(first[0].id, State.CANCELLED, reason="asked")
    assert store.admit([new_job()])[0].id == first[0].id
    assert len(store.jobs()) == 1


def test_another_fingerprint_is_the_next_attempt_though_the_first_is_live(store: Store) -> None:
    first, second = store.admit([new_job(), new_job(fingerprint="changed")])
    assert (first.attempt, second.attempt) == (1, 2)
    assert store.live_job("inbox", "shoe") == second
    assert store.last_job("inbox", "shoe") == second
    assert store.live_job("inbox", "boot") is None


@pytest.mark.parametrize("again", [{"redo": True}, {"retry_of": "00000000"}])
def test_redo_and_retry_make_another_job_once_the_first_is_final(store: Store, again: dict[str, Any]) -> None:
    (first,) = store.admit([new_job()])
    assert store.admit([new_job(**again)])[0].id == first.id
    store.transition(first.id, State.CANCELLED, reason="asked")
    (second,) = store.admit([new_job(**again)])
    assert second.id != first.id
    assert second.attempt == 2
    assert store.admit([new_job()])[0].id == second.id


def test_a_batch_is_admitted_whole_or_not_at_all(store: Store) -> None:
    with pytest.raises(UnknownError, match="refused"):
        store.admit([new_job("a"), new_job("b", owner=None)])
    assert store.jobs() == []


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entry=RAW, source=RAW, note=st.text(max_size=20))
def test_names_of_any_bytes_come_back_as_they_were(store: Store, entry: str, source: str, note: str) -> None:
    (job,) = store.admit([new_job(entry, source=source, notes=[note], options={"note": note}, redo=True)])
    found = store.last_job("inbox", entry)
    assert found is not None
    assert (found.entry, found.id) == (entry, job.id)
    store.remember("inbox", entry, note=entry, used_markers={entry: "1"})
    record = store.entry("inbox", entry)
    assert record is not None
    assert (record.entry, record.used_markers) == (entry, {entry: "1"})
    moved = store.transition(job.id, State.CANCELLED, reason=f"{entry} is gone", by=entry)
    assert moved.entry == entry
    assert len(store.transitions(job.id)) >= 2


def test_ids_are_found_by_prefix_and_as_people_misread_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter(["abcd0100", "abcd2000", "abce1000"])
    monkeypatch.setattr(admission, "_random_id", lambda: next(ids))
    found = {job.id for job in store.admit([new_job(str(number)) for number in range(3)])}
    assert found == {"abcd0100", "abcd2000", "abce1000"}
    assert store.job("abce").id == "abce1000"
    assert store.job(" ABCDOiO0 ").id == "abcd0100"
    for wrong in ("abc", "", "%%%%", "abcf", "abcd01000", "abcd_", "\udcff\udcff\udcff\udcff"):
        with pytest.raises(JobNotFound, match="There is no job"):
            store.job(wrong)
    with pytest.raises(JobNotFound, match="More than one"):
        store.job("abcd\n")


def test_an_id_that_is_taken_is_drawn_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter(["00000000", "00000000", "00000000", "11111111"])
    monkeypatch.setattr(admission, "_random_id", lambda: next(ids))
    store.admit([new_job("a")])
    (second,) = store.admit([new_job("b")])
    assert second.id == "11111111"


def test_a_job_goes_its_way_with_what_goes_with_each_state(store: Store, clock: FakeClock) -> None:
    (job,) = store.admit([new_job()])
    clock.time_s = 10
    job = store.transition(job.id, State.PROGRESS, reason="its turn", expect=State.PENDING)
    assert (job.started_at, job.fraction) == (clock.now(), 0.0)
    store.progress(job.id, "fuse", 0.5, 12.0)
    job = store.job(job.id)
    assert (job.stage, job.fraction, job.eta_s) == ("fuse", 0.5, 12.0)
    job = store.transition(job.id, State.HELD, reason="the disk is full", hold_code="DISK_FULL")
    assert (job.held_from, job.hold_code, job.hold_reason) == (State.PROGRESS, "DISK_FULL", "the disk is full")
    assert (job.stage, job.resumes_as) == (None, State.PENDING)
    job = store.transition(job.id, State.PENDING, reason="space again")
    assert (job.held_from, job.hold_code, job.hold_reason) == (None, None, None)
    store.transition(job.id, State.PROGRESS, reason="its turn")
    manifest = {"mesh.glb": {"bytes": 3, "sha256": "00"}}
    job = store.transition(
        job.id, State.PUBLISHING, reason="done", outcome=State.SUCCESS, verdict="normal", manifest=manifest
    )
    assert (job.outcome, job.manifest, job.final) == (State.SUCCESS, manifest, False)
    job = store.transition(job.id, State.HELD, reason="share gone", hold_code="SHARE_UNAVAILABLE")
    assert (job.resumes_as, job.manifest) == (State.PUBLISHING, manifest)
    job = store.transition(job.id, State.PUBLISHING, reason="share back")
    clock.time_s = 20
    job = store.transition(job.id, State.SUCCESS, reason="published", result_path="/srv/outbox/shoe")
    assert (job.finished_at, job.fraction, job.final) == (clock.now(), 1.0, True)
    assert [step.after for step in store.transitions(job.id)] == [
        State.PENDING, State.PROGRESS, State.HELD, State.PENDING, State.PROGRESS, State.PUBLISHING, State.HELD,
        State.PUBLISHING, State.SUCCESS,
    ]  # fmt: skip


def test_a_run_that_begins_again_forgets_the_result_of_the_last(store: Store) -> None:
    (job,) = store.admit([new_job()])
    store.transition(job.id, State.PROGRESS, reason="")
    store.transition(job.id, State.PUBLISHING, reason="", outcome=State.SUCCESS, verdict="normal", manifest={})
    job = store.transition(job.id, State.PENDING, reason="the result is lost")
    assert (job.outcome, job.verdict, job.manifest, job.fraction) == (None, None, None, 0.0)


def test_progress_of_a_job_that_no_longer_runs_is_ignored(store: Store) -> None:
    (job,) = store.admit([new_job()])
    store.progress(job.id, "fuse", 0.5, None)
    store.progress("zzzzzzzz", "fuse", 0.5, None)
    assert store.job(job.id).stage is None


def test_a_state_that_changed_meanwhile_is_not_overwritten(store: Store) -> None:
    (job,) = store.admit([new_job()])
    store.transition(job.id, State.CANCELLED, reason="asked")
    with pytest.raises(StateChanged):
        store.transition(job.id, State.PROGRESS, reason="its turn", expect=State.PENDING)
    assert len(store.transitions(job.id)) == 2


def test_publishing_needs_an_outcome(store: Store) -> None:
    (job,) = store.admit([new_job()])
    with pytest.raises(UnknownError, match="outcome"):
        store.transition(job.id, State.PUBLISHING, reason="done")
    assert store.job(job.id) == job


@pytest.mark.parametrize("name", ["state", "id", "entry", "attempt", "finished_at", "held_from", "colour"])
def test_what_the_store_keeps_itself_is_not_changed_by_others(store: Store, name: str) -> None:
    (job,) = store.admit([new_job()])
    with pytest.raises(TypeError, match=name):
        store.update(job.id, **{name: "x"})
    if name != "state":
        with pytest.raises(TypeError, match=name):
            store.transition(job.id, State.CANCELLED, reason="", **{name: "x"})


def test_fields_are_changed_without_a_step(store: Store) -> None:
    (job,) = store.admit([new_job()])
    after = store.update(job.id, spooled=True, notes=["n"], error={"code": "X"}, result_path="/out/\udcff")
    assert after == replace(job, spooled=True, notes=["n"], error={"code": "X"}, result_path="/out/\udcff")
    assert len(store.transitions(job.id)) == 1


def test_the_first_to_ask_for_a_cancel_is_remembered(store: Store, clock: FakeClock) -> None:
    (job,) = store.admit([new_job()])
    clock.time_s = 5
    asked = store.request_cancel(job.id, "ann")
    clock.time_s = 6
    assert store.request_cancel(job.id[:5], "bob") == asked
    assert (asked.cancel_by, asked.state) == ("ann", State.PENDING)
    final = store.transition(job.id, State.CANCELLED, reason="asked for", by="ann")
    assert store.request_cancel(job.id, "bob") == final
    with pytest.raises(JobNotFound):
        store.request_cancel("zzzz", "bob")


def test_each_step_is_one_log_record(store: Store) -> None:
    with capture_logs() as logs:
        (job,) = store.admit([new_job("a\nb\udcff")])
        store.transition(job.id, State.CANCELLED, reason="two\nlines")
    records = [record for record in logs if record["event"] == "job.state"]
    assert [(record["from"], record["to"]) for record in records] == [(None, "PENDING"), ("PENDING", "CANCELLED")]
    assert {record["job"] for record in records} == {job.id}
    assert records[1]["bundle"] == "a\\u000ab\\udcff"
    assert "\n" not in records[1]["reason"]


def test_facts_of_an_error_may_be_of_any_type(store: Store) -> None:
    (job,) = store.admit([new_job(error={"code": "X", "details": {"path": Path("/srv/\udcff")}})])
    assert job.error == {"code": "X", "details": {"path": "/srv/\udcff"}}


def test_counts_name_every_state(store: Store) -> None:
    assert set(store.counts()) == set(State)
    store.admit([new_job("a"), new_job("b")])
    assert store.counts()[State.PENDING] == 2


def test_lists_are_filtered_and_ordered(store: Store) -> None:
    a, b, c = store.admit([new_job("a"), new_job("b"), new_job("c", inbox="other")])
    assert [job.id for job in store.jobs(newest_first=True, limit=2)] == [c.id, b.id]
    assert store.jobs(inbox="other") == [c]
    assert store.jobs(entry="a") == [a]
    store.transition(a.id, State.CANCELLED, reason="")
    assert store.jobs(states={State.PENDING}) == [b, c]
    assert store.jobs(states=()) == []


def test_successes_with_the_same_content_newest_first(store: Store) -> None:
    jobs = store.admit([new_job("a"), new_job("b"), new_job("c"), new_job("d", content_key="other")])
    for job in jobs[:2] + jobs[3:]:
        store.transition(job.id, State.PUBLISHING, reason="", outcome=State.SUCCESS)
        store.transition(job.id, State.SUCCESS, reason="")
    assert [job.entry for job in store.successes("key")] == ["b", "a"]
    assert store.successes("none") == []


def test_a_lost_database_is_rebuilt_once(store: Store) -> None:
    (known,) = store.admit([new_job()])
    at = datetime(2029, 5, 5, tzinfo=UTC)
    old = [
        PublishedJob("0000000b", "inbox", "shoe", "shoe", State.SUCCESS, "/out/shoe", at, content_key="key",
                     verdict="normal", digests={"multi_views/front.png": "00"}),
        PublishedJob("0000000a", "inbox", "\udcff", "_", State.FAILURE, "/out/_", at, error={"code": "X"}),
        PublishedJob(known.id, "inbox", "shoe", "shoe", State.SUCCESS, "/out/shoe", at),
    ]  # fmt: skip
    assert store.rebuild(old) == 2
    assert store.rebuild(old) == 0
    assert store.known_ids() == {known.id, "0000000a", "0000000b"}
    assert store.job(known.id) == known
    found = store.job("0000000b")
    assert (found.state, found.attempt, found.result_path) == (State.SUCCESS, 2, "/out/shoe")
    assert store.successes("key") == [found]
    assert store.inputs("0000000b") == {"multi_views/front.png": "00"}
    assert [step.after for step in store.transitions("0000000a")] == [State.FAILURE]
