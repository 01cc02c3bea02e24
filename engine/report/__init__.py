"""The last stage: report.html, one page that shows a result to people."""

from engine.report.stage import REPORT, Peer, Subject, write_report

__all__ = ["REPORT", "Peer", "Subject", "write_report"]
