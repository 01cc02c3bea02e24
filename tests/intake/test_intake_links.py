"""Links, pipes, devices and sockets: told by lstat, never opened, never followed."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from daemon.files import Files
from daemon.intake.snapshot import take_snapshot
from tests.intake.scene import Scene, as_root, write_bundle


class Watched(Files):
    """Notes what is opened."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    @contextmanager
    def reading(self, path: Path) -> Iterator[BinaryIO]:
        self.opened.append(f"{path.parent.name}/{path.name}")
        with super().reading(path) as file:
            yield file


def _socket(path: Path) -> None:
    # The path of a socket is short by law.
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _hard_link(path: Path) -> None:
    other = path.parent.parent.parent.parent / "original"
    other.write_bytes(b"x" * 100)
    os.link(other, path)


MAKERS: dict[str, Callable[[Path], None]] = {
    "a link": lambda path: path.symlink_to("/etc/passwd"),
    "a pipe": os.mkfifo,
    "a socket": _socket,
    "a hard link": _hard_link,
    "a folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("what", MAKERS)
@pytest.mark.parametrize("polling", [False, True])
def test_what_is_no_file_is_refused_unopened(tmp_path: Path, what: str, polling: bool) -> None:
    files = Watched()
    scene = Scene(tmp_path, files=files, polling=polling)
    folder = write_bundle(scene.inbox / "shoe", without=("multi_views/top.png",))
    MAKERS[what](folder / "multi_views" / "top.png")
    scene.run(20)
    job = scene.job("shoe")
    assert job.error is not None
    assert job.error["code"] == "INVALID_FILE_FORMAT"
    assert what in job.error["message"]
    opened = set(files.opened)
    assert "multi_views/top.png" not in opened or (what == "a hard link" and polling)  # that look opens what is a file
    scene.store.close()


@pytest.mark.skipif(not as_root(), reason="making a device needs root")
def test_a_device_is_refused_unopened(tmp_path: Path) -> None:
    files = Watched()
    scene = Scene(tmp_path, files=files)
    folder = write_bundle(scene.inbox / "shoe", without=("multi_views/top.png",))
    try:
        os.mknod(folder / "multi_views" / "top.png", 0o020644, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("devices are not allowed here")
    scene.run(8)
    job = scene.job("shoe")
    assert job.error is not None
    assert "is a device" in job.error["message"]
    assert "multi_views/top.png" not in files.opened
    scene.store.close()


def test_linked_folders_are_refused_and_not_entered(tmp_path: Path) -> None:
    outside = write_bundle(tmp_path / "outside")
    files = Watched()
    scene = Scene(tmp_path, files=files)
    folder = write_bundle(scene.inbox / "shoe", without=tuple(f"multi_views/{view}.png" for view in
                          ("front", "back", "left", "right", "top", "bottom")))  # fmt: skip
    (folder / "multi_views").symlink_to(outside / "multi_views")
    scene.run(8)
    job = scene.job("shoe")
    assert job.error is not None
    assert "multi_views is a link, not a folder" in job.error["message"]
    assert not [name for name in files.opened if name.endswith(".png")]
    scene.store.close()


def test_loops_of_links_end(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    folder = inbox / "shoe"
    folder.mkdir(parents=True)
    (folder / "multi_views").symlink_to(folder)
    (folder / "again").symlink_to("again")
    (inbox / "self").symlink_to("self")
    shot = take_snapshot(inbox, "shoe", Files())
    assert {item.name: item.kind for item in shot.items} == {"multi_views": "link", "again": "link"}
    assert take_snapshot(inbox, "self", Files()).kind == "link"


def test_a_crowd_of_files_is_cut_and_the_bundle_is_found_in_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    folder = write_bundle(scene.inbox / "shoe")
    for number in range(700):
        (folder / f"note{number:04}.txt").touch()
    scene.run(8)
    assert scene.job("shoe").error is None
    assert take_snapshot(scene.inbox, "shoe", Files()).cut
    scene.store.close()


def test_a_file_exchanged_between_look_and_reading_is_not_believed(tmp_path: Path) -> None:
    from daemon.intake.content import check_content

    scene = Scene(tmp_path)
    folder = write_bundle(scene.inbox / "shoe")
    shot = take_snapshot(scene.inbox, "shoe", scene.files)
    (folder / "multi_views" / "top.png").unlink()
    (folder / "multi_views" / "top.png").symlink_to("/etc/passwd")
    content = check_content(scene.inbox, shot, scene.settings.limits, scene.files, 0.0)
    assert (content.outcome, content.sentence) == ("unfinished", "It changed while it was being read.")
    scene.store.close()
