"""Rule 8: what is copied when, and a full disk or a used-up quota wherever the system tells of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from daemon.files import Files
from daemon.states import State
from tests.intake.scene import Scene, write_bundle
from tests.spool.test_spool_copies import Copies


def test_admission_keeps_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for number in range(5):
        write_bundle(scene.inbox / f"b{number}", number)
    scene.run(10)
    assert len(scene.jobs()) == 5
    left = sorted(path.name for path in scene.settings.state_dir.rglob("*"))
    assert [name for name in left if not name.startswith("meshdrop.db")] == ["roots.json"]
    scene.store.close()


class FullFiles(Files):
    """A disk that is full, and says so at one kind of call."""

    def __init__(self, call: str, number: int, below: Path) -> None:
        self.call, self.number, self.below = call, number, below
        self.full = True

    def _check(self, call: str, path: Path) -> None:
        if self.full and call == self.call and path.is_relative_to(self.below):
            raise OSError(self.number, os.strerror(self.number), str(path))

    def mkdir(self, folder: Path, mode: int = 0o777) -> None:
        self._check("mkdir", folder)
        super().mkdir(folder, mode)

    def rename(self, source: Path, target: Path) -> None:
        self._check("rename", source)
        super().rename(source, target)

    @contextmanager
    def writing(self, path: Path, mode: int = 0o666, *, durable: bool = True) -> Iterator[BinaryIO]:
        self._check("open", path)
        with super().writing(path, mode, durable=durable) as file:
            yield file
            self._check("write", path)
        self._check("close", path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["mkdir", "open", "write", "close", "rename"])
def test_no_room_is_no_room_wherever_it_shows(tmp_path: Path, call: str, number: int) -> None:
    house = Copies(tmp_path)
    full = FullFiles(call, number, house.state / "spool")
    house.spooler._files = full
    job, other = house.drop(), house.drop("other", 1)
    house.spool(5)
    held = house.job(job)
    assert (held.state, held.hold_code) == (State.HELD, "DISK_FULL")
    assert str(house.state) in str(held.hold_reason)
    assert house.job(other).state is State.PENDING
    full.full = False
    house.spool(20)
    assert house.job(job).spooled
    assert house.job(other).spooled
    house.close()
