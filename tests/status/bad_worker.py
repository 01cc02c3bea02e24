"""`python -m tests.status.bad_worker KIND`: a worker that fails in one way, for the self-test of `meshdrop doctor`."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import ModelFailed
from daemon.worker import serve


@dataclass
class Result:
    status: str


def reconstruct(bundle: Path, out: Path, *rest: Any, **more: Any) -> Result:
    kind = sys.argv[1]
    if kind == "dies":
        print("a library that is missing", file=sys.stderr, flush=True)
        time.sleep(0.2)
        os._exit(7)
    if kind == "hangs":
        time.sleep(600)
    if kind == "fails":
        raise ModelFailed("The engine failed: ValueError: no kernel.")
    out.mkdir()
    quality = {"psnr": 12.0 if kind == "poor" else 40.0, "mesh": {"faces": 4000, "watertight": kind != "open"}}
    (out / "quality.json").write_text(json.dumps(quality))
    return Result("normal")


if __name__ == "__main__":
    serve(reconstruct, sys.argv[2:])
