"""Coverage-guided fuzzing: `python -m tests.proof.fuzz zip 60` (seconds). Needs atheris, which nothing else needs.

What breaks a target is written into the corpus of tests/proof, where it stays: `make test` feeds it in again.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.proof.amounts import tell


def main() -> int:
    """Fuzz in a process of its own, which ends when its time is over, and tell how much it tried."""
    kind, for_s = sys.argv[1], sys.argv[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.proof.fuzz", kind, for_s, "here"], stderr=subprocess.PIPE, text=True, check=False
    )
    tried = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
    if done.returncode or tried is None:
        print(done.stderr[-5000:], file=sys.stderr)
        return done.returncode or 1
    tell(f"atheris_{kind}", inputs=int(tried[1]), seconds=int(for_s))
    return 0


def fuzz(kind: str, for_s: int) -> int:
    """Feed one target, guided by what its inputs reach."""
    try:
        import atheris  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        print("Install it first: pip install atheris", file=sys.stderr)
        return 2
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
