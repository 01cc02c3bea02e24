"""What others are told: the seconds of each stage, and which steps of jobs are still to be told to a webhook."""

from __future__ import annotations

from typing import Final

from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    """Add a column and two tables."""
    op.execute("ALTER TABLE jobs ADD COLUMN timings_s TEXT")
    op.execute("""
        CREATE TABLE deliveries (
            number INTEGER NOT NULL,
            attempts INTEGER DEFAULT 0 NOT NULL,
            PRIMARY KEY (number),
            FOREIGN KEY(number) REFERENCES transitions (number) ON DELETE CASCADE
        )
    """)
    op.execute("""
        CREATE TABLE cursors (
            name TEXT NOT NULL,
            number INTEGER NOT NULL,
            PRIMARY KEY (name)
        ) WITHOUT ROWID
    """)
