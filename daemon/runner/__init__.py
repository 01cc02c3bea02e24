"""Jobs run here one at a time, in a child process that may crash, hang or be killed without harm to the daemon."""

from daemon.runner.runner import Current, Runner

__all__ = ["Current", "Runner"]
