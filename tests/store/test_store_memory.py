"""What is remembered besides jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.process import ProcessIdentity, this_process
from daemon.store import DaemonReport, EntryRecord, Store
from tests.store.made import FakeClock, make_store, new_job


def test_an_entry_is_remembered_field_by_field(store: Store, clock: FakeClock) -> None:
    assert store.entry("inbox", "a") is None
    clock.time_s = 1
    store.remember("inbox", "a", fingerprint="f", used_markers={".cancel": "m"})
    clock.time_s = 2
    record = store.remember("inbox", "a", status_text="waiting")
    assert record == EntryRecord("inbox", "a", "f", None, {".cancel": "m"}, "waiting", None, clock.now())
    assert store.entry("inbox", "a") == record
    assert store.remember("inbox", "a", status_text=None).status_text is None
    store.remember("inbox", "\udcff")
    store.remember("other", "a")
    some = ["a", "\udcff", "none", *map(str, range(1000))]
    assert store.entries("inbox", some) == {name: store.entry("inbox", name) for name in ("a", "\udcff")}
    assert store.entries("inbox", []) == {}
    assert store.entries_with_jobs("inbox", some) == set()
    store.admit([new_job("\udcff"), new_job("7", fingerprint="7")])
    assert store.entries_with_jobs("inbox", some) == {"\udcff", "7"}
    assert store.entries_with_jobs("other", some) == set()
    store.forget("inbox", "a")
    store.forget("inbox", "none")
    assert list(store.entries("inbox", some)) == ["\udcff"]


def test_only_known_fields_are_remembered(store: Store) -> None:
    with pytest.raises(TypeError, match="colour"):
        store.remember("inbox", "a", colour="red")
    assert store.entry("inbox", "a") is None


def test_flags_outlive_the_daemon(tmp_path: Path) -> None:
    with make_store(tmp_path) as store:
        assert not store.flag("paused")
        store.set_flag("paused", True, by="ann")
        store.set_flag("draining", True, by="ann")
        store.set_flag("draining", False, by="bob")
    with make_store(tmp_path) as store:
        assert store.flag("paused")
        assert not store.flag("draining")


def test_the_daemons_report_comes_back_as_it_was(store: Store) -> None:
    assert store.daemon_report() is None
    at = datetime(2030, 1, 1, tzinfo=UTC)
    store.beat(DaemonReport(ProcessIdentity(1, "2", "3", "4"), "0.1.0", at, at))
    report = DaemonReport(
        process=this_process(),
        version="0.1.0",
        started_at=at,
        beat_at=at,
        watches={"inbox": {"mode": "inotify"}},
        threads={"runner": "2030"},
        roots={"/srv/\udcff": {"state": "ok"}},
        waiting=[{"entry": "\udcff", "missing": ["a"]}],
        last_error="no",
        facts={"latency_s": 0.1},
    )
    store.beat(report)
    assert store.daemon_report() == report
    assert report.process.alive
