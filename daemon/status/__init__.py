"""What people see of the daemon."""

from daemon.status.model import Status

__all__ = ["Status"]
