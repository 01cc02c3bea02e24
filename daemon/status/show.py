"""The status on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from daemon.status.model import JobStatus, Status

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
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
_LONGEST_NAME: Final = 28


def print_status(status: Status, clear: bool = False, console: Console | None = None) -> None:
    """Print the status. clear: on an empty screen, as `--watch` does."""
    from rich.console import Console

    console = console or Console()
    if clear and console.is_terminal:
        console.clear()
    for part in _parts(status):
        console.print(part, soft_wrap=True)


def _parts(status: Status) -> list[RenderableType]:
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
        line.append(f"  {inbox.watch.mode}{latency}", "dim")
        parts.append(line)
    counts = ", ".join(f"{count} {state}" for state, count in status.counts.items() if count)
    parts.append(Text(f"jobs: {counts or 'none'}", "dim"))
    parts += [Text(f"! {problem}", "yellow") for problem in status.problems if problem != daemon.sentence]
    jobs = [*status.running, *status.held, *status.queue]
    if jobs:
        parts += [Text(""), _table(jobs[:_MOST_LINES])]
        parts += _more(len(jobs))
    if status.waiting:
        parts += [Text(""), _waiting(status)]
        parts += _more(len(status.waiting))
    if status.recent:
        parts += [Text(""), _table(status.recent[:_MOST_LINES])]
    return parts


def _more(count: int) -> list[RenderableType]:
    from rich.text import Text

    return [Text(f"… and {count - _MOST_LINES} more", "dim")] if count > _MOST_LINES else []


def _table(jobs: list[JobStatus]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from daemon.terminal import eta_text

    table = Table(box=None, show_header=False, pad_edge=False)
    for job in jobs:
        sentence = job.sentence
        if job.state == "PROGRESS":
            sentence += f" ({eta_text(job.eta_s)})"
        if job.state in ("SUCCESS", "FAILURE") and job.folder:
            sentence += f"  {job.folder}"  # in the outbox named above: a whole path would be cut off
        table.add_row(job.job, _name(job.bundle), Text(job.state, _COLOURS[job.state]), Text(sentence))
    return table


def _name(bundle: str) -> Text:
    """A bundle's name in its column; of a very long one, its ends."""
    from rich.text import Text

    half = _LONGEST_NAME // 2
    return Text(bundle if len(bundle) <= _LONGEST_NAME else f"{bundle[:half]}…{bundle[1 - half :]}")


def _waiting(status: Status) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    for item in status.waiting[:_MOST_LINES]:
        table.add_row("        ", _name(item.bundle), Text("WAITING", "dim"), Text(item.sentence))
    return table
