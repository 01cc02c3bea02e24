"""A house for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.mounts import mount_of, watch_mode
from tests.watch.house import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    if watch_mode(mount_of(tmp_path).type) != "inotify":
        pytest.skip("the folder for temporary files is not watched with inotify")
    house = House(tmp_path)
    house.watch.start()
    yield house
    house.watch.stop()
