"""The page as bytes: one file that nothing outside is loaded into but the results' pictures beside it.

Its Content-Security-Policy allows its own script and style by their digests, pictures beside it, and itself in a frame
(that is how it gets its news, see page.js). Whatever comes from people stands in it as JSON or as escaped text.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from daemon.index.rows import Rows, json_text

if TYPE_CHECKING:
    from daemon.status.model import JobStatus, Status
    from daemon.store import Store

INDEX_FILE: Final = "index.html"
_HERE: Final = Path(__file__).parent
_PLAIN_JOBS: Final = 60
_WHOLE_BYTES: Final = 1 << 16
"""The page's length is a multiple of it. A browser asks for a file's length and opens it in two steps: where it was
replaced in between by one of another length, the end is missing."""


class IndexPage:
    """The page of one outbox.

    Args:
        outbox: its folder.
        inboxes: the names of the inboxes whose results appear in it, in the settings' order.

    """

    def __init__(self, outbox: Path, inboxes: Iterable[str]) -> None:
        self._rows = Rows(outbox, inboxes)
        # Given to those alone who can read the page: another page can't have its content by framing it.
        self._key = secrets.token_hex(8)
        style = (_HERE / "page.css").read_text("utf-8")
        script = (_HERE / "page.js").read_text("utf-8")
        self._style = style
        page = (_HERE / "page.html").read_text("utf-8")
        filled = {"policy": policy(script, style), "style": style, "script": script}
        for name, text in filled.items():
            page = page.replace("{{" + name + "}}", text)
        self._before, rest = page.split("{{plain}}")
        self._between, self._after = rest.split("{{data}}")

    def render(self, status: Status, store: Store, *, every_s: float, beat_s: float) -> bytes:
        """The page.

        Args:
            status: what concerns this outbox.
            store: where all jobs stand.
            every_s: how often it is rewritten at most.
            beat_s: and at least, also where nothing has changed.

        """
        rows = self._rows.read(store)
        facts = self._facts(status, every_s, beat_s)
        facts["more"] = max(0, sum(status.counts.values()) - len(rows))
        facts["jobs"] = rows
        text = "".join((self._before, _plain(status), self._between, json_text(facts), self._after))
        page = text.encode("utf-8", "backslashreplace")
        return page + b"\n" * (-len(page) % _WHOLE_BYTES)

    def _facts(self, status: Status, every_s: float, beat_s: float) -> dict[str, Any]:
        given = status.model_dump(include={"daemon", "inboxes", "machine", "counts", "problems", "contact"})
        daemon = given["daemon"]
        daemon["started_at"] = _seconds(status.daemon.started_at)
        del daemon["beat_at"]
        return {
            **given,
            "waiting": [item.model_dump(include={"bundle", "inbox", "sentence"}) for item in status.waiting],
            "at": round(status.at.timestamp(), 3),
            "every_s": every_s,
            "beat_s": beat_s,
            "key": self._key,
        }


def policy(script: str, style: str) -> str:
    """The Content-Security-Policy of a page with this script and style."""
    return (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src 'self' data:; frame-src 'self'; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _plain(status: Status) -> str:
    """For browsers without scripts: how it stands, and the newest jobs in a table."""
    jobs = [*status.running, *status.held, *status.queue[:_PLAIN_JOBS], *status.recent]
    lines = [
        "<h1>Meshdrop</h1>",
        f"<p>{escape(status.daemon.sentence)} Written {_moment(status.at)}.</p>",
        *(f"<p>{escape(problem)}</p>" for problem in status.problems if problem != status.daemon.sentence),
        *(f"<p>Inbox: {escape(inbox.inbox)}</p>" for inbox in status.inboxes),
        "<table><tr><th>Name<th>State<th>How it stands<th>When",
        *(_plain_row(job) for job in jobs),
        *(
            f'<tr><td><bdi>{escape(item.bundle)}</bdi><td>not taken yet<td dir="auto">{escape(item.sentence)}<td>'
            for item in status.waiting
        ),
        "</table>",
    ]
    return "\n".join(lines)


def _plain_row(job: JobStatus) -> str:
    name = f"<bdi>{escape(job.bundle)}</bdi>"
    if job.report is not None:
        name = f'<a href="{escape(job.report)}">{name}</a>'
    moment = job.finished_at or job.started_at or job.created_at
    return f'<tr><td>{name}<td>{escape(job.state)}<td dir="auto">{escape(job.sentence)}<td>{_moment(moment)}'


def _moment(moment: datetime) -> str:
    return f'<time datetime="{moment.isoformat()}">{moment:%Y-%m-%d %H:%M:%S} UTC</time>'
