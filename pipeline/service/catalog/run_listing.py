"""Bring registries to what is in the folders of a service, here or in another process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

from pipeline.errors import FlowtimeExportError
from pipeline.registry.rebuild_report import RebuildReport
from pipeline.registry.registry import Registry
from pipeline.registry.run_list.damage import RunDamage
from pipeline.registry.run_list.run_list import ListedRuns
from pipeline.registry.run_list.updating import RunListState
from pipeline.service.catalog.locations import Locations

MOST_HERE = 500
"""Runs and exports up to which a pass is made on a thread: a process takes longer to start."""

_T = TypeVar("_T")


class RegistryProcess(Protocol):
    """Makes passes over folders elsewhere than in this process."""

    async def list_runs(self, damage: RunDamage, found: Callable[[int], None]) -> RunListState:
        """List the runs, and return the list as a whole.

        Args:
            damage: The runs that jobs have found damaged.
            found: Called now and then with the number of runs and exports found so far.

        Raises:
            FlowtimeExportError: The runs cannot be listed.
        """

    async def rebuild(self, registry: str, roots: Sequence[str]) -> RebuildReport:
        """Enter all runs and exports below some folders, and forget what is gone there.

        Args:
            registry: URL of the registry.
            roots: URLs of the folders.

        Raises:
            FlowtimeExportError: A folder cannot be listed, or the registry failed.
        """

    async def close(self) -> None:
        """End whatever is being done."""


async def pass_of(
    known: int, here: Callable[[int | None], _T], elsewhere: Callable[[], Awaitable[_T]] | None
) -> _T:
    """Make a pass where it is best: of few runs and exports on a thread, else elsewhere.

    Args:
        known: How many there are, as far as that is known.
        here: Makes the pass in this process; raises `ManyToReadError` where more have to be read
            than it is given.
        elsewhere: Makes the pass in another process; None where there is none.
    """
    if elsewhere is None:
        return await asyncio.to_thread(here, None)
    if known <= MOST_HERE:
        with suppress(ManyToReadError):
            return await asyncio.to_thread(here, MOST_HERE)
    return await elsewhere()


class ManyToReadError(FlowtimeExportError):
    """There are more runs and exports to be read than a thread should read."""


def stop_after(most: int | None, report: RebuildReport) -> Callable[[], None]:
    """Return a function that stops a pass which has to read more than so many.

    Args:
        most: How many it may read; None for any number.
        report: Counts what is found.
    """

    def proceed() -> None:
        if most is not None and report.added >= most:
            raise ManyToReadError

    return proceed


def list_runs(
    registry: Registry,
    locations: Locations,
    damage: RunDamage,
    report: RebuildReport,
    proceed: Callable[[], None] = lambda: None,
) -> RunListState:
    """List the runs, reading those that are new or have changed; return the list as a whole.

    Args:
        registry: The registry, in SQLite.
        locations: Where the runs are.
        damage: The runs that jobs have found damaged.
        report: What is found is counted here, with what could not be entered.
        proceed: Called for each that is read; may raise to stop. What was read before stays.

    Raises:
        StorageError: They cannot be listed.
        RegistryError: The registry failed.
    """
    registry.rebuild(
        locations.runs.url, storage_options=locations.options, proceed=proceed, report=report
    )
    return run_list_of(registry, locations).update(damage)


def run_list_of(registry: Registry, locations: Locations) -> ListedRuns:
    """Return the list of the runs of a service."""
    return ListedRuns(registry.database, locations.runs.url, locations.masked)
