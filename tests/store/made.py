"""Stores and jobs to test with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from daemon.store import NewJob, Store, open_store


@dataclass
class FakeClock:
    """Time that passes when it is told to."""

    time_s: float = 0.0
    started: datetime = field(default_factory=lambda: datetime(2030, 1, 1, tzinfo=UTC))

    def monotonic_s(self) -> float:
        return self.time_s

    def now(self) -> datetime:
        return self.started + timedelta(seconds=self.time_s)


def new_job(entry: str = "shoe", **changes: Any) -> NewJob:
    paths = [f"{kind}/{view}.png" for kind in ("multi_views", "depth_renders") for view in ("front", "back")]
    facts: dict[str, Any] = {
        "inbox": "inbox",
        "entry": entry,
        "name": "shoe",
        "source": f"/srv/inbox/{entry}",
        "fingerprint": f"fingerprint of {entry!r}",
        "digests": dict.fromkeys(paths, "ab" * 32),
        "sizes": dict.fromkeys(paths, 1000),
        "options": {"quality": "draft"},
        "content_key": "key",
        "priority": 0,
        "owner": "ann",
    }
    return NewJob(**(facts | changes))


def make_store(folder: Path, clock: FakeClock | None = None) -> Store:
    return open_store(folder / "state", clock=clock or FakeClock())
