"""`python -m daemon.worker`: started by the runner, of no use by hand."""

from __future__ import annotations

from daemon.worker import serve

if __name__ == "__main__":
    serve()
