"""A real folder, real events: a lost watch is noticed, said and mended, and the inbox polled until then."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from daemon.files import Files
from daemon.watch import Watch
from daemon.watch.canary import LATE_S, Canary
from tests.watch.house import House, bundle, names, open_descriptors

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


def test_a_root_that_goes_is_said_and_one_that_comes_back_is_watched_again(house: House, tmp_path: Path) -> None:
    bundle(house.root / "shoe")
    house.root.rename(tmp_path / "away")
    house.until(house.watch.polling)
    assert not house.watch.report().healthy
    assert "is not there" in house.watch.report().why
    house.hints.clear()
    (house.root / ".meshdrop").mkdir(parents=True)
    house.until(lambda: not house.watch.polling())
    assert None in house.hints
    house.hears(lambda: bundle(house.root / "boot"), "boot")


def test_a_root_replaced_by_another_folder_is_noticed(house: House, tmp_path: Path) -> None:
    (tmp_path / "other" / ".meshdrop").mkdir(parents=True)
    before = house.watch._tree
    house.hints.clear()
    house.root.rename(tmp_path / "away")
    (tmp_path / "other").rename(house.root)
    house.until(lambda: house.watch._tree not in (None, before))
    assert None in house.hints
    house.hears((house.root / "shoe").mkdir, "shoe")


def test_a_removed_root_is_noticed(house: House) -> None:
    shutil.rmtree(house.root)
    house.until(house.watch.polling)
    assert house.watch.report().remedy


def test_a_thread_that_died_is_replaced(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = house.watch._tree
    assert tree is not None

    def broken(event: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(tree, "_understand", broken)
    (house.root / "shoe").mkdir()
    house.until(lambda: house.watch._tree is None)
    assert house.watch.polling()
    assert not house.watch.report().healthy
    house.until(lambda: not house.watch.polling())
    house.hears((house.root / "boot").mkdir, "boot")


def test_a_reader_that_ended_is_replaced(house: House) -> None:
    tree = house.watch._tree
    assert tree is not None
    tree._reader.stop()
    house.until(lambda: house.watch._tree not in (None, tree))
    house.hears((house.root / "boot").mkdir, "boot")


@pytest.mark.parametrize(
    ("number", "setting"), [(errno.ENOSPC, "max_user_watches"), (errno.EMFILE, "max_user_instances")]
)
def test_the_limit_leads_to_polling_with_the_setting_to_raise_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, setting: str
) -> None:
    house = House(tmp_path, rescan_s=0.2)
    bundle(house.root / "shoe")

    class Full:
        def __init__(self, *_: object) -> None:
            raise OSError(number, "limit reached")

    with monkeypatch.context() as patch:
        patch.setattr("daemon.watch.watch.FolderTree", Full)
        house.watch.start()
        assert house.watch.polling()
        report = house.watch.report()
        assert not report.healthy
        assert f"sysctl -w fs.inotify.{setting}=" in (report.remedy or "")
    house.until(lambda: not house.watch.polling())
    house.hears((house.root / "boot").mkdir, "boot")
    house.watch.stop()


def test_the_limit_reached_later_leads_to_polling_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(tmp_path, rescan_s=0.2)
    house.watch.start()
    before = open_descriptors()
    with monkeypatch.context() as patch:

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "inotify watch limit reached")

        patch.setattr("daemon.watch.reader.Reader.add_callback", full)
        (house.root / "shoe").mkdir()
        house.until(house.watch.polling)
        assert "max_user_watches" in (house.watch.report().remedy or "")
        assert house.watch.report().folders == 0
        assert open_descriptors() < before
    house.until(lambda: not house.watch.polling())
    house.watch.stop()


def test_an_overflow_is_followed_by_a_full_look_and_new_folders_are_watched(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = house.watch._tree
    assert tree is not None
    with monkeypatch.context() as patch:  # lost events, as the handler sees them
        patch.setattr(tree, "_understand", lambda event: None)
        bundle(house.root / "lost")
        time.sleep(0.2)
    house.hints.clear()
    tree.on_queue_overflow()
    house.until(lambda: house.watch.report().folders == 2 + 3)
    assert None in house.hints
    assert house.watch.report().overflows == 1
    house.hears((house.root / "lost" / "multi_views" / "top.png").touch, "lost")


@pytest.mark.skipif(not os.access(QUEUE, os.W_OK), reason="needs the right to set the kernel's queue length")
def test_a_real_overflow_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = QUEUE.read_text()
    try:
        QUEUE.write_text("16")  # counts for queues made from now on
        house = House(tmp_path)
        house.watch.start()
    finally:
        QUEUE.write_text(before)
    tree = house.watch._tree
    assert tree is not None
    blocked = threading.Event()
    understand = tree._understand

    def slow(event: Any) -> None:
        blocked.wait(5)
        understand(event)

    monkeypatch.setattr(tree, "_understand", slow)
    for number in range(100):
        bundle(house.root / f"shoe-{number}")
    blocked.set()
    house.until(lambda: house.watch.report().overflows > 0)
    house.until(lambda: house.watch.report().folders == 2 + 300)
    house.hears((house.root / "shoe-99" / "multi_views" / "top.png").touch, "shoe-99")
    house.watch.stop()


def test_a_canary_measures_how_soon_a_change_is_noticed_and_leaves_nothing(house: House) -> None:
    house.until(lambda: house.watch.report().detection_latency_s is not None)
    assert 0 <= (house.watch.report().detection_latency_s or 0) < 2
    house.until(lambda: names(house.root / ".meshdrop") == [])
    assert house.hints == [None]


def test_canaries_of_a_run_that_was_killed_are_removed(tmp_path: Path) -> None:
    house = House(tmp_path, canary=False)
    (house.root / ".meshdrop" / "canary-0000").touch()
    (house.root / ".meshdrop" / "root.json").touch()
    house.watch.start()
    house.watch.stop()
    assert names(house.root / ".meshdrop") == ["root.json"]


def test_events_that_do_not_come_are_polled_for_until_they_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(tmp_path, rescan_s=0.2)
    monkeypatch.setattr("daemon.watch.canary.LATE_S", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr(Canary, "seen", lambda self, name: None)
        house.watch.start()
        first = house.watch._tree
        house.until(house.watch.polling)
        assert not house.watch.report().healthy
        assert house.watch._tree not in (None, first)
    monkeypatch.setattr("daemon.watch.canary.LATE_S", LATE_S)
    house.watch._end()  # the reader that never hears is bound to the patched method
    house.until(lambda: not house.watch.polling())
    assert house.watch.report().healthy
    house.watch.stop()


def test_an_inbox_that_may_not_be_written_is_watched_all_the_same(tmp_path: Path) -> None:
    house = House(tmp_path)
    shutil.rmtree(house.root / ".meshdrop")
    house.watch.start()
    house.watch.step(house.clock.monotonic_s())
    assert house.watch.report().healthy
    house.hears((house.root / "shoe").mkdir, "shoe")
    house.watch.stop()


class BreakingFiles(Files):
    """The call with this number fails, and so do all for a while after it."""

    def __init__(self, number: int, for_calls: int) -> None:
        self.calls, self._broken = 0, range(number, number + for_calls)

    def _call(self) -> None:
        self.calls += 1
        if self.calls - 1 in self._broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def lstat(self, path: Path) -> os.stat_result:
        self._call()
        return super().lstat(path)

    def names(self, folder: Path) -> list[str]:
        self._call()
        return super().names(folder)

    def folders(self, folder: Path) -> list[str]:
        self._call()
        return super().folders(folder)

    def unlink(self, path: Path) -> None:
        self._call()
        super().unlink(path)


@pytest.mark.parametrize("number", range(9))
@pytest.mark.parametrize("for_calls", [1, 4])
def test_an_input_output_error_anywhere_is_outlived(tmp_path: Path, number: int, for_calls: int) -> None:
    house = House(tmp_path, rescan_s=0.05)
    bundle(house.root / "shoe")
    files = BreakingFiles(number, for_calls)
    house.watch = Watch(house.inbox, house.settings, house.clock, files, house.hints.append)
    with patched("daemon.watch.watch._ROOT_EVERY_S", 0.02), patched("daemon.watch.watch._BACKOFF_S", (0.02,)):
        house.watch.start()
        house.until(lambda: files.calls > number + for_calls)
        house.until(lambda: not house.watch.polling())
        house.hears((house.root / "boot").mkdir, "boot")
    house.watch.stop()


def test_any_other_error_at_the_start_leads_to_polling(tmp_path: Path) -> None:
    house = House(tmp_path)
    with patched("daemon.watch.watch.FolderTree", None):
        house.watch.start()
    assert house.watch.polling()
    assert not house.watch.report().healthy
    house.watch.stop()


def test_a_polled_root_that_goes_is_said_too(tmp_path: Path) -> None:
    house = House(tmp_path, mode="polling", poll_s=0.05)
    house.watch.start()
    assert house.watch.report().healthy
    house.root.rename(tmp_path / "away")
    house.until(lambda: not house.watch.report().healthy)
    with patched("daemon.watch.watch._ROOT_EVERY_S", 0.02):
        (tmp_path / "away").rename(house.root)
        house.until(lambda: house.watch.report().healthy)
    house.watch.stop()


@contextmanager
def patched(target: str, value: object) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, value)
        yield
