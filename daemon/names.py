"""Names: as people are shown them, and as the daemon makes them.

Names come from anywhere: inside the program they are `str` with surrogate escapes for bytes that are no UTF-8. Files
are opened by these raw names; what stands here is for reading and for new names alone.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from config.bundle_layout import name_key
from config.text import hides, shown

__all__ = ["LONGEST_NAME_BYTES", "bundle_name", "safe_name", "same_name", "shown"]

LONGEST_NAME_BYTES: Final = 80
"""What a folder's name in the outbox has at most, ".failed-" and a job's id included."""

_SUFFIX_BYTES: Final = len(".failed-01234567")
_FORBIDDEN: Final = frozenset('<>:"/\\|?*')
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)


def safe_name(name: str) -> str:
    """The name of a result's folder for a bundle's name: one that every system can hold, without the job's id.

    NFC; what Windows forbids, control characters, bytes that are no text and a leading or trailing dot or space
    become "_"; reserved Windows names are prefixed; cut so that the longest suffix still fits into 80 bytes.
    """
    text = unicodedata.normalize("NFC", name)
    text = "".join("_" if char in _FORBIDDEN or hides(char) else char for char in text)
    text = _cut(text, LONGEST_NAME_BYTES - _SUFFIX_BYTES)
    body = text.rstrip(". ")
    text = body + "_" * (len(text) - len(body))
    if text.startswith((".", " ")):
        text = "_" + text[1:]
    if _RESERVED.fullmatch(text):
        text = _cut("_" + text, LONGEST_NAME_BYTES - _SUFFIX_BYTES)
    return text or "_"


def _cut(text: str, most_bytes: int) -> str:
    """At most so many bytes of UTF-8, not cut within a character or before a combining mark."""
    if len(text.encode()) <= most_bytes:
        return text
    kept = text.encode()[:most_bytes].decode(errors="ignore")
    while kept and unicodedata.combining(text[len(kept)]):
        kept = kept[:-1]
    return kept


def bundle_name(entry: str) -> str:
    """What an inbox's entry is called: a zip's name without its suffix."""
    return entry[:-4] if name_key(entry).endswith(".zip") and len(entry) > 4 else entry


def same_name(name: str, other: str) -> bool:
    """Whether two names are one to systems that ignore case or Unicode's form."""
    return name_key(name) == name_key(other)
