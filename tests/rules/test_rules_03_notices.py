"""Rules 3 and 10: STATUS.txt comes late enough, is rewritten only when it says something else, and stops no job."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from daemon.files import Files
from daemon.states import State
from tests.intake.scene import Scene, png, write_bundle


class CountingFiles(Files):
    """Counts what is renamed to be a STATUS.txt; refuses it where told to."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.tried: list[Path] = []

    def rename(self, source: Path, target: Path) -> None:
        if target.name.endswith("STATUS.txt"):
            self.tried.append(target)
            if self.number is not None:
                raise OSError(self.number, os.strerror(self.number), str(target))
        super().rename(source, target)


def test_a_notice_comes_ten_seconds_after_the_last_change_and_never_for_what_is_no_bundle(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    (scene.inbox / "notes").mkdir()
    (scene.inbox / "notes" / "todo.txt").write_text("milk")
    folder = write_bundle(scene.inbox / "shoe", without=("multi_views/top.png", "multi_views/left.png"))
    scene.run(9.5)
    assert scene.status("shoe") == ""
    (folder / "multi_views" / "left.png").write_bytes(png())
    scene.step(hint="shoe")
    scene.run(9.5)
    assert scene.status("shoe") == "", "a change begins the ten seconds anew"
    scene.run(2)
    assert scene.status("shoe").startswith("11 of 12 files; waiting for multi_views/top.png")
    scene.run(600)
    assert not (scene.inbox / "notes" / "STATUS.txt").exists()
    scene.store.close()


def test_a_notice_is_written_only_where_it_says_something_else_over_restarts_too(tmp_path: Path) -> None:
    files = CountingFiles()
    scene = Scene(tmp_path, files=files)
    write_bundle(scene.inbox / "shoe", without=("multi_views/top.png",))
    scene.run(4000)
    assert len(files.tried) == 1
    scene.begin()
    scene.run(4000)
    assert len(files.tried) == 1
    scene.store.close()


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_notice_that_can_not_be_written_is_given_up_for_a_while_and_delays_nothing(
    tmp_path: Path, number: int
) -> None:
    files = CountingFiles()
    files.number = number
    scene = Scene(tmp_path, files=files)
    write_bundle(scene.inbox / "half", without=("multi_views/top.png",))
    write_bundle(scene.inbox / "shoe", 5)
    scene.run(12)
    job = scene.finish(scene.job("shoe"), result_path="/out/shoe")
    scene.run(280)
    assert scene.store.job(job.id).state is State.SUCCESS
    assert not (scene.inbox / "shoe").exists()
    tries = [path for path in files.tried if "half" in str(path)]
    assert len(tries) <= 2 * 4, "in the bundle and beside it, three times, and then not for minutes"
    files.number = None
    scene.run(700)
    assert scene.status("half").startswith("11 of 12 files")
    scene.store.close()
