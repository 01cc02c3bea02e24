"""The engine: a bundle folder in, a result folder out. Knows nothing of the daemon.

>>> from engine import JobOptions, reconstruct
>>> reconstruct(Path("bundle"), Path("result"), JobOptions(quality="draft"))  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config.job import JobOptions
from engine.progress import Progress

if TYPE_CHECKING:
    from engine.pipeline import Result, reconstruct

__all__ = ["JobOptions", "Progress", "Result", "reconstruct"]


def __getattr__(name: str) -> Any:
    """Import the pipeline, and the compilers below it, when it is first asked for."""
    if name in ("Result", "reconstruct"):
        from engine import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
