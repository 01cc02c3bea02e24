"""The page in a real browser, opened from the disk as people do: it works, stays up to date, and says where not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from daemon.files import Files
from daemon.names import shown
from daemon.states import State
from tests.browser import Window, axe_complaints, browser, window

if TYPE_CHECKING:
    from tests.index.conftest import House

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser

SAME = "window.same === true"


@pytest.fixture(scope="module")
def program() -> Iterator[Any]:
    with browser() as chromium:
        yield chromium


@pytest.fixture
def at(program: Any) -> Iterator[Window]:
    with window(program) as shown_window:
        yield shown_window


def names(at: Window) -> list[str]:
    found: list[str] = at.page.locator("#jobs .name").all_text_contents()
    return found


def wait_for(at: Window, condition: str) -> None:
    """Asked from outside: to wait in the page takes eval, which its policy refuses."""
    until_s = time.monotonic() + 15
    while True:
        with suppress(sync_api.Error):  # it is being reloaded
            if at.page.evaluate(condition):
                return
        assert time.monotonic() < until_s, condition
        at.page.wait_for_timeout(50)


def finished(house: House, *dropped: str) -> None:
    for job in house.drop(*dropped):
        house.finish(job, State.SUCCESS, "thumbnail.webp", "report.html")


def test_an_empty_outbox_says_what_to_do(house: House, at: Window) -> None:
    at.open(house.write())
    text = at.page.inner_text("#empty")
    assert "Z:\\props\\inbox or /Volumes/props/inbox" in text
    assert at.page.is_hidden("#tools")
    assert at.page.title() == "Meshdrop"
    at.check()


def test_every_state_is_there(house: House, at: Window) -> None:
    jobs = house.drop("works", "waits", "held", "fails", "done", "bad")
    house.store.transition(jobs[0].id, State.PROGRESS, reason="")
    house.store.progress(jobs[0].id, "texture", 0.625, 130.0)
    house.store.transition(jobs[2].id, State.HELD, reason="The share is full.", hold_code="DISK_FULL")
    house.finish(
        jobs[3], State.FAILURE, "error.json", error={"code": "X1", "message": "No cameras.", "suggestion": "Mend it."}
    )
    house.finish(jobs[4], State.SUCCESS, "thumbnail.webp", "report.html")
    house.finish(jobs[5], State.SUCCESS, "preview_0.png", verdict="warning")
    house.beat(waiting=[{"inbox": "inbox", "bundle": "half", "sentence": "Waiting for 3 of 12 files: top.png."}])
    at.open(house.write())
    assert names(at) == ["works", "held", "bad", "done", "fails", "waits"]
    assert "62 %" in at.page.inner_text("#work")
    assert "about 2 min left" in at.page.inner_text("#work")
    assert "1.\nwaits" in at.page.inner_text("#next")
    assert "Waiting for 3 of 12 files: top.png." in at.page.inner_text("#waiting")
    assert "1 job on hold: The share is full." in at.page.inner_text("#problems")
    assert "RTX <i>1</i>" in at.page.inner_text("#health")
    assert "noticed in\u00a00.3\u00a0s" in at.page.inner_text("#health")
    assert "5.0 GB" in at.page.inner_text("#health")
    assert at.page.title().startswith("⚠ 1 at work")
    pictures = at.page.locator("#jobs img")
    assert pictures.count() == 2
    wait_for(at, "[...document.images].every((image) => image.complete && image.naturalWidth === 16)")
    failed = at.page.locator("#jobs .job", has_text="fails")
    assert "No cameras." in failed.inner_text()
    failed.locator("summary").click()
    assert "Mend it." in failed.inner_text()
    assert at.page.locator("#jobs time").first.get_attribute("title")
    at.check()
    at.page.get_by_role("link", name="Report of done").click()
    assert at.page.title() == "report"
    at.check()


def test_hostile_names_are_shown_and_do_nothing(house: House, at: Window, hostile: tuple[str, ...]) -> None:
    finished(house, *hostile)
    house.beat(waiting=[{"inbox": "inbox", "bundle": hostile[0], "sentence": hostile[1]}], last_error=hostile[1])
    at.page.on("dialog", lambda dialog: pytest.fail("a name has opened a dialog"))
    at.open(house.write())
    assert sorted(names(at)) == sorted(map(shown, hostile))
    for job in at.page.locator("#jobs summary").all():
        job.click()
    wait_for(at, f"[...document.images].filter((image) => image.naturalWidth === 16).length === {len(hostile)}")
    assert at.page.evaluate("window.hacked") is None
    assert at.page.locator("script").count() == 2
    at.check()


def test_what_a_reader_has_set_outlives_a_reload(house: House, at: Window) -> None:
    finished(house, *(f"shoe {number}" for number in range(150)), *(f"hat {number}" for number in range(150)))
    (job,) = house.drop("shoe broken")
    house.finish(job, State.FAILURE, error={"code": "X", "message": "No."})
    at.open(house.write())
    at.page.fill("#filter", "shoe")
    at.page.select_option("#order", "name")
    at.page.click("#states label:has-text('Finished')")
    at.page.click("#view")
    at.page.locator("#jobs summary").nth(1).click()
    at.page.mouse.wheel(0, 6000)
    wait_for(at, "scrollY > 5000 && location.hash.includes('y=')")
    at.page.wait_for_timeout(400)
    before = at.page.evaluate("[scrollY, location.hash]")
    at.page.reload()
    wait_for(at, f"Math.abs(scrollY - {before[0]}) < 5")
    assert at.page.input_value("#filter") == "shoe"
    assert at.page.input_value("#order") == "name"
    assert at.page.locator("#jobs.list").count() == 1
    assert at.page.locator("#jobs details[open] dl").count() == 1
    assert names(at)[:3] == ["shoe 0", "shoe 1", "shoe 2"]
    assert at.page.inner_text("#found").startswith("150 jobs of 301")
    assert at.page.evaluate("location.hash") == before[1]
    at.check()


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


def test_a_stranger_gets_nothing_out_of_it(house: House, at: Window, tmp_path: Path) -> None:
    finished(house, "secret")
    page = house.write()
    stranger = tmp_path / "stranger.html"
    stranger.write_text(
        f"""<iframe src="{page.as_uri()}?for=0123456789abcdef"></iframe>
        <script>onmessage = (event) => {{ window.got = JSON.stringify(event.data); }};</script>"""
    )
    at.open(stranger)
    wait_for(at, "window.got !== undefined")
    assert at.page.evaluate("window.got") == '{"meshdrop":null}'


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


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (390, "dark"), (768, "light"), (3840, "dark")])
def test_it_fits_phones_and_walls(
    house: House, program: Any, width: int, scheme: str, hostile: tuple[str, ...]
) -> None:
    finished(house, *hostile, "x" * 200, "with spaces " * 15)
    for job in house.drop("waits", "y" * 120):
        house.store.transition(job.id, State.HELD, reason="z" * 300, hold_code="X")
    house.drop("w" * 200)
    house.beat(waiting=[{"inbox": "inbox", "bundle": "v" * 200, "sentence": "u" * 200}], last_error="t" * 200)
    page = house.write()
    with window(program, width=width, color_scheme=scheme) as at:
        at.open(page)
        assert at.page.evaluate("document.documentElement.scrollWidth") <= width
        at.page.click("#view")
        assert at.page.evaluate("document.documentElement.scrollWidth") <= width
        at.check()


def test_it_can_be_used_by_keyboard_alone(house: House, at: Window) -> None:
    finished(house, "shoe", "hat")
    house.drop("waits")
    at.open(house.write())
    at.page.keyboard.press("/")
    at.page.keyboard.type("hat")
    assert names(at) == ["hat"]
    at.page.keyboard.press("Escape")
    assert len(names(at)) == 3
    reached = []
    for _ in range(8):
        at.page.keyboard.press("Tab")
        reached.append(
            at.page.evaluate("(({ id, name, ariaLabel }) => id || name || ariaLabel)(document.activeElement)")
        )
    assert reached[:3] == ["order", "view", "state"]
    assert {"Report of hat", "Folder of hat", "Details of hat"} <= set(reached)
    unnamed = at.page.evaluate(
        "[...document.querySelectorAll('a, button, input, select, summary, progress, img')]"
        ".filter((node) => node.alt !== '' && !node.ariaLabel && !node.textContent.trim() && !node.labels?.length)"
        ".length"
    )
    assert unnamed == 0


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_axe_finds_nothing_to_complain_of(
    house: House, program: Any, scheme: str, width: int, hostile: tuple[str, ...]
) -> None:
    finished(house, *hostile)
    jobs = house.drop("works", "waits", "held", "fails")
    house.store.transition(jobs[0].id, State.PROGRESS, reason="")
    house.store.transition(jobs[2].id, State.HELD, reason="The share is full.", hold_code="DISK_FULL")
    house.finish(jobs[3], State.FAILURE, error={"code": "X1", "message": "No cameras.", "suggestion": "Mend it."})
    house.beat(waiting=[{"inbox": "inbox", "bundle": "half", "sentence": "Waiting for 3 of 12 files: top.png."}])
    page = house.write()
    with window(program, width=width, color_scheme=scheme, bypass_csp=True) as at:
        at.open(page)
        at.page.locator("#jobs summary").first.click()
        assert axe_complaints(at) == ""
        house.clock.behind_s = 3600  # and while it is red
        house.write()
        at.page.evaluate("sessionStorage.clear()")
        at.page.reload()
        assert at.page.is_visible("#alarm")
        assert axe_complaints(at) == ""


def test_without_scripts_there_is_a_table(house: House, program: Any, hostile: tuple[str, ...]) -> None:
    finished(house, *hostile)
    page = house.write()
    with window(program, width=320, height=640, java_script_enabled=False) as at:
        at.open(page)
        state = at.page.locator(".plain td").nth(1).bounding_box()
        assert state["height"] < 40, "a line, no tower of letters"
        assert "The daemon is running." in at.page.inner_text(".plain")
        assert at.page.locator(".plain tr").count() == len(hostile) + 1
        assert at.page.locator(".plain a").count() == len(hostile)
        assert at.page.locator("#app").is_hidden()
        at.check()


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


def test_five_thousand_jobs_are_quick(house: House, program: Any) -> None:
    house.fill(5000)
    page = house.write()
    with window(program) as at:
        began_s = time.monotonic()
        at.open(page)
        opened_s = time.monotonic() - began_s
        assert at.page.locator("#jobs .job").count() == 96
        # In one task, layout included.
        took_ms = at.page.evaluate(
            """() => { const field = document.getElementById("filter"), began = performance.now();
            field.value = "prop-0123"; field.dispatchEvent(new Event("input"));
            document.body.offsetHeight; return performance.now() - began; }"""
        )
        assert len(names(at)) == 10
        at.page.fill("#filter", "")
        for _ in range(6):
            at.page.mouse.wheel(0, 8000)
            at.page.wait_for_timeout(50)
        assert at.page.locator("#jobs .job").count() > 96
        print(f"opened in {opened_s:.2f} s, filtered in {took_ms:.0f} ms")
        assert opened_s < 5.0
        assert took_ms < 500
