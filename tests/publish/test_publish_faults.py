"""Whatever fails while a result is published: it appears whole, once, in the end, and the job is held until then."""

from __future__ import annotations

import errno
import json
from contextlib import suppress
from pathlib import Path

import pytest

from config.errors import ValidationFailed
from daemon.publish.delivery import remove_leftovers
from daemon.states import State
from daemon.store import Job
from tests.publish.house import BreakingFiles, House, Killed, assert_whole

ERRORS = {
    "EIO": lambda: OSError(errno.EIO, "input/output error"),
    "ENOSPC": lambda: OSError(errno.ENOSPC, "no space"),
    "EDQUOT": lambda: OSError(errno.EDQUOT, "quota"),
    "EACCES": lambda: PermissionError(errno.EACCES, "denied"),
    "ESTALE": lambda: OSError(errno.ESTALE, "stale"),
    "kill": Killed,
}


def _published_by_a_fresh_publisher(house: House, job: Job) -> None:
    for path in house.outbox.glob(f"{job.name}*"):  # never half a result
        if path.suffix != ".json":
            assert_whole(house, path, job)
    house.files.works()
    job = house.drive(house.publisher(), job, for_s=300)
    assert job.state in (State.SUCCESS, State.FAILURE)
    (result,) = house.results_of(job)
    assert job.result_path == str(result)
    assert_whole(house, result, job)
    assert not list(house.outbox.glob(".partial-*"))
    assert house.steps(job).count(State.PENDING) == 1, "the engine was asked again"


@pytest.mark.parametrize("verdict", ["normal", pytest.param("refused", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "kind", [kind if kind in ("EIO", "kill") else pytest.param(kind, marks=pytest.mark.slow) for kind in ERRORS]
)
def test_any_call_may_fail(house: House, kind: str, verdict: str) -> None:
    """The Nth call for every N, then a fresh publisher."""
    for number in range(1, 1000):
        entry = f"shoe{number}"
        if verdict == "refused":
            refused = house.admit(entry, error=ValidationFailed("No.").as_json())
            job = house.store.transition(refused.id, State.PUBLISHING, reason="", outcome=State.FAILURE)
        else:
            job = house.finished(entry)
        house.files.fails(number, ERRORS[kind])
        publisher = house.publisher()
        with suppress(Killed):
            house.clock.passed_s += publisher.step(house.clock.passed_s)
        hit = house.files.was_hit
        _published_by_a_fresh_publisher(house, job)
        if verdict == "normal":
            latest = json.loads((house.outbox / f"{entry}.latest.json").read_bytes())
            assert latest["job"] == job.id
        if not hit:
            assert number > 20
            return
    pytest.fail("it never ends")


@pytest.mark.parametrize(
    ("kind", "stride"),
    [("ENOSPC", 7), *(pytest.param(k, 2, marks=pytest.mark.slow) for k in ("EIO", "EACCES", "ESTALE"))],
)
def test_any_call_may_fail_for_long(house: House, kind: str, stride: int) -> None:
    """From the Nth call on all fail for ten minutes; the same publisher goes on by itself within a minute."""
    house.files.fails(1, ERRORS["EIO"], times=0)
    house.drive(house.publisher(), house.finished("probe"))
    for number in range(1, house.files.calls, stride):
        job = house.finished(f"shoe{number}")
        house.files.fails(number, ERRORS[kind], times=10**9)
        publisher = house.publisher()
        job = house.drive(publisher, job, for_s=600)
        if not job.final:  # at the end there is only latest.json left to write, which is given up
            assert job.state is State.HELD
            assert job.hold_code == ("DISK_FULL" if kind == "ENOSPC" else "SHARE_UNAVAILABLE")
        house.files.works()
        job = house.drive(publisher, job, for_s=60)
        assert job.state is State.SUCCESS
        assert len(house.results_of(job)) == 1
        assert house.steps(job).count(State.PENDING) == 1


def test_a_rename_that_reports_a_failure_but_happened(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS sends it twice when the first answer is lost; the second finds no source."""
    real = BreakingFiles.rename_new
    for number, code in enumerate((errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EIO)):

        def rename_new(files: BreakingFiles, source: Path, target: Path, code: int = code) -> None:
            real(files, source, target)
            raise OSError(code, "it says")

        monkeypatch.setattr(BreakingFiles, "rename_new", rename_new)
        job = house.drive(house.publisher(), house.finished(f"shoe{number}"))
        assert job.result_path == str(house.outbox / f"shoe{number}")
        assert len(house.results_of(job)) == 1
        assert State.HELD not in house.steps(job)


def test_retries_grow_to_a_minute_and_then_the_job_is_held(house: House) -> None:
    job = house.finished()
    house.files.only = lambda call, path: call == "mkdir"
    house.files.fails(1, ERRORS["EIO"], times=10**9)
    publisher = house.publisher()
    waits = []
    while house.store.job(job.id).state is State.PUBLISHING:
        wait_s = publisher.step(house.clock.passed_s)
        if wait_s:
            waits.append(round(wait_s, 3))
        house.clock.passed_s += wait_s
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits == sorted(waits)
    assert waits[-1] == 60.0
    held = house.store.job(job.id)
    assert held.hold_code == "SHARE_UNAVAILABLE"
    assert str(house.outbox) in (held.hold_reason or "")


def test_no_space_holds_at_once_and_names_the_share(house: House) -> None:
    job = house.finished()
    house.files.only = lambda call, path: call == "written"
    house.files.fails(2, ERRORS["EDQUOT"], times=10**9)
    house.configure(paths=({"server": house.outbox, "windows": "Z:\\props"},))
    publisher = house.publisher()
    publisher.step(0.0)
    held = house.store.job(job.id)
    assert held.state is State.HELD
    assert held.hold_code == "DISK_FULL"
    assert "quota" in (held.hold_reason or "")
    assert "Z:\\props" in (held.hold_reason or "")
    house.drive(publisher, job, for_s=3600)
    assert house.steps(job).count(State.HELD) == 1, "nothing flaps while the disk is full"
    assert not list(house.outbox.glob(".partial-*")), "what did not fit was given back"
    house.files.works()
    assert house.drive(publisher, job, for_s=60).state is State.SUCCESS


def test_a_held_job_does_not_hold_up_others(house: House) -> None:
    house.configure(inboxes=())
    first, second = house.finished("first"), house.finished("second")
    house.files.only = lambda call, path: f".partial-{first.id}" in str(path) and call == "mkdir"
    house.files.fails(1, ERRORS["EACCES"], times=10**9)
    publisher = house.publisher()
    assert house.drive(publisher, second, for_s=1).state is State.SUCCESS
    assert not house.store.job(first.id).final


def test_an_outbox_that_is_not_there_holds(house: House) -> None:
    publisher = house.publisher()
    house.drive(publisher, house.finished("first"))
    house.outbox.rename(house.outbox.with_name("away"))
    house.outbox.mkdir()  # the empty mount point
    job = house.drive(publisher, house.finished("second"), for_s=100)
    assert job.hold_code == "SHARE_UNAVAILABLE"
    assert list(house.outbox.iterdir()) == [], "nothing is written below an empty mount point"
    house.outbox.rmdir()
    house.outbox.with_name("away").rename(house.outbox)
    assert house.drive(publisher, job, for_s=60).state is State.SUCCESS


def test_a_held_job_may_be_cancelled_but_not_a_published_one(house: House) -> None:
    job, published = house.finished("first"), house.finished("second")
    house.files.fails(1, ERRORS["ENOSPC"], times=10**9)
    publisher = house.publisher()
    house.drive(publisher, job, for_s=10)
    house.files.works()
    house.files.only = lambda call, path: call == "fsync_folder" and path == house.outbox
    house.files.fails(1, ERRORS["EIO"], times=10**9)
    house.drive(publisher, published, for_s=600)
    for held in (job, published):
        if not house.store.job(held.id).final:
            assert house.store.job(held.id).state is State.HELD
            house.store.request_cancel(held.id, by="ann")
    house.files.works()
    house.files.only = lambda call, path: True
    house.drive(publisher, published, for_s=100)
    house.drive(publisher, job, for_s=100)
    assert house.store.job(published.id).state is State.SUCCESS
    for held in (job, published):
        found = house.store.job(held.id)
        assert len(house.results_of(held)) == (1 if found.state is State.SUCCESS else 0)


def test_cancelled_while_held_leaves_nothing(house: House) -> None:
    job = house.finished()
    house.files.only = lambda call, path: call == "written"
    house.files.fails(1, ERRORS["ENOSPC"], times=10**9)
    publisher = house.publisher()
    house.drive(publisher, job, for_s=10)
    house.store.request_cancel(job.id, by="ann")
    job = house.drive(publisher, job, for_s=100)
    assert job.state is State.CANCELLED
    assert house.visible() == []
    assert not list(house.outbox.glob(".partial-*"))
    assert house.store.transitions(job.id)[-1].by == "ann"


def test_a_damaged_spool_runs_the_job_again(house: House) -> None:
    job = house.finished()
    (house.spooled(job) / "mesh.glb").write_bytes(b"rot")
    publisher = house.publisher()
    publisher.step(0.0)
    again = house.store.job(job.id)
    assert again.state is State.PENDING
    assert again.manifest is None
    assert house.visible() == []


def test_latest_can_not_stop_a_job(house: House) -> None:
    (house.outbox / "red-shoe.latest.json").mkdir()
    job = house.drive(house.publisher(), house.finished(), for_s=10)
    assert job.state is State.SUCCESS
    assert State.HELD not in house.steps(job)


def test_a_read_only_outbox_holds_at_once_and_is_logged_once(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.files.fails(1, lambda: OSError(errno.EROFS, "read-only"), times=10**9)
    house.files.only = lambda call, path: call in ("writing", "mkdir", "rename_new")
    publisher = house.publisher()
    job = house.drive(publisher, house.finished(), for_s=5)
    assert (job.state, job.hold_code) == (State.HELD, "SHARE_UNAVAILABLE")
    assert "read-only" in (job.hold_reason or "")
    job = house.drive(publisher, job, for_s=600)
    assert capsys.readouterr().out.count("publish.retry") == 1, "a share that is away for days fills no log"
    house.files.works()
    assert house.drive(publisher, job, for_s=60).state is State.SUCCESS


def test_what_a_kill_left_beside_live_files_is_removed(house: House) -> None:
    stay = {"shoe.latest.json", "status.json", ".status.json.bak", ".hat.0123abcd.tmp", "shoe.latest.json.0123abcd.tmp"}
    for name in {*stay, ".status.json.d8ccd825.tmp", ".b26\n.zip.latest.json.abc6bfd8.tmp"}:
        (house.outbox / name).touch()
    before = {path.name for path in house.outbox.iterdir()}
    remove_leftovers(house.outbox, house.files)
    assert before - {path.name for path in house.outbox.iterdir()} == before - stay - {".meshdrop"}
