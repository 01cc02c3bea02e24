"""What the system refuses: bundles of other users, read-only folders. With a second user, so only as root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.states import State
from tests.intake.scene import Scene, png, write_bundle
from tests.second_user import ANNA, DAEMON, as_user, give, needs_root, reachable_folder

pytestmark = needs_root


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that other users can reach."""
    with reachable_folder() as folder:
        yield folder


def test_a_foreign_bundle_is_run_stays_and_is_told_so_beside_it(shared: Path) -> None:
    """0755 and another user's: neither STATUS.txt nor the rename is possible; the job is none the worse for it."""

    def daemon() -> None:
        scene = Scene(shared)
        scene.run(1)
        as_anna = shared / "go"
        as_anna.touch()
        while not (scene.inbox / "shoe").exists():
            os.sched_yield()
        scene.step(hint="shoe")
        scene.run(8)
        job = scene.job("shoe")
        assert job.owner == scene.files.owner_name(ANNA)
        scene.finish(job, result_path=str(scene.outbox / "shoe"))
        scene.run(20)
        assert scene.store.job(job.id).state is State.SUCCESS
        assert (scene.inbox / "shoe").exists()
        assert not (scene.inbox / "shoe" / "STATUS.txt").exists()
        assert scene.status("shoe", beside=True).startswith("Finished; you may delete this folder.")
        scene.run(8000)
        assert len(scene.jobs()) == 1
        scene.begin()
        scene.run(200)
        assert len(scene.jobs()) == 1
        scene.store.close()

    made = write_bundle(shared / "made")
    give(made, ANNA)
    made.chmod(0o755)
    child = os.fork()
    if child == 0:
        try:
            as_user(DAEMON, daemon)
            os._exit(0)
        except BaseException as error:
            os.write(2, str(error).encode())
            os._exit(1)
    while not (shared / "go").exists():
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            pytest.fail("the daemon's part ended early")
    made.rename(shared / "inbox" / "shoe")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_unreadable_file_is_waited_for_told_and_holds_nobody_up(shared: Path) -> None:
    def daemon() -> None:
        scene = Scene(shared)
        scene.run(15)
        assert [job.entry for job in scene.jobs()] == ["boot"]
        name = scene.files.owner_name(ANNA)
        sentence = f"multi_views/top.png can't be read: permission denied (owner {name}, mode 0600)."
        assert scene.status("shoe", beside=True).startswith(sentence)
        scene.store.close()

    def daemon_later() -> None:
        scene = Scene(shared)
        scene.run(15)
        assert {job.entry for job in scene.jobs()} == {"boot", "shoe"}
        scene.store.close()

    shoe = write_bundle(shared / "inbox" / "shoe")
    write_bundle(shared / "inbox" / "boot", 9)
    give(shoe, ANNA)
    (shoe / "multi_views" / "top.png").chmod(0o600)
    as_user(DAEMON, daemon)
    (shoe / "multi_views" / "top.png").chmod(0o644)
    as_user(DAEMON, daemon_later)


def test_an_unreadable_folder_is_told(shared: Path) -> None:
    def daemon() -> None:
        scene = Scene(shared)
        scene.run(15)
        assert scene.jobs() == []
        assert "depth_renders can't be read: permission denied" in scene.status("shoe", beside=True)
        assert "can't be read: permission denied" in scene.status("locked", beside=True)
        scene.store.close()

    for name, inner in (("shoe", "depth_renders"), ("locked", ".")):
        folder = write_bundle(shared / "inbox" / name)
        give(folder, ANNA)
        (folder / inner).chmod(0o700)
    as_user(DAEMON, daemon)


def test_a_marker_that_can_not_be_removed_works_once(shared: Path) -> None:
    """In a foreign folder, over a restart too."""

    def daemon() -> None:
        scene = Scene(shared, finished={"then": "keep"})
        scene.run(15)
        scene.finish(scene.job("shoe"), result_path="/out/shoe")
        scene.run(70)
        jobs = scene.jobs()
        assert len(jobs) == 1, "the marker was there before the drop was taken: it forces that one job"
        assert jobs[0].options["force"] is True
        scene.begin()
        scene.run(200)
        assert len(scene.jobs()) == 1
        scene.store.close()

    shoe = write_bundle(shared / "inbox" / "shoe", more={".redo": b""})
    give(shoe, ANNA)
    as_user(DAEMON, daemon)
    assert (shoe / ".redo").exists()


def test_an_inbox_that_can_not_be_written_is_read_all_the_same(shared: Path) -> None:
    def before() -> None:
        Scene(shared).run(1)

    def daemon() -> None:
        scene = Scene(shared)
        scene.run(15)
        job = scene.job("shoe")
        scene.finish(job, result_path="/out/shoe")
        scene.run(100)
        assert (shared / "inbox" / "shoe").exists()
        assert len(scene.jobs()) == 1
        scene.store.close()

    as_user(DAEMON, before)
    shoe = write_bundle(shared / "inbox" / "shoe")
    give(shoe, ANNA)
    (shared / "inbox").chmod(0o555)
    as_user(DAEMON, daemon)


def test_mending_works_where_the_folder_is_the_daemons_and_the_file_is_annas(shared: Path) -> None:
    def daemon() -> None:
        scene = Scene(shared)
        scene.run(8)
        scene.finish(scene.job("shoe"), "FAILURE", result_path="/out/shoe.failed")
        scene.run(3)
        assert (shared / "inbox" / "shoe" / "error.json").exists()
        scene.store.close()

    def daemon_later() -> None:
        scene = Scene(shared)
        scene.run(8)
        assert [job.state for job in scene.jobs()] == [State.FAILURE, State.PENDING]
        scene.store.close()

    shoe = write_bundle(shared / "inbox" / "shoe", more={"multi_views/top.png": b"\xff\xd8\xff\xe0" + bytes(99)})
    give(shoe, ANNA)
    shoe.chmod(0o777)
    as_user(DAEMON, daemon)
    (shoe / "multi_views" / "top.png").write_bytes(png())
    as_user(DAEMON, daemon_later)
