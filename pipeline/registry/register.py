"""Write artifacts into the registry, a batch in one transaction."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, select

from pipeline.registry.database import search_text
from pipeline.registry.database.search_text import SearchedText
from pipeline.registry.database.statements import insert_into, is_among, write_rows
from pipeline.registry.database.tables import (
    artifact,
    detail,
    document,
    edge,
    root,
    shape_term,
    user_data,
)
from pipeline.registry.names import RegisteredName, assign_ids, free_names
from pipeline.registry.records.artifact import (
    ArtifactRecord,
    Visibility,
    shape_of,
    stored_instant,
)
from pipeline.registry.records.run_records import model_id, record_of_model

BATCH = 2_000
"""Artifacts that are written in one transaction: other writers wait no longer than for these.

Rows are scattered over all pages of the indexes, so that small transactions write most pages again.
"""

_MAX_LOCATION = 2_000
"""Bytes of a location; no index of PostgreSQL holds much more."""

_SHOWN = 200


def why_not_registered(record: ArtifactRecord) -> str | None:
    """Return why the registry cannot hold an artifact; None where it can."""
    size = len(record.location.encode("utf-8", "surrogatepass"))
    if size <= _MAX_LOCATION:
        return None
    return (
        f"{record.location[:_SHOWN]}…: its URL has {size:,} bytes, at most {_MAX_LOCATION:,} are "
        "registered"
    )


def register(connection: Connection, records: Iterable[ArtifactRecord]) -> int:
    """Add artifacts, or replace what was known of them; what users say of them stays.

    Args:
        connection: A connection that may write.
        records: No more than a batch, each of which the registry can hold. Models need not be
            among them: they follow their runs.

    Returns:
        How many models are new.
    """
    wanted = {one.key: one for one in records}
    if not wanted:
        return 0
    models = _models(wanted.values())
    before = _before(connection, [*wanted, *models])
    wanted |= {
        key: model
        for key, model in models.items()
        if key not in before or model.location <= before[key].location
    }
    # FTS5 writes rows together only where their keys ascend.
    ordered = [wanted[key] for key in sorted(wanted)]
    named = {key: RegisteredName(row.id, row.name) for key, row in before.items() if key in wanted}
    assigned = assign_ids(connection, ordered, before=named)
    ids = assigned.of_records
    users = _users(connection, [*wanted])
    write_rows(
        connection,
        artifact,
        [_row(one, ids[one.key], users.get(one.key)) for one in ordered],
        on_conflict="replace",
    )
    write_rows(connection, detail, [_detail(one) for one in ordered], on_conflict="replace")
    documents = [(one.key, one.document) for one in ordered if one.document is not None]
    undescribed = [one.key for one in ordered if one.document is None and one.key in before]
    if undescribed:
        is_stale = is_among(connection, document.c.key, undescribed)
        connection.execute(delete(document).where(is_stale))
    write_rows(connection, document, documents, on_conflict="replace")
    _write_terms(connection, ordered)
    _write_edges(connection, ordered, before)
    texts = [_text(one, ids[one.key]) for one in ordered if one.key not in users]
    search_text.write(connection, texts, before)
    search_text.rewrite(connection, [*users, *assigned.renamed])
    return sum(key not in before for key in models)


def register_root(connection: Connection, url: str) -> None:
    """Note a folder below which artifacts are registered."""
    statement = insert_into(connection, root).on_conflict_do_nothing()
    connection.execute(statement, {"url": url})


def remove(connection: Connection, keys: Sequence[int]) -> None:
    """Forget artifacts; what users say of them stays, in case they come back."""
    if not keys:
        return
    named = select(artifact.c.name).where(is_among(connection, artifact.c.key, keys)).distinct()
    gone = connection.execute(named).scalars().all()
    for column in (artifact.c.key, detail.c.key, document.c.key, edge.c.source):
        connection.execute(delete(column.table).where(is_among(connection, column, keys)))
    search_text.remove(connection, keys)
    search_text.rewrite(connection, free_names(connection, gone))


def _models(records: Iterable[ArtifactRecord]) -> dict[int, ArtifactRecord]:
    """Return the models of some runs, each described by the run of the smallest location."""
    first: dict[str, ArtifactRecord] = {}
    for one in records:
        if one.type == "run" and one.model_hash is not None:
            before = first.setdefault(one.model_hash, one)
            if one.location < before.location:
                first[one.model_hash] = one
    models = (record_of_model(one) for one in first.values())
    return {model.key: model for model in models if model is not None}


def _before(connection: Connection, keys: Sequence[int]) -> dict[int, Any]:
    """Return id, name and location of those artifacts that are there, by their keys."""
    known = select(artifact.c.key, artifact.c.id, artifact.c.name, artifact.c.location)
    found = connection.execute(known.where(is_among(connection, artifact.c.key, keys)))
    return {row.key: row for row in found}


def _users(connection: Connection, keys: Sequence[int]) -> dict[int, Any]:
    columns = user_data.c
    known = select(columns.key, columns.title, columns.archived, columns.pinned)
    found = connection.execute(known.where(is_among(connection, columns.key, keys)))
    return {row.key: row for row in found}


def _row(one: ArtifactRecord, name: str, user: Any | None) -> tuple[Any, ...]:
    """Return the row of an artifact, in the order of the table's columns."""
    is_archived = user is not None and bool(user.archived)
    return (
        one.key,
        one.type,
        name,
        one.name,
        one.mark,
        one.folder,
        one.location,
        one.state,
        user.title if user is not None and user.title else one.title,
        stored_instant(one.created),
        stored_instant(one.modified or one.created),
        one.size,
        one.source,
        one.template_id,
        _model_of(one),
        one.scenario,
        one.digest,
        one.listing,
        shape_of(one.terms),
        one.series,
        one.rows,
        one.warnings,
        int(Visibility.of(one.state, archived=is_archived)),
        is_archived,
        user is not None and bool(user.pinned),
    )


def _text(one: ArtifactRecord, name: str) -> SearchedText:
    """Return the text of an artifact that has no user data."""
    values = (str(value) for value in one.metadata.values())
    tags = sorted(value for kind, value in one.terms if kind == "tag")
    main = (one.title, one.description, *values)
    return SearchedText.of(one.key, main, (name, one.folder, *tags, *one.files))


def _model_of(one: ArtifactRecord) -> str | None:
    is_without = one.type == "model" or one.model_hash is None
    return None if is_without else model_id(one.model_hash or "")


def _detail(one: ArtifactRecord) -> tuple[Any, ...]:
    """Return the details of an artifact, in the order of the table's columns."""
    return (
        one.key,
        one.title,
        one.description,
        one.reason,
        compact(one.metadata),
        compact(one.files),
    )


compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Return JSON without blanks."""


def _write_terms(connection: Connection, records: Iterable[ArtifactRecord]) -> None:
    shapes = {shape_of(one.terms): one.terms for one in records}
    there = select(shape_term.c.shape).distinct()
    known = {*connection.scalars(there.where(is_among(connection, shape_term.c.shape, [*shapes])))}
    rows = [
        (shape, kind, value)
        for shape, terms in shapes.items()
        if shape not in known
        for kind, value in sorted(terms)
    ]
    write_rows(connection, shape_term, rows, on_conflict="keep")


def _write_edges(
    connection: Connection, records: Iterable[ArtifactRecord], before: Container[int]
) -> None:
    replaced: list[int] = []
    rows: list[tuple[Any, ...]] = []
    for one in records:
        if one.key in before:
            replaced.append(one.key)
        rows += [
            (
                one.key,
                link.relation,
                link.key,
                link.type,
                link.name,
                link.location,
                link.digest,
            )
            for link in one.links
        ]
    if replaced:
        connection.execute(delete(edge).where(is_among(connection, edge.c.source, replaced)))
    write_rows(connection, edge, rows, on_conflict="keep")
