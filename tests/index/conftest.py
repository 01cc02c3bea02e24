"""An outbox with its page: jobs in every state, pictures, names that are meant to break things."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from config.sections import Settings
from daemon.files import Files
from daemon.names import safe_name
from daemon.process import this_process
from daemon.states import State
from daemon.status import LiveFiles
from daemon.store import DaemonReport, Job, NewJob, Store, open_store
from tests.browser import Window, browser, window

HOSTILE = (
    "<script>window.hacked=1</script>\"'",
    "</script><img src=x onerror=window.hacked=2>",
    "line\nbreak\u2028and\u202egnp.js",
    "bytes\udcff\udc80",
    "שלום & <b>bold</b>",
    "--><!--{{data}}",
)

IN_BETWEEN = "state = 'PUBLISHING'"


class Clock:
    """Monotonic as it is told, and the wall clock really, so that a browser agrees with it."""

    passed_s = 0.0
    behind_s = 0.0

    def monotonic_s(self) -> float:
        return self.passed_s

    def now(self) -> datetime:
        return datetime.now(UTC) - timedelta(seconds=self.behind_s)


@dataclass
class House:
    settings: Settings
    store: Store
    clock: Clock
    live: LiveFiles = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin anew, as another daemon does."""
        self.live = LiveFiles(self.settings, self.store, self.clock, Files())

    def write(self) -> Path:
        """Write what has changed; the page's path."""
        self.clock.passed_s += 1000
        self.live.step(self.clock.passed_s)
        return self.settings.outbox / "index.html"

    def beat(self, **more: Any) -> None:
        now = self.clock.now()
        given: dict[str, Any] = {
            "process": this_process(), "version": "1.2.3", "started_at": now, "beat_at": now,
            "watches": {"inbox": {"mode": "inotify", "healthy": True, "why": "Local.", "detection_latency_s": 0.3}},
            "facts": {"free": {str(self.settings.outbox): 5 << 30}, "gpu": {"gpu_name": "RTX <i>1</i>"}},
        }  # fmt: skip
        self.store.beat(DaemonReport(**{**given, **more}))

    def drop(self, *names: str) -> list[Job]:
        return self.store.admit(
            [
                NewJob(
                    inbox="inbox",
                    entry=name,
                    name=safe_name(name),
                    source="/x",
                    fingerprint=repr(name),
                    digests={},
                    sizes={},
                    options={},
                    content_key=repr(name),
                    priority=0,
                    owner="ann",
                )
                for name in names
            ]
        )

    def finish(self, job: Job, state: State = State.SUCCESS, *files: str, **more: Any) -> Path:
        """Publish a result with these files in it, a picture among them where one is named so."""
        folder = self.settings.outbox / f"{job.name}-{job.id}"
        folder.mkdir()
        for name in files:
            (folder / name).write_bytes(PICTURE if name.endswith((".webp", ".png")) else b"<title>report</title>")
        manifest = {name: {"bytes": 1, "sha256": "0" * 64} for name in files}
        self.store.transition(
            job.id, State.PUBLISHING, reason="", outcome=state, manifest=manifest, **{"verdict": "normal", **more}
        )
        self.store.transition(job.id, state, reason="", result_path=str(folder))
        return folder

    def fill(self, count: int) -> None:
        """Many finished jobs, quickly, with manifests and sentences of a usual length."""
        for first in range(0, count, 1000):
            self.drop(*(f"prop-{number:05}" for number in range(first, min(first + 1000, count))))
        files = [
            "mesh.glb",
            "mesh.obj",
            "thumbnail.webp",
            "report.html",
            *(f"preview_{number}.png" for number in range(8)),
        ]
        manifest = json.dumps({name: {"bytes": 123456, "sha256": "0" * 64} for name in files})
        error = json.dumps(
            {"code": "CALIBRATION_FAILED", "message": "The cameras can't be found. " * 3, "suggestion": "x" * 80}
        )
        done, refused = "state = 'PUBLISHING', outcome = ", "finished_at = created_at"
        steps = (
            (f"{done} 'SUCCESS', manifest = :manifest", "number % 10 > 1"),
            (f"state = 'SUCCESS', verdict = 'normal', result_path = CAST(:folder || name AS BLOB), {refused}", ""),
            (f"{done} 'FAILURE'", "number % 10 = 1"),
            (f"state = 'FAILURE', error = :error, {refused}", ""),
        )
        values = {"manifest": manifest, "error": error, "folder": f"{self.settings.outbox}/"}
        with self.store._database.writing() as connection:
            for change, where in steps:
                connection.exec_driver_sql(f"UPDATE jobs SET {change} WHERE {where or IN_BETWEEN}", values)


def _picture() -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 30, 30)).save(file, "PNG")
    return file.getvalue()


PICTURE = _picture()


@pytest.fixture
def hostile() -> Sequence[str]:
    return HOSTILE


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    clock = Clock()
    settings = Settings.model_validate(
        {
            "inbox": tmp_path / "inbox",
            "outbox": tmp_path / 'out "box" <&> 100%',
            "state_dir": tmp_path / "state",
            "publish": {"refresh_s": 0.5},
            "paths": ({"server": tmp_path, "windows": "Z:\\props", "mac": "/Volumes/props"},),
        }
    )
    settings.inbox.mkdir()
    (settings.outbox / ".meshdrop").mkdir(parents=True)
    with open_store(settings.state_dir, clock=clock) as store:
        made = House(settings, store, clock)
        made.beat()
        yield made


@pytest.fixture(scope="module")
def program() -> Iterator[Any]:
    with browser() as chromium:
        yield chromium


@pytest.fixture
def at(program: Any) -> Iterator[Window]:
    with window(program) as shown_window:
        yield shown_window
