"""Count how often the values of some fields occur among artifacts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from pipeline.registry.statements import parts
from pipeline.registry.tables import artifact, shape_term, user_tag

MAX_VALUES = 100
"""Values of a facet, the most frequent first."""

_DAY = 86_400 * 10**6
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = {
    "type": artifact.c.type,
    "source": artifact.c.source,
    "template": artifact.c.template_id,
}
_TERMS = {"component": "component", "measure": "measure", "class": "class", "tag": "tags"}


def facets_of(
    connection: Connection, conditions: Sequence[ColumnElement[bool]]
) -> Mapping[str, Mapping[str, int]]:
    """Return the facets of the artifacts that meet some conditions.

    Args:
        connection: A connection; how long it may take bounds the counting.
        conditions: The conditions.

    Returns:
        Field → value → number, of `type`, `source`, `template`, `tags`, `component`, `measure`,
        `class` and `day`.
    """
    found: dict[str, Mapping[str, int]] = {}
    for name, column in _COLUMNS.items():
        counting = select(column, func.count()).where(*conditions).group_by(column)
        found[name] = _most({v: n for v, n in connection.execute(counting) if v is not None})
    found.update(_terms(connection, conditions))
    found["day"] = _days(connection, conditions)
    return found


def _terms(
    connection: Connection, conditions: Sequence[ColumnElement[bool]]
) -> dict[str, Mapping[str, int]]:
    """Count components, measures, classes and tags by the shapes that have them."""
    counting = select(artifact.c.shape, func.count()).where(*conditions).group_by(artifact.c.shape)
    shapes: dict[int, int] = {row[0]: row[1] for row in connection.execute(counting)}
    counts: dict[str, Counter[str]] = {name: Counter() for name in _TERMS.values()}
    for some in parts([*shapes]):
        for shape, kind, value in connection.execute(
            select(shape_term).where(shape_term.c.shape.in_(some))
        ):
            counts[_TERMS[kind]][value] += shapes[shape]
    of_users = (
        select(user_tag.c.tag, user_tag.c.removed, func.count())
        .join(artifact, artifact.c.key == user_tag.c.key)
        .where(*conditions)
        .group_by(user_tag.c.tag, user_tag.c.removed)
    )
    for tag, is_removed, number in connection.execute(of_users):
        counts["tags"][tag] += -number if is_removed else number
    return {name: _most(values) for name, values in counts.items()}


def _days(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> Mapping[str, int]:
    day = (artifact.c.created // _DAY).label("day")
    counting = select(day, func.count()).where(*conditions, artifact.c.created != 0).group_by(day)
    rows: list[Any] = sorted(connection.execute(counting).all(), reverse=True)[:MAX_VALUES]
    return {(_EPOCH + timedelta(days=int(number))).date().isoformat(): n for number, n in rows}


def _most(counts: Mapping[str, int]) -> dict[str, int]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {value: number for value, number in ordered[:MAX_VALUES] if number > 0}
