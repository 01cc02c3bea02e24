"""The status on a terminal: what runs, with a bar; the queue; what is not taken yet and why; the last results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from daemon.status.model import JobStatus, Status

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

_COLOURS: Final = {
    "SUCCESS": "green",
    "FAILURE": "red",
    "HELD": "yellow",
    "PROGRESS": "cyan",
    "PUBLISHING": "cyan",
    "CANCELLED": "dim",
    "PENDING": "default",
}
_MOST_LINES: Final = 15
_FEWEST_LINES: Final = 2
_NARROW: Final = 110
_LONGEST_NAME: Final = {True: 20, False: 28}  # on a narrow terminal, or not; in cells: some letters take two
_BAR: Final = {True: 10, False: 20}
_LONGEST_STATE: Final = 10
_PIPE_WIDTH: Final = 4000
_AGES: Final = ((86400 * 2, 86400, "d"), (3600 * 2, 3600, "h"), (60 * 2, 60, "min"))

_Row = tuple[str, str, "Text", "Text"]


def print_status(status: Status, console: Console | None = None) -> None:
    """Print the status, with colours and bars on a terminal; elsewhere as plain lines, however long."""
    from rich.console import Console

    console = console or Console()
    if console.is_terminal:
        console.print(_page(status, _MOST_LINES, console.width))
        return
    plain = Console(width=_PIPE_WIDTH, color_system=None, force_terminal=False)
    with plain.capture() as text:
        plain.print(_page(status, _MOST_LINES, _PIPE_WIDTH))
    console.print(
        "\n".join(line.rstrip() for line in text.get().splitlines()), markup=False, highlight=False, soft_wrap=True
    )


class Screen:
    """The status on the whole terminal, in place; elsewhere one after the other."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console

        self._console = console or Console()
        self._live: Any = None

    def show(self, status: Status) -> None:
        """Show it now."""
        if self._live is None:
            print_status(status, self._console)
        else:
            self._live.update(_page(status, _lines_of(status, self._console.height), self._console.width), refresh=True)

    @contextmanager
    def taken(self) -> Iterator[Screen]:
        """Give the terminal back as it was at the end."""
        from rich.live import Live
        from rich.text import Text

        if not self._console.is_terminal:
            yield self
            return
        with Live(
            Text(), console=self._console, screen=True, auto_refresh=False, vertical_overflow="crop"
        ) as self._live:
            yield self


def _lines_of(status: Status, height: int) -> int:
    """How many lines each table may have, so that the page fits into a screen."""
    tables = sum(bool(rows) for rows in (_going(status), status.waiting, status.recent))
    above = 3 + len(status.inboxes) + 2 * len(status.problems)
    return max(_FEWEST_LINES, (height - above - 3 * tables) // max(1, tables))


def _page(status: Status, most: int, width: int) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    narrow = width < _NARROW
    going, recent = ([_job(job, status.at, narrow) for job in jobs[:most]] for jobs in (_going(status), status.recent))
    waiting = [("", item.bundle, Text("WAITING", "dim"), _one_line(item.sentence)) for item in status.waiting[:most]]
    all_waiting = max(len(status.waiting), sum(inbox.waiting for inbox in status.inboxes))
    parts = [
        *_head(status),
        *_table("jobs", going, _count_going(status), narrow),
        *_table("not taken yet", waiting, all_waiting, narrow),
        *_table("last results", recent, 0, narrow),
    ]
    if not _going(status) and not status.waiting and not status.recent:
        parts.append(Text("\nNothing was dropped yet. A folder put into the inbox appears here.", "dim"))
    return Group(*parts)


def _going(status: Status) -> list[JobStatus]:
    return [*status.running, *status.held, *status.queue]


def _count_going(status: Status) -> int:
    """How many there are: the queue holds the first of them alone."""
    return max(
        len(_going(status)), sum(status.counts.get(state, 0) for state in ("PENDING", "PROGRESS", "PUBLISHING", "HELD"))
    )


def _head(status: Status) -> list[RenderableType]:
    from rich.text import Text

    daemon = status.daemon
    colour = {"running": "green", "stuck": "red"}.get(daemon.state, "yellow")
    head = Text.assemble((daemon.sentence, colour))
    if daemon.state == "running":
        head.append(f"  version {daemon.version}, process {daemon.pid} on {daemon.host}", "dim")
    parts: list[RenderableType] = [head]
    for inbox in status.inboxes:
        line = Text.assemble((f"{inbox.name}: ", "bold"), f"{inbox.inbox} → {inbox.outbox}")
        latency = "" if inbox.watch.latency_s is None else f", noticed within {inbox.watch.latency_s:.1f} s"
        parts.append(line.append(f"  {inbox.watch.mode}{latency}", "dim"))
    counts = ", ".join(f"{count} {state}" for state, count in status.counts.items() if count)
    parts.append(Text(f"jobs: {counts or 'none'}", "dim"))
    parts += [Text(f"! {problem}", "yellow") for problem in status.problems if problem != daemon.sentence]
    return parts


def _table(title: str, rows: list[_Row], count: int, narrow: bool) -> list[RenderableType]:
    """A table below its title, and how many more there are; nothing where it has no rows."""
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return []
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(min_width=_LONGEST_NAME[narrow])
    table.add_column(min_width=_LONGEST_STATE)
    table.add_column()
    for job, bundle, state, sentence in rows:
        table.add_row(job or " " * 8, _name(bundle, _LONGEST_NAME[narrow]), state, sentence)
    more = [Text(f"… and {count - len(rows)} more", "dim")] if count > len(rows) else []
    return [Text(f"\n{title}", "bold"), table, *more]


def _job(job: JobStatus, at: datetime, narrow: bool) -> _Row:
    from rich.text import Text

    sentence = _one_line(job.sentence)
    if job.state == "PROGRESS" and job.sentence.startswith(job.stage or "starting"):
        sentence = _progress(job, _BAR[narrow])
    elif job.state == "HELD":  # the reason is what somebody has to read
        sentence = Text(job.sentence)
    elif job.finished_at is not None:
        when = f"{_age((at - job.finished_at).total_seconds())} ago"
        sentence = _one_line(f"{when}, {job.sentence}")
        if job.state == "SUCCESS" and job.folder and job.folder != job.bundle:
            sentence = Text(f"{when}, {job.sentence}  {job.folder}")  # in the outbox named above; whole, to be found
    return job.job, job.bundle, Text(job.state, _COLOURS.get(job.state, "default")), sentence


def _progress(job: JobStatus, cells: int) -> Text:
    from rich.text import Text

    from daemon.terminal import eta_text

    done = round(job.fraction * cells)
    return Text.assemble(
        ("━" * done, "cyan"),
        ("─" * (cells - done), "dim"),
        f" {job.fraction:4.0%}  {job.stage or 'starting'}, {eta_text(job.eta_s)}",
        no_wrap=True,
        overflow="ellipsis",
    )


def _age(seconds: float) -> str:
    for least_s, unit_s, unit in _AGES:
        if seconds >= least_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _one_line(text: str) -> Text:
    """Text that is cut off at the terminal's edge: `show` and `explain` give it whole."""
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ellipsis")


def _name(bundle: str, longest: int) -> Text:
    """A bundle's name in its column; of a very long one, its ends."""
    from rich.cells import cell_len, set_cell_size
    from rich.text import Text

    if cell_len(bundle) > longest:
        end = bundle
        while cell_len(end) > longest // 2 - 1:
            end = end[1:]
        bundle = f"{set_cell_size(bundle, longest // 2).rstrip()}…{end}"
    return Text(bundle, no_wrap=True)
