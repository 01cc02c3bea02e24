"""Text from anywhere, such as the names of files, as people are shown it."""

from __future__ import annotations

import unicodedata
from typing import Any, Final

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


def encodable(value: Any) -> Any:
    """JSON's values without lone surrogates, which are no text: a page or message that holds one can't be written."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, list | tuple):
        return [encodable(item) for item in value]
    if isinstance(value, dict):
        return {encodable(key): encodable(item) for key, item in value.items()}
    return value


def _is_escaped_byte(char: str) -> bool:
    return "\udc80" <= char <= "\udcff"


def _escaped(char: str) -> str:
    if char in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[char]
    if _is_escaped_byte(char):
        return f"\\x{ord(char) - 0xDC00:02x}"
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
