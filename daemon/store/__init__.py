"""The store: every job, how it came to where it is, and what the daemon remembers; one SQLite database."""

from daemon.store.database import StoreDamaged
from daemon.store.jobs import StateChanged
from daemon.store.records import DaemonReport, Delivery, EntryRecord, Glance, Job, NewJob, PublishedJob, Transition
from daemon.store.store import DATABASE_NAME, Store, open_store

__all__ = [
    "DATABASE_NAME",
    "DaemonReport",
    "Delivery",
    "EntryRecord",
    "Glance",
    "Job",
    "NewJob",
    "PublishedJob",
    "StateChanged",
    "Store",
    "StoreDamaged",
    "Transition",
    "open_store",
]
