"""From an entry of an inbox to a recorded job: look, decide, check the content, admit.

`snapshot` looks (lstat alone), `completeness` decides (pure), `content` and `archive_reader` read what is there,
`job_file` and `markers` know what people ask for, `entries` knows what there is in one inbox and what is due, and
`intake` does all this in turn for every entry of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daemon.intake.intake import Intake
    from daemon.intake.waiting import Explanation, Waiting

__all__ = ["Explanation", "Intake", "Waiting"]


def __getattr__(name: str) -> Any:
    # Rooms that take a single module from here (the spooler, the caretaker) don't load the rest.
    if name == "Intake":
        from daemon.intake.intake import Intake

        return Intake
    if name in ("Explanation", "Waiting"):
        from daemon.intake import waiting

        return getattr(waiting, name)
    raise AttributeError(name)
