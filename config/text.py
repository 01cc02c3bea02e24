"""Text from anywhere, such as the names of files, as people are shown it."""

from __future__ import annotations

import unicodedata
from typing import Final

_SHORT_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_JOINERS: Final = frozenset("\u200c\u200d")
"""Format characters that scripts and emoji are written with; all others are for hiding."""


def hides(char: str) -> bool:
    """Whether a character breaks lines, turns the direction of text, is invisible, or is no character at all."""
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") and char not in _JOINERS


def shown(name: str) -> str:
    """A name or text as people and logs are shown it: one line, NFC, nothing in it that hides or turns the rest."""
    if name.isascii() and name.isprintable():
        return name
    return "".join(_escaped(char) if hides(char) else char for char in unicodedata.normalize("NFC", name))


def _is_escaped_byte(char: str) -> bool:
    return "\udc80" <= char <= "\udcff"


def _escaped(char: str) -> str:
    if char in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[char]
    if _is_escaped_byte(char):
        return f"\\x{ord(char) - 0xDC00:02x}"
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
