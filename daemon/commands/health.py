"""health: for containers, load balancers and monitoring."""

from __future__ import annotations

import typer

from config.errors import MeshdropError
from config.settings import load_settings
from daemon.commands.common import ConfigOption


def health(config: ConfigOption = None) -> None:
    """Say in JSON whether the service is up, with its queue and its GPU. Exit status 1 where it is down."""
    from daemon.clock import SystemClock
    from daemon.status.health import Health
    from daemon.status.health import health as look

    clock = SystemClock()
    try:
        facts = look(load_settings(config), clock)
    except (MeshdropError, OSError) as error:
        text = error.message if isinstance(error, MeshdropError) else str(error)
        facts = Health(status="down", sentence=text, problems=[text], at=clock.now())
    typer.echo(facts.model_dump_json(indent=2))
    if facts.status == "down":
        raise typer.Exit(1)
