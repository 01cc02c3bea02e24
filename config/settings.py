"""Every setting: its name, default, meaning and check; and where settings come from.

Order, the first that has a key wins: the command line, the environment, `--config` or MESHDROP_CONFIG,
./config/meshdrop.toml, /etc/meshdrop/meshdrop.toml, the defaults.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from config.errors import ValidationFailed
from config.job import Thresholds
from config.tables import Table, annotation_of, did_you_mean, explain, read_toml, schema_of

MEGABYTE: Final = 1 << 20
ENVIRONMENT_PREFIX: Final = "MESHDROP_"
CONFIG_VARIABLE: Final = "MESHDROP_CONFIG"
LOCAL_FILE: Final = Path("config/meshdrop.toml")
SYSTEM_FILE: Final = Path("/etc/meshdrop/meshdrop.toml")

Folder = Annotated[Path, Field(strict=False)]


class Limits(Table):
    """What a bundle may weigh and measure."""

    file_mb: Annotated[float, Field(gt=0)] = 20.0
    bundle_mb: Annotated[float, Field(gt=0)] = 200.0
    min_size_px: Annotated[int, Field(ge=16, le=8192)] = 256
    max_size_px: Annotated[int, Field(ge=16, le=8192)] = 8192

    @model_validator(mode="after")
    def _ordered(self) -> Limits:
        if self.min_size_px > self.max_size_px:
            raise ValueError("min_size_px is above max_size_px")
        return self


class Engine(Table):
    """How the engine uses the machine."""

    threads: Annotated[int, Field(ge=0)] = 0
    cache_dir: Folder | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"


class Preset(Table):
    """What a quality means where the job does not say it: voxels along the longest side, texture, faces."""

    grid: Annotated[int, Field(ge=32, le=1024)]
    texture_size_px: Annotated[int, Field(ge=256, le=8192)]
    target_faces: Annotated[int, Field(ge=500, le=2_000_000)]


class Draft(Preset):
    """Quick."""

    grid: Annotated[int, Field(ge=32, le=1024)] = 128
    texture_size_px: Annotated[int, Field(ge=256, le=8192)] = 1024
    target_faces: Annotated[int, Field(ge=500, le=2_000_000)] = 20_000


class Standard(Preset):
    """What a job gets that asks for nothing."""

    grid: Annotated[int, Field(ge=32, le=1024)] = 256
    texture_size_px: Annotated[int, Field(ge=256, le=8192)] = 2048
    target_faces: Annotated[int, Field(ge=500, le=2_000_000)] = 50_000


class High(Preset):
    """As good as it gets."""

    grid: Annotated[int, Field(ge=32, le=1024)] = 384
    texture_size_px: Annotated[int, Field(ge=256, le=8192)] = 4096
    target_faces: Annotated[int, Field(ge=500, le=2_000_000)] = 150_000


class Qualities(Table):
    """The presets of job.toml's `quality`."""

    draft: Draft = Draft()
    standard: Standard = Standard()
    high: High = High()


class Settings(Table):
    """All settings. Paths are absolute once they come from `load_settings`."""

    inbox: Folder = Path("inbox")
    outbox: Folder = Path("outbox")
    state_dir: Folder = Path("state")
    limits: Limits = Limits()
    thresholds: Thresholds = Thresholds()
    engine: Engine = Engine()
    quality: Qualities = Qualities()


def load_settings(
    config: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    system_file: Path = SYSTEM_FILE,
) -> Settings:
    """Read the settings from everywhere they may stand.

    Args:
        config: the file that `--config` names; MESHDROP_CONFIG where None.
        overrides: what the command line gives, by dotted key, such as {"engine.threads": 2}.
        environment: os.environ where None.
        folder: what relative paths of the environment and the command line count from, and where
            config/meshdrop.toml is looked for; the working directory where None.
        system_file: the machine's file.

    Raises:
        ValidationFailed: a file that is named is missing or no TOML, a key or MESHDROP_* variable is unknown, or a
            value is not allowed; with everything that is wrong in that place.
        ShareUnavailable: a file can't be read.

    """
    variables = os.environ if environment is None else environment
    here = (folder or Path.cwd()).absolute()
    merged: dict[str, Any] = _absolute(Settings().model_dump(), here)
    named = config or (Path(variables[CONFIG_VARIABLE]) if variables.get(CONFIG_VARIABLE) else None)
    if named is not None and not (here / named).is_file():
        raise ValidationFailed(
            f"{named}: there is no such settings file.", suggestion="Check --config.", file=str(named)
        )
    for path in (system_file, here / LOCAL_FILE, here / named if named else None):
        if path is not None and path.is_file():
            table = read_toml(path)
            _check(table, str(path))
            _merge(merged, _absolute(table, path.resolve().parent))
    from_environment = _from_environment(variables)
    _check(from_environment, "environment")
    _merge(merged, _absolute(from_environment, here))
    given = _nested(overrides or {})
    _check(given, "command line")
    _merge(merged, _absolute(given, here))
    return _check(merged, "settings")


def variable_of(key: str) -> str:
    """The environment variable of a dotted key."""
    return ENVIRONMENT_PREFIX + key.replace(".", "__").upper()


def _check(table: dict[str, Any], source: str) -> Settings:
    try:
        return Settings.model_validate(table)
    except ValidationError as error:
        problems = explain(error, Settings)
        raise ValidationFailed(
            f"{source}: {'; '.join(problems)}.",
            suggestion="docs/settings.md lists every setting and what it may be.",
            file=source,
            problems=problems,
        ) from error


def _from_environment(variables: Mapping[str, str]) -> dict[str, Any]:
    known = {variable_of(key): key for key in schema_of(Settings)}
    flat: dict[str, Any] = {}
    unknown = []
    for name in sorted(variables):
        if not name.startswith(ENVIRONMENT_PREFIX) or name == CONFIG_VARIABLE:
            continue
        if name in known:
            flat[known[name]] = _parse(known[name], variables[name])
        else:
            near = did_you_mean(name.lower(), (word.lower() for word in (*known, CONFIG_VARIABLE)))
            unknown.append(f"unknown variable {name}: " + near.upper().replace("DID YOU MEAN", "did you mean"))
    if unknown:
        raise ValidationFailed(
            f"environment: {'; '.join(unknown)}.",
            suggestion="docs/settings.md lists every setting; its variable is MESHDROP_ and the key, __ for the dot.",
            problems=unknown,
        )
    return _nested(flat)


def _parse(key: str, text: str) -> Any:
    """A variable's text as the type that its setting has: text as it is, else as TOML writes it."""
    kind = annotation_of(Settings, key)
    if kind in (str, Path) or not isinstance(kind, type):
        return text
    try:
        value = tomllib.loads(f"value = {text.strip().lower()}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return value


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in flat.items():
        *tables, last = key.split(".")
        here = out
        for table in tables:
            here = here.setdefault(table, {})
        here[last] = value
    return out


def _merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _path_keys(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    for key in schema_of(model):
        if annotation_of(model, key) is Path:
            yield tuple(key.split("."))


def _absolute(table: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """A copy with every relative path counted from `base`."""
    out: dict[str, Any] = {}
    _merge(out, {key: dict(value) if isinstance(value, Mapping) else value for key, value in table.items()})
    for *tables, last in _path_keys(Settings):
        here: Any = out
        for name in tables:
            here = here.get(name) if isinstance(here, dict) else None
        if isinstance(here, dict) and isinstance(here.get(last), str | Path):
            here[last] = Path(os.path.normpath(base / Path(here[last]).expanduser()))
    return out
