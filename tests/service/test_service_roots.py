"""A root is known again by its marker; an empty mount point is no empty inbox."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import pytest

from config.errors import ShareUnavailable, ValidationFailed
from config.sections import Inbox, Settings
from daemon import service
from daemon.clock import SystemClock
from daemon.files import Files
from daemon.roots import check_folders, check_root, open_root


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


def _open(path: Path, state: Path) -> object:
    return open_root(path, "inbox", state, Files(), SystemClock())


def test_a_root_is_made_and_known_again(tmp_path: Path, state: Path) -> None:
    first = _open(tmp_path / "in", state)
    assert (tmp_path / "in" / ".meshdrop" / "root.json").is_file()
    assert _open(tmp_path / "in", state) == first


def test_an_emptied_mount_point_is_refused_and_left_alone(tmp_path: Path, state: Path) -> None:
    inbox = tmp_path / "in"
    _open(inbox, state)
    shutil.rmtree(inbox)
    with pytest.raises(ShareUnavailable, match="missing"):
        _open(inbox, state)
    inbox.mkdir()
    with pytest.raises(ShareUnavailable, match="missing"):
        _open(inbox, state)
    assert list(inbox.iterdir()) == []


def test_another_share_in_its_place_is_refused(tmp_path: Path, state: Path) -> None:
    root = open_root(tmp_path / "in", "inbox", state, Files(), SystemClock())
    other = tmp_path / "other_state"
    other.mkdir()
    open_root(tmp_path / "in2", "inbox", other, Files(), SystemClock())
    shutil.rmtree(tmp_path / "in")
    (tmp_path / "in2").rename(tmp_path / "in")
    with pytest.raises(ShareUnavailable, match="another one"):
        check_root(root, Files())


def test_a_folder_that_cannot_be_made_says_which_setting(tmp_path: Path, state: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ShareUnavailable, match="inbox") as caught:
        _open(tmp_path / "file" / "in", state)
    assert "setting inbox" in caught.value.suggestion


@pytest.mark.parametrize(
    ("inbox", "outbox", "state_dir", "words"),
    [
        ("a", "a", "s", "same folder"),
        ("a", "a/out", "s", "lie in one another"),
        ("a/in", "a", "s", "lie in one another"),
        ("a", "b", "a/s", "lie in one another"),
        ("link", "a", "s", "same folder"),
    ],
)
def test_folders_that_would_read_each_other_are_refused(
    tmp_path: Path, inbox: str, outbox: str, state_dir: str, words: str
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    settings = Settings(inbox=tmp_path / inbox, outbox=tmp_path / outbox, state_dir=tmp_path / state_dir)
    with pytest.raises(ValidationFailed, match=words):
        check_folders(settings)


def test_several_inboxes_may_share_an_outbox(tmp_path: Path) -> None:
    inboxes = tuple(Inbox(name=name, path=tmp_path / name, outbox=tmp_path / "out") for name in "ab")
    check_folders(Settings(inboxes=inboxes, state_dir=tmp_path / "s"))


def test_a_share_that_does_not_answer_is_away_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_SHARE_WITHIN_S", 0.05)
    answered = threading.Event()

    class Frozen(Files):
        def lstat(self, path: Path) -> os.stat_result:
            answered.wait(30)
            return super().lstat(path)

        def reading(self, path: Path) -> AbstractContextManager[BinaryIO]:
            if "state" not in path.parts:
                answered.wait(30)
            return super().reading(path)

    state = tmp_path / "state"
    state.mkdir()
    open_root(tmp_path / "known", "inbox", state, Files(), SystemClock())
    daemon = service.Service(Settings(state_dir=state), SystemClock(), Frozen())
    try:
        with pytest.raises(ShareUnavailable, match="does not answer"):
            daemon._root(tmp_path / "new", "inbox")
        assert daemon._root(tmp_path / "known", "inbox") is None
    finally:
        answered.set()
