"""`meshdrop health`: what containers and load balancers ask."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from daemon.cli import app
from daemon.process import this_process
from daemon.status import health as room
from daemon.status.health import Health, health, parse_gpu

if TYPE_CHECKING:
    from tests.status.conftest import House

DOCS = Path(__file__).parents[2] / "docs" / "commands.md"
WATCHES = {"inbox": {"mode": "inotify", "healthy": True, "why": "It is local."}}
GIB = 1 << 30


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "first_gpu", lambda: None)


def test_a_running_daemon_is_ok(house: House) -> None:
    house.beat(watches=WATCHES)
    house.store.admit([house.new("teapot"), house.new("robot")])
    facts = health(house.settings, house.clock)
    assert (facts.status, facts.problems, facts.version) == ("ok", [], "1.2.3")
    assert (facts.jobs_waiting, facts.jobs_running, facts.jobs_held) == (2, 0, 0)
    assert facts.state_free
    assert facts.state_free > 0
    assert (facts.gpu_available, facts.gpu_name, facts.vram_total, facts.vram_free) == (False, None, None, None)


def test_a_paused_one_is_degraded_and_a_missing_gpu_is_named(house: House) -> None:
    house.beat(watches=WATCHES)
    house.store.set_flag("paused", True, by="ann")
    house.configure(engine={"device": "cuda"})
    facts = health(house.settings, house.clock)
    assert facts.status == "degraded"
    assert any("GPU" in problem for problem in facts.problems)


def test_one_that_ended_and_one_that_is_stuck_are_down(house: House) -> None:
    house.beat(process=replace(this_process(), started="1"), watches=WATCHES)
    assert health(house.settings, house.clock).status == "down"
    house.beat(watches=WATCHES, beat_at=house.clock.now() - timedelta(minutes=5))
    assert health(house.settings, house.clock).status == "down"


def test_where_none_ever_ran_the_answer_is_json_all_the_same(tmp_path: Path) -> None:
    config = tmp_path / "meshdrop.toml"
    config.write_text('inbox = "in"\noutbox = "out"\nstate_dir = "state"\n')
    for path in (config, tmp_path / "missing.toml"):
        done = CliRunner().invoke(app, ["health", "--config", str(path)])
        assert done.exit_code == 1
        assert json.loads(done.stdout)["status"] == "down"
        assert json.loads(done.stdout)["problems"]
    assert not (tmp_path / "state").exists()


def test_a_running_one_ends_with_status_0(house: House, tmp_path: Path) -> None:
    from daemon.clock import SystemClock

    house.beat(watches=WATCHES, beat_at=SystemClock().now())
    config = tmp_path / "meshdrop.toml"
    config.write_text('inbox = "inbox"\noutbox = "outbox"\nstate_dir = "state"\n')
    done = CliRunner().invoke(app, ["health", "--config", str(config)])
    assert (done.exit_code, json.loads(done.stdout)["status"]) == (0, "ok")


def test_what_the_driver_says() -> None:
    assert parse_gpu("NVIDIA H200, 143771, 143156\n") == {
        "gpu_available": True,
        "gpu_name": "NVIDIA H200",
        "vram_total": 143771 << 20,
        "vram_free": 143156 << 20,
    }
    assert parse_gpu("NVIDIA Thor, [N/A], [N/A]\nother, 1, 1") == {
        "gpu_available": True,
        "gpu_name": "NVIDIA Thor",
        "vram_total": None,
        "vram_free": None,
    }
    assert parse_gpu("") == parse_gpu("No devices were found") == {}


@pytest.mark.parametrize("answers", [True, False])
def test_the_gpu_is_asked_by_its_name(
    answers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, house: House
) -> None:
    script = tmp_path / "nvidia-smi"
    script.write_text(f'#!/bin/sh\necho "$*" > {tmp_path}/asked\necho "Card, 1024, 512"\nexit {0 if answers else 9}\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(room, "first_gpu", lambda: "GPU-7")
    facts = health(house.settings, house.clock)
    assert facts.gpu_available == answers
    assert facts.vram_total == (GIB if answers else None)
    assert "--id=GPU-7" in (tmp_path / "asked").read_text()


def test_every_field_is_documented() -> None:
    section = DOCS.read_text().split("## `meshdrop health `")[1].split("\n## ")[0]
    assert set(Health.model_fields) - {"schema_version"} <= set(re.findall(r"`(\w+)`", section))
