"""Which runs a list shows, in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pipeline.service.catalog.run_catalog import CatalogEntry, RunState

Sort = Literal["created", "-created", "id", "-id", "series", "-series", "rows", "-rows"]


@dataclass(frozen=True)
class RunQuery:
    """What is asked of a list of runs.

    Attributes:
        search: Text in an id, a name, a title or the like, in any case.
        sort: What is sorted by; `-` for the largest or newest first.
        state: Only runs in this state.
        source: Only runs of this source.
        created_from: Earliest creation, UTC where it names no offset.
        created_to: Latest creation, excluded.
        has_warnings: Only runs with warnings, or without.
    """

    search: str = ""
    sort: Sort = "-created"
    state: RunState | None = None
    source: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    has_warnings: bool | None = None

    def apply(
        self, entries: Iterable[CatalogEntry]
    ) -> tuple[list[CatalogEntry], dict[RunState, int]]:
        """The runs that match in order, and how many match in each state.

        Args:
            entries: Runs as they are listed, the newest first.
        """
        matching = [entry for entry in entries if self._matches(entry)]
        states: Counter[RunState] = Counter(entry.state for entry in matching)
        chosen = [e for e in matching if self.state is None or e.state == self.state]
        _sort(chosen, self.sort)
        return chosen, dict(states)

    def _matches(self, entry: CatalogEntry) -> bool:
        run = entry.run
        if self.source is not None and (run is None or run.source != self.source):
            return False
        has_warnings = run is not None and bool(run.warnings)
        if self.has_warnings is not None and has_warnings != self.has_warnings:
            return False
        within = _is_within(entry, self.created_from, self.created_to)
        return within and _holds(entry, self.search.casefold())


def row_count(entry: CatalogEntry) -> int:
    """Rows that an export of a run has."""
    return 0 if entry.run is None else len(entry.run.series) * entry.run.grid.bins


def _holds(entry: CatalogEntry, search: str) -> bool:
    if not search:
        return True
    run = entry.run
    texts = [entry.key, entry.name, entry.path, entry.reason]
    if run is not None:
        texts += [run.source, run.template_id, run.template_title, run.model_title, run.mode]
    return any(search in text.casefold() for text in texts if text)


def _is_within(entry: CatalogEntry, start: datetime | None, end: datetime | None) -> bool:
    if start is None and end is None:
        return True
    if entry.run is None or entry.run.created is None:
        return False
    created = entry.run.created
    return (start is None or created >= _utc(start)) and (end is None or created < _utc(end))


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _sort(entries: list[CatalogEntry], sort: Sort) -> None:
    if sort == "-created":
        return  # so they come
    descending = sort.startswith("-")
    entries.sort(key=lambda entry: entry.key)  # sorts are stable: equal ones stay in this order
    match sort.removeprefix("-"):
        case "created":
            entries.sort(key=lambda entry: entry.created, reverse=descending)
        case "id":
            entries.sort(key=lambda entry: entry.key, reverse=descending)
        case "series":
            entries.sort(key=_series_count, reverse=descending)
        case _:
            entries.sort(key=row_count, reverse=descending)


def _series_count(entry: CatalogEntry) -> int:
    return 0 if entry.run is None else len(entry.run.series)
