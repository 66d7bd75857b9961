"""Make pages of the list of runs as JSON, and keep those that were made last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Lock

from pipeline.errors import StorageError
from pipeline.logs import LOGGER
from pipeline.service.catalog.export_store import ExportStore
from pipeline.service.catalog.run_catalog import CatalogEntry, Listing
from pipeline.service.catalog.run_query import RunQuery
from pipeline.service.web.models.runs import RunPage
from pipeline.service.web.run_bodies import summary

_KEPT = 256
_LOOKUPS = 16

_Key = tuple[str, datetime, RunQuery, int, int]


class RunPages:
    """Makes pages of the list of runs.

    Args:
        exports: Finds out when runs were exported.
    """

    def __init__(self, exports: ExportStore) -> None:
        self._exports = exports
        self._kept: OrderedDict[_Key, tuple[bytes, int]] = OrderedDict()
        self._mutex = Lock()

    def page(
        self, listing: Listing, query: RunQuery, page: int, page_size: int, *, exports: bool = False
    ) -> tuple[bytes, int]:
        """Return a page as JSON, and the number of all runs that match.

        Args:
            listing: The runs.
            query: Which runs match, and their order.
            page: Number of the page, from 1.
            page_size: Number of runs on a page.
            exports: Whether each run has the time of its export, which takes a look at its files.
        """
        key = (listing.digest, listing.taken, query, page, page_size)
        with self._mutex:
            known = None if exports else self._kept.get(key)
        if known is not None:
            return known
        entries, states = query.apply(listing.entries)
        shown = entries[(page - 1) * page_size : page * page_size]
        items = [summary(entry) for entry in shown]
        if exports:
            times = self._exported(shown)
            items = [
                item.changed(exported_utc=time) for item, time in zip(items, times, strict=True)
            ]
        body = RunPage(
            items=items,
            total_count=len(entries),
            page=page,
            page_size=page_size,
            states=states,
            sources=listing.sources,
            listed_utc=listing.taken,
        )
        made = body.model_dump_json().encode(), len(entries)
        if not exports:
            with self._mutex:
                self._kept[key] = made
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return made

    def _exported(self, entries: Sequence[CatalogEntry]) -> list[datetime | None]:
        """Return when each run was exported; a storage that fails leaves the rest out."""

        def look(entry: CatalogEntry) -> datetime | None:
            return None if entry.run is None else self._exports.exported(entry.run)

        try:
            if all(entry.run is None for entry in entries) or self._exports.is_local:
                return [look(entry) for entry in entries]
            with ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="flowtime-exports") as threads:
                return list(threads.map(look, entries))
        except StorageError as error:
            LOGGER.warning("exports cannot be looked up: %s", error)
            return [None] * len(entries)
