"""Figures for Prometheus, in a file that node_exporter reads. Off until `metrics.textfile` is set."""

from daemon.metrics.textfile import Textfile

__all__ = ["Textfile"]
