"""Rule 6: markers work once, whoever put them, and whatever they are called."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.states import State
from tests.intake.scene import Scene, png, write_bundle, write_zip
from tests.second_user import ANNA, DAEMON, as_user, give, needs_root, reachable_folder


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.store.close()


def test_ready_with_files_missing_waits_a_minute_and_one_more_file_is_enough(scene: Scene) -> None:
    folder = write_bundle(scene.inbox / "shoe", without=("multi_views/top.png",), more={"Ready.TXT": b""})
    scene.run(55)
    assert scene.jobs() == []
    scene.run(10)
    job = scene.job("shoe")
    assert job.error is not None
    assert job.error["code"] == "INVALID_FILE_COUNT"
    assert "multi_views/top.png" in job.error["message"]
    assert not (folder / "Ready.TXT").exists()
    scene.finish(job, "FAILURE", result_path="/out")
    scene.run(3)
    (folder / "multi_views" / "top.png").write_bytes(png())
    scene.run(70)
    assert [each.state for each in scene.jobs("shoe")] == [State.FAILURE, State.PENDING]


@pytest.mark.parametrize("name", ["job.toml", "job.toml.txt", "Job.TOML.txt"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order mark"])
def test_a_job_toml_from_a_windows_editor_is_read(scene: Scene, name: str, mark: bytes) -> None:
    write_bundle(scene.inbox / "shoe", more={name: mark + b'quality = "draft"\r\n'})
    scene.run(8)
    assert scene.job("shoe").options["quality"] == "draft"


@pytest.mark.parametrize("marker", ["blue.cancel", "blue.zip.cancel", "BLUE.Cancel.txt"])
def test_a_zip_is_cancelled_beside_it(scene: Scene, marker: str) -> None:
    write_zip(scene.inbox / "blue.zip")
    scene.run(8)
    (scene.inbox / marker).touch()
    scene.step(1, hint=None)
    scene.run(2)
    assert scene.job("blue.zip").cancel_requested_at is not None
    assert not (scene.inbox / marker).exists()


@needs_root
def test_the_history_says_who_cancelled_and_a_marker_that_stays_never_applies_again() -> None:
    """Anna's own folder, 0755: the daemon can't remove what she put there."""

    def daemon() -> None:
        scene = Scene(folder, finished={"then": "keep"})
        scene.run(8)
        job = scene.job("shoe")
        as_anna = scene.files.owner_name(ANNA)
        assert job.state is State.CANCELLED
        assert job.cancel_by == as_anna
        assert scene.store.transitions(job.id)[-1].by == as_anna
        assert as_anna in scene.store.transitions(job.id)[-1].reason
        scene.store.close()

    def daemon_later() -> None:
        scene = Scene(folder, finished={"then": "keep"})
        scene.run(100)
        first, second = scene.jobs("shoe")
        assert first.state is State.CANCELLED
        assert second.state is State.PENDING
        assert second.cancel_requested_at is None
        scene.store.close()

    with reachable_folder() as folder:
        shoe = write_bundle(folder / "inbox" / "shoe", more={".cancel": b""})
        give(shoe, ANNA)
        as_user(DAEMON, daemon)
        assert (shoe / ".cancel").exists()
        (shoe / "multi_views" / "top.png").write_bytes(png(16, 99))
        as_user(DAEMON, daemon_later)
