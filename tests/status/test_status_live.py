"""status.json and index.html: only when they have changed, never often, never half, never in anybody's way."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from daemon.files import Files
from daemon.states import State
from daemon.status import LiveFiles
from daemon.status.schema import status_schema

if TYPE_CHECKING:
    from tests.status.conftest import House


class CountingFiles(Files):
    """Counts what is written, and refuses to where it is told so."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.tries = 0
        self.refuse = False

    def replace(self, path: Path, data: bytes, mode: int = 0o666) -> None:
        self.tries += 1
        if self.refuse:
            raise OSError(errno.ENOSPC, "no space")
        self.written.append(path.name)
        super().replace(path, data, mode)


@pytest.fixture
def files() -> CountingFiles:
    return CountingFiles()


def run(house: House, live: LiveFiles, for_s: float, every_s: float = 0.5) -> None:
    end_s = house.clock.passed_s + for_s
    while house.clock.passed_s < end_s:
        live.step(house.clock.passed_s)
        house.clock.passed_s += every_s


def test_an_error_that_holds_bytes_of_a_name_stops_no_page(house: House, files: CountingFiles) -> None:
    (job,) = house.store.admit([house.new("shoe")])
    error = {
        "code": "X",
        "message": "No \udcff.",
        "details": {"\udcff": ["\ud800", 1]},
        "suggestion": "",
        "retry": False,
    }
    house.store.transition(job.id, State.PUBLISHING, reason="", outcome=State.FAILURE, error=error)
    house.store.transition(job.id, State.FAILURE, reason="refused")
    LiveFiles(house.settings, house.store, house.clock, files).step(0.0)
    assert files.written == ["status.json", "index.html"]
    status = json.loads((house.settings.outbox / "status.json").read_bytes())
    assert status["recent"][0]["error"]["details"] == {"\\udcff": ["\\ud800", 1]}


def test_it_is_written_whole_and_keeps_to_its_schema(house: House, files: CountingFiles) -> None:
    before = os.umask(0o077)
    try:
        LiveFiles(house.settings, house.store, house.clock, files).step(0.0)
    finally:
        os.umask(before)
    path = house.settings.outbox / "status.json"
    jsonschema.validate(json.loads(path.read_bytes()), status_schema())
    assert stat.S_IMODE(path.stat().st_mode) == 0o664
    assert sorted(item.name for item in house.settings.outbox.iterdir()) == [".meshdrop", "index.html", "status.json"]


def test_only_on_change(house: House, files: CountingFiles) -> None:
    live = LiveFiles(house.settings, house.store, house.clock, files)
    house.beat()
    for _ in range(10):
        run(house, live, 10)
        house.beat(waiting=[], started_at=house.clock.now().replace(year=2025, second=0, minute=0))
    assert files.written.count("status.json") <= 2, "a sign of life alone is no change"
    assert 3 <= files.written.count("index.html") <= 5, "it says itself that it is looked after"


def test_at_most_every_refresh_s(house: House, files: CountingFiles) -> None:
    live = LiveFiles(house.settings, house.store, house.clock, files)
    for number in range(40):
        house.store.admit([house.new(f"shoe{number}")])
        run(house, live, 0.5)
    assert 4 <= files.written.count("status.json") <= 5
    assert 4 <= files.written.count("index.html") <= 5


@pytest.mark.parametrize(("takes_s", "waits_s"), [(0.1, 5.0), (0.4, 8.0), (4.0, 30.0)])
def test_a_twentieth_of_the_time_at_most_but_for_the_heartbeat(
    house: House, files: CountingFiles, takes_s: float, waits_s: float
) -> None:
    class Slow(CountingFiles):
        def replace(self, path: Path, data: bytes, mode: int = 0o666) -> None:
            house.clock.passed_s += takes_s / 2  # two files are written

    assert house.settings.publish.refresh_s == 5.0
    live = LiveFiles(house.settings, house.store, house.clock, Slow())
    assert live.step(house.clock.monotonic_s()) == pytest.approx(waits_s - takes_s)


def test_a_refusal_is_three_tries_and_then_the_next_tick(
    house: House, files: CountingFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    live = LiveFiles(house.settings, house.store, house.clock, files)
    files.refuse = True
    live.step(0.0)
    assert files.tries == 2 * 3
    run(house, live, 60)
    assert files.tries == 2 * 3 * 12
    assert capsys.readouterr().out.count("status.not_written") == 2
    files.refuse = False
    run(house, live, 6)
    assert files.written == ["status.json", "index.html"]


def test_an_empty_mount_point_is_left_alone(house: House, files: CountingFiles) -> None:
    (house.settings.outbox / ".meshdrop").rmdir()
    LiveFiles(house.settings, house.store, house.clock, files).step(0.0)
    assert list(house.settings.outbox.iterdir()) == []


def test_each_outbox_tells_of_its_own(house: House, files: CountingFiles, tmp_path: Path) -> None:
    inboxes = []
    for name in ("a", "b"):
        (tmp_path / f"out-{name}" / ".meshdrop").mkdir(parents=True)
        inboxes.append({"name": name, "path": tmp_path / f"in-{name}", "outbox": tmp_path / f"out-{name}"})
    house.configure(inboxes=tuple(inboxes))
    jobs = house.store.admit([house.new("shoe", inbox="a"), house.new("secret", inbox="b")])
    house.store.transition(jobs[1].id, State.PROGRESS, reason="")
    LiveFiles(house.settings, house.store, house.clock, files).step(0.0)
    seen = json.loads((tmp_path / "out-a" / "status.json").read_bytes())
    assert [job["bundle"] for job in seen["queue"]] == ["shoe"]
    assert "secret" not in json.dumps(seen)
    assert [inbox["name"] for inbox in seen["inboxes"]] == ["a"]
    assert seen["counts"] == {**dict.fromkeys(map(str, State), 0), "PENDING": 1}
    page = (tmp_path / "out-a" / "index.html").read_text()
    assert "shoe" in page
    assert "secret" not in page


def test_nothing_is_done_while_nothing_happens(house: House, files: CountingFiles) -> None:
    live = LiveFiles(house.settings, house.store, house.clock, files)
    live.step(0.0)
    files.written.clear()
    house.store.counts = None  # type: ignore[method-assign, assignment]  # whoever looks anew fails
    run(house, live, 20)
    assert files.written == []


def test_a_share_that_was_away_gets_its_files_again(house: House, files: CountingFiles) -> None:
    live = LiveFiles(house.settings, house.store, house.clock, files)
    live.step(0.0)
    (house.settings.outbox / ".meshdrop").rename(house.settings.outbox / "aside")
    house.store.admit([house.new("shoe")])
    run(house, live, 20)
    (house.settings.outbox / "aside").rename(house.settings.outbox / ".meshdrop")
    run(house, live, house.settings.publish.heartbeat_s)
    for name in ("status.json", "index.html"):
        assert "shoe" in (house.settings.outbox / name).read_text(), name
