"""What a job's end leads to. Pure: no process, no database, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from config.errors import ModelOutOfMemory, ModelOutOfVram, UnknownError, WorkerCrashed, error_classes

_LOWER: Final = {"high": "standard", "standard": "draft"}
_OUT_OF_MEMORY: Final = {ModelOutOfMemory.code: "memory", ModelOutOfVram.code: "GPU memory"}
_FIRST_DELAY_S: Final = 1.0
_LONGEST_DELAY_S: Final = 60.0

Error = dict[str, Any]
"""The content of an error.json."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a job when it ends. crashes: how often its worker died before."""

    crashes: int
    lowered: bool
    quality: str
    crash_retries: int
    lower_on_oom: bool


@dataclass(frozen=True, slots=True)
class Again:
    """Run it again after `delay_s`. note: for the people who get the result, None for nothing to say."""

    reason: str
    delay_s: float
    crashes: int
    lowered: bool
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait until the machine or the share is mended."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """It has failed. crashes: to be written down."""

    error: Error
    crashes: int


Decision = Again | Hold | Fail


def kind_of(error: Error) -> str:
    """The kind of an error: input, engine, infrastructure, bug."""
    cls = error_classes().get(str(error.get("code")), UnknownError)
    return cls.kind


def decide(error: Error, facts: Facts) -> Decision:
    """What follows from a run that ended with an error."""
    code = str(error.get("code"))
    if kind_of(error) == "infrastructure":
        return Hold(code, str(error.get("message") or code))
    if code in _OUT_OF_MEMORY and facts.lower_on_oom and not facts.lowered and facts.quality in _LOWER:
        lower, what = _LOWER[facts.quality], _OUT_OF_MEMORY[code]
        note = f"Made at quality {lower}: {what} ran out at quality {facts.quality}."
        return Again(f"{what} ran out; once more at quality {lower}", 0.0, facts.crashes, True, note)
    if code != WorkerCrashed.code:
        return Fail(error, facts.crashes)
    crashes = facts.crashes + 1
    if crashes <= facts.crash_retries:
        delay_s = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 4.0 ** (crashes - 1))
        reason = f"{error.get('message')} Attempt {crashes + 1} of {facts.crash_retries + 1} in {delay_s:g} s."
        return Again(reason, delay_s, crashes, facts.lowered)
    details = {**(error.get("details") or {}), "crashes": crashes}
    message = str(error.get("message"))
    if crashes > 1:
        message += f" It was tried {crashes} times."
    return Fail({**error, "message": message, "details": details}, crashes)


def lowered_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """A job's options one quality lower, with that quality's own sizes."""
    quality = str(options.get("quality", "standard"))
    return {
        **options,
        "quality": _LOWER.get(quality, quality),
        "texture_size_px": None,
        "target_faces": None,
    }
