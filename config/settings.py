"""Where settings come from.

Order, the first that has a key wins: the command line, the environment, `--config` or MESHDROP_CONFIG,
./config/meshdrop.toml, /etc/meshdrop/meshdrop.toml, the defaults.
"""

from __future__ import annotations

import copy
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from config.errors import ValidationFailed
from config.sections import Settings
from config.tables import annotation_of, did_you_mean, explain, read_toml, schema_of

ENVIRONMENT_PREFIX: Final = "MESHDROP_"
CONFIG_VARIABLE: Final = "MESHDROP_CONFIG"
LOCAL_FILE: Final = Path("config/meshdrop.toml")
SYSTEM_FILE: Final = Path("/etc/meshdrop/meshdrop.toml")


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
    named = config or (Path(variables[CONFIG_VARIABLE]) if variables.get(CONFIG_VARIABLE) else None)
    if named is not None and not (here / named).is_file():
        raise ValidationFailed(
            f"{named}: there is no such settings file.", suggestion="Check --config.", file=str(named)
        )
    files = [path for path in (here / named if named else None, here / LOCAL_FILE, system_file) if path]

    class Layered(BaseSettings):
        """Merges the places, the first that has a key wins; what they may say is checked place by place."""

        model_config = SettingsConfigDict(extra="allow")

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            tables = [
                (_nested(overrides or {}), "command line", here),
                (_from_environment(variables), "environment", here),
                *((read_toml(path), str(path), path.resolve().parent) for path in files if path.is_file()),
                (Settings().model_dump(), "defaults", here),
            ]
            return tuple(_Place(settings_cls, *table) for table in tables)

    return _check(Layered().model_dump(), "settings")


class _Place(InitSettingsSource):
    """One place that settings may stand in, checked, its relative paths counted from its folder."""

    def __init__(self, settings_cls: type[BaseSettings], table: dict[str, Any], source: str, base: Path) -> None:
        _check(table, source)
        super().__init__(settings_cls, _absolute(table, base))


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
    known = {variable_of(key): key for key in schema_of(Settings) if "[]" not in key}
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


def _path_keys(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    for key in schema_of(model):
        if annotation_of(model, key) is Path:
            yield tuple(key.split("."))


def _absolute(table: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """A copy with every relative path counted from `base`."""
    out: dict[str, Any] = copy.deepcopy(dict(table))
    for *tables, last in _path_keys(Settings):
        for here in _tables_at(out, tables):
            if isinstance(here.get(last), str | Path):
                here[last] = Path(os.path.normpath(base / Path(here[last]).expanduser()))
    return out


def _tables_at(table: Any, names: list[str]) -> list[dict[str, Any]]:
    """The tables that a dotted key lies in: one, or one a member of a list (`inboxes[]`)."""
    found = [table]
    for name in names:
        members = [here.get(name.removesuffix("[]")) for here in found if isinstance(here, dict)]
        if name.endswith("[]"):
            members = [item for member in members if isinstance(member, list | tuple) for item in member]
        found = members
    return [here for here in found if isinstance(here, dict)]
