"""What a whole daemon tells while it runs and when it ends: the page, the figures, the webhook."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from daemon.states import State
from tests.daemon_stand_in.bundles import make_bundle
from tests.service.daemon_process import Daemon, until

SECRET = "a secret of more than sixteen bytes"


@pytest.fixture
def told() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a receiver, and what it was told."""
    events: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            events.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", events
    server.shutdown()
    thread.join()
    server.server_close()


def page_of(daemon: Daemon) -> dict[str, Any]:
    """The data of the page."""
    path = daemon.outbox / "index.html"
    if not path.exists():
        return {"jobs": [], "daemon": {}, "machine": {"state_free": None}}
    text = path.read_text().split('id="data">', 1)[1].split("</script>", 1)[0]
    data: dict[str, Any] = json.loads(text)
    return data


def figures_of(path: Path) -> dict[str, float]:
    text = path.read_text() if path.exists() else ""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_page_figures_and_webhook_follow_a_job_and_the_end(
    make_daemon: Callable[..., Daemon], told: tuple[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    url, events = told
    figures = tmp_path / "meshdrop.prom"
    daemon = make_daemon(
        publish__refresh_s=0.3, metrics__textfile=str(figures), metrics__refresh_s=0.3, webhook__url=url,
        webhook__secret=SECRET,
    )  # fmt: skip
    daemon.start()
    make_bundle(daemon.inbox / "shoe")
    job = daemon.job("shoe", State.SUCCESS)
    until(lambda: any(row[0] == job.id and row[2] == 4 for row in page_of(daemon)["jobs"]))
    assert page_of(daemon)["daemon"]["state"] == "running"
    until(lambda: page_of(daemon)["machine"]["state_free"] is not None)
    until(lambda: figures_of(figures).get("meshdrop_jobs inbox SUCCESS") == 1)
    until(lambda: [event["type"] for event in events] == ["job.finished"])
    assert events[0]["data"]["job"] == job.id
    assert figures_of(figures)["meshdrop_starts_total"] == 1
    assert daemon.stop() == 0
    assert page_of(daemon)["daemon"]["state"] == "stopped", "it says so, and is not only left alone"
    assert json.loads((daemon.outbox / "status.json").read_text())["daemon"]["state"] == "stopped"
    daemon.start()
    until(lambda: figures_of(figures).get("meshdrop_starts_total") == 2)
    daemon.kill()
    daemon.start()
    until(lambda: figures_of(figures).get("meshdrop_daemon_crashes_total") == 1)
    assert len(events) == 1
    assert SECRET not in daemon.log.read_text()
