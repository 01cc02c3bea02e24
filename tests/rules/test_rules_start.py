"""Folders that can't be used are said at the start, with what to do; the daemon ends and leaves them alone."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from config.errors import MeshdropError
from config.sections import Settings
from daemon.clock import SystemClock
from daemon.files import Files
from daemon.service import Service
from tests.second_user import DAEMON, as_user, needs_root, reachable_folder


def refused(settings: Settings, files: Files | None = None) -> MeshdropError:
    """What the daemon says instead of starting."""
    with pytest.raises(MeshdropError) as caught:
        Service(settings, SystemClock(), files or Files(), worker_command=["false"]).run()
    assert caught.value.suggestion
    return caught.value


@needs_root
@pytest.mark.parametrize("which", ["inbox", "outbox", "state"])
def test_a_folder_that_may_not_be_written(which: str) -> None:
    def daemon() -> None:
        settings = Settings(inbox=folder / "inbox", outbox=folder / "outbox", state_dir=folder / "state")
        error = refused(settings)
        assert str(folder / which) in error.message
        assert which in error.suggestion.replace("state_dir", "state")

    with reachable_folder() as folder:
        (folder / which).chmod(0o555)
        as_user(DAEMON, daemon)
        assert not (folder / which / ".meshdrop").exists()


@pytest.mark.parametrize("which", ["inbox", "outbox"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
def test_a_folder_whose_file_system_is_full_or_read_only(tmp_path: Path, which: str, number: int) -> None:
    class BrokenFiles(Files):
        def mkdir(self, folder: Path, mode: int = 0o777) -> None:
            if folder.is_relative_to(tmp_path / which):
                raise OSError(number, os.strerror(number), str(folder))
            super().mkdir(folder, mode)

    for name in ("inbox", "outbox"):
        (tmp_path / name).mkdir()
    settings = Settings(inbox=tmp_path / "inbox", outbox=tmp_path / "outbox", state_dir=tmp_path / "state")
    error = refused(settings, BrokenFiles())
    assert str(tmp_path / which) in error.message
    assert os.strerror(number) in error.message


def test_folders_that_are_the_same_or_in_one_another(tmp_path: Path) -> None:
    for inbox, outbox, state in (("a", "a", "s"), ("a", "a/out", "s"), ("a", "b", "a/state")):
        settings = Settings(inbox=tmp_path / inbox, outbox=tmp_path / outbox, state_dir=tmp_path / state)
        assert "folder" in refused(settings).suggestion
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_made(tmp_path: Path) -> None:
    settings = Settings(inbox=tmp_path / "inbox", outbox=tmp_path / "outbox", state_dir=tmp_path / "state")
    service = Service(settings, SystemClock(), Files(), worker_command=["false"], until_idle=True)
    service.run()
    assert {path.name for path in tmp_path.iterdir()} == {"inbox", "outbox", "state"}
