"""A real folder, real events: whatever way things come, the entry is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from config.sections import Inbox
from daemon.files import Files
from daemon.watch import Watch
from daemon.watch import tree as tree_module
from tests.watch.house import House, bundle, names, open_descriptors


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
    now_s = house.clock.monotonic_s()
    until_s, steps = now_s + 25, 0
    while now_s < until_s and steps < 100:
        now_s += house.watch.step(now_s)
        steps += 1
    assert 1 < steps <= 30


def test_no_thread_of_an_idle_watch_spins(house: House) -> None:
    house.until(lambda: house.watch.report().detection_latency_s is not None)
    wall_s, spent_s = time.monotonic(), time.process_time()
    time.sleep(0.5)
    # One that spins takes all of the time, or its share of a loaded machine's; one that waits, nothing.
    assert time.process_time() - spent_s < 0.2 * (time.monotonic() - wall_s)


def test_the_package_is_importable_without_watchdog() -> None:
    code = "import sys, daemon.watch; sys.exit('watchdog' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_constants_are_the_houses() -> None:
    from daemon.roots import PRIVATE

    assert tree_module.PRIVATE == PRIVATE
