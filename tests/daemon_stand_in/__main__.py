"""The stand-in as a worker process."""

from __future__ import annotations

from daemon.worker import serve
from tests.daemon_stand_in.fake import reconstruct

if __name__ == "__main__":
    serve(reconstruct=reconstruct)
