"""What people see of the daemon. What is heavy is imported where it is used."""

from daemon.status.collect import collect
from daemon.status.live import LiveFiles
from daemon.status.model import Status
from daemon.status.show import Screen, print_status

__all__ = ["LiveFiles", "Screen", "Status", "collect", "print_status"]
