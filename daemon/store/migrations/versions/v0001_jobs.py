"""Jobs, their transitions and inputs, and what the daemon remembers."""

from __future__ import annotations

from typing import Final

from alembic import op

revision: Final = "0001"
down_revision: Final = None

_TABLES: Final = """
CREATE TABLE jobs (
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    inbox TEXT NOT NULL,
    entry BLOB NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT,
    priority INTEGER NOT NULL,
    owner TEXT NOT NULL,
    options TEXT NOT NULL,
    content_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    crashes INTEGER DEFAULT 0 NOT NULL,
    spooled BOOLEAN DEFAULT 0 NOT NULL,
    held_from TEXT,
    hold_code TEXT,
    hold_reason TEXT,
    stage TEXT,
    fraction FLOAT DEFAULT 0 NOT NULL,
    eta_s FLOAT,
    error TEXT,
    verdict TEXT,
    manifest TEXT,
    result_path BLOB,
    answered_by TEXT,
    retry_of TEXT,
    source BLOB NOT NULL,
    cancel_requested_at TEXT,
    cancel_by TEXT,
    lowered BOOLEAN DEFAULT 0 NOT NULL,
    notes TEXT NOT NULL,
    created_at TEXT NOT NULL,
    started_at TEXT,
    finished_at TEXT,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (number),
    CONSTRAINT known_state CHECK (
        state IN ('PENDING', 'PROGRESS', 'PUBLISHING', 'HELD', 'SUCCESS', 'FAILURE', 'CANCELLED')
    ),
    CONSTRAINT has_outcome CHECK (state NOT IN ('PUBLISHING', 'SUCCESS', 'FAILURE') OR outcome IS NOT NULL),
    CONSTRAINT held_from_somewhere CHECK (state <> 'HELD' OR held_from IS NOT NULL),
    CONSTRAINT finished CHECK ((finished_at IS NOT NULL) = (state IN ('SUCCESS', 'FAILURE', 'CANCELLED'))),
    CONSTRAINT one_attempt UNIQUE (inbox, entry, attempt),
    UNIQUE (id)
);

CREATE INDEX jobs_by_content ON jobs (content_key);

CREATE INDEX jobs_by_drop ON jobs (inbox, entry, fingerprint);

CREATE INDEX jobs_by_state ON jobs (state, number);

CREATE UNIQUE INDEX one_live_job_a_drop ON jobs (inbox, entry, fingerprint)
WHERE state IN ('PENDING', 'PROGRESS', 'PUBLISHING', 'HELD');

CREATE TABLE transitions (
    number INTEGER NOT NULL,
    job TEXT NOT NULL,
    at TEXT NOT NULL,
    "before" TEXT,
    "after" TEXT NOT NULL,
    reason TEXT NOT NULL,
    "by" TEXT NOT NULL,
    PRIMARY KEY (number),
    FOREIGN KEY(job) REFERENCES jobs (id) ON DELETE CASCADE
);

CREATE INDEX ix_transitions_job ON transitions (job);

CREATE TABLE inputs (
    job TEXT NOT NULL,
    path TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    bytes INTEGER,
    PRIMARY KEY (job, path),
    FOREIGN KEY(job) REFERENCES jobs (id) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE turns (
    inbox TEXT NOT NULL,
    owner TEXT NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (inbox, owner)
) WITHOUT ROWID;

CREATE TABLE entries (
    inbox TEXT NOT NULL,
    entry BLOB NOT NULL,
    fingerprint TEXT,
    job TEXT,
    used_markers TEXT NOT NULL,
    status_text TEXT,
    note TEXT,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (inbox, entry)
) WITHOUT ROWID;

CREATE TABLE flags (
    name TEXT NOT NULL,
    value BOOLEAN NOT NULL,
    "by" TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE daemon (
    only INTEGER NOT NULL CONSTRAINT one_row CHECK (only = 1),
    report TEXT NOT NULL,
    PRIMARY KEY (only)
)
"""

_WAYS: Final = (
    ("PENDING", "PROGRESS"),
    ("PENDING", "PUBLISHING"),
    ("PENDING", "HELD"),
    ("PENDING", "CANCELLED"),
    ("PROGRESS", "PENDING"),
    ("PROGRESS", "PUBLISHING"),
    ("PROGRESS", "HELD"),
    ("PROGRESS", "CANCELLED"),
    ("PUBLISHING", "PENDING"),
    ("PUBLISHING", "HELD"),
    ("PUBLISHING", "SUCCESS"),
    ("PUBLISHING", "FAILURE"),
    ("HELD", "PENDING"),
    ("HELD", "PUBLISHING"),
    ("HELD", "CANCELLED"),
)
"""The ways between states as of this version; the database itself refuses every other one."""


def upgrade() -> None:
    """Make the tables."""
    for statement in _TABLES.split(";"):
        op.execute(statement)
    ways = ", ".join(f"('{before}', '{after}')" for before, after in _WAYS)
    op.execute(f"""
        CREATE TRIGGER only_known_ways BEFORE UPDATE OF state ON jobs
        WHEN old.state <> new.state AND (old.state, new.state) NOT IN (VALUES {ways})
        BEGIN
            SELECT RAISE(ABORT, 'a job can not go this way');
        END
    """)
