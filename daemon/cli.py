"""The `meshdrop` command: what is typed in a terminal, and its exit status.

The engine is imported by the commands that need it, so that `meshdrop --help` stays quick.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated, Any, get_args

import structlog
import typer

from config.errors import OutputExists, QualityThresholdFailed
from config.job import Format, JobOptions, Model, Quality
from config.settings import load_settings
from daemon.commands import configuration, health, jobs, look, queue, run, submit, weights
from daemon.commands.common import exit_status, until_interrupted
from daemon.terminal import ProgressPrinter, print_result

app = typer.Typer(
    help="Drop a folder of six views on a share, get a textured 3D model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"meshdrop {package_version('meshdrop')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def _check_choice(allowed: Any) -> Any:
    def check(value: str | None) -> str | None:
        if value is not None and value not in get_args(allowed):
            raise typer.BadParameter(f"{value!r} is none of {', '.join(get_args(allowed))}.")
        return value

    return check


@app.command()
def reconstruct(
    bundle: Annotated[Path, typer.Argument(help="The folder that holds multi_views/ and depth_renders/.")],
    out: Annotated[Path, typer.Argument(help="The folder to make; it must not exist yet.")],
    model: Annotated[
        str | None,
        typer.Option(help="nvdiffrec | reconviagen | both", callback=_check_choice(Model), show_default="job.toml's"),
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option(help="draft | standard | high", callback=_check_choice(Quality), show_default="job.toml's"),
    ] = None,
    formats: Annotated[
        str | None, typer.Option(help="Comma-separated: obj, glb, ply, stl, usdz.", show_default="job.toml's")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A settings file.", show_default="MESHDROP_CONFIG, config/, /etc/meshdrop/")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of an earlier result at OUT.")] = False,
) -> None:
    """Turn a bundle folder into a textured mesh, previews and quality figures."""
    given = {"model": model, "quality": quality, "formats": _split(formats)}
    with exit_status(), until_interrupted() as interrupted:
        settings = load_settings(config)
        _prepare_cache(settings.engine.cache_dir)
        from engine import reconstruct as run
        from engine.bundle import load_job_options

        options = _override(load_job_options(bundle), given)
        with ProgressPrinter() as printer:
            result = run(
                bundle, out, options, printer.update, lambda: bool(interrupted), settings=settings, replace=replace
            )
        print_result(result.out, result.quality, result.files)
        if result.status == "failure":
            raise QualityThresholdFailed(f"The result is below the warning threshold: {result.quality['rule']}")


@app.command()
def sample(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Where to make bundle/ and ground_truth/.", show_default=False)
    ] = None,
    object_name: Annotated[str | None, typer.Option("--object", help="Which object; see --list.")] = None,
    fov: Annotated[float, typer.Option(min=10, max=100, help="Field of view in degrees.")] = 40.0,
    encoding: Annotated[str | None, typer.Option(help="How depth is coded; see --list.")] = None,
    layout: Annotated[str | None, typer.Option(help="Where left, right and top look from; see --list.")] = None,
    size: Annotated[int, typer.Option(min=256, max=8192, help="Side of the RGB views in pixels.")] = 2048,
    light: Annotated[str | None, typer.Option(help="What lights the object; see --list.")] = None,
    list_names: Annotated[
        bool, typer.Option("--list", help="Print the names that the options take, and exit.")
    ] = False,
) -> None:
    """Make a bundle of a procedural object, with its ground truth, to try the program with."""
    from engine.sample import ENCODINGS, LAYOUTS, LIGHTS, OBJECT_NAMES, make_sample

    if list_names:
        for option, names in (
            ("--object", OBJECT_NAMES),
            ("--encoding", ENCODINGS),
            ("--layout", LAYOUTS),
            ("--light", LIGHTS),
        ):
            typer.echo(f"{option}: {', '.join(names)}")
        return
    if folder is None:
        raise typer.BadParameter("Missing argument 'DIR'.")
    chosen = {
        "object_name": _choose("--object", object_name, OBJECT_NAMES),
        "encoding": _choose("--encoding", encoding, ENCODINGS),
        "layout": _choose("--layout", layout, LAYOUTS),
        "light": _choose("--light", light, LIGHTS),
    }
    with exit_status():
        for made in (folder / "bundle", folder / "ground_truth"):
            if os.path.lexists(made):
                raise OutputExists(f"There is already something at {made}.", path=str(made))
        bundle = make_sample(folder, fov_deg=fov, size_px=size, **chosen)
        typer.echo(f"{chosen['object_name']}: {bundle}")


def _choose(option: str, value: str | None, allowed: Any) -> Any:
    names = list(allowed)
    if value is None:
        return names[0]
    if value not in names:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(names)}.", param_hint=option)
    return value


def _split(formats: str | None) -> tuple[str, ...] | None:
    if formats is None:
        return None
    names = tuple(dict.fromkeys(name.strip().lower() for name in formats.split(",") if name.strip()))
    unknown = [name for name in names if name not in get_args(Format)]
    if unknown or not names:
        raise typer.BadParameter(
            f"{', '.join(unknown) or 'nothing'}: choose from {', '.join(get_args(Format))}.", param_hint="--formats"
        )
    return names


def _prepare_cache(folder: Path | None) -> None:
    """Name the folder for compiled kernels before the compiler is imported: it looks once."""
    if folder is not None:
        os.environ.setdefault("NUMBA_CACHE_DIR", str(folder))


def _override(options: JobOptions, given: dict[str, Any]) -> JobOptions:
    changed = {key: value for key, value in given.items() if value is not None}
    return JobOptions.model_validate({**options.model_dump(exclude_unset=True), **changed})


for _function in (
    run.run,
    look.status,
    jobs.show,
    submit.submit,
    jobs.cancel,
    jobs.retry,
    queue.pause,
    queue.resume,
    queue.drain,
    look.explain,
    look.prune,
    look.doctor,
    health.health,
):
    app.command()(_function)
app.add_typer(configuration.app, name="config")
app.add_typer(weights.app, name="weights")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
