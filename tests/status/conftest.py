"""A store and settings, without a daemon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config.sections import Settings
from daemon.process import this_process
from daemon.store import DaemonReport, NewJob, Store, open_store


class FakeClock:
    """Time that passes when it is told to."""

    passed_s = 0.0

    def monotonic_s(self) -> float:
        return self.passed_s

    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(seconds=self.passed_s)


@dataclass
class House:
    settings: Settings
    store: Store
    clock: FakeClock

    def configure(self, **tables: Any) -> None:
        self.settings = Settings.model_validate({**self.settings.model_dump(), **tables})

    def new(self, entry: str, **more: Any) -> NewJob:
        given: dict[str, Any] = {
            "inbox": "inbox", "entry": entry, "name": entry, "source": str(self.settings.inbox / entry),
            "fingerprint": f"print of {entry}", "digests": {}, "sizes": {}, "options": {}, "content_key": entry,
            "priority": 0, "owner": "ann",
        }  # fmt: skip
        return NewJob(**{**given, **more})

    def beat(self, **more: Any) -> None:
        given: dict[str, Any] = {
            "process": this_process(), "version": "1.2.3", "started_at": self.clock.now(), "beat_at": self.clock.now(),
        }  # fmt: skip
        self.store.beat(DaemonReport(**{**given, **more}))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    clock = FakeClock()
    settings = Settings(inbox=tmp_path / "inbox", outbox=tmp_path / "outbox", state_dir=tmp_path / "state")
    settings.inbox.mkdir()
    settings.outbox.mkdir()
    (settings.outbox / ".meshdrop").mkdir()
    with open_store(settings.state_dir, clock=clock) as store:
        yield House(settings, store, clock)
