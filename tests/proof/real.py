"""What suites with a daemon in a process of its own share: dropping bundles at it, and looking at what it has done."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from daemon.states import State
from tests.daemon_stand_in import ROOT, make_bundle
from tests.proof.house import check_whole
from tests.service.daemon_process import Daemon

Make = Callable[..., Daemon]


def drop(daemon: Daemon, name: str, **words: Any) -> None:
    make_bundle(daemon.folder / "made" / name, **words)
    shutil.copytree(daemon.folder / "made" / name, daemon.inbox / name)


def states_of(daemon: Daemon, job: str) -> list[State]:
    with daemon.store() as store:
        return [step.after for step in store.transitions(job)]


def status(daemon: Daemon) -> tuple[float, dict[str, object]]:
    """What `meshdrop status --json` says, and how long it took, its own start left out."""
    script = (
        "import sys, time, json\nfrom pathlib import Path\n"
        "from config.settings import load_settings\nfrom daemon.clock import SystemClock\n"
        "from daemon.store import open_store\nfrom daemon.status import collect\n"
        "settings = load_settings(Path(sys.argv[1]), environment={})\nbegin = time.monotonic()\n"
        "with open_store(settings.state_dir, clock=SystemClock(), create=False) as store:\n"
        "    told = collect(store, settings, SystemClock())\n"
        "print(json.dumps([time.monotonic() - begin, json.loads(told.model_dump_json())]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(daemon.config)], cwd=ROOT, capture_output=True, timeout=30, check=True
    )
    took_s, told = json.loads(done.stdout)
    return float(took_s), told


def check_published(daemon: Daemon, *names: str) -> None:
    """Each of them once, and nothing half."""
    assert len(daemon.jobs()) == len(names)
    assert daemon.results() == sorted(names)
    for name in names:
        check_whole(daemon.outbox / name)
    assert not [path for path in daemon.outbox.iterdir() if path.name.startswith(".partial-")]
