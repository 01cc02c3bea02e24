"""An inbox's top level: which names are bundles, which are markers beside them, which are nobody's business. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from config.bundle_layout import is_junk, is_temporary, name_key
from daemon.intake.markers import is_own_beside, marker_beside

ARCHIVES: Final = frozenset({"_done", "_failed", "_cancelled"})


@dataclass(frozen=True)
class Listing:
    """entries: names that may be bundles. markers: names of files such as "red-shoe.cancel"."""

    entries: set[str] = field(default_factory=set)
    markers: list[str] = field(default_factory=list)


def sort_names(names: Iterable[str]) -> Listing:
    """Sort an inbox's names. What begins with a dot, leftovers, temporary names and the daemon's own are left out."""
    listing = Listing()
    for name in names:
        if is_own_beside(name) or name_key(name) in ARCHIVES or is_junk(name):
            continue
        if marker_beside(name):
            listing.markers.append(name)
        elif not name.startswith(".") and not is_temporary(name):
            listing.entries.add(name)
    return listing
