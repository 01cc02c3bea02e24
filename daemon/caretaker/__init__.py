"""What the daemon does in an inbox for the people who drop bundles there: say how things stand, answer, tidy up.

`Caretaker` is called by the inbox's intake, in its thread: nothing else writes into an inbox.
"""

from __future__ import annotations

from daemon.caretaker.caretaker import Caretaker

__all__ = ["Caretaker"]
