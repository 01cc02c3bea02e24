"""Intake with real files, a real store and a clock that is set by hand."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.states import State
from tests.intake.scene import Scene, contents, png, write_bundle, write_zip


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.store.close()


def rename_in(scene: Scene, name: str, seed: int = 0, **more: object) -> None:
    """A bundle made elsewhere, on the same disk, and renamed to where it belongs."""
    made = write_bundle(scene.folder / "made" / name, seed, **more)  # type: ignore[arg-type]
    time.sleep(0.02)  # file systems' clocks are coarse
    made.rename(scene.inbox / name)


def test_a_bundle_renamed_in_is_a_job_in_the_same_step(scene: Scene) -> None:
    rename_in(scene, "shoe")
    scene.step(hint="shoe")
    job = scene.job("shoe")
    assert job.state is State.PENDING
    assert job.name == "shoe"
    assert job.source == str(scene.inbox / "shoe")
    assert len(scene.store.inputs(job.id)) == 12
    assert scene.woken == 1


def test_a_bundle_copied_in_is_taken_once_it_is_quiet(scene: Scene) -> None:
    (scene.inbox / "shoe" / "multi_views").mkdir(parents=True)
    scene.step()
    for key, data in contents().items():
        path = scene.inbox / "shoe" / key
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        scene.step(0.3, hint="shoe")
    assert scene.jobs() == []
    scene.run(4.9)
    assert scene.jobs() == []
    scene.run(0.2)
    assert scene.job("shoe").state is State.PENDING


def test_without_hints_the_scan_finds_it(scene: Scene) -> None:
    scene.step()
    write_bundle(scene.inbox / "shoe")
    scene.run(70)
    assert scene.job("shoe").state is State.PENDING


def test_polled_inboxes_need_two_unchanged_polls(tmp_path: Path) -> None:
    scene = Scene(tmp_path, polling=True)
    (scene.inbox / "shoe" / "multi_views").mkdir(parents=True)
    scene.run(5)
    write_bundle(scene.inbox / "shoe")
    scene.run(9)
    assert scene.jobs() == []
    scene.run(8)
    assert scene.job("shoe").state is State.PENDING
    scene.store.close()


def test_it_says_what_it_waits_for_after_ten_seconds_and_writes_it_once(scene: Scene) -> None:
    write_bundle(scene.inbox / "shoe", without=("depth_renders/top.png", "depth_renders/left.png"))
    scene.run(9)
    assert scene.status("shoe") == ""
    scene.run(2)
    lines = scene.status("shoe").splitlines()
    assert lines[0] == "10 of 12 files; waiting for depth_renders/left.png, depth_renders/top.png."
    assert lines[2] == "Job:  none yet"
    assert lines[3].startswith("Time: 2026-03-01 ")
    assert lines[4] == "Help: render-help@studio.example"
    before = (scene.inbox / "shoe" / "STATUS.txt").stat().st_mtime_ns
    scene.run(600)
    assert (scene.inbox / "shoe" / "STATUS.txt").stat().st_mtime_ns == before
    (waiting,) = scene.intake.waiting()
    assert waiting.missing == ("depth_renders/left.png", "depth_renders/top.png")
    assert waiting.sentence == lines[0]
    assert not waiting.soon


def test_writing_the_status_is_no_change(scene: Scene) -> None:
    write_bundle(scene.inbox / "shoe", without=("depth_renders/top.png",))
    scene.run(12)
    assert scene.status("shoe")
    (scene.inbox / "shoe" / "depth_renders" / "top.png").write_bytes(png(16, 11))
    scene.step(hint="shoe")
    scene.run(5.5)
    assert scene.job("shoe").state is State.PENDING


def test_ready_is_acted_on_at_once_and_removed(scene: Scene) -> None:
    write_bundle(scene.inbox / "shoe", without=("depth_renders/top.png",))
    scene.step()
    (scene.inbox / "shoe" / "depth_renders" / "top.png").write_bytes(png(16, 11))
    (scene.inbox / "shoe" / "Ready.TXT").touch()
    scene.step(0.5, hint="shoe")
    assert scene.job("shoe").state is State.PENDING
    assert not (scene.inbox / "shoe" / "Ready.TXT").exists()


@pytest.mark.parametrize("name", [".ready", "ready", ".READY.txt", "shoe.ready", "SHOE.Ready.txt"])
def test_ready_in_all_its_spellings(scene: Scene, name: str) -> None:
    (scene.inbox / "shoe").mkdir()
    scene.step()
    write_bundle(scene.inbox / "shoe")
    beside = name.lower().startswith("shoe")
    (scene.inbox / name if beside else scene.inbox / "shoe" / name).touch()
    scene.step(0.5)
    assert scene.job("shoe").state is State.PENDING


def test_a_job_is_recorded_with_what_job_toml_asks_for(scene: Scene) -> None:
    rename_in(scene, "shoe", more={"Job.toml.TXT": b'\xef\xbb\xbfquality = "high"\npriority = 7\n'})
    scene.step()
    job = scene.job("shoe")
    assert job.options == {"quality": "high", "priority": 7}
    assert job.priority == 7


def test_a_broken_job_toml_is_refused_with_its_line(scene: Scene) -> None:
    rename_in(scene, "shoe", more={"job.toml": b"quality = high\n"})
    scene.run(6)
    job = scene.job("shoe")
    assert job.error is not None
    assert job.error["code"] == "VALIDATION_FAILED"
    assert "line 1" in job.error["message"]


def test_the_priority_is_capped_by_the_inbox(tmp_path: Path) -> None:
    inboxes = [
        {"name": "a", "path": tmp_path / "inbox", "outbox": tmp_path / "outbox", "priority": 3, "max_priority": 5}
    ]
    scene = Scene(tmp_path, inboxes=inboxes)
    rename_in(scene, "shoe")
    rename_in(scene, "boot", more={"job.toml": b"priority = 90"})
    scene.step()
    assert scene.job("shoe").priority == 3
    assert scene.job("boot").priority == 5
    scene.store.close()


def test_a_jpeg_named_png_is_refused_as_soon_as_it_is_quiet(scene: Scene) -> None:
    write_bundle(scene.inbox / "shoe", more={"multi_views/front.png": b"\xff\xd8\xff\xe0" + bytes(300)})
    scene.run(6)
    job = scene.job("shoe")
    assert job.error is not None
    assert job.error["code"] == "INVALID_FILE_FORMAT"
    assert job.error["message"] == "multi_views/front.png is not a PNG but a JPEG."


def test_a_truncated_file_is_waited_for_and_then_refused(scene: Scene) -> None:
    write_bundle(scene.inbox / "shoe", more={"multi_views/front.png": png()[:-20]})
    scene.run(30)
    assert scene.jobs() == []
    assert "is truncated" in scene.status("shoe")
    assert "if not, please send it again" in scene.status("shoe")
    scene.run(580)
    job = scene.job("shoe")
    assert job.error is not None
    assert job.error["code"] == "INVALID_FILE_FORMAT"


def test_mending_one_file_after_a_failure_is_enough(scene: Scene) -> None:
    write_bundle(scene.inbox / "shoe", more={"multi_views/front.png": b"\xff\xd8\xff\xe0" + bytes(300)})
    scene.run(6)
    scene.finish(scene.job("shoe"), "FAILURE", result_path=str(scene.outbox / "shoe.failed-x"))
    scene.run(2)
    assert scene.status("shoe").startswith("It can't be taken: multi_views/front.png is not a PNG but a JPEG.")
    assert (scene.inbox / "shoe" / "error.json").exists()
    scene.run(300)
    assert len(scene.jobs("shoe")) == 1
    (scene.inbox / "shoe" / "multi_views" / "front.png").write_bytes(png())
    scene.step(hint="shoe")
    scene.run(6)
    first, second = scene.jobs("shoe")
    assert (first.attempt, second.attempt) == (1, 2)
    assert second.error is None
    assert not (scene.inbox / "shoe" / "error.json").exists()


def test_a_zip_is_taken_and_its_status_lies_beside_it(scene: Scene) -> None:
    write_zip(scene.folder / "blue-chair.zip", root="wrapped/twice/")
    (scene.folder / "blue-chair.zip").rename(scene.inbox / "blue-chair.zip")
    scene.run(1.1)
    job = scene.job("blue-chair.zip")
    assert job.name == "blue-chair"
    assert len(scene.store.inputs(job.id)) == 12
    scene.run(15)
    assert scene.status("blue-chair", beside=True).startswith("Taken; it waits for its turn.")


def test_a_zip_and_a_folder_of_one_name_are_two_jobs(scene: Scene) -> None:
    write_zip(scene.inbox / "x.zip")
    rename_in(scene, "x")
    scene.run(6)
    assert {job.entry for job in scene.jobs()} == {"x", "x.zip"}
    scene.run(15)
    assert (scene.inbox / "x" / "STATUS.txt").exists()
    assert (scene.inbox / "x.zip.STATUS.txt").exists()


def test_half_a_zip_waits(scene: Scene) -> None:
    data = write_zip(scene.folder / "whole.zip").read_bytes()
    (scene.inbox / "x.zip").write_bytes(data[: len(data) // 2])
    scene.run(30)
    assert scene.jobs() == []
    (scene.inbox / "x.zip").write_bytes(data)
    scene.step(hint="x.zip")
    scene.run(6)
    assert scene.job("x.zip").error is None


def test_all_is_never_said_to_be_looked_at_while_a_bundle_is_on_its_way(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run --until-idle` would end between finding it and recording it, on a busy machine."""
    from daemon.intake import intake

    done: list[bool] = []

    def look(*arguments: Any, **more: Any) -> Any:
        done.append(scene.intake.looked and not any(item.soon for item in scene.intake.waiting()))
        return take_snapshot(*arguments, **more)

    take_snapshot = intake.take_snapshot
    monkeypatch.setattr(intake, "take_snapshot", look)
    scene.step()
    assert scene.intake.looked, "there is nothing"
    rename_in(scene, "shoe")
    scene.step(hint="shoe")
    scene.begin()
    rename_in(scene, "boot", 3)
    scene.step()
    assert len(scene.jobs()) == 2
    assert len(done) > 2
    assert not any(done)
    assert not scene.intake.looked, "there are jobs"


def test_after_a_restart_nothing_is_admitted_twice_and_half_copies_go_through_the_gate(scene: Scene) -> None:
    rename_in(scene, "shoe")
    scene.step()
    write_bundle(scene.inbox / "boot", 3, without=("multi_views/top.png",))
    scene.step()
    scene.begin()
    scene.run(200)
    assert [job.entry for job in scene.jobs()] == ["shoe"]


def test_a_success_is_archived_under_its_job(scene: Scene) -> None:
    rename_in(scene, "shoe")
    scene.step()
    job = scene.finish(scene.job("shoe"), result_path=str(scene.outbox / "shoe"))
    scene.run(3)
    assert not (scene.inbox / "shoe").exists()
    kept = scene.inbox / "_done" / f"shoe-{job.id}"
    assert (kept / "multi_views" / "front.png").exists()
    assert (kept / "STATUS.txt").read_text().startswith(f"Finished: {scene.outbox}/shoe\n")
    assert scene.intake.looked
    assert scene.store.job(job.id).source == str(kept)  # where a retry and the retention settings find it


def test_the_same_name_dropped_again_after_its_archive_is_a_new_job(scene: Scene) -> None:
    for number in (1, 2):
        rename_in(scene, "shoe")
        scene.step(1, hint="shoe")
        assert len(scene.jobs("shoe")) == number
        scene.finish(scene.jobs("shoe")[-1], result_path="/out/shoe")
        scene.run(3)


def test_a_bundle_moved_back_from_the_archive_is_dropped_again(scene: Scene) -> None:
    rename_in(scene, "shoe")
    scene.step()
    job = scene.finish(scene.job("shoe"), "CANCELLED")
    scene.run(3)
    (scene.inbox / "_cancelled" / f"shoe-{job.id}").rename(scene.inbox / "shoe")
    scene.step(1, hint="shoe")
    scene.run(6)
    assert [job.state for job in scene.jobs("shoe")] == [State.CANCELLED, State.PENDING]


def test_what_changed_while_it_ran_is_not_archived_but_taken_anew(scene: Scene) -> None:
    rename_in(scene, "shoe")
    scene.step()
    job = scene.job("shoe")
    scene.store.transition(job.id, State.PROGRESS, reason="began")
    (scene.inbox / "shoe" / "multi_views" / "front.png").write_bytes(png(16, 99))
    scene.finish(job, result_path="/out/shoe")
    scene.run(10)
    assert (scene.inbox / "shoe").exists()
    first, second = scene.jobs("shoe")
    assert first.state is State.SUCCESS
    assert second.state is State.PENDING
    assert second.content_key != first.content_key


def test_what_changed_before_it_was_copied_replaces_its_job(scene: Scene) -> None:
    rename_in(scene, "shoe")
    scene.step()
    (scene.inbox / "shoe" / "multi_views" / "front.png").write_bytes(png(16, 99))
    scene.step(1, hint="shoe")
    scene.run(6)
    assert [job.state for job in scene.jobs("shoe")] == [State.CANCELLED, State.PENDING]


def test_touching_files_of_a_waiting_bundle_makes_no_second_job(scene: Scene) -> None:
    rename_in(scene, "shoe")
    scene.step()
    os.utime(scene.inbox / "shoe" / "multi_views" / "front.png", (1, 1))
    scene.step(1, hint="shoe")
    scene.run(100)
    assert len(scene.jobs("shoe")) == 1
    scene.finish(scene.job("shoe"), result_path="/out/shoe")
    scene.run(3)
    assert not (scene.inbox / "shoe").exists()


def test_a_folder_removed_is_forgotten_and_its_job_goes_on(scene: Scene) -> None:
    rename_in(scene, "shoe")
    scene.step()
    shutil.rmtree(scene.inbox / "shoe")
    scene.run(70)
    assert scene.job("shoe").state is State.PENDING
    assert scene.intake.waiting() == []


def test_a_vanished_share_is_no_deletion(scene: Scene) -> None:
    write_bundle(scene.inbox / "shoe", without=("multi_views/top.png",))
    scene.run(20)
    away = scene.folder / "away"
    scene.inbox.rename(away)
    scene.inbox.mkdir()  # an empty mount point
    scene.run(600)
    assert len(scene.intake.waiting()) == 1
    assert list(scene.inbox.iterdir()) == []
    scene.inbox.rmdir()
    away.rename(scene.inbox)
    (scene.inbox / "shoe" / "multi_views" / "top.png").write_bytes(png(16, 4))
    scene.run(20)
    assert scene.job("shoe").state is State.PENDING


def test_draining_admits_nothing(scene: Scene) -> None:
    scene.store.set_flag("draining", True, by="test")
    rename_in(scene, "shoe")
    scene.run(30)
    assert scene.jobs() == []
    (waiting,) = scene.intake.waiting()
    assert "No new bundles are taken just now" in waiting.sentence
    assert waiting.sentence in (scene.inbox / "shoe" / "STATUS.txt").read_text()
    scene.store.set_flag("draining", False, by="test")
    scene.run(6)
    assert scene.job("shoe").state is State.PENDING


def test_loose_files_and_folders_of_bundles_get_a_sentence_in_the_inbox(scene: Scene) -> None:
    (scene.inbox / "front.png").write_bytes(png())
    write_bundle(scene.inbox / "many" / "a")
    write_bundle(scene.inbox / "many" / "b")
    (scene.inbox / "link").symlink_to("/etc")
    scene.run(20)
    text = (scene.inbox / "STATUS.txt").read_text()
    assert "front.png lies loose in the inbox" in text
    assert "many is a folder of bundles (a, b)" in text
    assert "link is a link" in text
    assert scene.jobs() == []
    (scene.inbox / "front.png").unlink()
    (scene.inbox / "link").unlink()
    shutil.rmtree(scene.inbox / "many")
    scene.run(70)
    assert not (scene.inbox / "STATUS.txt").exists()


def test_a_clock_that_jumps_a_day_changes_nothing(scene: Scene) -> None:
    from datetime import timedelta

    write_bundle(scene.inbox / "shoe")
    scene.step()
    write_bundle(scene.inbox / "boot", 3, without=("multi_views/top.png",))
    scene.step(hint="boot")
    for days in (1, -2, 1):
        scene.clock.wall += timedelta(days=days)
        scene.run(2)
    assert [job.entry for job in scene.jobs()] == ["shoe"]
    (waiting,) = scene.intake.waiting()
    assert waiting.entry == "boot"


def test_explain_names_the_gate(scene: Scene) -> None:
    write_bundle(scene.inbox / "shoe", without=("multi_views/top.png",))
    scene.step()
    told = scene.intake.explain("shoe")
    assert [gate.name for gate in told.gates if not gate.passed] == ["complete"]
    assert told.sentence == "11 of 12 files; waiting for multi_views/top.png."
    assert scene.jobs() == []
