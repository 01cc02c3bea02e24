"""The figures themselves, put together from the store: it touches no share, so that it answers while one hangs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from config.sections import Settings
from daemon.clock import Clock
from daemon.states import State
from daemon.status.collect import collect

if TYPE_CHECKING:
    from daemon.status.model import Status
    from daemon.store import DaemonReport, Store

BUCKETS_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
_MODES: Final = ("inotify", "polling", "unknown")


@dataclass
class _Histogram:
    """How often a stage took how long; the last bucket has no upper end."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    sum_s: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.sum_s += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Each bucket's upper end, and how many are below it."""
        below, out = 0, []
        for end, count in zip((*map(str, BUCKETS_S), "+Inf"), self.counts, strict=True):
            below += count
            out.append((end, float(below)))
        return out


class Collector:
    """Looks into the store whenever it is asked."""

    def __init__(self, settings: Settings, store: Store, clock: Clock) -> None:
        self._settings, self._store, self._clock = settings, store, clock
        self._stages: dict[str, _Histogram] = {}
        self._read_up_to = 0
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Each figure, for prometheus_client."""
        status = collect(self._store, self._settings, self._clock)
        report = self._store.daemon_report()
        yield from self._of_daemon(status, report)
        yield from self._of_jobs(status)
        yield self._of_stages()
        yield from self._of_shares(status)

    def _of_daemon(self, status: Status, report: DaemonReport | None) -> Iterator[Metric]:
        facts = report.facts if report is not None else {}
        yield InfoMetricFamily("meshdrop_build", "The program.", {"version": status.daemon.version or "unknown"})
        yield _gauge("meshdrop_up", "1 while the daemon runs as it should.", float(status.daemon.state == "running"))
        yield _gauge("meshdrop_paused", "1 while it takes no jobs.", float(status.daemon.paused))
        yield _gauge("meshdrop_draining", "1 while it admits no bundles.", float(status.daemon.draining))
        yield _gauge("meshdrop_problems", "Things that somebody should look at.", float(len(status.problems)))
        yield _moment("meshdrop_start_time_seconds", "When the daemon started.", status.daemon.started_at)
        yield _counter("meshdrop_starts", "Starts of the daemon.", int(facts.get("starts", 0)))
        yield _counter(
            "meshdrop_daemon_crashes", "Starts after an end that was none in order.", facts.get("crashes", 0)
        )
        yield _gauge("meshdrop_webhook_pending", "Webhook messages not taken yet.", len(self._store.deliveries()))

    def _of_jobs(self, status: Status) -> Iterator[Metric]:
        figures = self._store.figures()
        jobs = GaugeMetricFamily("meshdrop_jobs", "Jobs by state.", labels=("inbox", "state"))
        for name in sorted({inbox.name for inbox in status.inboxes} | {inbox for inbox, _ in figures.counts}):
            for state in State:
                jobs.add_metric((name, state), figures.counts.get((name, state), 0))
        yield jobs
        held = GaugeMetricFamily("meshdrop_held_jobs", "Jobs on hold by what holds them.", labels=("code",))
        for code, count in sorted(figures.held.items()):
            held.add_metric((code,), count)
        yield held
        waiting = GaugeMetricFamily("meshdrop_bundles_waiting", "Bundles that are not taken yet.", labels=("inbox",))
        for inbox in status.inboxes:
            waiting.add_metric((inbox.name,), inbox.waiting)
        yield waiting
        oldest, now = figures.oldest_pending, self._clock.now()
        age_s = max(0.0, (now - oldest).total_seconds()) if oldest is not None else 0.0
        yield _gauge("meshdrop_queue_oldest_seconds", "How long the first of the waiting jobs has waited.", age_s)
        yield _moment("meshdrop_last_success_time_seconds", "When a job last succeeded.", figures.last_success)
        yield _counter("meshdrop_worker_crashes", "Worker processes that died on a job.", figures.crashes)

    def _of_stages(self) -> Metric:
        self._read_up_to, runs = self._store.timings_since(self._read_up_to)
        for timings_s in runs:
            for stage, seconds in timings_s.items():
                self._stages.setdefault(stage, _Histogram()).add(seconds)
        family = HistogramMetricFamily("meshdrop_stage_seconds", "How long the stages of jobs took.", labels=("stage",))
        for stage, histogram in sorted(self._stages.items()):
            family.add_metric((stage,), histogram.buckets(), histogram.sum_s)
        return family

    def _of_shares(self, status: Status) -> Iterator[Metric]:
        mode = GaugeMetricFamily("meshdrop_watch_mode", "1 for how an inbox is watched.", labels=("inbox", "mode"))
        healthy = GaugeMetricFamily("meshdrop_watch_healthy", "1 while that works as it should.", labels=("inbox",))
        latency = GaugeMetricFamily(
            "meshdrop_detection_latency_seconds", "How soon a new file was noticed, as measured.", labels=("inbox",)
        )
        reachable = GaugeMetricFamily(
            "meshdrop_share_reachable", "1 while an inbox and its outbox can be reached.", labels=("inbox",)
        )
        free = GaugeMetricFamily("meshdrop_free_bytes", "Free space.", labels=("inbox", "folder"))
        for inbox in status.inboxes:
            for name in _MODES:
                mode.add_metric((inbox.name, name), float(inbox.watch.mode == name))
            healthy.add_metric((inbox.name,), float(inbox.watch.healthy))
            if inbox.watch.latency_s is not None:
                latency.add_metric((inbox.name,), inbox.watch.latency_s)
            if inbox.reachable is not None:
                reachable.add_metric((inbox.name,), float(inbox.reachable))
            for folder, found in (("inbox", inbox.inbox_free), ("outbox", inbox.outbox_free)):
                if found is not None:
                    free.add_metric((inbox.name, folder), found)
        if status.machine.state_free is not None:
            free.add_metric(("", "state_dir"), status.machine.state_free)
        yield from (mode, healthy, latency, reachable, free)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _moment(name: str, text: str, moment: datetime | None) -> Metric:
    """Seconds since 1970; without a sample where there is no such moment."""
    family = GaugeMetricFamily(name, text)
    if moment is not None:
        family.add_metric((), moment.timestamp())
    return family
