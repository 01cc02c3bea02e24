"""Writers of every kind, simulated: none is ever taken before it has finished."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.intake.scene import Scene, contents, write_zip

Writer = Callable[[random.Random, Path], Iterator[float]]
"""Writes a bundle; yields the seconds that it pauses between two writes."""


def pause(rng: random.Random) -> float:
    """Mostly short, now and then far longer than any quiet time."""
    return rng.choice([0.0, 0.0, 0.01, 0.01, 0.3, 1.0, 4.9, 5.5, 12.0, 61.0])


def slow(rng: random.Random, target: Path) -> Iterator[float]:
    """As cp does: file after file, in pieces."""
    files = list(contents(rng.randrange(200), pad=300).items())
    rng.shuffle(files)
    for key, data in files:
        path = target / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            cut = rng.randrange(len(data))
            for piece in (data[:cut], data[cut:]):
                file.write(piece)
                file.flush()
                yield pause(rng)


def preallocating(rng: random.Random, target: Path) -> Iterator[float]:
    """As Explorer and Samba do: every file at its full size first, its times set, then filled in any order."""
    files = contents(rng.randrange(200), pad=300)
    for key, data in files.items():
        path = target / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(len(data)))
        os.utime(path, (1_600_000_000, 1_600_000_000))
    yield pause(rng)
    for key, data in rng.sample(sorted(files.items()), 12):
        path = target / key
        half = len(data) // 2
        for start in rng.sample((0, half), 2):
            with path.open("r+b") as file:
                file.seek(start)
                file.write(data[start : start + half + 1])
            os.utime(path, (1_600_000_000, 1_600_000_000))
            yield pause(rng)


def by_temporary_names(rng: random.Random, target: Path) -> Iterator[float]:
    """As rsync and browsers do: under another name, renamed when whole."""
    for key, data in contents(rng.randrange(200), pad=300).items():
        path = target / key
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(
            rng.choice([f".{path.name}.part", f"{path.name}.crdownload", f".syncthing.{path.name}.tmp"])
        )
        beside.write_bytes(data[: rng.randrange(len(data))])
        yield pause(rng)
        beside.write_bytes(data)
        yield pause(rng)
        beside.rename(path)


def zipping(rng: random.Random, target: Path) -> Iterator[float]:
    """A zip, copied in pieces or preallocated."""
    whole = write_zip(target.with_name("making"), contents(rng.randrange(200), pad=300)).read_bytes()
    target.with_name("making").unlink()
    path = target.with_suffix(".zip")
    if rng.random() < 0.5:
        path.write_bytes(bytes(len(whole)))
    else:
        path.touch()
    yield pause(rng)
    cuts = sorted(rng.sample(range(1, len(whole)), 5))
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        with path.open("r+b") as file:
            file.seek(start)
            file.write(whole[start:end])
        yield pause(rng)


@pytest.mark.parametrize("runs", [4, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize("write", [slow, preallocating, by_temporary_names, zipping])
def test_nothing_is_taken_before_it_has_been_written(tmp_path: Path, write: Writer, runs: int) -> None:
    scene = Scene(tmp_path, intake__unfinished_s=3000.0)
    for seed in range(runs):
        rng = random.Random(seed)
        # Hints come, come late or don't come at all; scans always do.
        scene.polling = rng.random() < 0.3
        target = scene.inbox / f"run{seed}"
        entry = target.name
        for wait_s in write(rng, target):
            entry = target.name if target.exists() else f"{target.name}.zip"
            if rng.random() < 0.8:
                scene.step(hint=entry)
            scene.run(wait_s)
            early = scene.jobs(entry)
            if early and not _is_written(target):
                raise AssertionError(f"{write.__name__}, run {seed}: {early[0].error or 'taken too early'}")
        scene.step(hint=entry)
        scene.run(80)
        (job,) = scene.jobs(entry)
        assert job.error is None, f"{write.__name__}, run {seed}"
        scene.finish(job, "CANCELLED")
        shutil.rmtree(target, ignore_errors=True)
        target.with_suffix(".zip").unlink(missing_ok=True)
        scene.step(1)
    scene.store.close()


def _is_written(target: Path) -> bool:
    """Whether the writer has put every byte where it belongs: what is left of it is only a pause."""
    from config.bundle_layout import PngError, check_png

    zipped = target.with_suffix(".zip")
    if zipped.exists():
        return zipped.read_bytes()[-22:-18] == b"PK\x05\x06" and _zip_is_whole(zipped)
    for key in contents():
        try:
            with (target / key).open("rb") as file:
                check_png(file)
        except (PngError, OSError):
            return False
    return not any(path.suffix in (".part", ".tmp", ".crdownload") for path in target.rglob("*"))


def _zip_is_whole(path: Path) -> bool:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return archive.testzip() is None
