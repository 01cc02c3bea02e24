"""Notices that something changed in an inbox, and never says more than "look at X": the scan alone is the truth."""

from daemon.watch.report import WatchReport
from daemon.watch.watch import Watch

__all__ = ["Watch", "WatchReport"]
