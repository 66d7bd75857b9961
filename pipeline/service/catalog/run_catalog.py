"""Keep the list of the runs of a folder up to date, and find runs in it by their names."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.model.run import Run
from pipeline.errors import FlowtimeExportError
from pipeline.logs import LOGGER
from pipeline.registry.rebuild_report import RebuildReport
from pipeline.registry.run_list.damage import RunDamage
from pipeline.registry.run_list.listed_run import ListedRun
from pipeline.registry.run_list.run_list import ListedRuns, RunListPage, RunVersion
from pipeline.registry.run_list.run_list_query import RunListQuery
from pipeline.registry.run_list.updating import RunListState
from pipeline.service.catalog.locations import Locations
from pipeline.service.catalog.registry_handle import RegistryHandle
from pipeline.service.catalog.run_listing import (
    RegistryProcess,
    list_runs,
    pass_of,
    run_list_of,
    stop_after,
)
from pipeline.service.errors import (
    BusyError,
    RequestConflictError,
    UnknownError,
    UnprocessableError,
)

_LEAST_SECONDS = 1.0
_MOST_SHOWN = 5
_CLOCK_SKEW = timedelta(minutes=5)
_LOOKUPS = 2
_REMEMBERED = 16
_MOST_REMEMBERED_SERIES = 2_000

_T = TypeVar("_T")


@dataclass(frozen=True)
class Listing:
    """The runs at one time, as a whole.

    Attributes:
        state: How many there are, and the revision of their list.
        taken: When they were listed, UTC.
        seconds: How long that took.
    """

    state: RunListState
    taken: datetime
    seconds: float
    monotonic: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        """Seconds since it was taken."""
        return time.monotonic() - self.monotonic


class RunCatalog:
    """The runs of a folder, in a registry; they are listed again when the last listing is old.

    Listings are made one at a time, and read only the runs that are new or have changed: on a
    thread where there are few, else in a process. In between the registry answers; no run is held
    in memory but the few that were asked for last.

    Args:
        locations: Where the runs are.
        registry: The registry that has the list, in SQLite.
        refresh: Age in seconds from which a listing is old.
        changed: Called when the runs have changed.
        damage: Returns the runs that jobs have found damaged.
        problem_changed: Called when listing begins or ceases to fail.
        process: Lists many runs; None to list them all on a thread.

    Attributes:
        problem: Why the runs could not be listed when it was last tried; None if they could.
    """

    def __init__(
        self,
        locations: Locations,
        registry: RegistryHandle,
        refresh: float,
        changed: Callable[[Listing], None],
        damage: Callable[[], RunDamage] = dict,
        problem_changed: Callable[[], None] = lambda: None,
        process: RegistryProcess | None = None,
    ) -> None:
        self._locations = locations
        self._registry = registry
        self._refresh_seconds = refresh
        self._changed = changed
        self._damage = damage
        self._problem_changed = problem_changed
        self._process = process
        self._runs: ListedRuns | None = None
        self._lookups = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="flowtime-runs")
        self._remembered: OrderedDict[tuple[int, str], Run] = OrderedDict()
        self._listing: Listing | None = None
        self._report = RebuildReport()
        self._found_elsewhere = 0
        self._wanted = self._taken = 0  # numbers of changes made here, and of those listed
        self._running: asyncio.Task[Listing] | None = None
        self._tried = 0.0
        self.problem: str | None = None

    @property
    def last(self) -> Listing | None:
        """The last listing, however old."""
        return self._listing

    @property
    def looked_at(self) -> int:
        """How many runs and exports the listing that is being made has found."""
        return self._found_elsewhere or self._report.added + self._report.unchanged

    @property
    def is_old(self) -> bool:
        """Whether the runs should be listed again."""
        age = time.monotonic() - self._tried
        return age > self._refresh_seconds

    async def listing(self, *, refresh: bool = False) -> Listing:
        """Return the last listing; an old one is returned while the next one is made.

        Args:
            refresh: Wait for a listing that begins now.

        Raises:
            BusyError: The runs could not be listed.
        """
        while self._taken < self._wanted:
            await self._renewed()
        known = self._listing
        if known is not None and not refresh:
            if known.age > self._refresh_seconds:
                self._begin()
            return known
        # Listing again at once would show the same, and could be used to keep the storage busy.
        if known is not None and known.age < max(_LEAST_SECONDS, 2 * known.seconds):
            return known
        return await self._renewed()

    async def _renewed(self) -> Listing:
        try:
            return await asyncio.shield(self._begin())
        except FlowtimeExportError as error:
            raise BusyError(
                f"the runs cannot be listed: {self._locations.masked(str(error))}",
                "try again later, or check the service's log",
                headers={"Retry-After": "10"},
            ) from error

    # --------------------------------------------------------------------- questions

    async def find(self, name: str) -> ListedRun:
        """Return the run of a key, or of a run id or directory name that no other run has.

        Raises:
            UnknownError: There is none.
            RequestConflictError: Several runs have this name.
            RegistryError: The registry failed.
        """
        await self.listing()
        found = await self._asked(lambda runs: runs.find(name))
        if not found:
            await self.listing(refresh=True)
            found = await self._asked(lambda runs: runs.find(name))
        if len(found) == 1:
            return found[0]
        if found:
            shown = ", ".join(one.key for one in found[:_MOST_SHOWN])
            raise RequestConflictError(
                f"{len(found)} runs have this name",
                f"name one of them: {shown}",
                code="ambiguous-run",
            )
        raise UnknownError(
            "Run not found", "GET /v1/runs lists the runs with their ids", code="run-not-found"
        )

    async def newest(self) -> ListedRun:
        """Return the readable run that was created last; dates in the future do not count.

        Raises:
            UnknownError: There is none.
            RegistryError: The registry failed.
        """
        await self.listing()
        latest = datetime.now(UTC) + _CLOCK_SKEW
        found = await self._asked(lambda runs: runs.newest(latest))
        if found is None:
            raise UnknownError("No run is complete", "GET /v1/runs says why", code="run-not-found")
        return found

    async def complete(self, path: str) -> tuple[ListedRun, Run]:
        """Return the run in a directory that can be read, for a job that was requested before.

        Args:
            path: The directory, relative to the folder of the runs.

        Raises:
            UnknownError: It does not exist any more.
            UnprocessableError: It cannot be exported as it is.
            RegistryError: The registry failed.
        """
        await self.listing()
        found = await self.at(path)
        if found is None:
            raise _gone()
        return found, await self.run(found)

    async def at(self, path: str) -> ListedRun | None:
        """Return the run in a directory, relative to the folder of the runs; None without one.

        Raises:
            RegistryError: The registry failed.
        """
        return await self._asked(lambda runs: runs.at(path))

    async def incomplete(self, paths: Collection[str]) -> frozenset[str]:
        """Return those of some directories whose runs are still being written.

        Raises:
            RegistryError: The registry failed.
        """
        return await self._asked(lambda runs: runs.incomplete(paths))

    async def run(self, listed: ListedRun) -> Run:
        """Return all that is known of a run.

        Raises:
            UnprocessableError: It cannot be read.
            UnknownError: It does not exist any more.
            StorageError: It had to be read again, and the storage failed.
            RegistryError: The registry failed.
        """
        if not listed.is_readable:
            raise not_complete(listed)
        key = (listed.artifact, listed.version)
        run = self._remembered.pop(key, None)  # put back as the newest
        if run is None:
            run = await self._asked(lambda runs: self._whole(runs, listed))
        if len(run.series) <= _MOST_REMEMBERED_SERIES:
            self._remembered[key] = run
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return run

    def page(self, query: RunListQuery, number: int, size: int) -> RunListPage:
        """Return a page of the runs that match. To be called on a thread.

        Args:
            query: Which runs, and their order.
            number: The page, from 1.
            size: Runs of a page.

        Raises:
            RegistryTimeoutError: It takes too long.
            RegistryError: The registry failed.
        """
        return self._list().page(query, number, size)

    def readable(self) -> Iterator[Sequence[RunVersion]]:
        """Yield the runs that can be read, some at a time. To be called on a thread.

        Raises:
            RegistryError: The registry failed.
        """
        return self._list().readable()

    async def _asked(self, question: Callable[[ListedRuns], _T]) -> _T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._lookups, lambda: question(self._list()))

    def _list(self) -> ListedRuns:
        if self._runs is None:
            self._runs = run_list_of(self._registry.registry(), self._locations)
        return self._runs

    def _whole(self, runs: ListedRuns, listed: ListedRun) -> Run:
        """Return a run from the registry, or from its files where it is not there as a whole."""
        path = self._locations.run_path(listed.path)
        found = runs.whole(listed, path)
        if found is not None:
            return found
        for run in discover(self._locations.runs.storage, path).runs:
            if run.url == listed.location:
                return run
        raise _gone()

    # --------------------------------------------------------------------- listing

    def begin(self) -> None:
        """List the runs in the background."""
        self._begin()

    def outdate(self) -> None:
        """Record that runs were written: the next request waits for a listing that has them."""
        self._wanted += 1
        self._begin()

    async def reassess(self) -> None:
        """Apply the damage that jobs have found since to the last listing."""
        before = self._listing
        if before is None:
            return
        try:
            state = await self._asked(lambda runs: runs.update(self._damage()))
        except FlowtimeExportError as error:
            LOGGER.warning("the list of runs is not up to date: %s", error)
            return
        # A listing that was made meanwhile knows the damage, too.
        if self._listing is before and state != before.state:
            self._listing = replace(before, state=state)
            self._changed(self._listing)

    async def close(self) -> None:
        """End the listing that is being made, or wait for it."""
        if self._process is not None:
            await self._process.close()
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)
        await asyncio.to_thread(self._lookups.shutdown)

    def _begin(self) -> asyncio.Task[Listing]:
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._take())
            self._running.add_done_callback(_retrieve)
        return self._running

    async def _take(self) -> Listing:
        wanted = self._wanted
        before, problem_before = self._listing, self.problem
        try:
            listing = await self._listed()
        except FlowtimeExportError as error:
            self.problem = self._locations.masked(str(error))
            if self.problem != problem_before:  # each request tries again
                LOGGER.warning("the runs cannot be listed: %s", error)
            if problem_before is None:
                self._problem_changed()
            raise
        finally:
            self._tried = time.monotonic()
        self._listing, self.problem = listing, None
        self._taken = wanted
        if problem_before is not None:
            self._problem_changed()
        if before is None or before.state != listing.state:
            self._changed(listing)
        return listing

    async def _listed(self) -> Listing:
        began = time.monotonic()
        self._found_elsewhere, self._report = 0, RebuildReport()
        damage = await asyncio.to_thread(self._damage)
        known = await self._asked(lambda runs: runs.state())
        process = self._process
        elsewhere = None
        if process is not None:
            elsewhere = partial(process.list_runs, damage, self._note_found)
        state = await pass_of(known.total, partial(self._list_here, damage), elsewhere)
        return Listing(state, datetime.now(UTC), time.monotonic() - began)

    def _list_here(self, damage: RunDamage, most: int | None) -> RunListState:
        proceed = stop_after(most, self._report)
        registry = self._registry.registry()
        state = list_runs(registry, self._locations, damage, self._report, proceed)
        for problem in self._report.problems:
            LOGGER.info("not listed: %s", problem)
        return state

    def _note_found(self, found: int) -> None:
        self._found_elsewhere = found


def not_complete(listed: ListedRun) -> UnprocessableError:
    """Return the error that says why a run cannot be read."""
    hint = {
        "incomplete": 'wait until it is complete, or export it with "when": "complete"',
        "link": "request the run by its real directory",
    }
    return UnprocessableError(
        f"run {listed.key} is {listed.state}: {listed.reason}",
        hint.get(listed.state, "repair the run's files, or evaluate its model again"),
        code="run-not-complete",
    )


def _gone() -> UnknownError:
    return UnknownError(
        "the run does not exist any more", "GET /v1/runs lists the runs", code="run-not-found"
    )


def _retrieve(task: asyncio.Task[Listing]) -> None:
    """Retrieve the error of a task that no request may be waiting for."""
    if not task.cancelled():
        task.exception()
