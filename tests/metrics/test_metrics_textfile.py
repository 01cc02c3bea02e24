"""The figures for Prometheus: as its own parser reads them, true to the store, in nobody's way."""

from __future__ import annotations

import errno
import logging
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from config.sections import Settings
from daemon.files import Files
from daemon.metrics import Textfile
from daemon.process import this_process
from daemon.states import State
from daemon.status.facts import Facts
from daemon.store import DaemonReport, Job, NewJob, Store, open_store

ROOT = Path(__file__).parents[2]


class Clock:
    passed_s = 0.0

    def monotonic_s(self) -> float:
        return self.passed_s

    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(seconds=self.passed_s)


class FullDisk(Files):
    full = False

    def replace(self, path: Path, data: bytes, mode: int = 0o666, *, durable: bool = True) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().replace(path, data, mode, durable=durable)


@dataclass
class House:
    settings: Settings
    store: Store
    clock: Clock
    files: FullDisk
    textfile: Textfile = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.textfile = Textfile(self.settings, self.store, self.clock, self.files)

    def drop(self, name: str) -> Job:
        new = NewJob(
            inbox="inbox", entry=name, name=name, source="/x", fingerprint=name, digests={}, sizes={}, options={},
            content_key="", priority=0, owner="ann",
        )  # fmt: skip
        return self.store.admit([new])[0]

    def beat(self, **more: Any) -> None:
        now = self.clock.now()
        self.store.beat(DaemonReport(this_process(), "1.2.3", now, now, **more))

    def read(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """Write the file and read it: samples by name and values of labels."""
        self.clock.passed_s += 20
        self.textfile.step(self.clock.passed_s)
        assert self.settings.metrics.textfile is not None
        text = self.settings.metrics.textfile.read_text()
        families = list(text_string_to_metric_families(text))
        assert len({family.name for family in families}) == len(families)
        assert all(family.name.startswith("meshdrop_") and family.documentation for family in families)
        return {
            (sample.name, tuple(sample.labels[key] for key in sorted(sample.labels))): sample.value
            for family in families
            for sample in family.samples
        }


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    places = {name: tmp_path / name for name in ("inbox", "outbox")} | {"state_dir": tmp_path / "state"}
    settings = Settings.model_validate({**places, "metrics": {"textfile": tmp_path / "figures" / "meshdrop.prom"}})
    (tmp_path / "figures").mkdir()
    clock = Clock()
    with open_store(settings.state_dir, clock=clock) as store:
        yield House(settings, store, clock, FullDisk())


def test_off_by_default(house: House, tmp_path: Path) -> None:
    assert Settings().metrics.textfile is None
    house.settings = house.settings.model_copy(update={"metrics": Settings().metrics})
    house.start()
    assert house.textfile.step(0.0) > 0
    assert list((tmp_path / "figures").iterdir()) == []


@pytest.mark.parametrize("name", ["meshdrop.db", "meshdrop.prom.txt", ".prom"])
def test_no_file_but_one_of_figures_is_replaced(name: str) -> None:
    with pytest.raises(ValidationError, match="prom"):
        Settings.model_validate({"metrics": {"textfile": Path("/var/lib/meshdrop") / name}})


def test_before_the_first_job(house: House) -> None:
    house.beat()
    found = house.read()
    assert found["meshdrop_up", ()] == 1
    assert found["meshdrop_jobs", ("inbox", "PENDING")] == 0
    assert found["meshdrop_queue_oldest_seconds", ()] == 0
    assert ("meshdrop_last_success_time_seconds", ()) not in found


def test_the_figures_are_the_stores(house: House) -> None:
    jobs = [house.drop(name) for name in "abcde"]
    house.clock.passed_s += 50
    house.store.transition(jobs[0].id, State.PROGRESS, reason="")
    timings_s = {"fuse": 3.0, "texture": 7200.0}
    house.store.transition(jobs[0].id, State.PUBLISHING, reason="", outcome=State.SUCCESS, timings_s=timings_s)
    house.store.transition(jobs[0].id, State.SUCCESS, reason="")
    success_s = house.clock.now().timestamp()
    house.store.transition(jobs[1].id, State.HELD, reason="full", hold_code="DISK_FULL")
    house.store.transition(jobs[2].id, State.CANCELLED, reason="")
    house.store.update(jobs[3].id, crashes=2)
    state_dir, outbox = house.settings.state_dir, house.settings.outbox
    house.beat(
        watches={"inbox": {"mode": "polling", "healthy": True, "why": "", "detection_latency_s": 0.25}},
        roots={str(outbox): {"state": "away", "why": "gone"}},
        waiting=[{"inbox": "inbox", "bundle": "x", "sentence": ""}] * 3,
        facts={"free": {str(state_dir): 7 << 30, str(outbox): 5 << 30}, "starts": 4, "crashes": 1},
    )
    found = house.read()
    for state, count in {"PENDING": 2, "SUCCESS": 1, "HELD": 1, "CANCELLED": 1, "PROGRESS": 0}.items():
        assert found["meshdrop_jobs", ("inbox", state)] == count
    assert found["meshdrop_held_jobs", ("DISK_FULL",)] == 1
    assert found["meshdrop_queue_oldest_seconds", ()] == 70
    assert found["meshdrop_last_success_time_seconds", ()] == success_s
    assert found["meshdrop_worker_crashes_total", ()] == 2
    assert found["meshdrop_starts_total", ()] == 4
    assert found["meshdrop_daemon_crashes_total", ()] == 1
    assert found["meshdrop_bundles_waiting", ("inbox",)] == 3
    assert found["meshdrop_watch_mode", ("inbox", "polling")] == 1
    assert found["meshdrop_watch_mode", ("inbox", "inotify")] == 0
    assert found["meshdrop_detection_latency_seconds", ("inbox",)] == 0.25
    assert found["meshdrop_share_reachable", ("inbox",)] == 0
    assert found["meshdrop_free_bytes", ("outbox", "inbox")] == 5 << 30
    assert found["meshdrop_free_bytes", ("state_dir", "")] == 7 << 30
    assert found["meshdrop_build_info", ("1.2.3",)] == 1
    assert found["meshdrop_stage_seconds_bucket", ("2.0", "fuse")] == 0
    assert found["meshdrop_stage_seconds_bucket", ("5.0", "fuse")] == 1
    assert found["meshdrop_stage_seconds_bucket", ("3600.0", "texture")] == 0
    assert found["meshdrop_stage_seconds_bucket", ("+Inf", "texture")] == 1
    assert found["meshdrop_stage_seconds_sum", ("texture",)] == 7200


def test_counts_go_on_after_a_restart(house: House) -> None:
    house.beat()
    for number in range(1, 4):
        job = house.drop(str(number))
        house.store.transition(job.id, State.PROGRESS, reason="")
        house.store.transition(
            job.id, State.PUBLISHING, reason="", outcome=State.SUCCESS, timings_s={"fuse": float(number)}
        )
        assert house.read()["meshdrop_stage_seconds_count", ("fuse",)] == number
    house.start()
    found = house.read()
    assert found["meshdrop_stage_seconds_count", ("fuse",)] == 3
    assert found["meshdrop_stage_seconds_sum", ("fuse",)] == 6


def test_starts_and_ends_are_counted(house: House) -> None:
    def gpu() -> dict[str, str]:
        return {"gpu_name": "x"}

    def start() -> dict[str, Any]:
        facts = Facts(house.settings, Files(), house.store.daemon_report(), gpu).look(0.0)
        house.beat(facts=facts)
        return facts

    assert (start()["starts"], start()["starts"]) == (1, 2)
    house.beat(facts=start(), state="stopped")
    facts = start()
    assert (facts["starts"], facts["crashes"]) == (4, 2), "the last one but one was killed, and the one before"


def test_free_space_and_gpu_are_asked_aside(house: House) -> None:
    """A share that hangs is left out after a while; nobody waits for it."""
    import threading
    import time

    hang = threading.Event()

    class Hanging(Files):
        def statvfs(self, path: Path) -> Any:
            if path == house.settings.outbox:
                hang.wait(20)
            return super().statvfs(house.settings.state_dir)

    facts = Facts(house.settings, Hanging(), None, lambda: {"gpu_name": "x"})
    began_s = time.monotonic()
    found: dict[str, Any] = {"free": {}, "gpu": {}}
    while len(found["free"]) < 2 or not found["gpu"]:
        found = facts.look(0.0)
        assert time.monotonic() < began_s + 10
        time.sleep(0.01)
    assert str(house.settings.outbox) not in found["free"]
    assert found["free"][str(house.settings.state_dir)] > 0
    hang.set()


def test_a_full_disk_is_said_once_and_stops_nothing(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.files.full = True
    for _ in range(5):
        house.clock.passed_s += 100
        assert house.textfile.step(house.clock.passed_s) > 0
    assert capsys.readouterr().out.count("metrics.not_written") == 1
    house.files.full = False
    house.beat()
    assert house.read()["meshdrop_up", ()] == 1


def test_others_may_read_it_and_find_it_whole(house: House, tmp_path: Path) -> None:
    house.beat()
    house.read()
    path = tmp_path / "figures" / "meshdrop.prom"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(path.parent.iterdir()) == [path]
    assert house.textfile.step(house.clock.passed_s) == pytest.approx(house.settings.metrics.refresh_s)


def test_every_figure_is_documented(house: House) -> None:
    house.beat()
    job = house.drop("a")
    house.store.transition(job.id, State.PUBLISHING, reason="", outcome=State.SUCCESS, timings_s={"fuse": 1.0})
    house.read()
    assert house.settings.metrics.textfile is not None
    text = (ROOT / "docs" / "operations.md").read_text()
    for family in text_string_to_metric_families(house.settings.metrics.textfile.read_text()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"| `{name}" in text, name


def test_the_alert_rules_are_about_figures_that_there_are(house: House) -> None:
    import re

    roots = {str(house.settings.inbox): {"state": "ok", "why": None}}
    house.beat(facts={"free": {str(house.settings.state_dir): 1}}, roots=roots)
    house.store.transition(house.drop("held").id, State.HELD, reason="", hold_code="DISK_FULL")
    job = house.drop("a")
    house.store.transition(job.id, State.PUBLISHING, reason="", outcome=State.SUCCESS)
    house.store.transition(job.id, State.SUCCESS, reason="")
    known = {name for name, _ in house.read()}
    rules = (ROOT / "docs" / "operations.md").read_text().split("groups:\n", 1)[1].split("```", 1)[0]
    used = set(re.findall(r"meshdrop_\w+", rules))
    assert len(used) >= 5
    assert used <= known
