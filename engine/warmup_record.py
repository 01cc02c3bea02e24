"""What `python -m engine.warmup --record` runs in processes of its own: a sample, and a job that is listened to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["job", "sample"]


def sample(folder: str) -> None:
    """Make a bundle; its kernels stay out of the job's process."""
    from engine.sample import make_sample

    make_sample(Path(folder), "robot", size_px=256)


def job(folder: str) -> None:
    """Rebuild it and write compiled.json: module, name and argument types of each kernel, in the order of first use.

    The cache must be empty: a kernel that it holds is not compiled, nor are those that the kernel calls.
    """
    from numba.core import event

    from config.job import JobOptions
    from config.sections import Engine, Settings
    from engine import reconstruct

    rows: list[dict[str, Any]] = []

    class Listener(event.Listener):
        def on_start(self, event: Any) -> None:
            function = event.data["dispatcher"].py_func
            if function.__module__.startswith("engine."):
                types = [repr(kind) for kind in event.data["args"]]
                row = {"module": function.__module__, "name": function.__qualname__, "types": types}
                known = any(row["module"] == each["module"] and row["name"] == each["name"] for each in rows)
                # Types of defaults and constants can't be named, and one signature is enough: callers compile the rest.
                if not known and not any("omitted" in kind or "Literal" in kind for kind in types):
                    rows.append(row)

        def on_end(self, event: Any) -> None:
            """Nested compilations are listed where they began: before their callers, going backwards."""

    event.register("numba:compile", Listener())  # type: ignore[no-untyped-call]
    alone = Settings(engine=Engine(threads=1))  # no child that fills the cache meanwhile
    root = Path(folder)
    reconstruct(root / "bundle", root / "out", JobOptions(quality="standard", target_faces=5000), settings=alone)
    (root / "compiled.json").write_text(json.dumps(rows), encoding="utf-8")
