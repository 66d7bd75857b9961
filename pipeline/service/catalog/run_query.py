"""Select the runs of a page of the list, and order them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pipeline.service.catalog.run_catalog import CatalogEntry, RunState

Sort = Literal["created", "-created", "id", "-id", "series", "-series", "rows", "-rows"]


@dataclass(frozen=True)
class RunQuery:
    """What a list of runs shows.

    Attributes:
        search: Words that the id, name, path, titles, source or mode contain, in any order and
            case.
        sort: What the list is ordered by; `-` for the largest or newest first.
        state: Only runs in this state.
        source: Only runs of this source.
        created_from: Earliest creation, UTC where it has no offset.
        created_to: Latest creation, excluded.
        has_warnings: Only runs with warnings, or only runs without.
    """

    search: str = ""
    sort: Sort = "-created"
    state: RunState | None = None
    source: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    has_warnings: bool | None = None

    def apply(
        self, entries: Sequence[CatalogEntry]
    ) -> tuple[Sequence[CatalogEntry], dict[RunState, int]]:
        """Return the runs that match in order, and how many match in each state.

        Args:
            entries: All runs, newest first.
        """
        conditions = self._conditions()
        matching = entries
        for condition in conditions:
            matching = [entry for entry in matching if condition(entry)]
        states: Counter[RunState] = Counter(entry.state for entry in matching)
        if self.state is not None:
            matching = [entry for entry in matching if entry.state == self.state]
        return _ordered(matching, self.sort), dict(states)

    def _conditions(self) -> list[Callable[[CatalogEntry], bool]]:
        conditions: list[Callable[[CatalogEntry], bool]] = []
        if self.source is not None:
            conditions.append(
                lambda entry: entry.run is not None and entry.run.source == self.source
            )
        if self.has_warnings is not None:
            conditions.append(lambda entry: _has_warnings(entry) == self.has_warnings)
        if self.created_from is not None or self.created_to is not None:
            start, end = _utc(self.created_from), _utc(self.created_to)
            conditions.append(lambda entry: _is_within(entry, start, end))
        words = self.search.casefold().split()
        conditions += [_contains(word) for word in words]
        return conditions


def row_count(entry: CatalogEntry) -> int:
    """Return the number of rows of a plain export of a run."""
    return 0 if entry.run is None else len(entry.run.series) * entry.run.grid.bins


def _contains(word: str) -> Callable[[CatalogEntry], bool]:
    return lambda entry: word in entry.text


def _has_warnings(entry: CatalogEntry) -> bool:
    return entry.run is not None and bool(entry.run.warnings)


def _is_within(entry: CatalogEntry, start: datetime | None, end: datetime | None) -> bool:
    if entry.run is None or entry.run.created is None:
        return False
    created = entry.run.created
    return (start is None or created >= start) and (end is None or created < end)


def _utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def _ordered(entries: Sequence[CatalogEntry], sort: Sort) -> Sequence[CatalogEntry]:
    if sort == "-created":
        return entries  # their order in a listing
    by_key = sorted(entries, key=lambda entry: entry.key)
    if sort == "id":
        return by_key
    # Sorts are stable: equal entries remain ordered by their keys.
    return sorted(by_key, key=_SORT_KEYS[sort.removeprefix("-")], reverse=sort.startswith("-"))


_SORT_KEYS: dict[str, Callable[[CatalogEntry], Any]] = {
    "created": lambda entry: entry.created,
    "id": lambda entry: entry.key,
    "series": lambda entry: 0 if entry.run is None else len(entry.run.series),
    "rows": row_count,
}
