"""The markers that lie in an inbox beside its bundles, such as "red-shoe.cancel", each given to its bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from config.bundle_layout import name_key
from daemon.intake.listing import Listing
from daemon.intake.markers import Marker, beside_keys, marker_beside
from daemon.intake.snapshot import identity_of, item_of

if TYPE_CHECKING:
    from config.sections import Inbox
    from daemon.files import Files
    from daemon.intake.requests import Requests

_ANSWER_AFTER_S: Final = 10.0  # a marker beside nothing may be there a moment before its bundle


class Beside:
    """The markers beside one inbox's bundles, as of the last scan."""

    def __init__(self, inbox: Inbox, files: Files, requests: Requests) -> None:
        self._inbox, self._files, self._requests = inbox, files, requests
        self._markers: dict[str, list[Marker]] = {}
        self._lonely: dict[str, float] = {}

    def of(self, entry: str) -> Sequence[Marker]:
        """The markers beside an entry, used ones too."""
        return self._markers.get(entry, ())

    def read(self, listing: Listing, now_s: float) -> list[str]:
        """Look at what a scan has found; the entries with other markers than before.

        Markers beside nothing are answered in a while.
        """
        before, self._markers = self._markers, {}
        by_key: dict[str, list[str]] = {}
        for name in listing.entries if listing.markers else ():
            for key in beside_keys(name):
                by_key.setdefault(key, []).append(name)
        lonely: dict[str, float] = {}
        for name in listing.markers:
            found = marker_beside(name)
            try:
                item = item_of(name, self._files.lstat(self._inbox.path / name))
            except OSError:
                continue
            if found is None or item.kind != "file":
                continue
            base, kind = found
            key = name_key(base)
            marker = Marker(kind, name, True, identity_of(item), item.uid)
            exact = [entry for entry in by_key.get(key, ()) if name_key(entry) == key]
            owners = exact or by_key.get(key, [])
            for owner in owners:
                self._markers.setdefault(owner, []).append(marker)
            if not owners:
                lonely[name] = self._lonely.get(name, now_s)
                if now_s - lonely[name] >= _ANSWER_AFTER_S:
                    self._requests.answer_lonely(marker, base)
        self._lonely = lonely
        return [owner for owner, markers in self._markers.items() if markers != before.get(owner)]
