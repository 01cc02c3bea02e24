"""Markers: the little files by which people ask for something, and the daemon's own files. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from config.bundle_layout import name_key

MarkerKind = Literal["ready", "cancel", "cancel-confirm", "redo"]

STATUS_FILE: Final = "STATUS.txt"
ERROR_FILE: Final = "error.json"
_KINDS: Final = "|".join(sorted(get_args(MarkerKind), key=len, reverse=True))
_INSIDE: Final = re.compile(rf"\.?({_KINDS})(\.txt)?")
_BESIDE: Final = re.compile(rf"(.+)\.({_KINDS})(\.txt)?", re.DOTALL)
_OWN_TEMPORARY: Final = re.compile(r"\..*(status\.txt|error\.json).*\.[0-9a-f]{8}\.tmp", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Marker:
    """One marker. name: its path within the entry, or its name in the inbox where it lies beside the entry.

    identity: size and times, so that one that can't be removed is acted on once. uid: its owner's.
    """

    kind: MarkerKind
    name: str
    beside: bool
    identity: str
    uid: int


def marker_kind(name: str) -> MarkerKind | None:
    """What a file in a bundle asks for: in any case, with or without the dot, with or without ".txt"."""
    match = _INSIDE.fullmatch(name_key(name))
    return cast(MarkerKind, match[1]) if match else None


def marker_beside(name: str) -> tuple[str, MarkerKind] | None:
    """The bundle, by its raw name, and what is asked for by a file in the inbox such as "red-shoe.cancel"."""
    key = name_key(name)
    match = _BESIDE.fullmatch(key)
    if match is None:
        return None
    suffix = len(key) - match.end(1)  # of ASCII: as long in the raw name
    return name[:-suffix], cast(MarkerKind, match[2])


def beside_keys(entry: str) -> tuple[str, ...]:
    """The names, as keys, that markers beside an entry may begin with: a zip's with and without its suffix."""
    key = name_key(entry)
    return (key, key[:-4]) if key.endswith(".zip") and len(key) > 4 else (key,)


def is_own_file(name: str) -> bool:
    """Whether the daemon writes files of this name into a bundle: never input, never a change."""
    return name in (STATUS_FILE, ERROR_FILE) or _OWN_TEMPORARY.fullmatch(name_key(name)) is not None


def is_own_beside(name: str) -> bool:
    """Whether the daemon writes files of this name into an inbox."""
    return is_own_file(name) or name_key(name).endswith((".status.txt", ".error.json"))
