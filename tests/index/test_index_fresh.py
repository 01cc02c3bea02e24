"""The page in a real browser, left open: it stays up to date by itself, and says where it is not."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from daemon.files import Files
from daemon.states import State
from tests.browser import Window
from tests.index.browsing import finished, names, wait_for

if TYPE_CHECKING:
    from tests.index.conftest import House

pytestmark = pytest.mark.browser

SAME = "window.same === true"


def test_news_come_by_themselves_and_disturb_nobody(house: House, at: Window) -> None:
    finished(house, "shoe 1", "hat 1")
    at.open(house.write())
    at.page.evaluate("window.same = true")
    at.page.focus("#filter")
    at.page.keyboard.type("shoe")
    (job,) = house.drop("shoe 2")
    house.write()
    wait_for(at, "document.querySelectorAll('#jobs .job').length === 2")
    house.finish(job, State.SUCCESS, "thumbnail.webp")
    house.write()
    wait_for(at, "document.getElementById('news').textContent === 'shoe 2: Finished'")
    assert names(at) == ["shoe 2", "shoe 1"]
    assert at.page.evaluate("document.activeElement.id") == "filter"
    assert at.page.evaluate(SAME), "it was not reloaded"
    at.check()


def test_another_start_of_the_daemon_reloads_it_when_nobody_types(house: House, at: Window) -> None:
    finished(house, "shoe 1", "hat 1")
    at.open(house.write())
    at.page.evaluate("window.same = true")
    at.page.focus("#filter")
    at.page.keyboard.type("shoe")
    house.start()
    finished(house, "shoe 2")
    house.write()
    at.page.wait_for_timeout(2500)
    assert at.page.evaluate(SAME), "somebody types"
    at.page.evaluate("document.activeElement.blur()")
    wait_for(at, f"!({SAME})")
    wait_for(at, "document.querySelectorAll('#jobs .job').length === 2")
    assert at.page.input_value("#filter") == "shoe"
    at.check()


def test_it_turns_red_when_nobody_writes_it(house: House, at: Window) -> None:
    finished(house, "shoe")
    at.page.clock.install()
    page = house.write()
    at.open(page)
    at.page.clock.run_for(3000)
    assert at.page.is_hidden("#alarm")
    beat_s = house.settings.publish.heartbeat_s
    for _ in range(8):  # nothing happens, and the page says so
        at.page.clock.run_for(int(beat_s * 500))
        house.clock.behind_s -= beat_s * 0.5
        house.write()
        at.page.clock.run_for(2000)
        wait_for(at, "document.querySelector('iframe') === null")
        assert at.page.is_hidden("#alarm")
    for _ in range(30):
        at.page.clock.run_for(5000)
        at.page.wait_for_timeout(50)
        seen_s = at.page.evaluate("(Date.now() - JSON.parse(sessionStorage.meshdrop).since) / 1000")
        if at.page.is_visible("#alarm"):
            break
        assert seen_s < 3 * beat_s + 1
    assert seen_s > 3 * beat_s - 1
    assert "out of date" in at.page.inner_text("#alarm")
    assert at.page.get_attribute("#alarm", "role") == "alert"
    colour = at.page.evaluate("getComputedStyle(document.getElementById('alarm')).backgroundColor")
    red, green, blue = map(int, colour[4:-1].split(","))
    assert red > 2 * max(green, blue)
    house.clock.behind_s -= 200
    house.write()
    at.page.clock.run_for(3000)
    wait_for(at, "document.querySelector('iframe') === null")
    at.page.clock.run_for(1000)
    assert at.page.is_hidden("#alarm")
    at.check()


def test_clocks_that_differ_are_no_alarm_once_it_is_seen_to_change(house: House, at: Window) -> None:
    house.clock.behind_s = 3600
    at.open(house.write())
    assert "clock" in at.page.inner_text("#alarm"), "it may be old, or the clocks differ"
    house.write()
    wait_for(at, "document.getElementById('alarm').hidden")
    assert "60 min ahead" in at.page.inner_text("#fresh")
    at.page.reload()
    assert at.page.is_hidden("#alarm"), "it is remembered"
    at.check()


def test_a_daemon_that_was_stopped_is_said_and_is_no_alarm(house: House, at: Window) -> None:
    finished(house, "shoe")
    house.beat(state="stopped")
    house.clock.behind_s = 3600
    at.open(house.write())
    assert at.page.is_hidden("#alarm")
    assert "Stopped" in at.page.inner_text("#pill")
    assert "meshdrop run" in at.page.inner_text("#problems")
    at.check()


def test_a_share_that_goes_away_leaves_the_page_and_comes_back(house: House, at: Window) -> None:
    finished(house, "shoe")
    at.page.clock.install()
    page = house.write()
    at.open(page)
    at.page.clock.run_for(3000)
    wait_for(at, "JSON.parse(sessionStorage.meshdrop).answers")
    page.rename(page.with_name("away"))
    for _ in range(30):
        at.page.clock.run_for(4000)
        at.page.wait_for_timeout(20)
    assert "can't be reached" in at.page.inner_text("#alarm")
    assert names(at) == ["shoe"]
    page.with_name("away").rename(page)
    house.clock.behind_s -= 130
    house.write()
    at.page.clock.run_for(10000)
    wait_for(at, "document.querySelector('iframe') === null")
    at.page.clock.run_for(1000)
    assert at.page.is_hidden("#alarm")


def test_a_page_without_its_end_gets_it_by_itself(house: House, at: Window) -> None:
    finished(house, "shoe")
    page = house.write()
    whole = page.read_bytes()
    page.write_bytes(whole[: whole.index(b'id="data">') + 40])
    at.open(page)
    wait_for(at, "document.getElementById('app') === null || document.getElementById('app').hidden")
    page.write_bytes(whole)
    wait_for(at, "document.querySelectorAll('#jobs .job').length === 1")
    at.check()


def test_it_is_never_seen_half_while_it_is_replaced(house: House, at: Window) -> None:
    """A thousand times, faster than any daemon does it."""
    finished(house, *(f"prop {number}" for number in range(200)))
    page = house.write()
    versions = []
    for number in range(4):
        house.drop(f"new {number}")
        house.write()
        versions.append(page.read_bytes() + bytes(number * 5000))  # of lengths that differ, which they seldom do
    stop, replaced = threading.Event(), 0

    def replace() -> None:
        nonlocal replaced
        while not stop.is_set():
            Files().replace(page, versions[replaced % len(versions)], durable=False)
            replaced += 1
            time.sleep(0.002)

    writer = threading.Thread(target=replace)
    writer.start()
    looks = 0
    try:
        while replaced < 1000 or looks < 20:
            at.page.goto(page.as_uri()) if looks == 0 else at.page.reload()
            wait_for(at, "document.querySelectorAll('#jobs .job').length === 96")
            looks += 1
    finally:
        stop.set()
        writer.join()
    at.page.wait_for_timeout(1500)
    at.check()
