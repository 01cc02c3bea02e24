"""The status on a terminal, narrow and wide, with few jobs and with many, and live."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from daemon.names import shown
from daemon.states import State
from daemon.status import Screen, Status, print_status
from daemon.status.model import (
    DaemonStatus,
    InboxStatus,
    JobStatus,
    MachineStatus,
    WaitingBundle,
    WatchStatus,
)

if TYPE_CHECKING:
    from tests.status.conftest import House

ROOT = Path(__file__).parents[2]
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = [
    "red-shoe",
    "[bold red]shoe[/]",
    "quo\"te's <b>",
    "line\nbreak\ttab",
    "\u202eevil\u202c",
    "שלום עולם",
    "日本語の長い名前のバンドルです、とても長い名前",
    "\x1b[31mred",
    "x" * 255,
]
ENDED = ("SUCCESS", "FAILURE", "CANCELLED")


def job(number: int, state: str, **more: Any) -> JobStatus:
    name = shown(NAMES[number % len(NAMES)])
    given: dict[str, Any] = {
        "job": f"{number:08d}", "bundle": name, "inbox": "inbox", "state": state, "fraction": 0.0,
        "sentence": "is not a PNG, but a JPEG whose name was changed: please export it again", "priority": 0,
        "attempt": 1, "created_at": AT, "updated_at": AT, "folder": name if state in ENDED else None,
        "finished_at": AT - timedelta(minutes=3 * number) if state in ENDED else None,
    }  # fmt: skip
    return JobStatus(**{**given, **more})


def status(jobs: int) -> Status:
    running = [job(0, "PROGRESS", stage="texture", sentence="texture, 43%", fraction=0.43, eta_s=34.0)][:jobs]
    many = jobs > 1
    waiting = [
        WaitingBundle(bundle=shown(NAMES[n % len(NAMES)]), inbox="inbox", sentence="7 of 12 files; waiting for " * 9)
        for n in range(100 * many)
    ]
    return Status(
        at=AT,
        daemon=DaemonStatus(
            state="running", sentence="The daemon is running.", version="1", pid=1, paused=False, draining=False
        ),
        inboxes=[
            InboxStatus(
                name="inbox", inbox="Z:\\in", outbox="Z:\\out", reachable=True, waiting=len(waiting),
                watch=WatchStatus(mode="inotify", healthy=True, why=""),
            )
        ],
        machine=MachineStatus(),
        counts={"PENDING": max(0, jobs - 1), "PROGRESS": len(running), "SUCCESS": 3},
        running=running,
        queue=[job(n, "PENDING", sentence=f"waits for its turn, number {n}") for n in range(1, min(jobs, 101))],
        held=[],
        recent=[job(n, ENDED[n % 3]) for n in range(50 * many)],
        waiting=waiting,
        problems=[],
        contact="",
    )  # fmt: skip


def printed(facts: Status, width: int, **console: Any) -> list[str]:
    out = io.StringIO()
    print_status(facts, Console(file=out, width=width, color_system=None, **console))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("jobs", [0, 1, 30, 2000])
def test_each_job_has_one_line_that_fits(jobs: int, width: int) -> None:
    lines = printed(status(jobs), width, force_terminal=True)
    assert max(cell_len(line) for line in lines) <= width
    assert not [line for line in lines if any(ord(letter) < 32 or letter == "\u202e" for letter in line)]
    rows = [line for line in lines if line[:8].isdigit()]
    assert len(rows) == min(jobs, 15) + (15 if jobs > 1 else 0)
    assert len(lines) < 65
    if not jobs:
        assert "Nothing was dropped yet" in lines[-1]
    if jobs > 15:
        assert f"… and {jobs - 15} more" in lines
        assert "… and 85 more" in lines


@pytest.mark.parametrize(("width", "bar"), [(80, "━━━━──────  43%"), (200, "━━━━━━━━━───────────  43%")])
def test_what_runs_has_a_bar_and_the_time_left(width: int, bar: str) -> None:
    (line,) = [line for line in printed(status(1), width, force_terminal=True) if "PROGRESS " in line]
    assert bar in line
    assert line.rstrip().endswith("texture, 34 s left")


def test_a_job_that_is_being_cancelled_says_so_in_place_of_a_bar() -> None:
    facts = status(1)
    running = [facts.running[0].model_copy(update={"sentence": "is being cancelled"})]
    text = "\n".join(printed(facts.model_copy(update={"running": running}), 80, force_terminal=True))
    assert "is being cancelled" in text
    assert "━" not in text


def test_elsewhere_lines_are_whole_and_without_blanks_at_their_ends() -> None:
    lines = printed(status(30), 80)
    assert max(len(line) for line in lines) > 200
    assert not [line for line in lines if line != line.rstrip()]


@pytest.mark.parametrize("height", [16, 24, 50])
def test_live_it_fits_into_the_screen(height: int) -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, height=height, color_system=None, force_terminal=True)
    with Screen(console).taken() as screen:
        screen.show(status(30))
    text = out.getvalue()
    assert text.startswith("\x1b[?1049h")
    assert text.rstrip().endswith(("\x1b[?1049l", "\x1b[?25h"))
    assert "last results" in text, "every table has a place"


@pytest.fixture
def config(house: House, tmp_path: Path) -> Path:
    house.store.transition(house.store.admit([house.new("shoe")])[0].id, State.PROGRESS, reason="")
    path = tmp_path / "my.toml"
    keys = ("inbox", "outbox", "state_dir")
    path.write_text("".join(f'{key} = "{getattr(house.settings, key)}"\n' for key in keys))
    return path


def test_live_on_a_terminal_until_interrupted(config: Path) -> None:
    control, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "daemon", "status", "--watch", "--config", str(config)]
    environment = {**os.environ, "TERM": "xterm"}
    process = subprocess.Popen(command, cwd=ROOT, stdin=terminal, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    seen = b""
    try:
        end_s = time.monotonic() + 30
        while seen.count(b"PROGRESS") < 4 and time.monotonic() < end_s:  # twice a page: the count, and the job
            seen += os.read(control, 4096)
        process.send_signal(signal.SIGINT)
        while True:
            try:
                seen += os.read(control, 4096)
            except OSError:  # the other end is closed
                break
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(control)
    assert seen.index(b"\x1b[?1049h") < seen.index(b"shoe") < seen.index(b"\x1b[?1049l")
    assert b"Traceback" not in seen


def test_a_reader_that_goes_away_is_no_error(config: Path) -> None:
    command = f'"{sys.executable}" -m daemon status --watch --json --config "{config}" | head -n 1'
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert Status.model_validate_json(done.stdout).running[0].bundle == "shoe"
    assert done.stderr == ""
