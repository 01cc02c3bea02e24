"""The status: what it says, how fast, without a daemon and without touching a share."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
from rich.console import Console

from daemon.process import this_process
from daemon.states import State
from daemon.status import Status, collect, print_status
from daemon.status.schema import SCHEMA_FILE, status_schema

if TYPE_CHECKING:
    from tests.status.conftest import House


def look(house: House) -> Status:
    status = collect(house.store, house.settings, house.clock)
    jsonschema.validate(json.loads(status.model_dump_json()), json.loads(SCHEMA_FILE.read_bytes()))
    return status


def test_the_schema_is_the_models() -> None:
    """After a change to the model: python -m daemon.status.schema."""
    assert json.loads(SCHEMA_FILE.read_bytes()) == json.loads(json.dumps(status_schema()))


def test_every_field_is_described() -> None:
    schema = status_schema()
    for table in (schema, *schema["$defs"].values()):
        for name, field in table["properties"].items():
            assert field.get("description"), name


def test_without_a_daemon(house: House) -> None:
    status = look(house)
    assert status.daemon.state == "never"
    assert "meshdrop run" in status.problems[0]
    assert status.inboxes[0].reachable is None


def test_it_touches_no_share(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hung mount hangs whoever looks at it."""
    import os

    (job,) = house.store.admit([house.new("shoe")])
    house.beat(waiting=[{"inbox": "inbox", "bundle": "hat", "sentence": "2 of 12 files"}])

    def touched(path: object, *rest: object, **more: object) -> None:
        pytest.fail(f"touched {path}")

    for name in ("stat", "lstat", "open", "listdir", "scandir", "statvfs"):
        real = getattr(os, name)

        def guarded(path: object, *rest: object, real: object = real, **more: object) -> object:
            if str(path).startswith((str(house.settings.inbox), str(house.settings.outbox))):
                touched(path)
            assert callable(real)
            return real(path, *rest, **more)

        monkeypatch.setattr(os, name, guarded)
    status = look(house)
    assert status.queue[0].job == job.id
    assert status.waiting[0].bundle == "hat"


def test_a_daemon_that_runs_hangs_or_died(house: House) -> None:
    house.beat()
    assert look(house).daemon.state == "running"
    house.clock.passed_s += 120
    assert look(house).daemon.state == "stuck"
    house.beat(process=replace(this_process(), pid=2**22 + 1))
    status = look(house)
    assert status.daemon.state == "stopped"
    assert "unexpectedly" in status.daemon.sentence
    house.beat(process=replace(this_process(), boot="before"))
    assert look(house).daemon.state == "stopped"
    house.beat(process=replace(this_process(), host="another machine"))
    assert look(house).daemon.state == "running"
    house.beat(state="stopped")
    assert "unexpectedly" not in look(house).daemon.sentence


def test_pause_and_drain_are_said(house: House) -> None:
    house.beat()
    house.store.set_flag("paused", True, by="ann")
    assert "paused" in look(house).problems[0]
    house.store.set_flag("draining", True, by="ann")
    assert "draining" in look(house).problems[0]


def test_watches_roots_and_holds_are_problems(house: House) -> None:
    house.beat(
        watches={"inbox": {"mode": "polling", "why": "the limit.", "healthy": False, "remedy": "sysctl", "x": 1}},
        roots={str(house.settings.outbox): {"state": "gone", "why": "It is not mounted."}},
        last_error="intake: OSError",
    )
    (job,) = house.store.admit([house.new("shoe")])
    house.store.transition(job.id, State.HELD, reason="There is no space left.", hold_code="DISK_FULL")
    status = look(house)
    text = "\n".join(status.problems)
    for part in (
        "the limit. sysctl",
        "It is not mounted.",
        "intake: OSError",
        "1 job on hold: There is no space left.",
    ):
        assert part in text
    assert status.inboxes[0].reachable is False
    assert status.held[0].state == "HELD"


def test_a_full_disk_under_the_database_is_a_problem(house: House) -> None:
    """Where nothing can be written, no job can be told so either."""
    house.beat()
    state = str(house.settings.state_dir)
    assert state not in "".join(look(house).problems)
    house.configure(run={"reserve_mb": 10**9})
    assert state in look(house).problems[-1]


def test_jobs_in_every_state(house: House) -> None:
    names = ("a", "b", "c\n\udcff", "d", "e", "f")
    jobs = house.store.admit([house.new(n, name=n[:1], fingerprint=n[:1], content_key=n[:1]) for n in names])
    house.store.transition(jobs[0].id, State.PROGRESS, reason="")
    house.store.progress(jobs[0].id, "texture", 0.5, 12.0)
    house.store.transition(jobs[1].id, State.CANCELLED, reason="", cancel_by="ann")
    for job, state in ((jobs[2], State.SUCCESS), (jobs[3], State.FAILURE)):
        house.store.transition(job.id, State.PUBLISHING, reason="", outcome=state)
        house.clock.passed_s += 1
        house.store.transition(job.id, state, reason="", result_path=str(house.settings.outbox / job.name))
    status = look(house)
    assert [job.sentence for job in status.running] == ["texture, 50%"]
    assert [(job.bundle, job.place) for job in status.queue] == [("e", 1), ("f", 2)]
    assert [job.bundle for job in status.recent] == ["d", r"c\n\xff", "b"]
    assert status.counts["PENDING"] == 2
    assert status.recent[1].result == str(house.settings.outbox / "c")


def test_paths_are_what_people_call_them(house: House) -> None:
    house.configure(paths=({"server": house.settings.outbox, "windows": "Z:\\out", "mac": "/Volumes/out"},))
    assert look(house).inboxes[0].outbox == "Z:\\out or /Volumes/out"


def test_five_thousand_jobs_take_less_than_100_ms(house: House) -> None:
    jobs = house.store.admit([house.new(f"shoe{number}") for number in range(5000)])
    for job in jobs[:10]:
        house.store.transition(job.id, State.CANCELLED, reason="")
    collect(house.store, house.settings, house.clock)
    taken_s = []
    for _ in range(5):
        began_s = time.process_time()
        status = collect(house.store, house.settings, house.clock)
        taken_s.append(time.process_time() - began_s)
    assert min(taken_s) < 0.1
    assert status.counts["PENDING"] == 4990
    assert len(status.queue) == 100
    assert len(status.model_dump_json()) < 200_000


def test_it_can_be_shown(house: House) -> None:
    house.beat(waiting=[{"inbox": "inbox", "bundle": f"hat{n} [red]", "sentence": "2 of 12 files"} for n in range(20)])
    (job,) = house.store.admit([house.new("[bold]shoe[/")])
    house.store.transition(job.id, State.PROGRESS, reason="")
    out = io.StringIO()
    print_status(look(house), console=Console(file=out, width=200, color_system=None))
    text = out.getvalue()
    for part in ("The daemon is running.", job.id, "[bold]shoe[/", "hat0 [red]", "… and 5 more"):
        assert part in text


@pytest.mark.parametrize("width", [80, 140])
def test_names_can_be_read_whole_on_a_narrow_terminal(house: House, width: int) -> None:
    result = "red-shoe-with-laces-0123abcd"
    jobs = house.store.admit([house.new("x" * 255), house.new("red-shoe-with-laces")])
    house.store.transition(jobs[1].id, State.PUBLISHING, reason="", outcome=State.SUCCESS)
    house.store.transition(jobs[1].id, State.SUCCESS, reason="", result_path=str(house.settings.outbox / result))
    out = io.StringIO()
    print_status(look(house), console=Console(file=out, width=width))
    table = out.getvalue().split("SUCCESS", 1)[1]
    assert result in table
    assert max(len(line) for line in out.getvalue().splitlines() if "PENDING" in line) <= width


def test_the_status_is_no_heavy_import() -> None:
    import subprocess
    import sys

    program = "import sys, daemon.status; print([m for m in ('numpy', 'engine', 'alembic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.strip() == "[]"


def test_every_field_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "results.md").read_text().split("## status.json", 1)[1]
    schema = status_schema()
    for table in (schema, *schema["$defs"].values()):
        for name in table["properties"]:
            assert f"| `{name}` |" in text, name
