"""The first schema.

A migration is never changed once it is released: it describes its own tables, not those of
`pipeline.registry.database.tables`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_INDEXES = {
    "artifact": {
        "artifact_name": ["name"],
        "artifact_source": ["visibility", "source"],
        "artifact_location": ["location"],
        "artifact_created": ["visibility", "created", "id"],
        "artifact_created_all": ["created", "id"],
        "artifact_type": ["visibility", "type", "created", "id", "size"],
        "artifact_title": ["visibility", "title", "id"],
        "artifact_size": ["visibility", "size", "id"],
        "artifact_modified": ["visibility", "modified", "id"],
        "artifact_template": ["visibility", "template_id", "created", "id"],
        "artifact_model": ["model_id", "created", "id"],
        "artifact_scenario": ["scenario", "created", "id"],
        "artifact_digest": ["digest"],
        "artifact_shape": ["visibility", "shape"],
    },
    "shape_term": {"shape_term_value": ["kind", "value", "shape"]},
    "edge": {"edge_target": ["target"], "edge_digest": ["target_digest"]},
    "user_tag": {"user_tag_tag": ["tag", "key"]},
}


def upgrade() -> None:
    """Make the tables, their indexes, and the index of texts."""
    _artifacts()
    _derived()
    _user_data()
    for table, indexes in _INDEXES.items():
        for name, columns in indexes.items():
            op.create_index(name, table, columns)
    op.create_index("artifact_id", "artifact", ["id"], unique=True)
    op.execute("INSERT INTO state (name, value) VALUES ('revision', 0)")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("CREATE VIRTUAL TABLE search_text USING fts5(main, more, tokenize = 'trigram')")
    else:
        _postgresql_text()


def _artifacts() -> None:
    op.create_table(
        "artifact",
        sa.Column("key", _KEY, primary_key=True, autoincrement=False),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("id", _NAME, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("mark", sa.String, nullable=False),
        sa.Column("folder", _NAME, nullable=False),
        sa.Column("location", _NAME, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("title", _NAME, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("modified", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("source", sa.String),
        sa.Column("template_id", sa.String),
        sa.Column("model_id", sa.String),
        sa.Column("scenario", sa.String),
        sa.Column("digest", sa.String),
        sa.Column("listing", sa.String, nullable=False),
        sa.Column("shape", sa.BigInteger, nullable=False),
        sa.Column("series", sa.Integer, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("warnings", sa.Integer, nullable=False),
        sa.Column("visibility", sa.SmallInteger, nullable=False),
        sa.Column("archived", sa.Boolean, nullable=False),
        sa.Column("pinned", sa.Boolean, nullable=False),
    )
    op.create_table(
        "detail",
        sa.Column("key", _KEY, primary_key=True, autoincrement=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("files", sa.Text, nullable=False),
    )


def _derived() -> None:
    op.create_table(
        "document",
        sa.Column("key", _KEY, primary_key=True, autoincrement=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "shape_term",
        sa.Column("shape", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("value", _NAME, primary_key=True),
    )
    op.create_table(
        "edge",
        sa.Column("source", _KEY, primary_key=True, autoincrement=False),
        sa.Column("relation", sa.String, primary_key=True),
        sa.Column("target", _KEY, primary_key=True, autoincrement=False),
        sa.Column("target_type", sa.String, nullable=False),
        sa.Column("target_name", sa.String, nullable=False),
        sa.Column("target_location", sa.String, nullable=False),
        sa.Column("target_digest", sa.String),
    )


def _user_data() -> None:
    op.create_table(
        "user_data",
        sa.Column("key", _KEY, primary_key=True, autoincrement=False),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("location", sa.String, nullable=False),
        sa.Column("title", sa.Text),
        sa.Column("note", sa.Text),
        sa.Column("owner", sa.String),
        sa.Column("pinned", sa.Boolean, nullable=False),
        sa.Column("archived", sa.Boolean, nullable=False),
    )
    op.create_table(
        "user_tag",
        sa.Column("key", _KEY, primary_key=True, autoincrement=False),
        sa.Column("tag", _NAME, primary_key=True),
        sa.Column("removed", sa.Boolean, nullable=False),
    )
    op.create_table("root", sa.Column("url", _NAME, primary_key=True))
    op.create_table(
        "state",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )


def _postgresql_text() -> None:
    op.create_table(
        "search_text",
        sa.Column("key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("main", sa.Text, nullable=False),
        sa.Column("more", sa.Text, nullable=False),
    )
    # Where the extension may not be made, searches read the whole table, within their time.
    is_there = "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'"
    may_make = "SELECT has_database_privilege(current_database(), 'CREATE')"
    connection = op.get_bind()
    if (
        connection.exec_driver_sql(is_there).scalar()
        and connection.exec_driver_sql(may_make).scalar()
    ):
        op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        for column in ("main", "more"):
            op.execute(
                f"CREATE INDEX search_text_{column} ON search_text "
                f"USING gin ({column} gin_trgm_ops)"
            )
