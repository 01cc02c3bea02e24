"""What the caretaker leaves behind of a bundle that it put away, or that stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.states import State
from tests.intake.scene import Scene, png, write_bundle

HOUR_S = 3600.0


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path, failed={"stay": 7 * HOUR_S})
    yield made
    made.store.close()


def test_a_job_knows_where_its_bundle_was_put(scene: Scene) -> None:
    """`retry` and retention of archives find it there."""
    write_bundle(scene.inbox / "shoe")
    scene.run(8)
    job = scene.finish(scene.job("shoe"), "CANCELLED")
    scene.run(3)
    archived = scene.inbox / "_cancelled" / f"shoe-{job.id}"
    assert archived.is_dir()
    assert scene.store.job(job.id).source == str(archived)


def test_a_drop_of_a_name_whose_archived_bundle_is_tried_again_is_its_own(scene: Scene) -> None:
    """Over a restart, too: the other try belongs to what lies in the archive."""
    from daemon.commands.jobs import retry_job

    write_bundle(scene.inbox / "shoe")
    scene.run(8)
    first = scene.finish(scene.job("shoe"), "CANCELLED")
    scene.run(3)
    again = retry_job(scene.store, scene.store.job(first.id))
    assert again.retry_of == first.id
    write_bundle(scene.inbox / "shoe", 7)
    scene.begin()
    scene.run(8)
    dropped = scene.jobs("shoe")[-1]
    assert dropped.id not in (first.id, again.id)
    assert scene.store.job(again.id).state is State.PENDING
    scene.finish(again)
    scene.run(70)
    assert scene.store.job(dropped.id).state is State.PENDING
    assert (scene.inbox / "shoe").exists()


def test_another_try_of_a_bundle_that_lies_there_is_followed(scene: Scene) -> None:
    from daemon.commands.jobs import retry_job

    write_bundle(scene.inbox / "shoe")
    scene.run(8)
    failed = scene.finish(scene.job("shoe"), "FAILURE", result_path="/out/shoe.failed")
    scene.run(3)
    again = retry_job(scene.store, scene.store.job(failed.id))
    scene.run(12)
    assert again.id in scene.status("shoe")
    scene.finish(again, result_path="/out/shoe")
    scene.run(12)
    assert (scene.inbox / "_done" / f"shoe-{again.id}").is_dir()


def test_a_refused_bundle_stays_its_time_over_restarts_and_then_is_put_away(scene: Scene) -> None:
    write_bundle(scene.inbox / "shoe", more={"multi_views/top.png": b"\xff\xd8\xff\xe0" + bytes(99)})
    scene.run(8)
    job = scene.finish(scene.job("shoe"), "FAILURE", result_path="/out/shoe.failed")
    scene.run(3.5 * HOUR_S)
    scene.begin()
    scene.run(3.2 * HOUR_S)
    assert {"STATUS.txt", "error.json"} <= {path.name for path in (scene.inbox / "shoe").iterdir()}
    scene.run(1.5 * HOUR_S)
    archived = scene.inbox / "_failed" / f"shoe-{job.id}"
    assert {"STATUS.txt", "error.json", "multi_views"} <= {path.name for path in archived.iterdir()}
    assert len(scene.jobs()) == 1


def test_what_was_mended_and_is_refused_again_has_all_the_time_again(scene: Scene) -> None:
    folder = write_bundle(scene.inbox / "shoe", more={"multi_views/top.png": b"\xff\xd8\xff\xe0" + bytes(99)})
    scene.run(8)
    scene.finish(scene.job("shoe"), "FAILURE", result_path="/out/shoe.failed")
    scene.run(6 * HOUR_S)
    (folder / "multi_views" / "top.png").write_bytes(png(16, 1))
    (folder / "multi_views" / "left.png").write_bytes(b"\xff\xd8\xff\xe0" + bytes(99))
    scene.run(70)
    second = scene.jobs("shoe")[-1]
    assert second.attempt == 2
    scene.finish(second, "FAILURE", result_path="/out/shoe.failed-2")
    scene.run(6 * HOUR_S)
    assert folder.exists()
    scene.run(1.1 * HOUR_S)
    assert not folder.exists()
