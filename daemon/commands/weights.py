"""weights list, verify, fetch: the files that the model `reconviagen` needs and that are not part of the program."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Final

import typer

from config.errors import ModelUnavailable, UsageError
from config.settings import load_settings
from daemon.commands.common import ConfigOption, JsonOption, exit_status

app = typer.Typer(help="The weights of the model reconviagen.", no_args_is_help=True)

_HUB: Final = "https://huggingface.co/"


@app.command("list")
def list_files(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Name each file, its size, its licence, where it comes from, and where it goes."""
    with exit_status():
        settings = load_settings(config).models.reconviagen
        from engine.models.reconviagen.weights import weights_files

        files = weights_files(settings.weights)
        if as_json:
            rows = [
                {
                    "path": str(file.path), "bytes": file.nbytes, "licence": file.licence, "from": file.url,
                    "there": file.is_there,
                }
                for file in files
            ]  # fmt: skip
            typer.echo(json.dumps(rows, indent=2))
            return
        for file in files:
            size = "" if file.nbytes is None else f", {file.nbytes:,} bytes"
            typer.echo(f"{'there  ' if file.is_there else 'missing'}  {file.path}{size}")
            typer.echo(f"         {file.url} ({file.licence})")
        total = sum(file.nbytes or 0 for file in files if not file.is_there)
        typer.echo(f"{total:,} bytes are missing." if total else "All files are there.")


@app.command()
def verify(config: ConfigOption = None) -> None:
    """Compare every tensor's name, shape and type with the published ones. Exit status 4 where something differs."""
    with exit_status():
        settings = load_settings(config).models.reconviagen
        from engine.models.reconviagen.weights import problems, require, weights_files

        for file in weights_files(settings.weights):
            found = problems(file)
            typer.echo(f"{'in order' if not found else 'wrong   '}  {file.path}")
            for problem in found:
                typer.echo(f"          {problem}")
        require(settings)


@app.command()
def fetch(config: ConfigOption = None) -> None:
    """Get the files that are missing or damaged, once the licence is accepted in the settings. Takes about 8 GB."""
    with exit_status():
        settings = load_settings(config).models.reconviagen
        from engine.models.reconviagen.weights import fetch as fetch_missing

        fetched = fetch_missing(settings, _download, typer.echo)
        typer.echo(f"{fetched} files were fetched." if fetched else "All files are there and in order.")


def _download(url: str, path: Path) -> None:
    """Get an address into a file. Raises UsageError, ModelUnavailable."""
    try:
        if url.startswith(_HUB):
            _from_hub(url, path)
        else:
            _from_web(url, path)
    except OSError as error:  # the hub's errors and the web's are of this kind
        raise ModelUnavailable(
            f"{url} can't be fetched: {error}", suggestion="Check the network, or put the file there by hand.", url=url
        ) from error


def _from_hub(url: str, path: Path) -> None:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise UsageError(
            "Fetching weights needs the package huggingface_hub.",
            suggestion="pip install 'meshdrop[weights]', or put the files there by hand: `meshdrop weights list`.",
        ) from None
    repository, _, name = url.removeprefix(_HUB).partition("/resolve/main/")
    folder = path.with_name(f".{path.name}.hub")
    Path(hf_hub_download(repo_id=repository, filename=name, local_dir=folder)).replace(path)
    shutil.rmtree(folder)


def _from_web(url: str, path: Path) -> None:
    from urllib.request import urlopen

    with urlopen(url, timeout=60) as answer, path.open("wb") as file:
        shutil.copyfileobj(answer, file)
