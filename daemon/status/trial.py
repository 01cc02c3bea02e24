"""The self-test of `meshdrop doctor`: a small sample is really reconstructed, by a worker in a process of its own."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from config.sections import Engine, Settings
from daemon.files import Files
from daemon.runner.child import Child
from daemon.runner.endings import exit_text
from daemon.runner.gpu import Gpu
from daemon.status.findings import Finding, fail, note, ok
from daemon.worker.protocol import Done, Failed, Run

TRIAL_COMMAND: Final = (sys.executable, "-P", "-m", "daemon.worker.trial")
WITHIN_S: Final = 240.0  # on a new installation the kernels are compiled first, which takes a minute or two
_LISTEN_EVERY_S: Final = 0.1
_GONE_WITHIN_S: Final = 5.0
_LOWEST_PSNR: Final = 25.0  # measured: 32 dB
_REINSTALL: Final = (
    "Install the program anew (make setup, or make install); if that does not help, send the daemon's log to those "
    "who look after it."
)
_OPTIONS: Final = {"quality": "draft", "formats": ["glb"], "texture_size_px": 512, "target_faces": 4000}


def self_test(
    settings: Settings, command: Sequence[str] = TRIAL_COMMAND, within_s: float = WITHIN_S
) -> Iterator[Finding]:
    """Reconstruct a small sample in a temporary folder and look at what comes of it.

    It is as nice as a job's process is, takes the GPU only while no daemon uses it, and is ended after `within_s`.
    To be called from the main thread: the process dies with the thread that has started it.
    """
    gpu, engine = Gpu(settings, Files()), settings.engine
    if (trouble := gpu.take()) is not None:
        if engine.device == "cuda":
            yield note("self-test", f"Not run: {trouble.reason}", "Run `meshdrop doctor` again when the GPU is free.")
            return
        engine = engine.model_copy(update={"device": "cpu"})
    try:
        with tempfile.TemporaryDirectory(prefix="meshdrop-doctor-", ignore_cleanup_errors=True) as folder:
            yield _try(Path(folder), engine, settings.run.memory_mb, command, within_s)
    except OSError as error:
        where = error.filename or tempfile.gettempdir()
        yield fail(
            "self-test",
            f"It can't be run: {where}: {error.strerror}.",
            "Let this user write to the temporary folder (TMPDIR), and start processes.",
        )
    finally:
        gpu.release()


def _try(folder: Path, engine: Engine, memory_mb: int, command: Sequence[str], within_s: float) -> Finding:
    """One job in `folder`, and what comes of it."""
    run = Run(
        job="self-test",
        bundle=str(folder / "bundle"),
        out=str(folder / "result"),
        options=_OPTIONS,
        settings=Settings(engine=engine).model_dump(mode="json"),
        facts={"id": "self-test", "bundle": "self-test"},
        zip_name=None,
        manifest_path=str(folder / "manifest.json"),
    )
    cache = {"NUMBA_CACHE_DIR": str(engine.cache_dir)} if engine.cache_dir else {}
    began_s = time.monotonic()
    child = Child(command, memory_mb, cache)
    stage = "start"
    try:
        child.send(run)
        while (passed_s := time.monotonic() - began_s) < within_s:
            for message in child.messages():
                if isinstance(message, Done):
                    return _look(Path(run.out), passed_s)
                if isinstance(message, Failed):
                    text = message.error.get("message", "The engine failed.")
                    return fail("self-test", f"No mesh came of a small sample: {text}", _remedy(message.error))
                stage = getattr(message, "stage", stage)
            if (code := child.exit_code()) is not None:
                child.messages()
                last = " ".join(list(child.last_words)[-1:]) or "it said nothing"
                return fail("self-test", f"The process that runs jobs died ({exit_text(code)}): {last}.", _REINSTALL)
            time.sleep(_LISTEN_EVERY_S)
        return fail(
            "self-test",
            f"A small sample was no mesh after {within_s:.0f} s; it got as far as {stage}.",
            "Run it again when the machine has less to do; right after an installation the first job takes longer.",
        )
    finally:
        child.kill()
        child.wait(_GONE_WITHIN_S)
        child.close()


def _look(result: Path, seconds: float) -> Finding:
    """Whether a result is what the sample has to give on any machine."""
    quality: dict[str, Any] = json.loads((result / "quality.json").read_text(encoding="utf-8"))
    psnr, mesh = float(quality["psnr"]), quality["mesh"]
    facts = f"{mesh['faces']} faces, PSNR {psnr:.1f} dB, in {seconds:.0f} s"
    if not mesh["watertight"]:
        return fail("self-test", f"The mesh of a small sample is not closed ({facts}).", _REINSTALL)
    if psnr < _LOWEST_PSNR:
        return fail(
            "self-test",
            f"The mesh of a small sample looks wrong: at least {_LOWEST_PSNR:.0f} dB ({facts}).",
            _REINSTALL,
        )
    return ok("self-test", f"A small sample became a closed, textured mesh ({facts}).")


def _remedy(error: dict[str, Any]) -> str:
    known = error.get("suggestion")
    return str(known) if known and error.get("retry") else _REINSTALL
