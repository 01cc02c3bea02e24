"""Coverage-guided fuzzing: `python -m tests.proof.fuzz zip 60` (seconds). Needs atheris, which nothing else needs.

What breaks a target is written into the corpus of tests/proof, where it stays: `make test` feeds it in again.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path


def main() -> int:
    kind, for_s = sys.argv[1], int(sys.argv[2])
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
    sys.exit(main())
