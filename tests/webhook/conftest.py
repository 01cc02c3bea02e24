"""A store, and a receiver on this machine that answers as it is told."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import structlog

from config.sections import Settings
from daemon.files import Files
from daemon.store import Job, NewJob, Store, open_store
from daemon.webhook import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Clock:
    passed_s = 0.0

    def monotonic_s(self) -> float:
        return self.passed_s

    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(seconds=self.passed_s)


@dataclass
class Receiver:
    """Remembers what it got. answers: the status of each answer to come, the last one for ever; "silent" waits."""

    answers: list[int | str] = field(default_factory=lambda: [200])
    got: list[tuple[dict[str, str], bytes, str]] = field(default_factory=list)
    server: ThreadingHTTPServer | None = None
    free: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.server_address[1]}/hooks/secret-path"

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body, _ in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.got.append(({name.lower(): value for name, value in self.headers.items()}, body, self.path))
            answer = told.answers.pop(0) if len(told.answers) > 1 else told.answers[0]
            if answer == "silent":
                told.free.wait(20)
                return
            self.send_response(int(answer))
            if 300 <= int(answer) < 400:
                self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - the name that the server asks for

        def log_message(self, format: str, *args: object) -> None: ...

    told.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.server.daemon_threads = True
    thread = threading.Thread(target=told.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield told
    told.free.set()
    told.server.shutdown()
    thread.join()
    told.server.server_close()


@dataclass
class House:
    settings: Settings
    store: Store
    clock: Clock
    webhook: Webhook = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin anew, as another process does."""
        self.webhook = Webhook(self.settings, self.store, self.clock, Files())

    def configure(self, **values: Any) -> None:
        given = {**self.settings.webhook.model_dump(), **values}
        self.settings = Settings.model_validate({**self.settings.model_dump(), "webhook": given})
        self.start()

    def drop(self, name: str, **more: Any) -> Job:
        given: dict[str, Any] = {
            "inbox": "inbox", "entry": name, "name": "safe", "source": "/x", "fingerprint": repr(name), "digests": {},
            "sizes": {}, "options": {}, "content_key": "", "priority": 0, "owner": "ann",
        }  # fmt: skip
        return self.store.admit([NewJob(**{**given, **more})])[0]

    def step(self) -> float:
        """One step at the clock's time."""
        return self.webhook.step(self.clock.passed_s)

    def run(self, for_s: float) -> None:
        """Call it whenever it is due, as its thread does."""
        end_s = self.clock.passed_s + for_s
        until_s = time.monotonic() + 20
        while self.clock.passed_s < end_s:
            assert time.monotonic() < until_s
            self.clock.passed_s += min(max(self.step(), 0.001), 5.0)


@pytest.fixture
def house(tmp_path: Path, receiver: Receiver) -> Iterator[House]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    settings = Settings.model_validate(
        {
            "inbox": tmp_path / "inbox", "outbox": tmp_path / "outbox", "state_dir": tmp_path / "state",
            "webhook": {"url": receiver.url, "secret": SECRET, "timeout_s": 0.5, "attempts": 4},
        }
    )  # fmt: skip
    clock = Clock()
    with open_store(settings.state_dir, clock=clock) as store:
        made = House(settings, store, clock)
        made.step()  # from here on
        yield made
