"""Finding a bundle's files: wrapping folders, names in any case and Unicode form, leftovers, links."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from config.bundle_layout import (
    DEPTH_DIR,
    IMAGE_DIRS,
    JOB_FILES,
    RGB_DIR,
    VIEW_NAMES,
    ViewName,
    is_junk,
    is_temporary,
    name_key,
)
from config.errors import InvalidFileCount, InvalidFileFormat, ShareUnavailable, ValidationFailed
from config.problems import Problem
from config.text import shown
from engine.bundle.problems import raise_first_kind

_WRAPPERS = 2
_LISTED = 4
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".exr", ".avif", ".heic", ".npy")


@dataclass(frozen=True)
class ImageFile:
    """One of the twelve. path: where to open it. name: its path within the bundle as delivered, with slashes.

    key: the same as the layout spells it, such as "multi_views/front.png".
    """

    view: ViewName
    folder: str
    path: Path
    name: str

    @property
    def key(self) -> str:
        """The name as the layout spells it."""
        return f"{self.folder}/{self.view}.png"


@dataclass(frozen=True)
class BundleFiles:
    """A bundle's folder and files. job_file: None where there is no job.toml."""

    root: Path
    images: tuple[ImageFile, ...]
    job_file: Path | None


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, without leftovers, in the order of the names."""
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not is_junk(e.name)), key=lambda e: e.name)
    except PermissionError as error:
        raise ShareUnavailable(
            f"{folder.name} can't be read: {owner_and_mode(folder)}.",
            suggestion="Give this user the right to read the folder.",
            file=folder.name,
        ) from error
    except OSError as error:
        raise ShareUnavailable(f"{folder.name} can't be read: {error.strerror}.", file=folder.name) from error


def owner_and_mode(path: Path) -> str:
    """Whose a file is and what its mode is, in words: what one needs to know to make it readable."""
    try:
        status = path.lstat()
    except OSError:
        return "permission denied"
    try:
        owner = path.owner()
    except (KeyError, OSError, NotImplementedError):
        owner = str(status.st_uid)
    return f"permission denied (owner {owner}, mode {stat.S_IMODE(status.st_mode):04o})"


def _is_dir(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def find_root(path: Path) -> Path:
    """The folder that holds multi_views and depth_renders: `path`, or what one or two wrapping folders hold.

    Raises ValidationFailed where `path` is no folder, InvalidFileCount where it holds no bundle or several.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise ValidationFailed(
            f"{path} does not exist.", suggestion="Give the folder that holds multi_views and depth_renders."
        ) from None
    except OSError as error:
        raise ShareUnavailable(f"{path} can't be read: {error.strerror}.") from error
    if not stat.S_ISDIR(mode):
        raise ValidationFailed(
            f"{path} is not a folder.", suggestion="Give the folder that holds multi_views and depth_renders."
        )
    here = path
    for depth in range(_WRAPPERS + 1):
        entries = _entries(here)
        folders = [entry for entry in entries if _is_dir(entry)]
        if any(name_key(entry.name) in IMAGE_DIRS for entry in entries):
            return here
        if depth == _WRAPPERS or len(folders) != 1:
            break
        here = Path(folders[0].path)
    names = {name_key(entry.name) for entry in _entries(path)}
    if name_key(path.name) in IMAGE_DIRS or {f"{view}.png" for view in VIEW_NAMES} <= names:
        advice = f"Give the folder above it, which holds {RGB_DIR} and {DEPTH_DIR}."
    else:
        advice = f"Put the six views into {RGB_DIR} and the six depth renders into {DEPTH_DIR}, in one folder."
    raise InvalidFileCount(
        f"{path.name} holds no {RGB_DIR} and no {DEPTH_DIR} folder (up to two folders around them are looked through).",
        suggestion=advice,
        files=[],
    )


def find_files(path: Path) -> BundleFiles:
    """Find the twelve images and job.toml.

    Raises InvalidFileCount for missing, extra and doubled files and for copies that are not finished,
    InvalidFileFormat for links and other things that are no regular file, ValidationFailed where `path` is no folder,
    ShareUnavailable for a folder that can't be read.
    """
    root = find_root(path)
    problems: list[Problem] = []
    folders: dict[str, list[os.DirEntry[str]]] = {name: [] for name in IMAGE_DIRS}
    jobs: list[os.DirEntry[str]] = []
    for entry in _entries(root):
        key = name_key(entry.name)
        if key in folders:
            folders[key].append(entry)
        elif key in JOB_FILES:
            jobs.append(entry)
        elif is_temporary(entry.name):
            problems.append(_unfinished(entry.name))
    images: list[ImageFile] = []
    for folder, found in folders.items():
        if len(found) > 1:
            names = " and ".join(entry.name for entry in found)
            problems.append(
                Problem(InvalidFileCount, "", f"{names} are the same folder name in other letters", "Keep one of them.")
            )
        elif not found:
            problems.append(_no_folder(folder, root))
        elif not _is_dir(found[0]):
            problems.append(_not_regular(found[0], found[0].name, "folder"))
        else:
            images += _find_images(folder, Path(found[0].path), problems)
    if len(jobs) > 1:
        names = " and ".join(entry.name for entry in jobs)
        problems.append(Problem(InvalidFileCount, "", f"{names} are both there", "Keep one of them."))
    elif jobs and not jobs[0].is_file(follow_symlinks=False):
        problems.append(_not_regular(jobs[0], jobs[0].name, "file"))
    raise_first_kind(problems)
    return BundleFiles(root, tuple(images), Path(jobs[0].path) if jobs else None)


def _find_images(folder: str, path: Path, problems: list[Problem]) -> list[ImageFile]:
    wanted: dict[str, ViewName] = {f"{view}.png": view for view in VIEW_NAMES}
    found: dict[ViewName, list[os.DirEntry[str]]] = {}
    others: list[str] = []
    for entry in _entries(path):
        key, name = name_key(entry.name), f"{path.name}/{entry.name}"
        if key in wanted:
            found.setdefault(wanted[key], []).append(entry)
        elif is_temporary(entry.name):
            problems.append(_unfinished(name))
        elif key.endswith(".png"):
            advice = f"Take it out, or give it its right name: {folder} holds {', '.join(wanted)} and no other image."
            problems.append(Problem(InvalidFileCount, name, "is not one of the six views", advice))
        else:
            others.append(entry.name)
    images = []
    for view in VIEW_NAMES:
        entries = found.get(view, [])
        if len(entries) > 1:
            names = " and ".join(entry.name for entry in entries)
            message = f"holds a view twice: {names} differ only in case or Unicode form"
            problems.append(Problem(InvalidFileCount, path.name, message, "Keep one of them."))
        elif entries and not entries[0].is_file(follow_symlinks=False):
            problems.append(_not_regular(entries[0], f"{path.name}/{entries[0].name}", "PNG file"))
        elif entries:
            images.append(ImageFile(view, folder, Path(entries[0].path), f"{path.name}/{entries[0].name}"))
    missing = [f"{view}.png" for view in VIEW_NAMES if view not in found]
    if missing:
        problems.append(_missing(path.name, missing, others))
    return images


def _no_folder(folder: str, root: Path) -> Problem:
    others = [entry.name for entry in _entries(root) if _is_dir(entry) and name_key(entry.name) not in IMAGE_DIRS]
    message = f"there is no folder {folder}"
    advice = f"Put the six {'views' if folder == RGB_DIR else 'depth renders'} into {folder}."
    if others:
        message += f" (there is {', '.join(shown(name) for name in others[:_LISTED])})"
        advice = (
            f"Rename the folder that holds the six {'views' if folder == RGB_DIR else 'depth renders'} to {folder}."
        )
    return Problem(InvalidFileCount, "", message, advice)


def _missing(folder: str, names: list[str], others: list[str]) -> Problem:
    count = f"{len(names)} of 6 views" if len(names) > 1 else "a view"
    message = f"lacks {count}: {', '.join(names)}"
    advice = f"Add {'them' if len(names) > 1 else 'it'} to {folder}."
    views = {name.removesuffix(".png") for name in names}
    pictures = [
        name for name in others if (key := Path(name_key(name))).suffix in _PICTURE_SUFFIXES and key.stem in views
    ]
    if pictures:
        message += f" (there is {', '.join(pictures)})"
        advice = "Images must be PNG: export them again as PNG; renaming is not enough."
    return Problem(InvalidFileCount, folder, message, advice)


def _unfinished(name: str) -> Problem:
    advice = "Wait until the copy has finished; if none is running, delete this file."
    return Problem(InvalidFileCount, name, "is a file that is still being copied", advice)


def _not_regular(entry: os.DirEntry[str], name: str, wanted: str) -> Problem:
    mode = entry.stat(follow_symlinks=False).st_mode
    kinds = ((stat.S_ISLNK, "a link"), (stat.S_ISDIR, "a folder"), (stat.S_ISREG, "a file"))
    what = next((words for test, words in kinds if test(mode)), "a device, pipe or socket")
    return Problem(InvalidFileFormat, name, f"is {what}, not a {wanted}", f"Put the {wanted} itself there.")
