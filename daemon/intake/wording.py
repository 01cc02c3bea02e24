"""The gate's sentences: what a bundle waits for, as a colleague would say it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from config.bundle_layout import DEPTH_DIR, IMAGE_DIRS, RGB_DIR, name_key
from config.errors import InvalidFileCount
from daemon.intake.layout import Layout, kind_words
from daemon.intake.snapshot import Item, Snapshot
from daemon.names import shown

READY_WANTED: Final = "All files are here; put an empty file named .ready beside them to start."
_LISTED: Final = 6
_PICTURE_SUFFIXES: Final = (".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".exr", ".avif", ".heic")
_OTHER_ARCHIVES: Final = (".7z", ".rar", ".tar", ".tgz", ".gz", ".xz", ".bz2", ".zst", ".zipx")
_LAYOUT: Final = f"the six views in {RGB_DIR} and the six depth renders in {DEPTH_DIR}"


SETTLES: Final = "It arrived whole, and is taken once it has been unchanged for a second."
DRAINING: Final = "It is complete. No new bundles are taken just now; it is, as soon as that ends."


def listed(names: Sequence[str], most: int = _LISTED) -> str:
    """Names in a sentence, "and 4 more" where there are many."""
    words = [shown(name) for name in names]
    if len(words) <= most:
        return ", ".join(words)
    return f"{', '.join(words[:most])} and {len(words) - most} more"


def duration(seconds: float) -> str:
    """A time span as people say it."""
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            number = round(seconds / size, 1)
            return f"{number:g} {word}{'' if number == 1 else 's'}"
    return f"{round(seconds)} seconds" if round(seconds) != 1 else "a second"


def missing(layout: Layout) -> str:
    """ "10 of 12 files; waiting for ..."."""
    lacking: list[str] = []
    for folder in IMAGE_DIRS:
        ours = [key for key in layout.missing if key.startswith(f"{folder}/")]
        if len(ours) == 6 and len(layout.missing) > _LISTED:
            lacking.append(f"the six files of {folder}")
        else:
            lacking += ours
    waiting = " and ".join(lacking) if len(layout.missing) == 12 else listed(lacking)
    sentence = f"{len(layout.images)} of 12 files; waiting for {waiting}."
    views = {key.rsplit("/", 1)[1].removesuffix(".png") for key in layout.missing}
    pictures = [name for name in layout.lookalikes if name_key(name).endswith(_PICTURE_SUFFIXES)]
    pictures = [name for name in pictures if name_key(name.rsplit("/", 1)[-1]).split(".")[0] in views]
    others = [name for name in layout.lookalikes if name_key(name).endswith(".png")]
    if pictures:
        sentence += f" There is {listed(pictures, 3)}: please export as PNG; renaming is not enough."
    elif others:
        verb = "is none" if len(others) == 1 else "are none"
        sentence += f" {listed(others, 3)} {verb} of the six views: a wrong name?"
    return sentence


def still_copied(layout: Layout, present: int) -> str:
    """A copying program's temporary file is there."""
    names = listed(layout.unfinished, 3)
    one = len(layout.unfinished) == 1
    advice = f"If no copy is running, delete {'it' if one else 'them'}."
    return f"{present} of 12 files; {names} {'is' if one else 'are'} still being copied. {advice}"


def unreadable(items: Sequence[Item], name: str = "") -> str:
    """Something can't be read: which, whose it is, its mode."""
    words = "; ".join(f"{shown(item.name or name or 'the folder')} can't be read: {item.trouble}" for item in items[:3])
    more = f"; and {len(items) - 3} more" if len(items) > 3 else ""
    return f"{words}{more}. Please allow reading; it goes on by itself."


def quiet(quiet_s: float, passed: bool) -> str:
    """Whether the bundle has been left alone for long enough."""
    if passed:
        return f"Nothing has changed for {duration(quiet_s)}."
    return f"All files are here; it starts once nothing has changed for {duration(quiet_s)}."


def content(outcome: str, sentence: str) -> str:
    """What reading the files showed."""
    if outcome == "unfinished":
        return f"{sentence} If it is still being copied, it is taken when that is done; if not, please send it again."
    return sentence


def count_error(layout: Layout, before: str = "") -> InvalidFileCount:
    """The error of a bundle that lacks files."""
    parts = [f"{listed(layout.missing, 12)} {'is' if len(layout.missing) == 1 else 'are'} missing"]
    if not layout.missing:
        parts = []
    if layout.unfinished:
        parts.append(
            f"{listed(layout.unfinished, 3)} {'is' if len(layout.unfinished) == 1 else 'are'} still being copied"
        )
    text = before + "; ".join(parts) + "."
    if layout.lookalikes and layout.missing:
        text += f" There is {listed(layout.lookalikes, 6)}."
    advice = None
    if layout.missing:
        advice = f"Add {'it' if len(layout.missing) == 1 else 'them'}, as PNG and under exactly these names."
    return InvalidFileCount(
        text, suggestion=advice, files=list(layout.missing), found=[shown(name) for name in layout.lookalikes]
    )


def not_a_bundle(snapshot: Snapshot) -> str:
    """An entry that is neither a folder nor a zip."""
    name, key = shown(snapshot.entry), name_key(snapshot.entry)
    if snapshot.kind == "file":
        if key.endswith(_OTHER_ARCHIVES):
            return f"{name} can't be unpacked here; please send a folder, or a .zip of it."
        if key.endswith((".png", *_PICTURE_SUFFIXES)):
            return f"{name} lies loose in the inbox; please put {_LAYOUT}, both in one folder, and drop that folder."
        return f"{name} is not a bundle; a bundle is a folder, or a .zip of one."
    what = kind_words(snapshot.top) if snapshot.top else "nothing that can be read"
    return f"{name} is {what}; please put the folder itself here."


def nothing_recognised(snapshot: Snapshot, layout: Layout) -> str:
    """A folder that holds nothing of a bundle."""
    name, key = shown(snapshot.entry), name_key(snapshot.entry)
    if key in IMAGE_DIRS:
        return f"{name} lies loose in the inbox; please put {RGB_DIR} and {DEPTH_DIR} into one folder, and drop that."
    if layout.bundles:
        return (
            f"{name} is a folder of bundles ({listed(layout.bundles, 3)}); "
            "please move each of them directly into the inbox."
        )
    if layout.loose:
        return f"{name} holds its images loose; please put {_LAYOUT}."
    return f"{name} holds no {RGB_DIR} and no {DEPTH_DIR} folder; nothing to do yet."
