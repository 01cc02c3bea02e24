"""run: the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from config.sections import Settings
from config.settings import load_settings
from daemon.commands.common import ConfigOption, exit_status


def run(
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End once nothing is left to do; bundles that lack files don't count.")
    ] = False,
    inbox: Annotated[Path | None, typer.Option(help="In place of the setting.", show_default="the setting")] = None,
    outbox: Annotated[Path | None, typer.Option(help="In place of the setting.", show_default="the setting")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="In place of the setting.", show_default="the setting")] = None,
    config: ConfigOption = None,
) -> None:
    """Watch the inbox and turn what is dropped there into results, until SIGTERM or Ctrl-C."""
    given = {"inbox": inbox, "outbox": outbox, "state_dir": state_dir}
    overrides: dict[str, Any] = {key: str(value) for key, value in given.items() if value is not None}

    def settings() -> Settings:
        return load_settings(config, overrides)

    with exit_status():
        from daemon.clock import SystemClock
        from daemon.files import Files
        from daemon.logs import configure_logs
        from daemon.service import Service

        now = settings()
        configure_logs(now.log.format, now.log.level)
        Service(now, SystemClock(), Files(), reload=settings, until_idle=until_idle).run()
