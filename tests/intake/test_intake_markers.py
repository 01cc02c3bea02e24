"""Markers: acted on once, in every spelling, answered where there is nothing to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.intake.markers import beside_keys, is_own_file, marker_beside, marker_kind
from daemon.states import State
from tests.intake.scene import Scene, png, write_bundle, write_zip


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.store.close()


@pytest.mark.parametrize("kind", ["ready", "cancel", "cancel-confirm", "redo"])
def test_spellings(kind: str) -> None:
    for name in (kind, f".{kind}", f"{kind}.txt", f".{kind.upper()}.TXT", kind.title()):
        assert marker_kind(name) == kind
    for name in (f"{kind}s", f"x{kind}", f"{kind}.md", f"..{kind}", f"{kind}.txt.txt"):
        assert marker_kind(name) is None
    assert marker_beside(f"Red Shoe.{kind.upper()}.txt") == ("Red Shoe", kind)
    assert marker_beside(f".{kind}") is None


def test_a_zip_answers_to_both_its_names_and_own_files_are_known() -> None:
    assert beside_keys("Blue.ZIP") == ("blue.zip", "blue")
    assert beside_keys("blue") == ("blue",)
    assert is_own_file("STATUS.txt")
    assert is_own_file(".STATUS.txt.01ab23cd.tmp")
    assert not is_own_file("status.md")


def waiting_job(scene: Scene, name: str = "shoe") -> Path:
    folder = write_bundle(scene.inbox / name)
    scene.run(8)
    assert scene.job(name).state is State.PENDING
    return folder


@pytest.mark.parametrize("name", [".cancel", "Cancel.txt", "shoe.cancel"])
def test_cancel_is_passed_on_with_its_owner_and_removed(scene: Scene, name: str) -> None:
    folder = waiting_job(scene)
    marker = scene.inbox / name if name.startswith("shoe") else folder / name
    marker.touch()
    scene.step(1, hint="shoe")
    scene.step(1)
    job = scene.job("shoe")
    assert job.cancel_requested_at is not None
    assert job.cancel_by == scene.files.owner_name(os.getuid())
    assert not marker.exists()
    assert "being cancelled" in scene.status("shoe")


def test_cancel_before_it_is_taken_is_recorded_and_archived(scene: Scene) -> None:
    folder = write_bundle(scene.inbox / "shoe", without=("multi_views/top.png",))
    scene.step()
    (folder / ".cancel").touch()
    scene.step(1, hint="shoe")
    scene.run(8)
    job = scene.job("shoe")
    assert job.state is State.CANCELLED
    assert job.cancel_by == scene.files.owner_name(os.getuid())
    assert [path.name for path in (scene.inbox / "_cancelled").iterdir()] == [f"shoe-{job.id}"]
    assert not (scene.inbox / "shoe").exists()


def test_cancel_while_it_is_copied_waits_for_the_copy_to_end(scene: Scene) -> None:
    folder = write_bundle(scene.inbox / "shoe", without=("multi_views/top.png", "multi_views/back.png"))
    (folder / ".cancel").touch()
    scene.step()
    for name in ("top", "back"):
        scene.step(3, hint="shoe")
        (folder / "multi_views" / f"{name}.png").write_bytes(png())
    scene.step(1, hint="shoe")
    assert scene.jobs() == []
    scene.run(10)
    assert scene.job("shoe").state is State.CANCELLED
    assert not (scene.inbox / "shoe").exists()


def test_cancel_after_the_end_is_answered_and_never_applies_to_a_later_drop(tmp_path: Path) -> None:
    scene = Scene(tmp_path, finished={"then": "keep"})
    folder = waiting_job(scene)
    scene.finish(scene.job("shoe"), result_path="/out/shoe")
    scene.run(3)
    (folder / ".cancel").touch()
    scene.step(10, hint="shoe")
    assert not (folder / ".cancel").exists()
    assert scene.status("shoe").startswith("There is nothing to cancel any more. Finished: /out/shoe")
    (folder / "multi_views" / "top.png").write_bytes(png(16, 77))
    scene.step(hint="shoe")
    scene.run(8)
    assert [job.state for job in scene.jobs("shoe")] == [State.SUCCESS, State.PENDING]
    scene.store.close()


def test_a_marker_beside_nothing_is_answered_after_a_while(scene: Scene) -> None:
    (scene.inbox / "boot.cancel").touch()
    scene.step()
    scene.run(5)
    assert (scene.inbox / "boot.cancel").exists()
    scene.run(120)
    assert not (scene.inbox / "boot.cancel").exists()
    assert scene.status("boot", beside=True).startswith("There is nothing to cancel: the inbox holds no boot.")
    write_bundle(scene.inbox / "boot")
    scene.step(hint="boot")
    scene.run(8)
    assert scene.job("boot").cancel_requested_at is None


def test_redo_runs_a_kept_bundle_again_whatever_it_answered(tmp_path: Path) -> None:
    scene = Scene(tmp_path, finished={"then": "keep"})
    folder = waiting_job(scene)
    scene.finish(scene.job("shoe"), result_path="/out/shoe")
    scene.run(3)
    (folder / "redo.txt").touch()
    scene.step(1, hint="shoe")
    scene.run(2)
    first, second = scene.jobs("shoe")
    assert second.state is State.PENDING
    assert second.options.get("force") is True
    assert not first.options.get("force")
    assert not (folder / "redo.txt").exists()
    scene.run(200)
    assert len(scene.jobs("shoe")) == 2
    scene.store.close()


def test_redo_of_a_living_job_is_answered(scene: Scene) -> None:
    folder = waiting_job(scene)
    scene.run(20)
    (folder / ".redo").touch()
    scene.step(1, hint="shoe")
    assert scene.status("shoe").startswith(".redo is not needed: taken; it waits for its turn.")
    assert not (folder / ".redo").exists()
    assert len(scene.jobs("shoe")) == 1


def test_redo_in_a_new_drop_and_beside_a_zip_that_is_not_there_yet(scene: Scene) -> None:
    (scene.inbox / "x.redo").touch()
    scene.step()
    write_zip(scene.folder / "x.zip").rename(scene.inbox / "x.zip")
    scene.step(1)
    scene.run(2)
    assert scene.job("x.zip").options["force"] is True
    assert not (scene.inbox / "x.redo").exists()


def test_two_steps_where_the_settings_ask_for_them(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cancel={"confirm": True})
    folder = waiting_job(scene)
    (folder / ".cancel").touch()
    scene.step(10, hint="shoe")
    assert scene.status("shoe").startswith("Cancel it? Put an empty file named .cancel-confirm here within 1 hour")
    assert scene.job("shoe").cancel_requested_at is None
    (folder / ".cancel").unlink()
    scene.step(10, hint="shoe")
    (folder / ".cancel-confirm").touch()
    scene.step(10, hint="shoe")
    assert scene.job("shoe").cancel_requested_at is None
    assert not (folder / ".cancel-confirm").exists()
    (folder / ".cancel").touch()
    scene.step(10, hint="shoe")
    (folder / "Cancel-Confirm.txt").touch()
    scene.step(10, hint="shoe")
    assert scene.job("shoe").cancel_requested_at is not None
    assert not (folder / ".cancel").exists()
    scene.store.close()


def test_an_unconfirmed_cancel_runs_out(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cancel={"confirm": True})
    folder = waiting_job(scene)
    (folder / ".cancel").touch()
    scene.step(10, hint="shoe")
    scene.step(3700, hint="shoe")
    assert not (folder / ".cancel").exists()
    assert "nobody confirmed within 1 hour" in scene.status("shoe")
    scene.store.close()
