"""Rules 1, 2 and 4: a bundle is put away only while it is what was taken, and only where the system lets it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from daemon.files import Files
from daemon.intake.snapshot import take_snapshot
from daemon.states import State
from tests.intake.scene import Scene, png, write_bundle, write_zip


class RefusingFiles(Files):
    """Refuses to rename into the archives, with an error."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.refused = 0

    def rename(self, source: Path, target: Path) -> None:
        if target.parent.name.startswith("_"):
            self.refused += 1
            raise OSError(self.number, os.strerror(self.number), str(source))
        super().rename(source, target)


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("name", ["EACCES", "EPERM", "EBUSY", "EXDEV", "ENOTEMPTY"])
def test_a_refused_archive_changes_no_state_and_is_never_taken_again(tmp_path: Path, name: str, zipped: bool) -> None:
    files = RefusingFiles(getattr(errno, name))
    scene = Scene(tmp_path, files=files)
    entry = "shoe.zip" if zipped else "shoe"
    if zipped:
        write_zip(scene.inbox / entry)
    else:
        write_bundle(scene.inbox / entry)
    scene.run(8)
    job = scene.finish(scene.job(entry), result_path="/out/shoe")
    scene.run(120)
    assert files.refused
    status = scene.inbox / ("shoe.STATUS.txt" if zipped else "shoe/STATUS.txt")
    what = "file" if zipped else "folder"
    assert status.read_text().startswith(f"Finished; you may delete this {what}. /out/shoe")
    for _ in range(2):
        scene.run(3700)
        assert scene.store.job(job.id).state is State.SUCCESS
        assert [each.id for each in scene.jobs()] == [job.id]
        assert (scene.inbox / entry).exists()
        scene.begin()
    scene.store.close()


@pytest.mark.parametrize("name", ["EACCES", "EBUSY"])
def test_what_was_refused_and_is_then_changed_is_a_new_drop(tmp_path: Path, name: str) -> None:
    scene = Scene(tmp_path, files=RefusingFiles(getattr(errno, name)))
    folder = write_bundle(scene.inbox / "shoe")
    scene.run(8)
    scene.finish(scene.job("shoe"), result_path="/out/shoe")
    scene.run(30)
    (folder / "multi_views" / "top.png").write_bytes(png(16, 99))
    scene.run(100)
    assert [job.state for job in scene.jobs("shoe")] == [State.SUCCESS, State.PENDING]
    assert scene.jobs("shoe")[1].attempt == 2
    scene.store.close()


def test_written_between_the_look_and_the_rename_it_is_given_back_and_taken_anew(tmp_path: Path) -> None:
    class RacingFiles(Files):
        wrote = False

        def rename(self, source: Path, target: Path) -> None:
            if target.parent.name == "_done" and not self.wrote:
                self.wrote = True
                (source / "multi_views" / "top.png").write_bytes(png(16, 99))
            super().rename(source, target)

    scene = Scene(tmp_path, files=RacingFiles())
    write_bundle(scene.inbox / "shoe")
    scene.run(8)
    first = scene.finish(scene.job("shoe"), result_path="/out/shoe")
    scene.run(20)
    assert scene.jobs("shoe")[0].id == first.id
    assert [job.state for job in scene.jobs("shoe")] == [State.SUCCESS, State.PENDING]
    assert (scene.inbox / "shoe").is_dir()
    assert not list((scene.inbox / "_done").iterdir())
    scene.store.close()


class StaleFiles(Files):
    """A network file system's client: it shows the old size and times of a file until the file is opened."""

    def __init__(self) -> None:
        self.stale: dict[Path, os.stat_result] = {}

    def lstat(self, path: Path) -> os.stat_result:
        return self.stale.get(path) or super().lstat(path)


def test_a_polled_bundle_that_still_grows_is_seen_by_opening_it(tmp_path: Path) -> None:
    files = StaleFiles()
    scene = Scene(tmp_path, polling=True, files=files)
    folder = write_bundle(scene.inbox / "shoe", without=("multi_views/top.png",))
    top = folder / "multi_views" / "top.png"
    scene.step()
    top.write_bytes(png())
    files.stale[top] = os.lstat(top)
    for _ in range(4):  # it is written over and over, and lstat says nothing of it
        scene.run(4)
        top.write_bytes(png())
        assert scene.jobs() == []
    scene.run(30)
    assert scene.job("shoe").state is State.PENDING
    scene.store.close()


@pytest.mark.parametrize("then", ["archive", "delete"])
def test_a_polled_bundle_that_has_changed_is_not_put_away_although_lstat_says_nothing(
    tmp_path: Path, then: str
) -> None:
    files = StaleFiles()
    scene = Scene(tmp_path, polling=True, files=files, finished={"then": then})
    folder = write_bundle(scene.inbox / "shoe")
    scene.run(30)
    job = scene.job("shoe")
    top = folder / "multi_views" / "top.png"
    files.stale[top] = os.lstat(top)
    # The caretaker looks last, after the gate: what was changed in between must show there too.
    before = take_snapshot(scene.inbox, "shoe", files, open_files=True)
    top.write_bytes(png(16, 99))
    scene.caretaker.tend("shoe", before, scene.finish(job, result_path="/out/shoe"))
    assert folder.is_dir()
    scene.run(60)
    assert [each.state for each in scene.jobs("shoe")] == [State.SUCCESS, State.PENDING]
    scene.store.close()
