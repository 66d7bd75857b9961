"""Find the runs of a storage, with a reason for every run that is left out.

A listing is walked once. Each folder that looks like a run directory becomes a candidate; what
is not wanted by name is never opened, the rest is read in groups, many files at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from connectors.errors import DeniedError, NotFoundError, RunError, printable
from connectors.flowtime.discover.run_candidates import RunCandidate, RunCandidateSearch
from connectors.flowtime.discover.run_reading import (
    DescribingFiles,
    ReadOptions,
    read_in_groups,
    run_of,
)
from connectors.flowtime.discover.selection import EVERYTHING, Selection
from connectors.flowtime.discover.source_root import SourceRoot
from connectors.flowtime.model.run import Run
from connectors.flowtime.parse.dialects import INDEX_FILE, MANIFEST_FILE, RUN_FILE
from connectors.flowtime.parse.schema import MAX_JSON_BYTES
from connectors.storage import Folder, Storage
from connectors.storage.addresses.paths import UNPRINTABLE

KnownRun = Callable[[str, str], Run | None]
"""The run that was read when the folder of a URL had a listing, if that is still known."""

Skip = Callable[[str, str], bool]
"""Whether the run in the folder of a URL, listed as it is, is of no interest."""

FolderCallback = Callable[[Folder], None]
"""Takes a folder that was listed."""

RefusalKind = Literal["broken", "incomplete", "link", "unlisted"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A run directory that cannot be exported.

    Attributes:
        url: The folder.
        name: Its name.
        reason: Why, for people.
        error: The same as an error.
        kind: `incomplete` where manifest.json is not written yet: the run is being written;
            `link` where a link was not followed; `unlisted` where a folder that `include` does
            not ask for may not be listed; else `broken`.
    """

    url: str
    name: str
    reason: str
    error: RunError
    kind: RefusalKind = "broken"

    @property
    def incomplete(self) -> bool:
        """Whether the run is still being written."""
        return self.kind == "incomplete"


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a source holds.

    Attributes:
        runs: The wanted runs, by run id, then URL.
        refusals: What looks like a run and cannot be one, by URL.
        skipped: Number of runs not wanted by name or creation time.
    """

    runs: tuple[Run, ...]
    refusals: tuple[Refusal, ...]
    skipped: int


@dataclass(slots=True)
class _Found:
    """What has been found so far."""

    runs: list[Run] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    skipped: int = 0


def discover(
    storage: Storage,
    path: str,
    selection: Selection = EVERYTHING,
    *,
    time_origin: datetime | None = None,
    known: KnownRun | None = None,
    summarise: bool = False,
    only: Set[str] | None = None,
    pattern: tuple[str, ...] = (),
) -> Discovery:
    """Find the runs at or below a path.

    Args:
        storage: Where to look.
        path: A run directory, or a folder of run directories at any depth.
        selection: What is wanted.
        time_origin: Start of bin 0 of every run, or None to find it in the runs.
        known: Runs that were read before with the same origin. Their files are not read again:
            the listing shows that none has changed, as for make and rsync.
        summarise: Whether runs that are read get a `summary`.
        only: Names of the folders directly in `path` that are looked through; None for all, an
            empty set for the links in `path` alone.
        pattern: Globs on the folders below `path`, of `SourceRoot`; other folders are not opened.

    Raises:
        StorageError: The listing failed. What fails for one run is a refusal instead.
    """
    reading = ReadOptions(selection, time_origin, summarise=summarise)
    options = _Options(reading, known, only=only, pattern=pattern)
    found = _Found()
    for _ in _discover(storage, path, options, found):
        pass
    return _ordered(found.runs, found.refusals, found.skipped)


def _ordered(runs: Iterable[Run], refusals: Iterable[Refusal], skipped: int) -> Discovery:
    return Discovery(
        runs=tuple(sorted(runs, key=lambda run: (run.run_id, run.url))),
        refusals=tuple(sorted(refusals, key=lambda refusal: refusal.url)),
        skipped=skipped,
    )


def joined(parts: Sequence[Discovery]) -> Discovery:
    """Return what one discovery gives that looks through the folders of all parts."""
    # A link directly in the root is met by each part.
    refusals = {refusal.url: refusal for part in parts for refusal in part.refusals}
    return _ordered(
        (run for part in parts for run in part.runs),
        refusals.values(),
        sum(part.skipped for part in parts),
    )


def discover_each(
    storage: Storage,
    path: str,
    *,
    watch: FolderCallback | None = None,
    skip: Skip | None = None,
    only: Set[str] | None = None,
) -> Iterator[Run | Refusal]:
    """Find the runs at or below a path, one after the other; only some are held at a time.

    Args:
        storage: Where to look.
        path: A run directory, or a folder of run directories at any depth.
        watch: Takes every folder at or below `path`, also those that describe no run.
        skip: Runs that are passed over without being read.
        only: As in `discover`.

    Returns:
        Runs with their `summary`, and refusals, in the order in which they are found.

    Raises:
        StorageError: The listing failed. What fails for one run is a refusal instead.
    """
    options = _Options(ReadOptions(EVERYTHING, summarise=True), skip=skip, watch=watch, only=only)
    found = _Found()
    for _ in _discover(storage, path, options, found):
        yield from found.runs
        yield from found.refusals
        found.runs.clear()
        found.refusals.clear()


@dataclass(frozen=True, slots=True)
class _Options:
    """How runs are looked for."""

    reading: ReadOptions
    known: KnownRun | None = None
    skip: Skip | None = None
    watch: FolderCallback | None = None
    only: Set[str] | None = None
    pattern: tuple[str, ...] = ()

    @property
    def selection(self) -> Selection:
        return self.reading.selection


def _discover(storage: Storage, path: str, options: _Options, found: _Found) -> Iterator[None]:
    """Add to what has been found, and yield after each group of runs, and at the end."""
    wanted = _wanted(storage, path, options, found)
    for group in read_in_groups(storage, _unknown(storage, wanted, options, found)):
        for candidate, files in group:
            _judge(storage, candidate, files, options, found)
        yield
    yield


@dataclass(frozen=True, slots=True)
class _Observer:
    """Opens no folder that is excluded by name, and refuses what cannot be looked into."""

    storage: Storage
    root: SourceRoot
    selection: Selection
    found: _Found

    def enters(self, path: str) -> bool:
        if not self.root.leads_to(path):
            return False
        if self.selection.excludes_name(_last(path)):
            self.found.skipped += 1
            return False
        return True

    def link(self, path: str) -> None:
        if self.root.leads_to(path) and self.selection.wants_name(_last(path)):
            reason = "link not followed: list the run where it really is"
            if "\\" in path or UNPRINTABLE.search(path):  # as storages name what no path can hold
                reason = "its name holds a backslash or a character that is not text: rename it"
            self._refuse(printable(path), "link", reason)

    def denied(self, path: str, error: DeniedError) -> None:
        if not self.root.leads_to(path):
            return
        # What is not wanted by its own name may hold runs that are, so it is named all the same.
        kind: RefusalKind = "broken" if self.selection.wants_name(_last(path)) else "unlisted"
        self._refuse(path, kind, _denied_reason(error))

    def _refuse(self, path: str, kind: RefusalKind, reason: str) -> None:
        refusal = _refusal(self.storage, path, _last(path), reason)
        self.found.refusals.append(replace(refusal, kind=kind))


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _denied_reason(error: DeniedError) -> str:
    return f"could not be looked into ({error}), or exclude it by name"


def _wanted(
    storage: Storage, path: str, options: _Options, found: _Found
) -> Iterator[RunCandidate]:
    """Yield the candidates that are wanted by name and have what a run must have."""
    selection = options.selection
    root = SourceRoot(path, options.pattern)
    observer = _Observer(storage, root, selection, found)
    search = RunCandidateSearch(storage, path, observer, options.watch, options.only)
    for candidate in search.candidates():
        if not root.covers(candidate.path):
            continue
        if not selection.wants_name(candidate.name):
            found.skipped += 1
        elif not candidate.denied and (reason := _incomplete(candidate)):
            refusal = _refusal(storage, candidate.path, candidate.name, reason)
            found.refusals.append(replace(refusal, kind="incomplete"))
        elif reason := _unreadable(candidate):
            found.refusals.append(_refusal(storage, candidate.path, candidate.name, reason))
        else:
            yield candidate


def _incomplete(candidate: RunCandidate) -> str | None:
    if MANIFEST_FILE in candidate.described:
        return None
    if MANIFEST_FILE in candidate.links:
        return f"{MANIFEST_FILE} is a link or no file, which is not read"
    return f"{MANIFEST_FILE} is missing: the run is still being written, or its writer was killed"


def _unreadable(candidate: RunCandidate) -> str | None:
    """Return why a candidate cannot be read, by its listing alone; None where it can."""
    if candidate.denied is not None:
        return _denied_reason(candidate.denied)
    for name, entry in candidate.described.items():
        if entry.size > MAX_JSON_BYTES:
            return f"{name} has {entry.size} bytes, at most {MAX_JSON_BYTES} are read"
    if not candidate.is_run:
        return None
    missing = [name for name in (RUN_FILE, INDEX_FILE) if name not in candidate.described]
    if not missing:
        return None
    linked = [name for name in candidate.links if any(m.startswith(name) for m in missing)]
    hint = f"; {', '.join(linked)} is a link or no file" if linked else ""
    return f"{', '.join(missing)} is missing: restore it or evaluate the model again{hint}"


def _unknown(
    storage: Storage, candidates: Iterator[RunCandidate], options: _Options, found: _Found
) -> Iterator[RunCandidate]:
    """Yield the candidates to be read; a run that is known as it is listed is not among them."""
    for candidate in candidates:
        if options.skip is not None and _is_skipped(storage, candidate, options.skip):
            found.skipped += 1
            continue
        run = None if options.known is None else _as_known(storage, candidate, options.known)
        if run is None or (options.selection.asks_created and run.created is None):
            yield candidate
        elif not options.selection.asks_created or _wants(options.selection, run):
            found.runs.append(run)
        else:
            found.skipped += 1


def _wants(selection: Selection, run: Run) -> bool:
    return run.created is not None and selection.wants_created(run.created)


def _is_skipped(storage: Storage, candidate: RunCandidate, skip: Skip) -> bool:
    return candidate.is_versioned and skip(storage.url(candidate.path), candidate.listing)


def _as_known(storage: Storage, candidate: RunCandidate, known: KnownRun) -> Run | None:
    if not candidate.is_versioned:
        return None
    listing = candidate.listing
    run = known(storage.url(candidate.path), listing)
    if run is None or run.name != candidate.name:
        return None
    sizes = {name: size for name, size, _ in candidate.series}
    return replace(run, path=candidate.path, listing=listing, series=run.series.listed(sizes))


def _judge(
    storage: Storage,
    candidate: RunCandidate,
    files: DescribingFiles,
    options: _Options,
    found: _Found,
) -> None:
    """Add a candidate that has been read to the runs, or to the refusals."""
    try:
        run = run_of(storage, candidate, files, options.reading)
    except RunError as error:
        refusal = _refusal(storage, candidate.path, candidate.name, error.detail, error)
        kind: RefusalKind = "incomplete" if _vanished(files) else "broken"
        found.refusals.append(replace(refusal, kind=kind))
    else:
        if run is None:
            found.skipped += 1
        else:
            found.runs.append(run)


def _vanished(files: DescribingFiles) -> bool:
    # The manifest is written last and removed first: without it the run is being rewritten.
    return isinstance(files.get(MANIFEST_FILE), NotFoundError)


def _refusal(
    storage: Storage, path: str, name: str, reason: str, error: RunError | None = None
) -> Refusal:
    url = storage.url(path)
    return Refusal(url, name, reason, error or RunError(reason, run_url=url))
