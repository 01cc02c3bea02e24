"""Which of an entry's files are the twelve images and job.toml, what is missing and what is in the way. Pure.

The same for a folder, from what lstat says, and for a zip, from what its directory says.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from config.bundle_layout import (
    IMAGE_DIRS,
    JOB_FILES,
    VIEW_NAMES,
    is_junk,
    is_temporary,
    name_key,
)
from config.errors import InvalidFileCount, InvalidFileFormat
from config.problems import Problem
from daemon.intake.markers import is_own_file
from daemon.intake.snapshot import WRAPPERS, Item
from daemon.names import shown

IMAGE_KEYS: Final = tuple(f"{folder}/{view}.png" for folder in IMAGE_DIRS for view in VIEW_NAMES)
"""The twelve, as the layout spells them."""

_VIEW_FILES: Final = frozenset(f"{view}.png" for view in VIEW_NAMES)
_PICTURES: Final = (
    ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".exr", ".avif", ".heic", ".npy", ".png",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """A bundle's files.

    images: by the layout's name, such as "multi_views/front.png". unfinished: names of files still being copied.
    lookalikes: files that may be meant for missing ones. problems: what can't become right by waiting.
    recognised: something of a bundle is there. bundles: the names of bundles in it, where it is a folder of bundles.
    """

    images: dict[str, Item]
    job_file: Item | None
    missing: tuple[str, ...]
    unfinished: tuple[str, ...]
    lookalikes: tuple[str, ...]
    problems: tuple[Problem, ...]
    recognised: bool
    bundles: tuple[str, ...] = ()
    loose: bool = False

    @property
    def complete(self) -> bool:
        """Whether all twelve are there."""
        return not self.missing


def find_root(items: Iterable[Item]) -> str:
    """The wrapping folders around a bundle, for things whose whole tree is known (a zip's)."""
    known = list(items)
    root = ""
    for _ in range(WRAPPERS + 1):
        here = [item for item in known if item.parent == root and item.name and not is_junk(item.last)]
        if any(name_key(item.last) in IMAGE_DIRS for item in here):
            return root
        folders = [item for item in here if item.kind == "folder"]
        if len(folders) != 1:
            break
        root = folders[0].name
    return root


def read_layout(items: Iterable[Item], root: str) -> Layout:
    """Find the twelve images and job.toml among an entry's items."""
    children: dict[str, list[Item]] = {}
    for item in items:
        if item.name and not is_junk(item.last):
            children.setdefault(item.parent, []).append(item)
    problems: list[Problem] = []
    unfinished: list[str] = []
    folders: dict[str, list[Item]] = {name: [] for name in IMAGE_DIRS}
    jobs: list[Item] = []
    here = children.get(root, [])
    for item in here:
        key = name_key(item.last)
        if key in folders:
            folders[key].append(item)
        elif key in JOB_FILES:
            jobs.append(item)
        elif is_temporary(item.last) and not is_own_file(item.last):
            unfinished.append(item.name)
    images: dict[str, Item] = {}
    lookalikes: list[str] = []
    for folder, found in folders.items():
        if len(found) > 1:
            names = " and ".join(shown(item.last) for item in found)
            message = f"{names} are the same folder name in other letters"
            problems.append(Problem(InvalidFileCount, "", message, "Keep one of them."))
        inside = [item for each in found for item in children.get(each.name, [])]
        _find_images(folder, inside, images, problems, unfinished, lookalikes)
        for item in found:
            if item.kind != "folder" and not item.trouble:
                problems.append(_not_regular(item, "folder"))
                # It will never hold anything: nothing is waited for.
                images |= {key: item for key in IMAGE_KEYS if key.startswith(f"{folder}/") and key not in images}
    if len(jobs) > 1:
        names = " and ".join(shown(item.last) for item in jobs)
        problems.append(Problem(InvalidFileCount, "", f"{names} are both there", "Keep one of them."))
    elif jobs and (problem := _regular_problem(jobs[0], "file")):
        problems.append(problem)
    missing = tuple(key for key in IMAGE_KEYS if key not in images)
    files_here = {name_key(item.last) for item in here if item.kind == "file"}
    return Layout(
        images=images,
        job_file=jobs[0] if jobs else None,
        missing=missing,
        unfinished=tuple(unfinished),
        lookalikes=tuple(lookalikes),
        problems=tuple(problems),
        recognised=any(folders.values()),
        bundles=_bundles(here, children) if not any(folders.values()) else (),
        loose=bool(files_here & _VIEW_FILES) and not any(folders.values()),
    )


def _bundles(here: list[Item], children: dict[str, list[Item]]) -> tuple[str, ...]:
    """The sub-folders that hold a bundle's folders, and zips."""
    return tuple(
        item.last
        for item in here
        if (item.kind == "folder" and any(name_key(child.last) in IMAGE_DIRS for child in children.get(item.name, ())))
        or (item.kind == "file" and name_key(item.last).endswith(".zip"))
    )


def _find_images(
    folder: str,
    inside: list[Item],
    images: dict[str, Item],
    problems: list[Problem],
    unfinished: list[str],
    lookalikes: list[str],
) -> None:
    found: dict[str, list[Item]] = {}
    for item in inside:
        key = name_key(item.last)
        if key in _VIEW_FILES:
            found.setdefault(f"{folder}/{key}", []).append(item)
        elif is_temporary(item.last):
            unfinished.append(item.name)
        elif key.endswith(".png"):
            views = ", ".join(f"{view}.png" for view in VIEW_NAMES)
            advice = f"Take it out, or give it its right name: {folder} holds {views} and no other image."
            problems.append(Problem(InvalidFileCount, item.name, "is not one of the six views", advice))
            lookalikes.append(item.name)
        elif PurePosixPath(key).suffix in _PICTURES:
            lookalikes.append(item.name)
    for key, same in found.items():
        if len(same) > 1:
            names = " and ".join(shown(item.last) for item in same)
            message = f"holds a view twice: {names} differ only in capitals or in how the letters are written"
            problems.append(Problem(InvalidFileCount, same[0].parent, message, "Keep one of them."))
            images[key] = same[0]
        elif problem := _regular_problem(same[0], "PNG file"):
            problems.append(problem)
            images[key] = same[0]
        else:
            images[key] = same[0]


def _regular_problem(item: Item, wanted: str) -> Problem | None:
    if item.kind == "other" and item.trouble:
        return None  # it may be a file; that it can't be looked at is told elsewhere
    if item.kind != "file":
        return _not_regular(item, wanted)
    if item.links > 1:
        message = f"is a hard link ({item.links} names for one file)"
        advice = "Put a copy there: a file that can be changed under another name can't be trusted to stay the same."
        return Problem(InvalidFileFormat, item.name, message, advice)
    return None


def _not_regular(item: Item, wanted: str) -> Problem:
    return Problem(
        InvalidFileFormat, item.name, f"is {kind_words(item)}, not a {wanted}", f"Put the {wanted} itself there."
    )


def kind_words(item: Item) -> str:
    """What something is, with its article."""
    kinds = (
        (stat.S_ISLNK, "a link"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISREG, "a file"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    )
    if item.kind == "link":
        return "a link"
    return next((words for test, words in kinds if test(item.mode)), "a device")
