"""A real folder, real events: whatever way things come, the entry is named, and a lost watch is noticed and mended."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from config.sections import Inbox, Settings
from daemon.clock import SystemClock
from daemon.files import Files
from daemon.mounts import mount_of, watch_mode
from daemon.watch import Watch
from daemon.watch import tree as tree_module
from daemon.watch.canary import LATE_S, Canary

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
VIEWS = ("multi_views", "depth_renders")


class House:
    """An inbox, its watch, and what the watch said."""

    def __init__(self, folder: Path, **watch: Any) -> None:
        self.root = folder / "inbox"
        (self.root / ".meshdrop").mkdir(parents=True)
        self.hints: list[str | None] = []
        self.clock = SystemClock()
        self.settings = Settings.model_validate({"watch": watch})
        self.inbox = Inbox(name="inbox", path=self.root, outbox=folder / "outbox")
        self.watch = Watch(self.inbox, self.settings, self.clock, Files(), self.hints.append)

    def until(self, so: Callable[[], object], within_s: float = 5.0) -> None:
        deadline_s = time.monotonic() + within_s
        while not so():
            assert time.monotonic() < deadline_s, (self.hints[-20:], self.watch.report())
            self.watch.step(self.clock.monotonic_s())
            time.sleep(0.005)

    def hears(self, change: Callable[[], object], entry: str | None) -> None:
        """The change is told of under this name."""
        self.hints.clear()
        change()
        self.until(lambda: entry in self.hints)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    if watch_mode(mount_of(tmp_path).type) != "inotify":
        pytest.skip("the folder for temporary files is not watched with inotify")
    house = House(tmp_path)
    house.watch.start()
    yield house
    house.watch.stop()


def bundle(folder: Path) -> Path:
    for views in VIEWS:
        (folder / views).mkdir(parents=True)
        (folder / views / "front.png").write_bytes(b"x")
    return folder


def test_the_first_thing_said_is_look_at_everything(house: House) -> None:
    assert house.hints == [None]
    assert not house.watch.polling()
    assert house.watch.report().healthy


def test_every_level_of_a_tree_copied_in_is_watched(house: House, tmp_path: Path) -> None:
    source = bundle(tmp_path / "elsewhere" / "wrap" / "inner")
    house.hears(lambda: shutil.copytree(source.parent.parent, house.root / "shoe"), "shoe")
    house.until(lambda: house.watch.report().folders == 2 + 5)
    house.hears(lambda: (house.root / "shoe/wrap/inner/multi_views/late.png").write_bytes(b"x"), "shoe")


def test_a_folder_renamed_in_is_watched_and_under_its_new_name_when_renamed_again(house: House, tmp_path: Path) -> None:
    made = bundle(tmp_path / "made")
    house.hears(lambda: made.rename(house.root / "shoe"), "shoe")
    house.until(lambda: house.watch.report().folders == 2 + 3)
    house.hears(lambda: (house.root / "shoe" / "multi_views" / "top.png").write_bytes(b"x"), "shoe")
    house.hears((house.root / "shoe" / ".cancel").touch, "shoe")
    house.hears(lambda: (house.root / "shoe").rename(house.root / "boot"), "boot")
    house.until(lambda: house.watch.report().folders == 2 + 3)
    house.hears(lambda: (house.root / "boot" / "multi_views" / "left.png").write_bytes(b"x"), "boot")
    assert "shoe" not in house.hints


@pytest.mark.parametrize(
    "change",
    [
        lambda shoe: (shoe / "multi_views" / "front.png").unlink(),
        lambda shoe: (shoe / "multi_views" / "front.png").rename(shoe / "multi_views" / "back.png"),
        lambda shoe: (shoe / "multi_views" / "front.png").chmod(0o600),
        lambda shoe: os.utime(shoe / "multi_views" / "front.png", (1, 1)),
        shutil.rmtree,
    ],
    ids=["unlink", "rename", "chmod", "utime", "remove"],
)
def test_every_kind_of_change_is_told(house: House, change: Callable[[Path], object]) -> None:
    shoe = bundle(house.root / "shoe")
    house.until(lambda: house.watch.report().folders == 2 + 3)
    time.sleep(0.05)
    house.hears(lambda: change(shoe), "shoe")


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", b"-rf", b"x" * 255, "רגל\u202e".encode(), b"..."], ids=repr)
def test_hostile_names_are_passed_on_as_they_are(house: House, name: bytes) -> None:
    raw = os.fsdecode(name)
    house.hears((house.root / raw).mkdir, raw)
    house.until(lambda: house.watch.report().folders == 2 + 1)
    house.hears(lambda: (house.root / raw / raw).write_bytes(b"x"), raw)


def test_links_are_not_followed(house: House, tmp_path: Path) -> None:
    outside = bundle(tmp_path / "outside")
    house.hears(lambda: (house.root / "link").symlink_to(outside), "link")
    shoe = house.root / "shoe"
    house.hears(shoe.mkdir, "shoe")
    house.hears(lambda: (shoe / "self").symlink_to(shoe), "shoe")
    house.hears((house.root / "end").touch, "end")
    assert house.watch.report().folders == 2 + 1


def test_the_inbox_itself_may_be_a_link(tmp_path: Path) -> None:
    real = House(tmp_path / "real")
    (tmp_path / "link").symlink_to(real.root)
    inbox = Inbox(name="inbox", path=tmp_path / "link", outbox=tmp_path / "outbox")
    real.watch = Watch(inbox, real.settings, real.clock, Files(), real.hints.append)
    real.watch.start()
    real.hears((real.root / "shoe").mkdir, "shoe")
    real.watch.stop()


def test_archives_junk_and_the_daemons_own_notices_take_no_watch_and_raise_no_hint(house: House) -> None:
    for name in ("_done", "_failed", "_cancelled"):
        bundle(house.root / name / "shoe-0123abcd")
    bundle(house.root / "@eaDir")
    shoe = bundle(house.root / "shoe")
    house.until(lambda: house.watch.report().folders == 2 + 3)
    house.hints.clear()
    (shoe / "STATUS.txt").write_text("waiting")
    (house.root / "_done" / "x").mkdir()
    (house.root / ".meshdrop" / "root.json").write_text("{}")
    house.hears((house.root / "end").touch, "end")
    assert set(house.hints) <= {"end", "shoe", "@eaDir"}
    assert house.watch.report().folders == 2 + 3
    house.hears(lambda: shoe.rename(house.root / "_done" / "shoe-1"), "shoe")
    house.until(lambda: house.watch.report().folders == 2)


def test_an_entry_full_of_folders_does_not_use_up_the_watches(house: House, tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / "made" / f"{number}").mkdir(parents=True)
    house.hears(lambda: (tmp_path / "made").rename(house.root / "many"), "many")
    house.hears((house.root / "end").touch, "end")
    assert house.watch.report().folders <= 2 + 64


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


@pytest.mark.parametrize(
    ("wish", "file_system", "mode"),
    [
        ("auto", "ext4", "inotify"),
        ("auto", "cifs", "polling"),
        ("auto", "fuse.bindfs", "polling"),
        ("auto", "something-new", "polling"),
        ("polling", "ext4", "polling"),
        ("inotify", "nfs4", "inotify"),
    ],
)
def test_the_file_system_chooses_unless_the_setting_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: str, file_system: str, mode: str
) -> None:
    from daemon.mounts import Mount

    monkeypatch.setattr("daemon.watch.watch.mount_of", lambda path: Mount("/", file_system, "x"))
    house = House(tmp_path, mode=wish)
    house.watch.start()
    report = house.watch.report()
    assert (report.mode, report.healthy) == (mode, True)
    assert (file_system if wish == "auto" else f'watch.mode = "{wish}"') in report.why
    house.watch.stop()


def test_a_hundred_restarts_leave_no_thread_and_no_descriptor(tmp_path: Path) -> None:
    house = House(tmp_path)
    bundle(house.root / "shoe")
    house.watch.start()
    house.watch.stop()
    threads, descriptors = threading.active_count(), open_descriptors()
    for number in range(100):
        house.watch.start()
        if number % 3:
            house.watch.step(house.clock.monotonic_s())
        house.watch.stop()
    assert threading.active_count() == threads
    assert open_descriptors() == descriptors
    assert names(house.root / ".meshdrop") == []


def test_no_hint_comes_after_the_end(house: House) -> None:
    house.watch.stop()
    house.hints.clear()
    (house.root / "late").mkdir()
    time.sleep(0.05)
    assert house.hints == []


def test_an_idle_watch_costs_next_to_nothing(house: House) -> None:
    house.until(lambda: house.watch.report().detection_latency_s is not None)
    due_s = house.watch.step(house.clock.monotonic_s())
    assert due_s > 0.2
    wall_s, spent_s = time.monotonic(), time.process_time()
    while time.monotonic() - wall_s < 1.0:
        time.sleep(min(due_s, 0.5))
        due_s = house.watch.step(house.clock.monotonic_s())
    assert time.process_time() - spent_s < 0.01


def test_the_package_is_importable_without_watchdog() -> None:
    code = "import sys, daemon.watch; sys.exit('watchdog' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@contextmanager
def patched(target: str, value: object) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, value)
        yield


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def open_descriptors() -> int:
    return len(names(Path("/proc/self/fd")))


def test_the_constants_are_the_houses() -> None:
    from daemon.roots import PRIVATE

    assert tree_module.PRIVATE == PRIVATE
