"""Names: as people are shown them, and as the daemon makes them.

Names come from anywhere: inside the program they are `str` with surrogate escapes for bytes that are no UTF-8. Files
are opened by these raw names; what stands here is for reading and for new names alone.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from config.bundle_layout import name_key

LONGEST_NAME_BYTES: Final = 80
"""What a folder's name in the outbox has at most, ".failed-" and a job's id included."""

_SUFFIX_BYTES: Final = len(".failed-01234567")
_FORBIDDEN: Final = frozenset('<>:"/\\|?*')
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
_SHORT_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_JOINERS: Final = frozenset("\u200c\u200d")
"""Format characters that scripts and emoji are written with; all others are for hiding."""


def _is_escaped_byte(char: str) -> bool:
    return "\udc80" <= char <= "\udcff"


def _hides(char: str) -> bool:
    """Whether a character breaks lines, turns the direction of text, is invisible, or is no character at all."""
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") and char not in _JOINERS


def _escaped(char: str) -> str:
    if char in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[char]
    if _is_escaped_byte(char):
        return f"\\x{ord(char) - 0xDC00:02x}"
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shown(name: str) -> str:
    """A name or text as people and logs are shown it: one line, NFC, nothing in it that hides or turns the rest."""
    if name.isascii() and name.isprintable():
        return name
    return "".join(_escaped(char) if _hides(char) else char for char in unicodedata.normalize("NFC", name))


def safe_name(name: str) -> str:
    """The name of a result's folder for a bundle's name: one that every system can hold, without the job's id.

    NFC; what Windows forbids, control characters, bytes that are no text and a leading or trailing dot or space
    become "_"; reserved Windows names are prefixed; cut so that the longest suffix still fits into 80 bytes.
    """
    text = unicodedata.normalize("NFC", name)
    text = "".join("_" if char in _FORBIDDEN or _hides(char) else char for char in text)
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
