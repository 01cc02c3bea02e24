"""status, explain, doctor, prune: what is going on, why, and what may go."""

from __future__ import annotations

import json
import logging
import time
from contextlib import ExitStack
from typing import Annotated

import typer

from config.settings import load_settings
from daemon.commands.common import (
    ConfigOption,
    JsonOption,
    ended_tidily,
    exit_status,
    opened_store,
    quiet,
    until_interrupted,
)


def status(
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every second, until Ctrl-C.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show the daemon's health, the queue, what waits and why, and the last results."""
    from daemon.clock import SystemClock
    from daemon.status import Screen, collect, print_status

    with exit_status(), opened_store(config) as (settings, store), ExitStack() as stack:
        if not watch:
            facts = collect(store, settings, SystemClock())
            typer.echo(facts.model_dump_json(indent=2)) if as_json else print_status(facts)
            return
        interrupted = stack.enter_context(until_interrupted())
        screen = None if as_json else stack.enter_context(Screen().taken())
        while not interrupted:
            facts = collect(store, settings, SystemClock())
            screen.show(facts) if screen else typer.echo(facts.model_dump_json())
            for _ in range(10):
                if not interrupted:
                    time.sleep(0.1)


def explain(
    path: Annotated[str, typer.Argument(help="A bundle in an inbox, as this machine or yours calls it; or a job.")],
    config: ConfigOption = None,
) -> None:
    """Say which gate holds a bundle, and why."""
    with exit_status(), opened_store(config) as (settings, store):
        from daemon.status.explain import explain_path

        typer.echo(explain_path(path, settings, store))


def doctor(
    as_json: JsonOption = False,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the self-test reconstruction.")] = False,
    config: ConfigOption = None,
) -> None:
    """Check what a support person asks first; each line with a remedy. Exit status 1 for warnings, 5 for failures."""
    with exit_status():
        from rich.console import Console

        from daemon.status.doctor import examine, exit_status_of, print_examination

        settings = load_settings(config)
        with ended_tidily(), quiet(logging.CRITICAL), Console(stderr=True).status("") as shown:
            findings = examine(settings, quick, shown.update)
        if as_json:
            typer.echo(json.dumps([finding.as_json() for finding in findings], indent=2))
        else:
            print_examination(findings)
        raise typer.Exit(exit_status_of(findings))


def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only say what would be deleted.")] = False,
    older_than: Annotated[
        str | None, typer.Option(help="Age such as 30d.", show_default="retention.results and retention.archived")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Delete old results and archived bundles that the database knows; by default only say which."""
    with exit_status():
        overrides = {f"retention.{key}": older_than for key in ("results", "archived")} if older_than else None
        with opened_store(config, overrides) as (settings, store):
            from daemon.clock import SystemClock
            from daemon.files import Files
            from daemon.publish.retention import apply_prune, plan_prune

            plan = plan_prune(settings, store, SystemClock(), Files())
            for item in plan:
                typer.echo(f"{item.path}  ({item.reason})")
            if not plan:
                typer.echo("Nothing to delete.")
            elif yes:
                apply_prune(plan, store, Files())
                typer.echo(f"Deleted: {len(plan)}.")
            else:
                typer.echo(f"{len(plan)} would be deleted; `meshdrop prune --yes` does it.")
