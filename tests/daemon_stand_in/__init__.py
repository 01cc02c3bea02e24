"""A stand-in for the engine: quick, and as badly behaved as a test asks for.

`python -m tests.daemon_stand_in` is a worker, as `python -m daemon.worker` is, which runs `fake.reconstruct` in place
of the engine. What it does is told by the bundle itself: a JSON object of the words below in a text chunk ("stand-in")
of multi_views/front.png, where it survives copying and zipping, or in a file stand-in.json of the bundle, which wins.

>>> from tests.daemon_stand_in import COMMAND, make_bundle
>>> make_bundle(inbox / "red-shoe", seconds=2.0, verdict="warning")  # doctest: +SKIP

Words, all optional, applied in this order:

| word | default | meaning |
|---|---|---|
| `garbage` | false | print to standard output and write nonsense to descriptor 1 |
| `say` | "" | print this on standard error |
| `ignore_sigterm` | false | as it says |
| `ignore_cancel` | false | never ask whether to stop |
| `grandchild` | "" | leave a process behind: "group" in the worker's process group, "session" in one of its own |
| `memory_mb` | 0 | hold so much while it runs (it is really written to) |
| `flood` | 0 | report progress so many times without a pause |
| `seconds` | 0.0 | run for so long, with progress every 50 ms |
| `first` | 0 | `end` counts in the first so many attempts at this copy; later ones succeed. 0: always |
| `unless_quality` | "" | `end` does not count at this quality |
| `end` | "succeed" | how it ends, see below |
| `verdict` | "normal" | of the result: normal, warning, failure |

| `end` | |
|---|---|
| "succeed", "incomplete" | a result; one without its quality.json |
| "segfault", "abort", "kill" | a signal to itself |
| "exit" | sys.exit(3) |
| "hang", "spin" | no more progress, for ever; the same while holding Python's lock |
| "memory_error", "eat_memory" | MemoryError; takes memory until something breaks |
| "vram" | out of GPU memory, as the engine passes torch's error on |
| "exception" | an error that is none of config.errors |
| a code, such as "DISK_FULL" | that error of config.errors |

The result has the files of a real one, and its JSON files are valid by the shipped schemas.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.daemon_stand_in.bundles import make_bundle, make_zip, png_bytes

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "tests.daemon_stand_in")
"""For Runner's `worker_command`. It is found from the working directory, which has to be ROOT."""

__all__ = ["COMMAND", "ROOT", "make_bundle", "make_zip", "png_bytes"]
