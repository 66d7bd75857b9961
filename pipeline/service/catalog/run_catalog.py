"""The runs that are there, listed now and then, each under a key that no other has."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

from connectors.flowtime.discover.discovery import Discovery, discover
from connectors.flowtime.model.run import Run
from pipeline.errors import FlowtimeExportError
from pipeline.logs import LOGGER
from pipeline.service.catalog.locations import Locations
from pipeline.service.errors import (
    BusyError,
    RequestConflictError,
    UnknownError,
    UnprocessableError,
)

_LEAST_SECONDS = 1.0
_MOST_SHOWN = 5
_NEVER = datetime(1, 1, 1, tzinfo=UTC)

RunState = Literal["complete", "broken", "incomplete", "link", "unlisted"]


@dataclass(frozen=True)
class CatalogEntry:
    """A run, or what looks like one.

    Attributes:
        key: What the API calls it.
        run_id: Its own id; the folder's name where it cannot be read.
        name: The folder's name.
        path: The folder, relative to that of the runs.
        state: Whether it can be exported, or why not.
        reason: Why it cannot be exported.
        run: The run, where it is complete.
    """

    key: str
    run_id: str
    name: str
    path: str
    state: RunState
    reason: str | None = None
    run: Run | None = None

    @property
    def created(self) -> datetime:
        """When it was created, or a time before all others."""
        return _NEVER if self.run is None or self.run.created is None else self.run.created


@dataclass(frozen=True)
class Listing:
    """The runs as they were found once.

    Attributes:
        entries: All of them, the newest first.
        by_key: The same by their keys.
        by_path: The same by their folders.
        shared: Keys of the runs that have a run id or a folder name which is no key.
        taken: When they were listed, UTC.
        seconds: How long that took.
        digest: Differs from another listing's where the runs do.
    """

    entries: tuple[CatalogEntry, ...]
    by_key: Mapping[str, CatalogEntry]
    by_path: Mapping[str, CatalogEntry]
    shared: Mapping[str, tuple[str, ...]]
    taken: datetime
    seconds: float
    digest: str
    monotonic: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        """Seconds since it was taken."""
        return time.monotonic() - self.monotonic


class RunCatalog:
    """Lists runs when the last listing is old, one listing at a time.

    Args:
        places: Where the runs are.
        refresh: Seconds after which a listing is old.
        changed: Told when other runs than before were found.
    """

    def __init__(
        self, places: Locations, refresh: float, changed: Callable[[Listing], None]
    ) -> None:
        self._places = places
        self._refresh_seconds = refresh
        self._changed = changed
        self._listing: Listing | None = None
        self._wanted = self._taken = 0  # numbers of changes made here, and of those listed
        self._running: asyncio.Task[Listing] | None = None
        self.problem: str | None = None

    @property
    def last(self) -> Listing | None:
        """The last listing, however old."""
        return self._listing

    async def listing(self, *, refresh: bool = False) -> Listing:
        """The runs; a listing that is old is given while the next one is made.

        Args:
            refresh: Wait for a listing that is made from now on.

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
        # Listing again at once would show the same and could be used to keep the store busy.
        if known is not None and known.age < max(_LEAST_SECONDS, 2 * known.seconds):
            return known
        return await self._renewed()

    async def _renewed(self) -> Listing:
        try:
            return await asyncio.shield(self._begin())
        except FlowtimeExportError as error:
            raise BusyError(
                f"the runs cannot be listed: {self._places.masked(str(error))}",
                "try again later, or look at the service's log",
                headers={"Retry-After": "10"},
            ) from error

    async def find(self, name: str) -> CatalogEntry:
        """The run of a key, or of a run id or folder name that no other has.

        Raises:
            UnknownError: There is none.
            RequestConflictError: Several runs are called so.
        """
        listing = await self.listing()
        if name not in listing.by_key and name not in listing.shared:
            listing = await self.listing(refresh=True)
        if name in listing.by_key:
            return listing.by_key[name]
        keys = listing.shared.get(name, ())
        if len(keys) == 1:
            return listing.by_key[keys[0]]
        if keys:
            shown = ", ".join(keys[:_MOST_SHOWN])
            raise RequestConflictError(
                f"{len(keys)} runs are called so", f"name one of them: {shown}"
            )
        raise UnknownError(
            "Run not found", "GET /v1/runs lists the runs that there are, by their id"
        )

    async def newest(self) -> CatalogEntry:
        """The complete run that was created last.

        Raises:
            UnknownError: There is none.
        """
        listing = await self.listing()
        complete = [entry for entry in listing.entries if entry.run is not None]
        if not complete:
            raise UnknownError("No run is complete", "GET /v1/runs says why")
        return complete[0]

    def begin(self) -> None:
        """Have the runs listed in the background."""
        self._begin()

    def outdate(self) -> None:
        """Runs were written here: whoever asks next waits for a listing that has them."""
        self._wanted += 1
        self._begin()

    async def close(self) -> None:
        """Wait for a listing that is being made."""
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)

    def _begin(self) -> asyncio.Task[Listing]:
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._take())
            self._running.add_done_callback(_seen)
        return self._running

    async def _take(self) -> Listing:
        wanted = self._wanted
        try:
            listing = await asyncio.to_thread(take_listing, self._places)
        except FlowtimeExportError as error:
            self.problem = self._places.masked(str(error))
            LOGGER.warning("the runs cannot be listed: %s", error)
            raise
        before, self._listing, self.problem = self._listing, listing, None
        self._taken = wanted
        if before is None or before.digest != listing.digest:
            self._changed(listing)
        return listing


def not_complete(entry: CatalogEntry) -> UnprocessableError:
    """Says that a run cannot be read, and why."""
    return UnprocessableError(
        f"run {entry.key} is {entry.state}: {entry.reason}",
        "mend the run, or wait until it is complete",
    )


def take_listing(places: Locations) -> Listing:
    """List the runs.

    Raises:
        StorageError: They cannot be listed.
    """
    began = time.monotonic()
    found = discover(places.runs.storage, places.runs.path)
    entries = _with_keys(_entries(found, places))
    ordered = sorted(entries, key=lambda entry: entry.key)
    ordered.sort(key=lambda entry: entry.created, reverse=True)
    by_key = {entry.key: entry for entry in ordered}
    return Listing(
        entries=tuple(ordered),
        by_key=MappingProxyType(by_key),
        by_path=MappingProxyType({entry.path: entry for entry in ordered}),
        shared=MappingProxyType(_shared(ordered, by_key)),
        taken=datetime.now(UTC),
        seconds=time.monotonic() - began,
        digest=_digest(ordered),
    )


def _entries(found: Discovery, places: Locations) -> list[CatalogEntry]:
    entries = [
        CatalogEntry(
            run.run_id, run.run_id, run.name, places.shown_path(run.path), "complete", run=run
        )
        for run in found.runs
    ]
    for refusal in found.refusals:
        path = refusal.url.removeprefix(places.runs.url).strip("/") or "."
        reason = places.masked(refusal.error.detail)
        entries.append(
            CatalogEntry(refusal.name, refusal.name, refusal.name, path, refusal.kind, reason)
        )
    return entries


def _with_keys(entries: list[CatalogEntry]) -> list[CatalogEntry]:
    """Entries under their run's id, with a mark of their place where several have it.

    What cannot be exported never takes an id from a run that can.
    """
    complete = Counter(entry.key for entry in entries if entry.run is not None)
    others = Counter(entry.key for entry in entries if entry.run is None)
    return [
        entry
        if (complete[entry.key] == 1 and entry.run is not None)
        or (complete[entry.key] == 0 and others[entry.key] == 1)
        else _marked(entry)
        for entry in entries
    ]


def _marked(entry: CatalogEntry) -> CatalogEntry:
    mark = hashlib.sha256(entry.path.encode()).hexdigest()[:12]
    return replace(entry, key=f"{entry.run_id}~{mark}")


def _shared(
    entries: list[CatalogEntry], by_key: Mapping[str, CatalogEntry]
) -> dict[str, tuple[str, ...]]:
    called: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        for name in {entry.run_id, entry.name} - {entry.key}:
            called[name].append(entry.key)
    return {name: tuple(keys) for name, keys in called.items() if name not in by_key}


def _digest(entries: list[CatalogEntry]) -> str:
    digest = hashlib.sha256()
    for entry in entries:
        version = (entry.run.fingerprint, entry.run.listing) if entry.run else (entry.reason,)
        digest.update(repr((entry.key, entry.path, entry.state, version)).encode())
    return digest.hexdigest()


def _seen(task: asyncio.Task[Listing]) -> None:
    if not task.cancelled():
        task.exception()
