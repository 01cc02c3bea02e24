"""How much of each is done, and what came out of it: told by the environment, so that one suite serves all.

`make test` does the least of each; `python -m tests.proof` and `make soak` ask for more.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def amount(name: str, least: int) -> int:
    """How many of something: PROOF_<NAME>, or the least."""
    return int(os.environ.get(f"PROOF_{name.upper()}", least))


def seconds(name: str, least: float) -> float:
    """For how long at most: PROOF_<NAME>_S, or the least."""
    return float(os.environ.get(f"PROOF_{name.upper()}_S", least))


class Budget:
    """Time that may be spent."""

    def __init__(self, name: str, least: float) -> None:
        self.begin_s = time.monotonic()
        self.end_s = self.begin_s + seconds(name, least)

    @property
    def spent(self) -> bool:
        return time.monotonic() >= self.end_s

    @property
    def took_s(self) -> float:
        return time.monotonic() - self.begin_s


def told(name: str) -> dict[str, Any]:
    """What a run before this one has told, where runs are added up; nothing otherwise."""
    folder = os.environ.get("PROOF_FIGURES")
    path = Path(folder or "") / f"{name}.json"
    if not folder or not path.exists():
        return {}
    return dict(json.loads(path.read_text()))


def tell(name: str, *, add: Sequence[str] = (), **figures: Any) -> None:
    """Print what came out, and keep it for the report where one is being made. add: figures that runs add up."""
    before = told(name)
    figures |= {key: figures[key] + before.get(key, 0) for key in add}
    print(f"{name}: {figures}")
    folder = os.environ.get("PROOF_FIGURES")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"{name}.json").write_text(json.dumps(figures, default=str))
