"""Count how often the values of some fields occur among artifacts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from pipeline.registry.database.statements import parts
from pipeline.registry.database.tables import artifact, shape_term, user_tag
from pipeline.registry.records.artifact import UNKNOWN_INSTANT

MAX_VALUES = 100
"""Values of a facet, the most frequent first."""

Facets = Mapping[str, Mapping[str, int]]
"""Field → value → how often it occurs."""

_FEW = 20_000
_DAY = 86_400 * 10**6
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS_BEFORE = 800_000
"""More days than there are from the year 1 to 1970."""

_COLUMNS = {
    "type": artifact.c.type,
    "source": artifact.c.source,
    "template": artifact.c.template_id,
}
_TERMS = {"component": "component", "measure": "measure", "class": "class", "tag": "tags"}


def facets_of(
    connection: Connection, conditions: Sequence[ColumnElement[bool]], total: int | None
) -> Facets:
    """Return the facets of the artifacts that meet some conditions.

    Args:
        connection: A connection; how long it may take bounds the counting.
        conditions: The conditions.
        total: How many artifacts meet them, where that is known.

    Returns:
        Field → value → number, of `type`, `source`, `template`, `component`, `measure`, `class`,
        `tags` and `day`.
    """
    is_few = total is not None and total <= _FEW
    counts = _read(connection, conditions) if is_few else _counted(connection, conditions)
    terms = _terms(connection, counts.shapes)
    _add_tags_of_users(connection, conditions, terms["tags"])
    days = sorted(counts.days.items(), reverse=True)[:MAX_VALUES]
    return {
        **{name: _most(values) for name, values in counts.fields.items()},
        **{name: _most(values) for name, values in terms.items()},
        "day": {(_EPOCH + timedelta(days=day)).date().isoformat(): n for day, n in days},
    }


@dataclass
class _Counts:
    """How often values occur: of the fields by name, of shapes, and of days since 1970."""

    fields: dict[str, Counter[str]]
    shapes: Counter[int]
    days: Counter[int]


def _read(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> _Counts:
    """Count few artifacts here: one look at each instead of one for each field."""
    wanted = select(*_COLUMNS.values(), artifact.c.shape, artifact.c.created).where(*conditions)
    rows = connection.execute(wanted).all()
    fields = {
        name: Counter(row[place] for row in rows if row[place] is not None)
        for place, name in enumerate(_COLUMNS)
    }
    days = Counter(row.created // _DAY for row in rows if row.created != UNKNOWN_INSTANT)
    return _Counts(fields, Counter(row.shape for row in rows), days)


def _counted(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> _Counts:
    """Have the database count many artifacts, field by field, from its indexes."""

    def grouped(column: ColumnElement[Any]) -> Counter[Any]:
        counting = select(column, func.count()).where(*conditions).group_by(column)
        return Counter({row[0]: row[1] for row in connection.execute(counting)})

    fields = {name: grouped(column) for name, column in _COLUMNS.items()}
    for values in fields.values():
        values.pop(None, None)
    # Databases round quotients towards 0: so that these are none below it but the unknown one.
    shifted = grouped((artifact.c.created + _DAYS_BEFORE * _DAY) // _DAY)
    days = Counter({day - _DAYS_BEFORE: number for day, number in shifted.items() if day >= 0})
    return _Counts(fields, grouped(artifact.c.shape), days)


def _terms(connection: Connection, shapes: Mapping[int, int]) -> dict[str, Counter[str]]:
    """Count components, measures, classes and tags by the shapes that have them."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in _TERMS.values()}
    for some in parts([*shapes]):
        wanted = select(shape_term).where(shape_term.c.shape.in_(some))
        for shape, kind, value in connection.execute(wanted):
            counts[_TERMS[kind]][value] += shapes[shape]
    return counts


def _add_tags_of_users(
    connection: Connection, conditions: Sequence[ColumnElement[bool]], tags: Counter[str]
) -> None:
    """Correct the counts of automatic tags by what users have added and removed.

    What they have added may be automatic by now, and what they have removed may be so no more.
    """
    is_automatic = (
        select(shape_term.c.shape)
        .where(
            shape_term.c.shape == artifact.c.shape,
            shape_term.c.kind == "tag",
            shape_term.c.value == user_tag.c.tag,
        )
        .correlate(artifact, user_tag)
        .exists()
    )
    counting = (
        select(user_tag.c.tag, user_tag.c.removed, func.count())
        .join(artifact, artifact.c.key == user_tag.c.key)
        .where(*conditions, user_tag.c.removed == is_automatic)
        .group_by(user_tag.c.tag, user_tag.c.removed)
    )
    for tag, is_removed, number in connection.execute(counting):
        tags[tag] += -number if is_removed else number


def _most(counts: Mapping[str, int]) -> dict[str, int]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {value: number for value, number in ordered[:MAX_VALUES] if number > 0}
