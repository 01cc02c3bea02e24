"""What job.toml and the settings have in common: strict tables, and errors that say what to write instead."""

from __future__ import annotations

import difflib
import tomllib
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from config.errors import ShareUnavailable, ValidationFailed
from config.text import shown

LARGEST_TOML: Final = 1 << 20

_MOST_PROBLEMS: Final = 20
_LONGEST_WORDS: Final = 200


class Table(BaseModel):
    """A TOML table: unknown keys are refused, numbers are finite, values are not converted from other types.

    The text below a key is its description, for the documents.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; a byte-order mark is fine.

    Raises ValidationFailed for what is not UTF-8 or not TOML, naming the line; ShareUnavailable where the file can't
    be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_TOML + 1)
    except OSError as error:
        raise ShareUnavailable(f"{path.name}: can't be read: {error.strerror}.", file=path.name) from error
    return parse_toml(data, path.name)


def parse_toml(data: bytes, name: str) -> dict[str, Any]:
    """Parse a TOML file's bytes; raises ValidationFailed as `read_toml` does. name: the file's, for errors."""
    if len(data) > LARGEST_TOML:
        raise ValidationFailed(f"{name}: is over 1 MB: not a file of settings.", file=name)
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValidationFailed(
            f"{name}: is not UTF-8 text (line {line}).", suggestion="Save it as UTF-8.", file=name, line=line
        ) from error
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValidationFailed(
            f"{name}: is nested too deeply: not a file of settings.",
            suggestion="Write plain `key = value` lines under [tables].",
            file=name,
        ) from None
    except ValueError as error:  # tomllib's own, or Python's on a number of thousands of digits
        last = text.rstrip("\n").count("\n") + 1
        reason = shown(str(error)[:_LONGEST_WORDS]).replace("(at end of document)", f"(at line {last}, the end)")
        raise ValidationFailed(
            f"{name}: is not valid TOML: {reason}.",
            suggestion='Write `key = value`, with text in quotes: quality = "high".',
            file=name,
        ) from error


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that suggests the known words nearest to `word`, or lists them."""
    words = sorted(known)
    near = difflib.get_close_matches(word[:_LONGEST_WORDS].lower().replace("-", "_"), words, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(words)}"


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One sentence for each thing that is wrong: the key as written in TOML, what it is, what is allowed.

    What stands in the file is shown as names are: it may be meant to break lines or terminals.
    """
    found = error.errors(include_url=False)
    told = list(dict.fromkeys(shown(_explain_one(dict(item), model)) for item in found[:_MOST_PROBLEMS]))
    return told + ([f"and {len(found) - _MOST_PROBLEMS} more"] if len(found) > _MOST_PROBLEMS else [])


def _explain_one(item: dict[str, Any], model: type[BaseModel]) -> str:
    loc = tuple(item["loc"])
    key, value = _dotted(loc), "(hidden)" if loc[-1:] == ("secret",) else item.get("input")
    kind, context = item["type"], item.get("ctx", {})
    table = _model_at(model, loc[:-1])
    if kind == "extra_forbidden":
        known = table.model_fields if table else ()
        return f"unknown key {key}: {did_you_mean(str(loc[-1]), known)}"
    if kind == "literal_error":
        allowed = str(context["expected"]).replace("'", '"').replace(" or ", ", ")
        literal = loc[-1] == "[key]"
        what = f"unknown key {_dotted(loc[:-1])}" if literal else f"{key} = {_toml(value)} is not allowed"
        words = [word.strip('"') for word in allowed.split(", ")]
        near = difflib.get_close_matches(str(value)[:_LONGEST_WORDS], words, n=1)
        return f"{what}: one of {allowed}" + (f" (did you mean {near[0]}?)" if near else "")
    if kind == "value_error":
        reason = str(context["error"])
        return f"{key}: {reason}" if key else reason
    if kind == "missing":
        return f"{key} is missing"
    message = str(item["msg"])
    message = message[0].lower() + message[1:]
    return f"{key} = {_toml(value)} is not allowed: {message.replace('input should be', 'it should be')}"


def _dotted(loc: tuple[Any, ...]) -> str:
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part != "[key]":
            text += f".{part}" if text else str(part)
    return text if len(text) <= _LONGEST_WORDS else text[: _LONGEST_WORDS - 3] + "..."


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _model_at(model: type[BaseModel], loc: tuple[Any, ...]) -> type[BaseModel] | None:
    """The table that a location lies in, through optional, list and dict fields."""
    here: Any = model
    for part in loc:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(part))
            if field is None:
                return None
            here = _strip(field.annotation)
        else:
            arguments = get_args(here)
            if not arguments:
                return None
            here = _strip(arguments[-1] if get_origin(here) is dict else arguments[0])
    return here if _is_table(here) else None


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _strip(annotation: Any) -> Any:
    """Without Optional and Annotated."""
    while True:
        if get_origin(annotation) in (Union, types.UnionType):
            annotation = next(a for a in get_args(annotation) if a is not type(None))
        elif hasattr(annotation, "__metadata__"):
            annotation = get_args(annotation)[0]
        else:
            return annotation


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a table: `dotted` through the tables it lies in, `[]` and `<name>` standing for members."""

    dotted: str
    field: FieldInfo
    tables: tuple[type[BaseModel], ...]

    @property
    def default(self) -> Any:
        """Its default; PydanticUndefined where it has to be given."""
        return self.field.get_default(call_default_factory=True)


def keys_of(model: type[BaseModel], prefix: str = "", above: tuple[type[BaseModel], ...] = ()) -> Iterator[Key]:
    """Every key of a table and of the tables in it."""
    tables = (*above, model)
    for name, field in model.model_fields.items():
        inner = _strip(field.annotation)
        dotted = f"{prefix}{name}"
        if _is_table(inner):
            yield from keys_of(inner, f"{dotted}.", tables)
        elif get_origin(inner) is dict and isinstance(get_args(inner)[1], type):
            yield from keys_of(get_args(inner)[1], f"{dotted}.<{_member(get_args(inner)[0])}>.", tables)
        elif get_origin(inner) is tuple and _is_table(get_args(inner)[0]):
            yield from keys_of(get_args(inner)[0], f"{dotted}[].", tables)
        else:
            yield Key(dotted, field, tables)


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Every key of a table and of the tables in it, dotted, with its default; `[]` and `<name>` stand for members."""
    return {key.dotted: key.default for key in keys_of(model)}


def annotation_of(model: type[BaseModel], key: str) -> Any:
    """The type of a dotted key's value, without Optional and Annotated."""
    *tables, last = key.split(".")
    steps = [step for name in tables for step in ((name[:-2], 0) if name.endswith("[]") else (name,))]
    table = _model_at(model, tuple(steps))
    if table is None:
        raise KeyError(key)
    return _strip(table.model_fields[last].annotation)


def _member(key: Any) -> str:
    return "view" if get_origin(key) is Literal and "front" in get_args(key) else "name"
