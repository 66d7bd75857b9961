"""Define what is asked of a list of runs, and turn it into conditions and orders of SQL.

The texts of statements are put together here from parts that are written here; what comes from
outside is among their values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pipeline.registry.database.search_text import TRIGRAM, pattern_of, phrase_of
from pipeline.registry.database.statements import is_plain
from pipeline.registry.records.artifact import ArtifactState, microseconds

RunSort = Literal["created", "-created", "id", "-id", "series", "-series", "rows", "-rows"]

_NOTHING = "0"


@dataclass(frozen=True, slots=True)
class SqlCondition:
    """A condition of SQL.

    Attributes:
        text: The condition, with names of values such as `:source`.
        values: The values by their names.
    """

    text: str
    values: Mapping[str, Any]


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
        found = set(self.search.casefold().split())
        return tuple(sorted(found, key=lambda word: (-len(word), word)))

    @property
    def phrases(self) -> str:
        """What the index of texts is asked for: all words that it can find; empty without any."""
        long = [word for word in self.words if len(word) >= TRIGRAM and is_plain(word)]
        return " AND ".join(phrase_of(word) for word in long)

    @property
    def filters(self) -> tuple[Any, ...]:
        """What decides which runs match in any state."""
        period = (self.created_from, self.created_to)
        return (self.words, self.source, *period, self.has_warnings)

    def condition(self) -> SqlCondition:
        """Return the condition on a run in any state; an empty text where there is none."""
        values: dict[str, Any] = {}
        return SqlCondition(" AND ".join(self._terms(values)), values)

    def _terms(self, values: dict[str, Any]) -> Iterator[str]:
        if self.has_warnings is not None:
            yield "warnings > 0" if self.has_warnings else "warnings = 0"
        if self.source is not None:
            values["source"] = self.source
            yield "source = :source" if is_plain(self.source) else _NOTHING
        if self.created_from is not None:
            values["created_from"] = _instant(self.created_from)
            yield "created >= :created_from"
        if self.created_to is not None:
            values["created_to"] = _instant(self.created_to)
            yield "created < :created_to"
        for number, word in enumerate(self.words):
            if not is_plain(word):
                yield _NOTHING
                return
            values[f"word_{number}"] = pattern_of(word)
            yield rf"text LIKE :word_{number} ESCAPE '\'"

    def order(self, *, by_index: bool) -> str:
        """Return what the list is ordered by; unknown times of creation are before all others.

        Args:
            by_index: Whether the rows are to be looked at in the order of an index.
        """
        name = self.sort.removeprefix("-")
        column = name if by_index else f"+{name}"  # no index has an expression
        first = f"{column} DESC" if self.sort.startswith("-") else column
        return f"{first}, key" if name == "id" else f"{first}, id, key"


def _instant(moment: datetime) -> int:
    return microseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
