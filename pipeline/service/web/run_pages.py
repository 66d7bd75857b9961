"""Make pages of the list of runs as JSON, and keep those that were made last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Lock

from pipeline.errors import StorageError
from pipeline.logs import LOGGER
from pipeline.registry.run_list.listed_run import ListedRun
from pipeline.registry.run_list.run_list_query import RunListQuery
from pipeline.service.catalog.export_store import ExportStore
from pipeline.service.catalog.locations import Locations, RunPlace
from pipeline.service.catalog.run_catalog import Listing, RunCatalog
from pipeline.service.web.models.runs import RunPage
from pipeline.service.web.run_bodies import summary

_KEPT_BYTES = 8_000_000
_LOOKUPS = 16

_Key = tuple[int, datetime, RunListQuery, int, int]


class RunPages:
    """Makes pages of the list of runs.

    Args:
        catalog: Has the runs.
        exports: Finds out when runs were exported.
    """

    def __init__(self, catalog: RunCatalog, exports: ExportStore) -> None:
        self._catalog = catalog
        self._exports = exports
        self._kept: OrderedDict[_Key, tuple[bytes, int]] = OrderedDict()
        self._kept_bytes = 0
        self._mutex = Lock()

    def page(
        self,
        listing: Listing,
        query: RunListQuery,
        page: int,
        page_size: int,
        *,
        exports: bool = False,
    ) -> tuple[bytes, int]:
        """Return a page as JSON, and the number of all runs that match.

        Args:
            listing: The last listing.
            query: Which runs match, and their order.
            page: Number of the page, from 1.
            page_size: Number of runs on a page.
            exports: Whether each run has the time of its export, which takes a look at its files.

        Raises:
            RegistryTimeoutError: It takes too long.
            RegistryError: The registry failed.
        """
        key = (listing.state.revision, listing.taken, query, page, page_size)
        with self._mutex:
            known = None if exports else self._kept.get(key)
        if known is not None:
            return known
        found = self._catalog.page(query, page, page_size)
        items = [summary(entry) for entry in found.runs]
        if exports:
            times = self._exported(found.runs)
            items = [
                item.changed(exported_utc=time) for item, time in zip(items, times, strict=True)
            ]
        body = RunPage(
            items=items,
            total_count=found.total,
            page=page,
            page_size=page_size,
            states=dict(found.states),
            sources=found.sources,
            listed_utc=listing.taken,
        )
        made = body.model_dump_json().encode(), found.total
        if not exports:
            self._keep(key, made)
        return made

    def _keep(self, key: _Key, made: tuple[bytes, int]) -> None:
        with self._mutex:
            replaced = self._kept.pop(key, (b"", 0))
            self._kept[key] = made
            self._kept_bytes += len(made[0]) - len(replaced[0])
            while self._kept_bytes > _KEPT_BYTES:
                _, (body, _) = self._kept.popitem(last=False)
                self._kept_bytes -= len(body)

    def _exported(self, entries: Sequence[ListedRun]) -> list[datetime | None]:
        """Return when each run was exported; a storage that fails leaves the rest out."""
        places = [_place(self._exports.locations, entry) for entry in entries]

        def look(place: RunPlace | None) -> datetime | None:
            return None if place is None else self._exports.exported(place)

        try:
            if self._exports.is_local or not any(places):
                return [look(place) for place in places]
            with ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="flowtime-exports") as threads:
                return list(threads.map(look, places))
        except StorageError as error:
            LOGGER.warning("exports cannot be looked up: %s", error)
            return [None] * len(entries)


def _place(locations: Locations, entry: ListedRun) -> RunPlace | None:
    """Return what the place of a run's exports depends on; None where it cannot be read."""
    return RunPlace(locations.run_path(entry.path), entry.run_id) if entry.is_readable else None
