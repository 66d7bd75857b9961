"""Define what is asked of a list of runs, and turn it into conditions and orders of SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, false

from pipeline.registry.database.search_text import TRIGRAM
from pipeline.registry.database.tables import LISTED_RUN
from pipeline.registry.queries.query import is_plain
from pipeline.registry.records.artifact import ArtifactState, microseconds

RunSort = Literal["created", "-created", "id", "-id", "series", "-series", "rows", "-rows"]


@dataclass(frozen=True, slots=True)
class RunListQuery:
    """Which runs a list shows, and in which order.

    Attributes:
        search: Words that the id, name, path, titles, source, mode or reason contain, in any order
            and case.
        sort: What the list is ordered by; `-` for the largest or newest first. Equal ones are
            ordered by their ids.
        state: Only runs in this state.
        source: Only runs of this source.
        created_from: Earliest creation, UTC where it has no offset.
        created_to: Latest creation, excluded.
        has_warnings: Only runs with warnings, or only runs without.
    """

    search: str = ""
    sort: RunSort = "-created"
    state: ArtifactState | None = None
    source: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    has_warnings: bool | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The words that are searched, case-folded, the longest first."""
        return tuple(
            sorted(set(self.search.casefold().split()), key=lambda word: (-len(word), word))
        )

    @property
    def phrases(self) -> str:
        """What the index of texts is asked for: all words that it can find; empty without any."""
        long = [word for word in self.words if len(word) >= TRIGRAM and is_plain(word)]
        return " AND ".join('"' + word.replace('"', '""') + '"' for word in long)

    @property
    def filters(self) -> tuple[Any, ...]:
        """What decides which runs match in any state."""
        period = (self.created_from, self.created_to)
        return (self.words, self.source, *period, self.has_warnings)

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions, that on the state apart."""
        columns = LISTED_RUN.c
        found: list[ColumnElement[bool]] = []
        if self.source is not None:
            is_source = columns.source == self.source
            found.append(is_source if is_plain(self.source) else false())
        if self.has_warnings is not None:
            found.append(columns.warnings > 0 if self.has_warnings else columns.warnings == 0)
        if self.created_from is not None:
            found.append(columns.created >= _instant(self.created_from))
        if self.created_to is not None:
            found.append(columns.created < _instant(self.created_to))
        found += [_holds(word) for word in self.words]
        return found

    def order(self, *, by_index: bool) -> Sequence[ColumnElement[Any]]:
        """Return what the list is ordered by; unknown times of creation are before all others.

        Args:
            by_index: Whether the rows are to be looked at in the order of an index.
        """
        columns = LISTED_RUN.c
        name = self.sort.removeprefix("-")
        column: ColumnElement[Any] = {
            "created": columns.created,
            "id": columns.id,
            "series": columns.series,
            "rows": columns.rows,
        }[name]
        if not by_index:  # no index has an expression
            column = column + ("" if name == "id" else 0)
        first = column.desc() if self.sort.startswith("-") else column.asc()
        return (first, columns.key) if name == "id" else (first, columns.id, columns.key)


def _holds(word: str) -> ColumnElement[bool]:
    if not is_plain(word):
        return false()
    return LISTED_RUN.c.text.contains(word, autoescape=True)


def _instant(moment: datetime) -> int:
    return microseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
