"""Select runs and their series by globs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache

from connectors.flowtime.model.run import Run


@dataclass(frozen=True, slots=True)
class Selection:
    """Which runs and which of their series are wanted.

    Attributes:
        include: Globs on the run directory's name, case-sensitive; one must match.
        exclude: Likewise; none may match, nor on a folder above it and below the source.
        created_from: Earliest `createdUtc`, inclusive.
        created_to: Latest `createdUtc`, exclusive.
        needs_created: Whether runs are chosen by `createdUtc` all the same, and so must have it.
        measures, components, classes: Globs on the series; one of each must match.
    """

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    created_from: datetime | None = None
    created_to: datetime | None = None
    needs_created: bool = False
    measures: tuple[str, ...] = ("*",)
    components: tuple[str, ...] = ("*",)
    classes: tuple[str, ...] = ("*",)

    def wants_name(self, name: str) -> bool:
        """Return whether a run directory of that name is wanted."""
        return _any_matches(name, self.include) and not self.excludes_name(name)

    def excludes_name(self, name: str) -> bool:
        """Return whether a folder of that name is left out with all that is below it."""
        return _any_matches(name, self.exclude)

    @property
    def asks_created(self) -> bool:
        """Whether `createdUtc` plays a part."""
        bounds = (self.created_from, self.created_to)
        return self.needs_created or any(bound is not None for bound in bounds)

    def wants_created(self, created: datetime) -> bool:
        """Return whether a run created at that instant is wanted."""
        after = self.created_from is None or created >= _utc(self.created_from)
        return after and (self.created_to is None or created < _utc(self.created_to))


EVERYTHING = Selection()


def select_series(run: Run, selection: Selection) -> Run:
    """Return the same run with the wanted series only, in the same order."""
    asked = (selection.measures, selection.components, selection.classes)
    if all("*" in globs for globs in asked):
        return run
    places = [
        place
        for place, one in enumerate(run.series)
        if _matches(one.measure, selection.measures)
        and _matches(one.component or "", selection.components)
        and _matches(one.class_name, selection.classes)
    ]
    return replace(run, series=run.series.picked(places))


def _any_matches(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


_matches = lru_cache(maxsize=65536)(_any_matches)
"""Likewise, for names that recur in run after run."""


def _utc(instant: datetime) -> datetime:
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
