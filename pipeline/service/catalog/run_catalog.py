"""List the runs of a folder from time to time, and give each a key that no other run has."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Literal

from connectors.flowtime.discover.discovery import Discovery, KnownRun, discover
from connectors.flowtime.model.run import Run
from pipeline.errors import FlowtimeExportError
from pipeline.logs import LOGGER
from pipeline.registry.records.artifact import MARKED_NAMES, mark_of
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
_CLOCK_SKEW = timedelta(minutes=5)

RunState = Literal["complete", "broken", "incomplete", "link", "unlisted"]


@dataclass(frozen=True)
class CatalogEntry:
    """A run, or a directory that looks like one.

    Attributes:
        key: Its id in the API.
        run_id: Its own id; the directory's name where that cannot be read.
        name: The directory's name.
        path: The directory, relative to the folder of the runs.
        state: `complete`, or why it cannot be exported as it is.
        reason: The same in words.
        run: The run, where it could be read.
        text: What a search looks at, case-folded.
    """

    key: str
    run_id: str
    name: str
    path: str
    state: RunState
    reason: str | None = None
    run: Run | None = None
    text: str = ""

    @property
    def created(self) -> datetime:
        """When it was created; a time before all others if not known."""
        return _NEVER if self.run is None or self.run.created is None else self.run.created

    @property
    def version(self) -> str:
        """Text that changes whenever a file of the run does."""
        return "" if self.run is None else f"{self.run.fingerprint} {self.run.listing}"


@dataclass(frozen=True)
class Listing:
    """The runs at one time.

    Attributes:
        entries: All of them, newest first.
        by_key: The same by their keys.
        by_path: The same by their directories.
        shared: Keys of the runs that have a run id or a directory name which is no key.
        sources: The sources that runs have.
        taken: When they were listed, UTC.
        seconds: How long that took.
        digest: Differs from another listing's where the runs differ.
    """

    entries: tuple[CatalogEntry, ...]
    by_key: Mapping[str, CatalogEntry]
    by_path: Mapping[str, CatalogEntry]
    shared: Mapping[str, tuple[str, ...]]
    sources: tuple[str, ...]
    taken: datetime
    seconds: float
    digest: str
    monotonic: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        """Seconds since it was taken."""
        return time.monotonic() - self.monotonic

    def known(self) -> KnownRun:
        """Return a function that finds runs of this listing again, for the next one."""
        runs = {e.run.url: e.run for e in self.entries if e.run is not None and e.run.listing}

        def find(url: str, listing: str) -> Run | None:
            run = runs.get(url)
            return run if run is not None and run.listing == listing else None

        return find


Damage = Mapping[str, tuple[str, str]]
"""Version and reason of the runs that a job has found damaged, by their directories."""


class RunCatalog:
    """Lists runs when the last listing is old, one listing at a time.

    Args:
        locations: Where the runs are.
        refresh: Age in seconds from which a listing is old.
        changed: Called when the runs have changed.
        damage: Returns the runs that jobs have found damaged.
        problem_changed: Called when listing begins or ceases to fail.
        known_before: Returns the runs that need not be read for the first listing.

    Attributes:
        problem: Why the runs could not be listed when it was last tried; None if they could.
    """

    def __init__(
        self,
        locations: Locations,
        refresh: float,
        changed: Callable[[Listing], None],
        damage: Callable[[], Damage] = dict,
        problem_changed: Callable[[], None] = lambda: None,
        known_before: Callable[[], KnownRun | None] = lambda: None,
    ) -> None:
        self._locations = locations
        self._refresh_seconds = refresh
        self._changed = changed
        self._damage = damage
        self._problem_changed = problem_changed
        self._known_before = known_before
        self._listing: Listing | None = None
        self._wanted = self._taken = 0  # numbers of changes made here, and of those listed
        self._running: asyncio.Task[Listing] | None = None
        self._tried = 0.0
        self.problem: str | None = None
        self.looked_at = 0

    @property
    def last(self) -> Listing | None:
        """The last listing, however old."""
        return self._listing

    @property
    def is_old(self) -> bool:
        """Whether the runs should be listed again."""
        age = time.monotonic() - self._tried
        return age > self._refresh_seconds

    async def listing(self, *, refresh: bool = False) -> Listing:
        """Return the runs; an old listing is returned while the next one is made.

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

    async def find(self, name: str) -> CatalogEntry:
        """Return the run of a key, or of a run id or directory name that no other run has.

        Raises:
            UnknownError: There is none.
            RequestConflictError: Several runs have this name.
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
                f"{len(keys)} runs have this name",
                f"name one of them: {shown}",
                code="ambiguous-run",
            )
        raise UnknownError(
            "Run not found", "GET /v1/runs lists the runs with their ids", code="run-not-found"
        )

    async def newest(self) -> CatalogEntry:
        """Return the complete run that was created last; dates in the future do not count.

        Raises:
            UnknownError: There is none.
        """
        listing = await self.listing()
        latest = datetime.now(UTC) + _CLOCK_SKEW
        complete = [entry for entry in listing.entries if entry.run is not None]
        for entry in complete:
            if entry.created <= latest:
                return entry
        if complete:
            return complete[-1]
        raise UnknownError("No run is complete", "GET /v1/runs says why", code="run-not-found")

    async def complete(self, path: str) -> tuple[CatalogEntry, Run]:
        """Return the complete run in a directory, for a job that was requested before.

        Args:
            path: The directory, relative to the folder of the runs.

        Raises:
            UnknownError: It does not exist any more.
            UnprocessableError: It cannot be exported as it is.
        """
        entry = (await self.listing()).by_path.get(path)
        if entry is None:
            raise UnknownError(
                "the run does not exist any more",
                "GET /v1/runs lists the runs",
                code="run-not-found",
            )
        if entry.run is None:
            raise not_complete(entry)
        return entry, entry.run

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
        after = await asyncio.to_thread(self._reassessed, before)
        # A listing that was made meanwhile knows the damage, too.
        if self._listing is before and after.digest != before.digest:
            self._listing = after
            self._changed(after)

    def _reassessed(self, before: Listing) -> Listing:
        damage = self._damage()
        entries = tuple(_judged(entry, damage) for entry in before.entries)
        return replace(
            _listing(entries, before.seconds), taken=before.taken, monotonic=before.monotonic
        )

    async def close(self) -> None:
        """Wait for a listing that is being made."""
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)

    def _begin(self) -> asyncio.Task[Listing]:
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._take())
            self._running.add_done_callback(_retrieve)
        return self._running

    async def _take(self) -> Listing:
        wanted = self._wanted
        before, had_problem = self._listing, self.problem is not None
        try:
            listing = await asyncio.to_thread(self._listed)
        except FlowtimeExportError as error:
            self.problem = self._locations.masked(str(error))
            LOGGER.warning("the runs cannot be listed: %s", error)
            if not had_problem:
                self._problem_changed()
            raise
        finally:
            self._tried = time.monotonic()
        self._listing, self.problem = listing, None
        self._taken = wanted
        if had_problem:
            self._problem_changed()
        if before is None or before.digest != listing.digest:
            self._changed(listing)
        return listing

    def _listed(self) -> Listing:
        known = self._known_before() if self._listing is None else self._listing.known()
        return take_listing(self._locations, self._damage(), self._count(known))

    def _count(self, known: KnownRun | None) -> KnownRun:
        """Return a function that counts the directories that a listing looks at."""
        self.looked_at = 0

        def find(url: str, listing: str) -> Run | None:
            self.looked_at += 1
            return None if known is None else known(url, listing)

        return find


def not_complete(entry: CatalogEntry) -> UnprocessableError:
    """Return the error that says why a run cannot be read."""
    hint = {
        "incomplete": 'wait until it is complete, or export it with "when": "complete"',
        "link": "request the run by its real directory",
    }
    return UnprocessableError(
        f"run {entry.key} is {entry.state}: {entry.reason}",
        hint.get(entry.state, "repair the run's files, or evaluate its model again"),
        code="run-not-complete",
    )


def take_listing(
    locations: Locations, damage: Damage | None = None, known: KnownRun | None = None
) -> Listing:
    """List the runs.

    Args:
        locations: Where they are.
        damage: The runs that jobs have found damaged.
        known: Finds runs that were read before.

    Raises:
        StorageError: They cannot be listed.
    """
    began = time.monotonic()
    found = discover(locations.runs.storage, locations.runs.path, known=known)
    entries = _with_keys(_entries(found, locations), locations.runs.url)
    judged = (_judged(entry, damage or {}) for entry in entries)
    ordered = sorted(judged, key=lambda entry: entry.key)
    ordered.sort(key=lambda entry: entry.created, reverse=True)
    return _listing(tuple(ordered), time.monotonic() - began)


def _listing(ordered: tuple[CatalogEntry, ...], seconds: float) -> Listing:
    by_key = {entry.key: entry for entry in ordered}
    sources = {e.run.source for e in ordered if e.run is not None and e.run.source}
    return Listing(
        entries=ordered,
        by_key=MappingProxyType(by_key),
        by_path=MappingProxyType({entry.path: entry for entry in ordered}),
        shared=MappingProxyType(_shared(ordered, by_key)),
        sources=tuple(sorted(sources)),
        taken=datetime.now(UTC),
        seconds=seconds,
        digest=_digest(ordered),
    )


def _entries(found: Discovery, locations: Locations) -> list[CatalogEntry]:
    entries = []
    for run in found.runs:
        path = locations.shown_path(run.path)
        entry = CatalogEntry(run.run_id, run.run_id, run.name, path, "complete", run=run)
        entries.append(replace(entry, text=_text(entry)))
    for refusal in found.refusals:
        path = refusal.url.removeprefix(locations.runs.url).strip("/") or "."
        reason = locations.masked(refusal.error.detail)
        entry = CatalogEntry(
            refusal.name, refusal.name, refusal.name, path, refusal.kind, reason=reason
        )
        entries.append(replace(entry, text=_text(entry)))
    return entries


def _text(entry: CatalogEntry) -> str:
    texts = [entry.run_id, entry.name, entry.path, entry.reason]
    if entry.run is not None:
        run = entry.run
        texts += [run.source, run.template_id, run.template_title, run.model_title, run.mode]
    return "\n".join(text for text in texts if text).casefold()


def _judged(entry: CatalogEntry, damage: Damage) -> CatalogEntry:
    """Mark a run that a job has found damaged, as long as its files are the same."""
    if entry.run is None:
        return entry
    version, reason = damage.get(entry.path, ("", ""))
    if reason and version == entry.version:
        return replace(entry, state="broken", reason=reason)
    return replace(entry, state="complete", reason=None) if entry.state == "broken" else entry


def _with_keys(entries: list[CatalogEntry], root: str) -> list[CatalogEntry]:
    """Key each entry as the registry does: with a mark of its URL where several have that id.

    A directory that cannot be exported never takes an id from a run that can.
    """
    complete = Counter(entry.key for entry in entries if entry.run is not None)
    others = Counter(entry.key for entry in entries if entry.run is None)
    return [
        entry
        if entry.key not in MARKED_NAMES
        and (
            (complete[entry.key] == 1 and entry.run is not None)
            or (complete[entry.key] == 0 and others[entry.key] == 1)
        )
        else _marked(entry, root)
        for entry in entries
    ]


def _marked(entry: CatalogEntry, root: str) -> CatalogEntry:
    mark = mark_of(f"{root.rstrip('/')}/{entry.path}")  # as the registry marks it
    return replace(entry, key=f"{entry.run_id}~{mark}", text=f"{entry.text}\n~{mark}")


def _shared(
    entries: tuple[CatalogEntry, ...], by_key: Mapping[str, CatalogEntry]
) -> dict[str, tuple[str, ...]]:
    named: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        for name in {entry.run_id, entry.name} - {entry.key}:
            named[name].append(entry.key)
    return {name: tuple(keys) for name, keys in named.items() if name not in by_key}


def _digest(entries: tuple[CatalogEntry, ...]) -> str:
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(
            repr((entry.key, entry.path, entry.state, entry.reason, entry.version)).encode()
        )
    return digest.hexdigest()


def _retrieve(task: asyncio.Task[Listing]) -> None:
    """Retrieve the error of a task that no request may be waiting for."""
    if not task.cancelled():
        task.exception()
