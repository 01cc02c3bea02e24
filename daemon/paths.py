"""Paths as people know them: what the server's folders are called on the machines of those who use them. Pure."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote

from config.sections import PathNames, Settings
from daemon.names import shown


def shown_path(path: str | Path, settings: Settings) -> str:
    """A path for people: as Windows and macOS call it where `[[paths]]` says so, else as the server does."""
    here = PurePosixPath(path)
    table = _nearest(here, settings)
    if table is None:
        return shown(str(here))
    parts = here.relative_to(table.server).parts
    forms = []
    if table.windows is not None:
        forms.append(str(PureWindowsPath(table.windows, *(shown(part) for part in parts))))
    if table.mac is not None:
        forms.append(str(PurePosixPath(table.mac, *(shown(part) for part in parts))))
    return " or ".join(forms) or shown(str(here))


def server_path(text: str, settings: Settings, folder: Path) -> Path:
    """The server's path of what somebody typed or pasted: a server, Windows or Mac path, or a file: address.

    folder: what a relative path counts from.
    """
    given = text.strip().strip("\"'")
    if given.lower().startswith("file:"):
        given = unquote(re.sub(r"^file:(//[^/]*)?", "", given, flags=re.I))
        given = re.sub(r"^/(?=[A-Za-z]:)", "", given)
    for table in sorted(settings.paths, key=lambda table: -len(table.windows or table.mac or "")):
        for known, windows in ((table.windows, True), (table.mac, False)):
            rest = _below(given, known, windows=windows) if known else None
            if rest is not None:
                return Path(table.server, *rest)
    return (folder / Path(given).expanduser()).absolute()


def _nearest(path: PurePosixPath, settings: Settings) -> PathNames | None:
    above = [table for table in settings.paths if path.is_relative_to(table.server)]
    return max(above, key=lambda table: len(PurePosixPath(table.server).parts), default=None)


def _below(given: str, known: str, *, windows: bool) -> tuple[str, ...] | None:
    """The parts of a path below one that is known; None where it is not below it. Windows and macOS fold case."""
    split = r"[\\/]+" if windows else r"/+"
    parts = [part for part in re.split(split, given) if part]
    above = [_folded(part) for part in re.split(split, known) if part]
    rooted = given[:2] in ("\\\\", "//") if known[:2] in ("\\\\", "//") else not windows or ":" in given
    absolute = given.startswith("/") or windows
    if not (rooted and absolute) or [_folded(part) for part in parts[: len(above)]] != above:
        return None
    return tuple(parts[len(above) :])


def _folded(part: str) -> str:
    return unicodedata.normalize("NFC", part).casefold()
