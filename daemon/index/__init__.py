"""The page `index.html` of an outbox: every job at a glance, opened by double-click from the share."""

from daemon.index.page import INDEX_FILE, IndexPage

__all__ = ["INDEX_FILE", "IndexPage"]
