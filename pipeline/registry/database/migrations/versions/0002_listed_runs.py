"""Add the list of runs, and have runs read once more for what it shows.

Only SQLite has the list: it is that of a service, which keeps it on its own machine.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_INDEXES: dict[str, dict[str, list[Any]]] = {
    "listed_run": {
        "listed_run_id": ["id"],
        "listed_run_created": ["created", "id"],
        "listed_run_series": ["series", "id"],
        "listed_run_rows": ["rows", "id"],
        "listed_run_created_down": [sa.text("created DESC"), "id"],
        "listed_run_series_down": [sa.text("series DESC"), "id"],
        "listed_run_rows_down": [sa.text("rows DESC"), "id"],
    },
    "listed_run_detail": {
        "listed_run_detail_run_id": ["run_id"],
        "listed_run_detail_name": ["name"],
        "listed_run_detail_path": ["path"],
    },
}


def upgrade() -> None:
    """Make the tables; a run without a listing is read again, with the sizes of its series."""
    op.execute("UPDATE artifact SET listing = '' WHERE type IN ('run', 'telemetry')")
    op.execute("INSERT INTO state (name, value) VALUES ('listed_runs', 0)")
    if op.get_bind().dialect.name != "sqlite":
        return
    op.create_table(
        "listed_run",
        sa.Column("key", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("is_readable", sa.Boolean, nullable=False),
        sa.Column("created", sa.Integer),
        sa.Column("source", sa.String),
        sa.Column("series", sa.Integer, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("warnings", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "listed_run_detail",
        sa.Column("key", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("location", sa.String, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("listing", sa.String, nullable=False),
        sa.Column("digest", sa.String),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("bins", sa.Integer, nullable=False),
        sa.Column("bin_minutes", sa.Integer, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
    )
    for table, indexes in _INDEXES.items():
        for name, columns in indexes.items():
            op.create_index(name, table, columns)
    op.execute(
        "CREATE VIRTUAL TABLE listed_run_text USING fts5("
        "text, content = 'listed_run', content_rowid = 'key', tokenize = 'trigram')"
    )
