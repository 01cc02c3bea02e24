"""The child process that runs jobs, one after the other. Only this room imports the engine, and only in the child."""

from daemon.worker.server import serve

__all__ = ["serve"]
