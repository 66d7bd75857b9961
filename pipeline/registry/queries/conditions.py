"""Turn queries of artifacts into conditions of SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, false, or_, select

from pipeline.registry.database import search_text
from pipeline.registry.database.statements import is_among
from pipeline.registry.database.tables import artifact, shape_term, user_data, user_tag
from pipeline.registry.queries.query import ArtifactQuery
from pipeline.registry.queries.relationships import related_keys
from pipeline.registry.records.artifact import UNKNOWN_INSTANT, Visibility, microseconds
from pipeline.registry.records.run_records import model_id

MOST_COUNTED = 2_000
"""Artifacts that hold a text are counted up to about this number."""


@dataclass(frozen=True)
class Conditions:
    """The conditions of a query, in the form in which each use of them is fast.

    Attributes:
        to_find: To find the first artifacts in an order, which are looked at one by one.
        to_count: To count all artifacts that match.
        to_sample: To count those that match among the first that hold a text, where too many hold
            it to count them all.
    """

    to_find: Sequence[ColumnElement[bool]]
    to_count: Sequence[ColumnElement[bool]]
    to_sample: Sequence[ColumnElement[bool]] | None = None


def conditions_of(connection: Connection, query: ArtifactQuery) -> Conditions:
    """Return the conditions of a query."""
    few: list[ColumnElement[bool]] = []
    to_find: list[ColumnElement[bool]] = []
    to_count: list[ColumnElement[bool]] = []
    sample: Sequence[int] | None = None
    others: list[ColumnElement[bool]] = []
    for text, everywhere in ((query.search, False), (query.full_text, True)):
        if not text:
            continue
        holding = search_text.keys_with(connection, text, everywhere=everywhere)
        if len(text) >= search_text.TRIGRAM:
            keys, are_all = _first_keys(connection, holding)
            if are_all:
                few.append(is_among(connection, artifact.c.key, keys))
                continue
            others, sample = [*to_find], keys
        to_find.append(search_text.holds(connection, text, everywhere=everywhere))
        to_count.append(artifact.c.key.in_(holding))
    if query.related_to:
        related = related_keys(connection, query.related_to)
        keys, are_all = _first_keys(connection, related)
        is_related = artifact.c.key.in_(related)
        few.append(is_among(connection, artifact.c.key, keys) if are_all else is_related)
    plain = [*few, *_plain(connection, query, by_keys=bool(few))]
    to_sample = None
    if sample is not None:
        is_in_sample = is_among(connection, artifact.c.key, sample)
        to_sample = [is_in_sample, *few, *_plain(connection, query, by_keys=True), *others]
    return Conditions([*plain, *to_find], [*plain, *to_count], to_sample)


def _first_keys(connection: Connection, holding: Select[Any]) -> tuple[Sequence[int], bool]:
    """Return the first keys that a query gives, and whether these are all."""
    keys = connection.execute(holding.limit(MOST_COUNTED + 1)).scalars().all()
    return keys, len(keys) <= MOST_COUNTED


def _plain(
    connection: Connection, query: ArtifactQuery, *, by_keys: bool
) -> list[ColumnElement[bool]]:
    """Return the conditions of a query, its texts apart.

    Args:
        connection: A connection.
        query: The query.
        by_keys: Whether few keys are looked at, which no index on other columns finds sooner.
    """
    columns = artifact.c
    found: list[ColumnElement[bool]] = []
    # A sum is not in any index: so is said which condition is not to choose one.
    visibility = columns.visibility + 0 if by_keys else columns.visibility
    size = columns.size if query.sort_by == "size" else columns.size + 0
    if query.state not in (None, "complete"):
        found += [visibility == Visibility.NOT_USABLE.value, columns.state == query.state]
    elif query.include_archived:
        found.append(visibility >= Visibility.LISTED.value)
    else:
        found.append(visibility == Visibility.LISTED.value)
    if query.types:
        found.append(columns.type.in_(query.types))
    if query.created_after is not None:
        found.append(columns.created >= microseconds(query.created_after))
    if query.created_before is not None:
        found.append(columns.created <= microseconds(query.created_before))
        found.append(columns.created != UNKNOWN_INSTANT)
    if query.min_size is not None:
        found.append(size >= query.min_size)
    if query.max_size is not None:
        found.append(size <= query.max_size)
    for column, value in (
        (columns.template_id, query.template_id),
        (columns.model_id, _model_id(query.model_id)),
        (columns.source, query.source),
    ):
        if value:
            found.append(column == value)
    for kind, value in (
        ("component", query.component),
        ("measure", query.measure),
        ("class", query.class_name),
    ):
        if value:
            found.append(columns.shape.in_(_shapes(kind, [value])))
    if query.day:
        found.append(_on_day(query.day))
    if query.pinned is not None:
        found.append(columns.pinned.is_(query.pinned))
    if query.owner:
        owned = select(user_data.c.key).where(user_data.c.owner == query.owner)
        found.append(columns.key.in_(owned))
    if query.tags:
        found.append(_tagged(connection, query.tags))
    return found


def _model_id(wanted: str) -> str:
    return wanted if not wanted or wanted.startswith("model_") else model_id(wanted)


def _shapes(kind: str, values: Sequence[str]) -> Select[Any]:
    return select(shape_term.c.shape).where(
        shape_term.c.kind == kind, shape_term.c.value.in_(values)
    )


def _tagged(connection: Connection, tags: Sequence[str]) -> ColumnElement[bool]:
    automatic = artifact.c.shape.in_(_shapes("tag", tags))
    said = select(user_tag.c.removed).where(user_tag.c.tag.in_(tags)).distinct()
    kinds = {bool(one) for one in connection.execute(said).scalars()}
    if not kinds:
        return automatic  # an index answers that alone
    by_user = select(user_tag.c.key).where(user_tag.c.tag.in_(tags), user_tag.c.removed.is_(False))
    if True not in kinds:
        return or_(artifact.c.key.in_(by_user), automatic)
    removed = select(user_tag.c.key).where(user_tag.c.tag.in_(tags), user_tag.c.removed.is_(True))
    # With several tags an artifact may have lost one and still have another: that is looked at.
    return or_(
        artifact.c.key.in_(by_user),
        and_(automatic, artifact.c.key.not_in(removed)),
        and_(artifact.c.key.in_(removed), _keeps_one(tags)),
    )


def _keeps_one(tags: Sequence[str]) -> ColumnElement[bool]:
    lost = select(user_tag.c.tag).where(
        user_tag.c.key == artifact.c.key, user_tag.c.removed.is_(True)
    )
    return (
        select(shape_term.c.shape)
        .where(
            shape_term.c.shape == artifact.c.shape,
            shape_term.c.kind == "tag",
            shape_term.c.value.in_(tags),
            shape_term.c.value.not_in(lost),
        )
        .correlate(artifact)
        .exists()
    )


def _on_day(text: str) -> ColumnElement[bool]:
    try:
        start = datetime.fromisoformat(text[:10]).replace(tzinfo=UTC)
        end = start + timedelta(days=1)
    except (ValueError, OverflowError):
        return false()
    return and_(artifact.c.created >= microseconds(start), artifact.c.created < microseconds(end))
