"""Tables of the registry's database.

Rows that lists read are narrow; what only one artifact's page shows is in tables of its own. What
users say of artifacts is apart from what a rebuild replaces. Sets of components, measures, classes
and tags recur in run after run, so each distinct set is stored once, as a shape.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData()

_KEY = BigInteger().with_variant(Integer(), "sqlite")
# Compared byte by byte, so that both databases sort alike, whatever their locale.
_NAME = String().with_variant(String(collation="C"), "postgresql")

artifact = Table(
    "artifact",
    metadata,
    Column("key", _KEY, primary_key=True, autoincrement=False),
    Column("type", String, nullable=False),
    Column("id", _NAME, nullable=False),
    Column("name", _NAME, nullable=False),
    Column("mark", String, nullable=False),
    Column("folder", _NAME, nullable=False),
    Column("location", _NAME, nullable=False),
    Column("state", String, nullable=False),
    Column("title", _NAME, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("modified", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("source", String),
    Column("template_id", String),
    Column("model_id", String),
    Column("scenario", String),
    Column("digest", String),
    Column("listing", String, nullable=False),
    Column("shape", BigInteger, nullable=False),
    Column("series", Integer, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("warnings", Integer, nullable=False),
    Column("visibility", SmallInteger, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Index("artifact_id", "id", unique=True),
    Index("artifact_name", "name"),
    Index("artifact_source", "visibility", "source"),
    Index("artifact_location", "location"),
    Index("artifact_created", "visibility", "created", "id"),
    Index("artifact_created_all", "created", "id"),
    Index("artifact_type", "visibility", "type", "created", "id", "size"),
    Index("artifact_title", "visibility", "title", "id"),
    Index("artifact_size", "visibility", "size", "id"),
    Index("artifact_modified", "visibility", "modified", "id"),
    Index("artifact_template", "visibility", "template_id", "created", "id"),
    Index("artifact_model", "model_id", "created", "id"),
    Index("artifact_scenario", "scenario", "created", "id"),
    Index("artifact_digest", "digest"),
    Index("artifact_shape", "visibility", "shape"),
)
"""One row an artifact; instants are microseconds since 1970, or `UNKNOWN_INSTANT`.

`visibility` is one of `Visibility`: what most lists are narrowed by first, so that indexes begin
with it.
"""

detail = Table(
    "detail",
    metadata,
    Column("key", _KEY, primary_key=True, autoincrement=False),
    Column("title", Text, nullable=False),
    Column("description", Text),
    Column("reason", Text),
    Column("metadata", Text, nullable=False),
    Column("files", Text, nullable=False),
)
"""What one artifact's page and a page of a list show, as JSON where it has parts."""

document = Table(
    "document",
    metadata,
    Column("key", _KEY, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)
"""The whole description of a run, compressed, so that it need not be read again."""

shape_term = Table(
    "shape_term",
    metadata,
    Column("shape", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String, primary_key=True),
    Column("value", _NAME, primary_key=True),
    Index("shape_term_value", "kind", "value", "shape"),
)
"""The components, measures, classes and automatic tags of a shape."""

edge = Table(
    "edge",
    metadata,
    Column("source", _KEY, primary_key=True, autoincrement=False),
    Column("relation", String, primary_key=True),
    Column("target", _KEY, primary_key=True, autoincrement=False),
    Column("target_type", String, nullable=False),
    Column("target_name", String, nullable=False),
    Column("target_location", String, nullable=False),
    Column("target_digest", String),
    Index("edge_target", "target"),
    Index("edge_digest", "target_digest"),
)
"""What an artifact was derived from, as its descriptor or manifest says."""

user_data = Table(
    "user_data",
    metadata,
    Column("key", _KEY, primary_key=True, autoincrement=False),
    Column("type", String, nullable=False),
    Column("id", String, nullable=False),
    Column("location", String, nullable=False),
    Column("title", Text),
    Column("note", Text),
    Column("owner", String),
    Column("pinned", Boolean, nullable=False),
    Column("archived", Boolean, nullable=False),
)
"""What users say of an artifact; a rebuild leaves it alone."""

user_tag = Table(
    "user_tag",
    metadata,
    Column("key", _KEY, primary_key=True, autoincrement=False),
    Column("tag", _NAME, primary_key=True),
    Column("removed", Boolean, nullable=False),
    Index("user_tag_tag", "tag", "key"),
)
"""Tags that users have added, and automatic tags that they have removed."""

root = Table("root", metadata, Column("url", _NAME, primary_key=True))
"""Folders below which artifacts were registered; nothing outside of them is ever deleted."""

state = Table(
    "state",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""Numbers of the whole registry, such as how often it was changed."""

POSTGRESQL_TEXT = Table(
    "search_text",
    MetaData(),
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("main", Text, nullable=False),
    Column("more", Text, nullable=False),
)
"""What is searched, in PostgreSQL; SQLite has a virtual table of the same name and columns."""

_SQLITE = MetaData()

LISTED_RUN = Table(
    "listed_run",
    _SQLITE,
    Column("key", Integer, primary_key=True, autoincrement=False),
    Column("id", String, nullable=False),
    Column("state", String, nullable=False),
    Column("is_readable", Boolean, nullable=False),
    Column("created", Integer),
    Column("source", String),
    Column("series", Integer, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("warnings", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Index("listed_run_id", "id"),
    Index("listed_run_created", "created", "id"),
    Index("listed_run_series", "series", "id"),
    Index("listed_run_rows", "rows", "id"),
    Index("listed_run_created_down", text("created DESC"), "id"),
    Index("listed_run_series_down", text("series DESC"), "id"),
    Index("listed_run_rows_down", text("rows DESC"), "id"),
)
"""What a list of the runs below one folder is searched, filtered and sorted by; in SQLite only.

`text` is case-folded, and indexed by `listed_run_text`, an FTS5 table of trigrams without a copy of
the texts. `created` is null where it is unknown. Equal values are ordered by ascending ids in both
directions, so that each takes an index: many runs have equally many rows.
"""

LISTED_RUN_DETAIL = Table(
    "listed_run_detail",
    _SQLITE,
    Column("key", Integer, primary_key=True, autoincrement=False),
    Column("run_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("path", String, nullable=False),
    Column("location", String, nullable=False),
    Column("reason", Text),
    Column("listing", String, nullable=False),
    Column("digest", String),
    Column("bytes", Integer, nullable=False),
    Column("bins", Integer, nullable=False),
    Column("bin_minutes", Integer, nullable=False),
    Column("facts", Text, nullable=False),
    Index("listed_run_detail_run_id", "run_id"),
    Index("listed_run_detail_name", "name"),
    Index("listed_run_detail_path", "path"),
)
"""What a page of that list shows beside; in SQLite only."""
