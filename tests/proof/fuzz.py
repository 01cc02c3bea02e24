"""Coverage-guided fuzzing: `python -m tests.proof.fuzz zip 60` (seconds). Needs atheris, which nothing else needs.

`make proof` installs it into .cache/atheris, beside the packages of requirements.lock. What breaks a target is written
into the corpus of tests/proof, where it stays: `make test` feeds it in again.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.proof.amounts import tell

ROOT = Path(__file__).parents[2]  # what is imported before it can be instrumented shows no coverage
PACKAGE = ROOT / ".cache" / "atheris"


def main() -> int:
    """Fuzz, and say what broke it."""
    kind, for_s = sys.argv[1], int(sys.argv[2])
    if not is_there():
        print("Install it first: make fuzz", file=sys.stderr)
        return 2
    code, words = guided(kind, for_s)
    if code:
        print(words[-5000:], file=sys.stderr)
    return code


def is_there() -> bool:
    """Whether there is an atheris."""
    return (PACKAGE / "atheris").is_dir() or importlib.util.find_spec("atheris") is not None


def guided(kind: str, for_s: int) -> tuple[int, str]:
    """Fuzz in a process of its own, which ends when its time is over, and tell how much it tried: status, words."""
    paths = [str(PACKAGE), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-m", "tests.proof.fuzz", kind, str(for_s), "here"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stderr=subprocess.PIPE, text=True, errors="replace", check=False,
    )  # fmt: skip
    tried = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
    if done.returncode or tried is None:
        return done.returncode or 1, done.stderr
    reached = re.findall(r"cov: (\d+)", done.stderr)
    tell(
        f"atheris_{kind}",
        add=("inputs", "seconds"),
        inputs=int(tried[1]),
        seconds=for_s,
        reached=int(reached[-1] if reached else 0),
    )
    return 0, done.stderr


def fuzz(kind: str, for_s: int) -> int:
    """Feed one target, guided by what its inputs reach."""
    import atheris  # type: ignore[import-not-found,unused-ignore]

    with atheris.instrument_imports(include=["config", "daemon", "zipfile", "tomllib", "struct"]):
        from tests.proof.targets import CORPUS, TARGETS
    target = TARGETS[kind]

    def one(data: bytes) -> None:
        try:
            target(data)
        except Exception:
            name = hashlib.sha256(data).hexdigest()[:12]
            (CORPUS / kind / f"found-{name}").write_bytes(data)
            raise

    work = Path(tempfile.mkdtemp())
    arguments = [sys.argv[0], str(work), str(CORPUS / kind), f"-max_total_time={for_s}", "-max_len=20000"]
    atheris.Setup([*arguments, "-print_final_stats=1", "-verbosity=1"], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(fuzz(sys.argv[1], int(sys.argv[2])) if sys.argv[3:] else main())
