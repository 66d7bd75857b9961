"""Find how artifacts are related, by what descriptors, manifests and hashes say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select, union

from pipeline.registry.database.tables import artifact, edge
from pipeline.registry.records.artifact import RelatedArtifact, Relationships

MAX_RELATED = 500
"""Artifacts that each of the three lists names at most."""

_COLUMNS = (artifact.c.key, artifact.c.id, artifact.c.type, artifact.c.title)


def relationships_of(connection: Connection, key: int) -> Relationships:
    """Return how an artifact that is in the registry is related to others."""
    columns = artifact.c
    own = connection.execute(select(artifact).where(columns.key == key)).one()
    derived = [*_derived_from(connection, own)]
    derivatives = [*_derivatives(connection, own)]
    related = [*_related(connection, own)]
    lists = (derived, derivatives, related)
    return Relationships(
        artifact_id=own.id,
        derived_from=tuple(derived[:MAX_RELATED]),
        derivatives=tuple(derivatives[:MAX_RELATED]),
        related=tuple(related[:MAX_RELATED]),
        is_cut=any(len(one) > MAX_RELATED for one in lists),
    )


def _derived_from(connection: Connection, own: Any) -> Iterator[RelatedArtifact]:
    edges = connection.execute(
        select(edge).where(edge.c.source == own.key).order_by(edge.c.target).limit(MAX_RELATED + 1)
    ).all()
    found = _by_key(connection, [one.target for one in edges])
    moved = _by_digest(connection, [one.target_digest for one in edges if one.target not in found])
    for one in edges:
        row = found.get(one.target) or moved.get(one.target_digest)
        if row is None:
            yield RelatedArtifact(
                one.target_name, one.target_type, one.target_name, one.relation, is_missing=True
            )
        else:
            yield RelatedArtifact(row.id, row.type, row.title, one.relation)
    if own.model_id is not None and own.type != "model":
        is_model = (artifact.c.name == own.model_id, artifact.c.type == "model")
        model = connection.execute(select(*_COLUMNS).where(*is_model)).first()
        if model is not None:
            yield RelatedArtifact(model.id, model.type, model.title, "model")


def _derivatives(connection: Connection, own: Any) -> Iterator[RelatedArtifact]:
    if own.type == "model":
        rows = _first(connection, artifact.c.model_id == own.name, own.key)
        yield from (RelatedArtifact(row.id, row.type, row.title, "model") for row in rows)
        return
    pointing = [edge.c.target == own.key]
    if own.digest is not None:
        pointing.append(and_(edge.c.target_digest == own.digest, _is_nowhere_else()))
    wanted = (
        select(*_COLUMNS, edge.c.relation)
        .join(edge, edge.c.source == artifact.c.key)
        .where(or_(*pointing))
        .order_by(artifact.c.created.desc(), artifact.c.id)
        .limit(MAX_RELATED + 1)
    )
    for row in connection.execute(wanted):
        yield RelatedArtifact(row.id, row.type, row.title, row.relation)


def _is_nowhere_else() -> ColumnElement[bool]:
    """Return whether the artifact that an edge names is not where it was."""
    there = artifact.alias("there")
    return ~select(there.c.key).where(there.c.key == edge.c.target).exists()


def _related(connection: Connection, own: Any) -> Iterator[RelatedArtifact]:
    seen = {own.key}
    same: list[tuple[str, ColumnElement[bool]]] = []
    if own.type not in ("run", "telemetry"):
        return
    if own.scenario is not None:
        same.append(("sameScenario", artifact.c.scenario == own.scenario))
    if own.model_id is not None:
        same.append(("sameModel", artifact.c.model_id == own.model_id))
    for relation, condition in same:
        for row in _first(connection, condition, own.key):
            if row.key not in seen:
                seen.add(row.key)
                yield RelatedArtifact(row.id, row.type, row.title, relation)


def _first(connection: Connection, condition: ColumnElement[bool], but: int) -> Sequence[Any]:
    wanted = (
        select(*_COLUMNS)
        .where(condition, artifact.c.type.in_(("run", "telemetry")), artifact.c.key != but)
        .order_by(artifact.c.created.desc(), artifact.c.id.desc())
        .limit(MAX_RELATED + 1)
    )
    return connection.execute(wanted).all()


def related_keys(connection: Connection, wanted: str) -> Select[Any]:
    """Return a query of the keys of what an artifact is related to, in any way.

    Args:
        connection: A connection.
        wanted: The artifact's id; an unknown one is related to nothing.
    """
    own = connection.execute(select(artifact).where(artifact.c.id == wanted)).first()
    if own is None:
        return select(artifact.c.key).where(artifact.c.key == -1)
    sources = select(edge.c.source).where(edge.c.target == own.key)
    targets = select(edge.c.target).where(edge.c.source == own.key)
    columns = artifact.c
    moved = (
        select(columns.key)
        .join(edge, edge.c.target_digest == columns.digest)
        .where(edge.c.source == own.key, _is_nowhere_else())
    )
    queries: list[Any] = [sources, targets, moved]
    if own.digest is not None:
        is_moved = and_(edge.c.target_digest == own.digest, _is_nowhere_else())
        queries.append(select(edge.c.source).where(is_moved))
    for column, value in (
        (columns.model_id, own.name if own.type == "model" else own.model_id),
        (columns.scenario, own.scenario),
    ):
        if value is not None:
            queries.append(select(columns.key).where(column == value, columns.key != own.key))
    if own.model_id is not None and own.type != "model":
        queries.append(
            select(columns.key).where(columns.name == own.model_id, columns.type == "model")
        )
    return select(union(*queries).subquery())


def _by_key(connection: Connection, keys: Sequence[int]) -> dict[int, Any]:
    wanted = select(*_COLUMNS).where(artifact.c.key.in_(keys))
    return {row.key: row for row in connection.execute(wanted)} if keys else {}


def _by_digest(connection: Connection, digests: Sequence[str | None]) -> dict[str | None, Any]:
    given = [one for one in digests if one is not None]
    if not given:
        return {}
    wanted = (
        select(*_COLUMNS, artifact.c.digest)
        .where(artifact.c.digest.in_(given))
        .order_by(artifact.c.id.desc())
    )
    return {row.digest: row for row in connection.execute(wanted)}
