"""Write artifacts into the registry, a batch in one transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select

from pipeline.registry.database import search_text
from pipeline.registry.database.search_text import SearchedText
from pipeline.registry.database.statements import insert_into, parts, upsert
from pipeline.registry.database.tables import (
    artifact,
    detail,
    document,
    edge,
    root,
    shape_term,
    user_data,
)
from pipeline.registry.names import assign_ids
from pipeline.registry.records.artifact import (
    ArtifactRecord,
    Visibility,
    key_of,
    microseconds,
    shape_of,
)
from pipeline.registry.records.run_records import model_id, record_of_model

BATCH = 500
"""Artifacts that are written in one transaction: others wait no longer than for these."""

MAX_LOCATION = 2_000
"""Characters of a location; no index of PostgreSQL holds much more."""


def register(connection: Connection, records: Iterable[ArtifactRecord]) -> None:
    """Add artifacts, or replace what was known of them; what users say of them stays.

    Args:
        connection: A connection that may write.
        records: No more than a batch. Models need not be among them: they follow their runs.
    """
    wanted = {one.key: one for one in records if len(one.location) <= MAX_LOCATION}
    if not wanted:
        return
    wanted |= _models(connection, wanted.values())
    ordered = [wanted[key] for key in sorted(wanted)]
    ids = assign_ids(connection, ordered)
    users = _users(connection, [*wanted])
    before = _existing(connection, [*wanted])
    rows = [_row(one, ids[one.key], users.get(one.key)) for one in ordered]
    connection.execute(upsert(connection, artifact), rows)
    connection.execute(upsert(connection, detail), [_detail(one) for one in ordered])
    documents = [{"key": r.key, "body": r.document} for r in ordered if r.document is not None]
    if documents:
        connection.execute(upsert(connection, document), documents)
    _write_terms(connection, ordered)
    _write_edges(connection, ordered, before)
    plain = [one for one in ordered if one.key not in users]
    texts = [_text(one, ids[one.key]) for one in plain]
    search_text.write(connection, texts, before)
    search_text.rewrite(connection, [*users])


def register_root(connection: Connection, url: str) -> None:
    """Note a folder below which artifacts are registered."""
    statement = insert_into(connection, root).on_conflict_do_nothing()
    connection.execute(statement, {"url": url})


def remove(connection: Connection, keys: Sequence[int]) -> None:
    """Forget artifacts; what users say of them stays, in case they come back."""
    for some in parts(keys):
        named = select(artifact.c.name).where(artifact.c.key.in_(some)).distinct()
        gone = connection.execute(named).scalars().all()
        for table, column in (
            (artifact, artifact.c.key),
            (detail, detail.c.key),
            (document, document.c.key),
            (edge, edge.c.source),
        ):
            connection.execute(delete(table).where(column.in_(some)))
        search_text.remove(connection, some)
        assign_ids(connection, [], gone)


def _models(connection: Connection, records: Iterable[ArtifactRecord]) -> dict[int, ArtifactRecord]:
    """Return the models of some runs, each described by the run of the smallest location."""
    found: dict[int, ArtifactRecord] = {}
    for one in records:
        if one.type != "run" or one.model_hash is None:
            continue
        key = key_of("model", one.model_hash)
        if key not in found or one.location < found[key].location:
            model = record_of_model(one)
            if model is not None:
                found[key] = model
    for some in parts([*found]):
        known = select(artifact.c.key, artifact.c.location).where(artifact.c.key.in_(some))
        for key, location in connection.execute(known):
            if location < found[key].location:
                del found[key]
    return found


def _existing(connection: Connection, keys: Sequence[int]) -> set[int]:
    found: set[int] = set()
    for some in parts(keys):
        known = select(artifact.c.key).where(artifact.c.key.in_(some))
        found.update(connection.execute(known).scalars())
    return found


def _users(connection: Connection, keys: Sequence[int]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for some in parts(keys):
        known = select(
            user_data.c.key, user_data.c.title, user_data.c.archived, user_data.c.pinned
        ).where(user_data.c.key.in_(some))
        found.update((row.key, row) for row in connection.execute(known))
    return found


def _row(one: ArtifactRecord, name: str, user: Any | None) -> dict[str, Any]:
    return {
        "key": one.key,
        "type": one.type,
        "id": name,
        "name": one.name,
        "mark": one.mark,
        "folder": one.folder,
        "location": one.location,
        "state": one.state,
        "title": user.title if user is not None and user.title else one.title,
        "created": microseconds(one.created),
        "modified": microseconds(one.modified or one.created),
        "size": one.size,
        "source": one.source,
        "template_id": one.template_id,
        "model_id": _model_of(one),
        "scenario": one.scenario,
        "digest": one.digest,
        "listing": one.listing,
        "shape": shape_of(one.terms),
        "series": one.series,
        "rows": one.rows,
        "warnings": one.warnings,
        "visibility": Visibility.of(one.state, archived=user is not None and user.archived),
        "archived": user is not None and user.archived,
        "pinned": user is not None and user.pinned,
    }


def _text(one: ArtifactRecord, name: str) -> SearchedText:
    """Return the text of an artifact that has no user data."""
    values = (str(value) for value in one.metadata.values())
    tags = sorted(value for kind, value in one.terms if kind == "tag")
    main = (one.title, one.description, *values)
    return SearchedText.of(one.key, main, (name, one.folder, *tags, *one.files))


def _model_of(one: ArtifactRecord) -> str | None:
    is_without = one.type == "model" or one.model_hash is None
    return None if is_without else model_id(one.model_hash or "")


def _detail(one: ArtifactRecord) -> dict[str, Any]:
    return {
        "key": one.key,
        "title": one.title,
        "description": one.description,
        "reason": one.reason,
        "metadata": compact(one.metadata),
        "files": compact(list(one.files)),
    }


def compact(value: Any) -> str:
    """Return JSON without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _write_terms(connection: Connection, records: Iterable[ArtifactRecord]) -> None:
    shapes = {shape_of(one.terms): one.terms for one in records}
    known: set[int] = set()
    for some in parts([*shapes]):
        there = select(shape_term.c.shape).where(shape_term.c.shape.in_(some)).distinct()
        known.update(connection.execute(there).scalars())
    rows = [
        {"shape": shape, "kind": kind, "value": value}
        for shape, terms in shapes.items()
        if shape not in known
        for kind, value in sorted(terms)
    ]
    if rows:
        connection.execute(insert_into(connection, shape_term).on_conflict_do_nothing(), rows)


def _write_edges(
    connection: Connection, records: Iterable[ArtifactRecord], before: set[int]
) -> None:
    rows: dict[tuple[int, str, int], Mapping[str, Any]] = {}
    for one in records:
        for link in one.links:
            rows[one.key, link.relation, link.key] = {
                "source": one.key,
                "relation": link.relation,
                "target": link.key,
                "target_type": link.type,
                "target_name": link.name,
                "target_location": link.location,
                "target_digest": link.digest,
            }
    replaced = [{"gone": one.key} for one in records if one.key in before]
    if replaced:
        connection.execute(delete(edge).where(edge.c.source == bindparam("gone")), replaced)
    if rows:
        connection.execute(insert_into(connection, edge).on_conflict_do_nothing(), [*rows.values()])
