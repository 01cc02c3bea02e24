"""config show, config check: what is set, and whether it can be."""

from __future__ import annotations

import json
from typing import Any

import typer

from config.sections import Settings
from config.settings import load_settings
from config.tables import schema_of
from daemon.commands.common import ConfigOption, JsonOption, exit_status

app = typer.Typer(help="The settings in force.", no_args_is_help=True)


@app.command()
def show(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Print the settings in force, wherever they come from, as TOML."""
    with exit_status():
        settings = load_settings(config)
        values = settings.model_dump(mode="json")
        if values["webhook"]["secret"]:
            values["webhook"]["secret"] = "(hidden)"
        typer.echo(json.dumps(values, indent=2) if as_json else as_toml(values))


@app.command()
def check(config: ConfigOption = None) -> None:
    """Check the settings: unknown keys, values that are not allowed, folders that can't work together."""
    with exit_status():
        settings = load_settings(config)
        from daemon.roots import check_folders
        from daemon.webhook import check_webhook

        check_folders(settings)
        check_webhook(settings)
        typer.echo(f"The settings are in order ({len(schema_of(Settings))} keys).")


def as_toml(table: dict[str, Any], prefix: str = "") -> str:
    """A table as TOML text: plain keys first, then tables, then lists of tables; absent values are left out."""
    lines, below = [], []
    for key, value in table.items():
        if isinstance(value, dict):
            below.append(f"\n[{prefix}{key}]\n" + as_toml(value, f"{prefix}{key}."))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            below += [f"\n[[{prefix}{key}]]\n" + as_toml(item, f"{prefix}{key}.") for item in value]
        elif value is not None:
            lines.append(f"{key} = {json.dumps(value)}")
    return "\n".join([*lines, *below])
