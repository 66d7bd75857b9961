"""Artifacts as tables and lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.registry.queries.listing import ArtifactPage
from pipeline.registry.records.artifact import Artifact, Relationships, shown_instant
from pipeline.wording import counted, human_size

_WIDEST = 60
_MOST_TAGS = 4
_MOST_VALUES = 8


def page_lines(page: ArtifactPage) -> Iterator[str]:
    """Yield a page as a table, with its facets below."""
    head = ("ID", "TYPE", "CREATED", "SIZE", "TITLE", "TAGS")
    rows = [_row(one) for one in page.artifacts]
    yield from _table([head, *rows])
    shown = f"{counted(len(page.artifacts), 'artifact')} of {page.total:,}"
    yield f"{shown}; next page: --cursor {page.next_cursor}" if page.next_cursor else shown
    for name, values in (page.facets or {}).items():
        if values:
            first = [f"{value} ({number:,})" for value, number in values.items()][:_MOST_VALUES]
            more = " ..." if len(values) > _MOST_VALUES else ""
            yield f"  {name}: {', '.join(first)}{more}"


def artifact_lines(one: Artifact) -> Iterator[str]:
    """Yield all that is known of an artifact, a line each."""
    facts: dict[str, Any] = {
        "id": one.id,
        "type": one.type,
        "title": one.title,
        "description": one.description,
        "state": one.state if one.reason is None else f"{one.state}: {one.reason}",
        "created": shown_instant(one.created),
        "modified": shown_instant(one.modified),
        "size": human_size(one.size),
        "source": one.source,
        "location": one.location,
        "digest": one.digest,
        "tags": ", ".join(one.tags),
        "can": ", ".join(one.capabilities),
        "owner": one.owner,
        "note": one.note,
        "pinned": "yes" if one.pinned else None,
        "archived": "yes" if one.archived else None,
        "files": ", ".join(one.files),
        **one.metadata,
    }
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        if value not in (None, ""):
            yield f"{name:<{width}}  {value}"


def relationship_lines(found: Relationships) -> Iterator[str]:
    """Yield how an artifact is related to others, a line each."""
    lists = (
        ("derived from", found.derived_from),
        ("derivatives", found.derivatives),
        ("related", found.related),
    )
    for name, others in lists:
        yield f"{name}:" if others else f"{name}: none"
        for one in others:
            gone = "  (not in the registry)" if one.is_missing else ""
            yield f"  {one.relation:<14} {one.type:<10} {one.id}  {one.title}{gone}"
    if found.is_cut:
        yield "there are more than are shown"


def stats_lines(stats: Mapping[str, Any]) -> Iterator[str]:
    """Yield counts and sizes of a registry."""
    rows = [("TYPE", "COUNT", "SIZE", "OLDEST", "NEWEST")]
    rows += [
        (
            name,
            f"{one['count']:,}",
            human_size(one["totalSize"]),
            one["oldest"] or "",
            one["newest"] or "",
        )
        for name, one in stats["types"].items()
    ]
    yield from _table(rows)
    yield (
        f"{counted(stats['total'], 'artifact')}, {human_size(stats['totalSize'])}, "
        f"{stats['archived']:,} archived, {stats['notComplete']:,} not complete"
    )
    yield from (f"  below {url}" for url in stats["roots"])


def _row(one: Artifact) -> tuple[str, ...]:
    more = " ..." if len(one.tags) > _MOST_TAGS else ""
    return (
        one.id,
        one.type,
        shown_instant(one.created) or "",
        human_size(one.size),
        one.title if len(one.title) <= _WIDEST else f"{one.title[: _WIDEST - 3]}...",
        ", ".join(one.tags[:_MOST_TAGS]) + more,
    )


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
