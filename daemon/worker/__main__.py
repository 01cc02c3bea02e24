"""`python -m daemon.worker`: started by the runner, of no use by hand."""

from __future__ import annotations

import sys

from daemon.worker import serve

if __name__ == "__main__":
    sys.exit(serve())
