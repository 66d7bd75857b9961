"""Bring the list of runs of a registry to what is in the folder of the runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pipeline.logs import LOGGER
from pipeline.registry.rebuild import RebuildReport
from pipeline.registry.registry import Registry
from pipeline.registry.run_list.damage import RunDamage
from pipeline.registry.run_list.run_list import ListedRuns
from pipeline.registry.run_list.updating import RunListState
from pipeline.service.catalog.locations import Locations


class RunLister(Protocol):
    """Lists runs elsewhere than in this process."""

    async def list_runs(self, damage: RunDamage, found: Callable[[int], None]) -> RunListState:
        """List the runs, and return the list as a whole.

        Args:
            damage: The runs that jobs have found damaged.
            found: Called now and then with the number of runs and exports found so far.

        Raises:
            FlowtimeExportError: The runs cannot be listed.
        """

    async def close(self) -> None:
        """End whatever is being done."""


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
        report: What is found is counted here.
        proceed: Called for each that is read; may raise to stop. What was read before stays.

    Raises:
        StorageError: They cannot be listed.
        RegistryError: The registry failed.
    """
    registry.rebuild(
        locations.runs.url, storage_options=locations.options, proceed=proceed, report=report
    )
    for problem in report.problems:
        LOGGER.info("%s", problem)
    return run_list_of(registry, locations).update(damage)


def run_list_of(registry: Registry, locations: Locations) -> ListedRuns:
    """Return the list of the runs of a service."""
    return ListedRuns(registry.database, locations.runs.url, locations.masked)
