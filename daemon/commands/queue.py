"""pause, resume, drain: whether jobs are taken."""

from __future__ import annotations

import typer

from daemon.commands.common import ConfigOption, exit_status, opened_store


def pause(config: ConfigOption = None) -> None:
    """Take no more jobs; the one that runs goes on, and bundles are still noticed."""
    with exit_status(), opened_store(config) as (_, store):
        store.set_flag("paused", True, by="command")
        typer.echo("Paused: no job is taken until `meshdrop resume`.")


def resume(config: ConfigOption = None) -> None:
    """Take jobs again, after pause or drain."""
    with exit_status(), opened_store(config) as (_, store):
        store.set_flag("paused", False, by="command")
        store.set_flag("draining", False, by="command")
        typer.echo("Jobs are taken again.")


def drain(config: ConfigOption = None) -> None:
    """Finish the jobs that are recorded, and admit no new bundles: before maintenance."""
    with exit_status(), opened_store(config) as (_, store):
        store.set_flag("draining", True, by="command")
        typer.echo("Draining: the jobs recorded so far are finished, new bundles wait until `meshdrop resume`.")
