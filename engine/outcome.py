"""What a job has made, on its way into the result folder: one model, or two of which the better one comes first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from config.errors import IncompleteResults
from engine.bundle import Bundle
from engine.quality import compare, versions
from engine.report import Peer, Subject


@dataclass(frozen=True, eq=False)
class Made:
    """What a model made of the views, but for the report.

    folder: where it lies. files: names in it. documents: those that are still to be written, by name.
    """

    folder: Path
    files: list[str]
    subject: Subject
    documents: dict[str, Any]

    @property
    def quality(self) -> dict[str, Any]:
        """quality.json's content."""
        found: dict[str, Any] = self.documents["quality.json"]
        return found


def better_first(made: list[Made], folder: Path) -> list[Made]:
    """Put the better one of two models at the top of the result.

    made: two, each in a folder of its own in `folder`, by the model's name. The better one's files go up to `folder`;
    each of the two gets to know the other, for its report.
    """
    comparison = compare([each.quality for each in made])
    best, other = sorted(made, key=lambda each: each.quality["model"] != comparison.better)
    for name in best.files:
        (best.folder / name).rename(folder / name)
    best.folder.rmdir()

    def knowing(own: Made, rival: Made, place: Path, way: str) -> Made:
        quality = {**own.quality, "comparison": comparison.as_json()}
        peer = Peer(rival.quality, rival.subject.poster, way, comparison)
        subject = replace(own.subject, quality=quality, peer=peer)
        return replace(own, folder=place, subject=subject, documents={**own.documents, "quality.json": quality})

    return [
        knowing(best, other, folder, f"{other.folder.name}/report.html"),
        knowing(other, best, other.folder, "../report.html"),
    ]


def job_json(title: str, bundle: Bundle, notes: Iterable[str], folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """What was asked for, and what was made of it: each file's size and digest."""
    files = {}
    for file in sorted(names):
        try:
            data = (folder / file).read_bytes()
        except FileNotFoundError:
            raise IncompleteResults(f"The result lacks {file}.", file=file) from None
        files[file] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return {
        "schema_version": 1,
        "name": title,
        "options": bundle.options.model_dump(mode="json"),
        "notes": list(notes),
        "files": files,
        "inputs": dict(sorted(bundle.sha256.items())),
        "versions": versions(),
    }
