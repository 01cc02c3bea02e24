"""Made-up looks at a bundle, and one who stands at the gate and is shown them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, cast

from config.errors import InvalidFileFormat
from daemon.intake.completeness import Assessment, Content, Memory, Rules, Verdict, assess
from daemon.intake.layout import IMAGE_KEYS
from daemon.intake.markers import Marker, MarkerKind
from daemon.intake.snapshot import Item, Snapshot, fingerprint_of, identity_of

RULES = Rules()


def file(name: str, size: int = 1000, mtime_ns: int = 5, ctime_ns: int = 5, **more: Any) -> Item:
    return Item(name, "file", size, mtime_ns, ctime_ns, 0o100644, 1000, **more)


def folder(name: str, **more: Any) -> Item:
    return Item(name, "folder", mode=0o040755, uid=1000, **more)


FOLDERS = [folder("multi_views"), folder("depth_renders")]
TWELVE = [*FOLDERS, *(file(key) for key in IMAGE_KEYS)]


def snapshot(items: list[Item], *, entry: str = "shoe", root: str = "", top: Item | None = None) -> Snapshot:
    ordered = tuple(sorted(items, key=lambda item: item.name))
    markers = tuple(
        Marker(cast("MarkerKind", item.last.lstrip(".")), item.name, False, identity_of(item), item.uid)
        for item in ordered
        if item.last.startswith(".")
    )
    return Snapshot(
        entry, "folder", top or folder("", mtime_ns=3, ctime_ns=3), root, ordered, markers, False,
        fingerprint_of(ordered, root=root),
    )  # fmt: skip


def zipped(size: int = 9000, mtime_ns: int = 5, ctime_ns: int = 5) -> Snapshot:
    top = file("", size, mtime_ns, ctime_ns)
    return Snapshot("shoe.zip", "zip", top, fingerprint=fingerprint_of((top,)))


def without(*names: str) -> list[Item]:
    return [item for item in TWELVE if item.name not in names]


def ok(shot: Snapshot, checked_s: float = 0.0) -> Content:
    return Content(shot.fingerprint, "ok", checked_s)


def bad(shot: Snapshot, outcome: Literal["unfinished", "damaged", "unreadable"], checked_s: float = 0.0) -> Content:
    error = InvalidFileFormat("multi_views/front.png is bad.")
    return Content(shot.fingerprint, outcome, checked_s, error=error, sentence=error.message)


class Gatekeeper:
    """Looks again and again at what it is shown; reads content when asked to, as `content` says."""

    def __init__(self, rules: Rules = RULES, memory: Memory | None = None) -> None:
        self.rules, self.memory, self.content = rules, memory or Memory(), ok

    def look(self, shot: Snapshot, now_s: float) -> Assessment:
        answer = assess(shot, self.memory, now_s, self.rules)
        if answer.verdict is Verdict.CHECK:
            self.memory = replace(answer.memory, content=self.content(shot, now_s))
            answer = assess(shot, self.memory, now_s, self.rules)
        self.memory = answer.memory
        return answer


def grown(keeper: Gatekeeper) -> Gatekeeper:
    """The first look showed less than a whole bundle, at -10 s."""
    keeper.look(snapshot([folder("multi_views")]), -10)
    return keeper
