"""The jobs of the page in little space: an array each, without what is absent at its end. page.js names the fields."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from daemon.names import shown
from daemon.states import State
from daemon.status.collect import sentence_of

if TYPE_CHECKING:
    from daemon.store import Glance, Store

MOST_JOBS: Final = 5000
_LOOKS: Final = {State.PROGRESS: 0, State.PUBLISHING: 1, State.HELD: 2, State.PENDING: 3, State.CANCELLED: 7}
_LONGEST_SENTENCE: Final = 300
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_encoded: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Rows:
    """The rows of one outbox's page. Those of jobs that have not changed are kept from one time to the next."""

    def __init__(self, outbox: Path, inboxes: Iterable[str]) -> None:
        self._above, self._inboxes = str(outbox), tuple(inboxes)
        self._kept: dict[str, tuple[str, int, list[Any]]] = {}  # by job: when it changed, its place, its row

    def read(self, store: Store) -> list[list[Any]]:
        """Each job's row: those that are not final, then the newest of the others."""
        stamps, places = store.stamps(self._inboxes, MOST_JOBS), store.places()
        changed = [
            job_id
            for job_id, stamp in stamps.items()
            if self._kept.get(job_id, ("",))[:2] != (stamp, places.get(job_id, 0))
        ]
        found = {glance.id: glance for glance in (store.glances(changed) if changed else ())}
        kept = {}
        for job_id, stamp in stamps.items():
            glance, place = found.get(job_id), places.get(job_id, 0)
            if glance is not None:
                kept[job_id] = (stamp, place, self._row(glance, place))
            elif job_id in self._kept:
                kept[job_id] = self._kept[job_id]
        self._kept = kept
        return [row for _, _, row in kept.values()]

    def _row(self, job: Glance, place: int) -> list[Any]:
        error = job.error or {}
        row: list[Any] = [
            job.id,
            shown(job.entry),
            _look(job),
            sentence_of(job, place or None)[:_LONGEST_SENTENCE],
            _seconds(job.created_at),
            _seconds(job.finished_at),
            _seconds(job.started_at),
            self._folder(job.result_path),
            job.has_thumbnail + 2 * job.has_preview + 4 * job.has_report,
            self._inboxes.index(job.inbox),
            job.attempt,
            place,
            round(job.fraction, 3) if job.state is State.PROGRESS else 0,
            round(job.eta_s) if job.eta_s is not None and job.state is State.PROGRESS else 0,
            shown(job.stage or "") or 0,
            job.priority,
            shown(str(error.get("code") or "")) or 0,
            shown(str(error.get("suggestion") or ""))[:_LONGEST_SENTENCE] or 0,
            job.answered_by or 0,
            job.retry_of or 0,
        ]
        while row[-1] == 0:
            del row[-1]
        return row

    def _folder(self, result: str | None) -> str | int:
        """The result's folder relative to the page, as an address has it; 0 where it lies elsewhere."""
        if result is None:
            return 0
        above, _, name = result.rpartition("/")
        if above != self._above:
            return 0
        return name if _PLAIN_NAME.fullmatch(name) else quote(name.encode("utf-8", "surrogateescape"))


def _look(job: Glance) -> int:
    """The number that page.js has for how a job stands."""
    if job.state is State.SUCCESS:
        return 5 if job.verdict == "warning" else 4
    return _LOOKS.get(job.state, 6)


def _seconds(moment: datetime | None) -> int:
    """Since 1970, in UTC."""
    return 0 if moment is None else int(moment.timestamp())


def json_text(value: Any) -> str:
    """JSON that may stand in a script element: nothing in it ends the element or a line."""
    text = _encoded(value)
    if "<" in text:
        text = text.replace("<", "\\u003c")
    if not text.isascii():
        text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return text
