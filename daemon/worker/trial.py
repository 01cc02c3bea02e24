"""`python -m daemon.worker.trial`: a worker that makes the bundle of its job itself, for `meshdrop doctor`.

So a job is really run, by the same process, protocol and engine as any other, without a bundle being shipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from config.errors import IncompleteResults
from config.job import JobOptions
from config.sections import Settings
from daemon.worker.server import ResultLike, serve

_SIZE_PX: Final = 256
_OBJECT: Final = "teapot"
_OBJECT_GRID: Final = 64  # seconds less than a sample for people
_NICENESS: Final = 10  # a daemon's own job goes first


def reconstruct_sample(
    bundle: Path,
    out: Path,
    options: JobOptions,
    on_progress: Callable[[Any], None],
    should_cancel: Callable[[], bool],
    *,
    settings: Settings,
    name: str | None = None,
) -> ResultLike:
    """Make a small sample at `bundle`, which must be called "bundle", and turn it into a result folder.

    Raises IncompleteResults where the mesh can't be read back; else what the engine raises.
    """
    import trimesh

    from engine import reconstruct
    from engine.sample import make_sample

    made = make_sample(bundle.parent, _OBJECT, size_px=_SIZE_PX, grid=_OBJECT_GRID)
    result = reconstruct(made, out, options, on_progress, should_cancel, settings=settings)
    mesh = trimesh.load_mesh(out / "mesh.glb")  # by another program than the one that wrote it
    if not len(mesh.faces) or getattr(mesh.visual, "uv", None) is None:
        raise IncompleteResults("mesh.glb was written, but read back it has no textured faces.")
    return result


if __name__ == "__main__":
    os.nice(_NICENESS)
    serve(reconstruct_sample)
