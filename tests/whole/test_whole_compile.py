"""Every kernel is compiled for one combination of argument types: a second one costs the first run its time twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.warmup import recorded

JOB = """
import json
import sys
from pathlib import Path

from numba.core import event
from numba.core.dispatcher import Dispatcher

from config.job import JobOptions
from config.sections import Engine, Settings
from engine import reconstruct
from engine.sample import make_sample


class Compiled(event.Listener):
    def on_start(self, event):
        pass

    def on_end(self, event):
        function = event.data["dispatcher"].py_func
        if function.__module__.startswith("engine."):
            found.setdefault(f"{function.__module__}.{function.__name__}", set()).add(str(event.data["args"]))


found = {}
folder = Path(sys.argv[1])
if sys.argv[2] == "sample":
    make_sample(folder, "robot", size_px=256)
else:
    event.register("numba:compile", Compiled())
    settings = Settings(engine=Engine(threads=int(sys.argv[3])))
    reconstruct(folder / "bundle", folder / "out", JobOptions(quality="standard", target_faces=5000), settings=settings)
    for name, module in list(sys.modules.items()):  # those that the cache held
        for kernel in vars(module).values() if name.startswith("engine.") else ():
            if isinstance(kernel, Dispatcher) and kernel.overloads:
                full = f"{kernel.py_func.__module__}.{kernel.py_func.__name__}"
                found.setdefault(full, set()).update(str(types) for types in kernel.overloads)
    (folder / "found.json").write_text(json.dumps({name: sorted(types) for name, types in found.items()}))
"""


def _signatures(folder: Path, environment: dict[str, str], threads: int = 2) -> dict[str, list[str]]:
    """The argument types that each kernel was compiled for, or loaded, in a process that rebuilds a sample."""
    for step, variables in (("sample", dict(os.environ)), ("job", environment)):
        subprocess.run([sys.executable, "-c", JOB, str(folder), step, str(threads)], env=variables, check=True)
    return dict(json.loads((folder / "found.json").read_text()))


def _more_than_one(found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: types for name, types in found.items() if len(types) > 1}


def _is_helper(name: str) -> bool:
    """Called by kernels alone, which may want it once for any number of channels and once for three."""
    module, function = name.rsplit(".", 1)
    return module.endswith(".elements") or function.startswith("_")


def _listed() -> dict[str, list[str]]:
    return {f"{kernel.module}.{kernel.name}": [str(kernel.signature())] for kernel in recorded()}


@pytest.mark.ci
def test_a_job_uses_each_kernel_with_one_combination_of_types(tmp_path: Path) -> None:
    found = _signatures(tmp_path, dict(os.environ))
    assert len(found) > 20  # those that Python calls
    assert not _more_than_one(found)
    # else: python -m engine.warmup --record
    assert {name: types for name, types in found.items() if _listed().get(name) != types} == {}


@pytest.mark.slow
def test_a_first_job_compiles_each_kernel_once(tmp_path: Path) -> None:
    found = _signatures(
        tmp_path, {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}, threads=1
    )  # nobody compiles ahead
    assert len(found) > 40  # those that kernels call, too
    called = {name: types for name, types in found.items() if not _is_helper(name)}
    assert not _more_than_one(called)
    assert called == {name: types for name, types in _listed().items() if not _is_helper(name)}
    assert all(len(types) <= 2 for types in found.values())
