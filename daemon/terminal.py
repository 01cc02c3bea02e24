"""What people see in a terminal: a progress bar where there is one, plain lines elsewhere."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

_PLAIN_EVERY_S = 5.0


class _Console(Console):
    """A console whose reader may go away: the job goes on without it, and keeps its exit status."""

    def on_broken_pipe(self) -> None:
        """Print into the void from now on."""
        self.quiet = True
        void = os.open(os.devnull, os.O_WRONLY)
        os.dup2(void, self.file.fileno())
        os.close(void)


class Step(Protocol):
    """What the engine reports: see engine.progress.Progress."""

    @property
    def stage(self) -> str:
        """What is being done."""

    @property
    def fraction(self) -> float:
        """0..1 of the whole job."""

    @property
    def eta_s(self) -> float | None:
        """Seconds left, None while unknown."""


def eta_text(eta_s: float | None) -> str:
    """Seconds left, as people say it."""
    if eta_s is None:
        return "estimating"
    seconds = max(0, round(eta_s))
    return f"{seconds} s left" if seconds < 90 else f"{seconds / 60:.0f} min left"


class ProgressPrinter:
    """Shows a job's progress: a bar on a terminal, a line at each new stage and every 5 s elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or _Console(stderr=True)
        self._bar: Progress | None = None
        self._last_stage = ""
        self._last_s = 0.0

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("[bold]{task.description:<9}"),
                BarColumn(bar_width=32),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TextColumn("[dim]{task.fields[eta]}"),
                console=self._console,
                transient=True,
            )
            self._bar.start()
            self._bar.add_task("starting", total=1.0, eta="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the bar."""
        if self._bar:
            self._bar.stop()

    def update(self, progress: Step) -> None:
        """Show one step."""
        if self._bar:
            task = self._bar.task_ids[0]
            self._bar.update(
                task, description=progress.stage, completed=progress.fraction, eta=eta_text(progress.eta_s)
            )
            return
        line = f"{progress.fraction:4.0%}  {progress.stage}  ({eta_text(progress.eta_s)})"
        self._plain_line(progress.stage, line, _PLAIN_EVERY_S)

    def waiting(self, what: str) -> None:
        """Show that nothing moves yet, and why."""
        if self._bar:
            self._bar.update(self._bar.task_ids[0], description=what, completed=0.0, eta="")
        else:
            self._plain_line(what, f"      {what}", float("inf"))

    def _plain_line(self, stage: str, line: str, every_s: float) -> None:
        now_s = time.monotonic()
        if stage != self._last_stage or now_s - self._last_s >= every_s:
            self._console.print(line, highlight=False, soft_wrap=True)
            self._last_stage, self._last_s = stage, now_s


def print_result(out: Path, quality: dict[str, Any], files: tuple[str, ...]) -> None:
    """Print the verdict, the figures behind it and where the files are."""
    console = _Console()
    colour = {"normal": "green", "warning": "yellow"}.get(quality["status"], "red")
    calibration, mesh = quality["calibration"], quality["mesh"]
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("verdict", f"[{colour}]{quality['status']}[/] ({escape(str(quality['rule']))})")
    table.add_row("image", f"PSNR {quality['psnr']:.1f} dB, SSIM {quality['ssim']:.3f}; "
                  f"on the object alone {quality['foreground']['psnr']:.1f} dB")  # fmt: skip
    table.add_row(
        "camera",
        f"field of view {calibration['fov_deg']:.1f}°, confidence {calibration['confidence']:.2f}"
        + (", orientation ambiguous" if calibration["ambiguous"] else ""),
    )
    table.add_row("mesh", f"{mesh['faces']} faces, {'watertight' if mesh['watertight'] else 'not watertight'}")
    for name in ("mesh.glb", "report.html"):
        if name in files:
            table.add_row("", escape(str(out / name)))
    console.print(table, soft_wrap=True)


def print_facts(facts: dict[str, Any]) -> None:
    """Print a job's facts (see daemon.commands.jobs.job_facts), then its history."""
    console = _Console()
    table = Table(box=None, show_header=False, pad_edge=False)
    left_out = ("inputs", "options", "history", "error", "fraction", "stage", "eta_s", "held", "cancel", "notes")
    table.add_row("state", f"[bold]{facts['state']}[/]" + _where(facts))
    for key, value in facts.items():
        if key not in left_out and key != "state" and value not in (None, [], ""):
            table.add_row(key.replace("_", " "), escape(str(value)))
    if facts["cancel"]:
        table.add_row("cancel", escape(f"asked by {facts['cancel']['by']} at {facts['cancel']['at']}"))
    for note in facts["notes"]:
        table.add_row("note", escape(str(note)))
    if facts["error"]:
        error = facts["error"]
        table.add_row("error", f"[bold red]{escape(str(error['code']))}[/] {escape(str(error['message']))}")
        table.add_row("what to do", escape(str(error["suggestion"])))
    console.print(table, soft_wrap=True, highlight=False)
    history = Table(box=None, pad_edge=False, title="history", title_justify="left")
    for name in ("at", "from", "to", "reason", "by"):
        history.add_column(name)
    for step in facts["history"]:
        history.add_row(*(escape(str(step[name] or "")) for name in ("at", "from", "to", "reason", "by")))
    console.print(history, soft_wrap=True, highlight=False)


def _where(facts: dict[str, Any]) -> str:
    if facts["held"]:
        return f" ({escape(facts['held']['code'])}: {escape(str(facts['held']['reason']))})"
    if facts["stage"] and facts["state"] == "PROGRESS":
        return f" {facts['stage']} {facts['fraction']:.0%}, {eta_text(facts['eta_s'])}"
    return ""


def print_error(message: str, *, code: str | None = None, suggestion: str | None = None) -> None:
    """Print what went wrong and what to do, on stderr."""
    console = _Console(stderr=True)
    head = f"[bold red]{code}[/] " if code else ""
    console.print(f"{head}{escape(message)}", highlight=False, soft_wrap=True)
    if suggestion:
        console.print(f"[dim]What to do:[/] {escape(suggestion)}", highlight=False, soft_wrap=True)
