"""Storage → runs, with a reason for every run that is not among them.

A listing is walked once. Each folder that looks like a run directory becomes a candidate; what
is not wanted by name is never opened, the rest is read in groups, many files at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from connectors.errors import NotFoundError, RunError, StorageError
from connectors.flowtime.discover.run_candidates import (
    DESCRIBING,
    Candidate,
    below,
    find_candidates,
)
from connectors.flowtime.discover.selection import EVERYTHING, Selection
from connectors.flowtime.model.run import Run
from connectors.flowtime.parse.dialects import (
    INDEX_FILE,
    MANIFEST_FILE,
    METADATA_FILE,
    RUN_FILE,
    RunFiles,
    created_of,
    parse_run,
)
from connectors.flowtime.parse.schema import MAX_JSON_BYTES
from connectors.flowtime.parse.spec import SPEC_FILE
from connectors.flowtime.parse.telemetry import parse_bundle
from connectors.storage import Storage

GROUP_RUNS = 256
GROUP_BYTES = 64 * 1024 * 1024


KnownRun = Callable[[str, str], Run | None]
"""The run that was read when the folder of a URL had a listing, if that is still known."""

RefusalKind = Literal["broken", "incomplete", "link"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A run directory that cannot be exported.

    Attributes:
        url: The folder.
        name: Its name.
        reason: Why, for people.
        error: The same as an error.
        kind: `incomplete` where manifest.json does not stand yet: the run is being written;
            `link` where a link was not followed; else `broken`.
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
) -> Discovery:
    """Find the runs at or below a path.

    Args:
        storage: Where to look.
        path: A run directory, or a folder of run directories at any depth.
        selection: What is wanted.
        time_origin: Start of bin 0 of every run, or None to find it in the runs.
        known: Runs that were read before with the same selection and origin. Their files are
            not read again: that none has changed is told by the listing, as make and rsync do.

    Raises:
        StorageError: The listing failed. What fails for one run is a refusal instead.
    """
    found = _Found()
    unknown = _unknown(storage, _wanted(storage, path, selection, found), known, found)
    for group, contents in _contents(storage, _groups(unknown)):
        _judge(storage, group, contents, selection, time_origin, found)
    return Discovery(
        runs=tuple(sorted(found.runs, key=lambda run: (run.run_id, run.url))),
        refusals=tuple(sorted(found.refusals, key=lambda refusal: refusal.url)),
        skipped=found.skipped,
    )


def _wanted(
    storage: Storage, path: str, selection: Selection, found: _Found
) -> Iterator[Candidate]:
    """Candidates that are wanted by name and have what a run must have."""

    def refuse_link(folder: str, name: str) -> None:
        if selection.wants_name(name):
            reason = "link not followed: list the run where it really is"
            refusal = _refusal(storage, below(folder, name), name, reason)
            found.refusals.append(replace(refusal, kind="link"))

    for candidate in find_candidates(storage.walk(path), path, refuse_link):
        if not selection.wants_name(candidate.name):
            found.skipped += 1
        elif reason := _incomplete(candidate):
            refusal = _refusal(storage, candidate.path, candidate.name, reason)
            found.refusals.append(replace(refusal, kind="incomplete"))
        elif reason := _unreadable(candidate):
            found.refusals.append(_refusal(storage, candidate.path, candidate.name, reason))
        else:
            yield candidate


def _incomplete(candidate: Candidate) -> str | None:
    if MANIFEST_FILE in candidate.described:
        return None
    if MANIFEST_FILE in candidate.links:
        return f"{MANIFEST_FILE} is a link or no file, which is not read"
    return f"{MANIFEST_FILE} is missing: the run is still being written, or its writer died"


def _unreadable(candidate: Candidate) -> str | None:
    """What stands against reading a candidate, by its listing alone."""
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


def _groups(candidates: Iterator[Candidate]) -> Iterator[list[Candidate]]:
    """Candidates in groups that are bounded in number and in bytes."""
    group: list[Candidate] = []
    held = 0
    for candidate in candidates:
        if group and (len(group) >= GROUP_RUNS or held + candidate.bytes > GROUP_BYTES):
            yield group
            group, held = [], 0
        group.append(candidate)
        held += candidate.bytes
    if group:
        yield group


def _unknown(
    storage: Storage, candidates: Iterator[Candidate], known: KnownRun | None, found: _Found
) -> Iterator[Candidate]:
    """The candidates that have to be read; a run that is known as it is listed need not be."""
    for candidate in candidates:
        run = _as_known(storage, candidate, known) if known is not None else None
        if run is None:
            yield candidate
        else:
            found.runs.append(run)


def _as_known(storage: Storage, candidate: Candidate, known: KnownRun) -> Run | None:
    if not candidate.is_versioned:
        return None
    listing = candidate.listing
    run = known(storage.url(candidate.path), listing)
    if run is None or run.name != candidate.name:
        return None
    sizes = {name: size for name, size, _ in candidate.series}
    return replace(run, path=candidate.path, listing=listing, series=run.series.listed(sizes))


_Contents = list[dict[str, bytes | StorageError]]


def _contents(
    storage: Storage, groups: Iterator[list[Candidate]]
) -> Iterator[tuple[list[Candidate], _Contents]]:
    """The files of each group; where reading means waiting, those of the next one meanwhile."""
    if storage.is_local:
        yield from ((group, _read(storage, group)) for group in groups)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="flowtime-discover") as reader:
        before: tuple[list[Candidate], Future[_Contents]] | None = None
        for group in groups:
            reading = (group, reader.submit(_read, storage, group))
            if before is not None:
                yield before[0], before[1].result()
            before = reading
        if before is not None:
            yield before[0], before[1].result()


def _read(storage: Storage, group: list[Candidate]) -> _Contents:
    """The files that describe each candidate of a group, by name."""
    keys = [
        (number, name)
        for number, candidate in enumerate(group)
        for name in DESCRIBING
        if name in candidate.described
    ]
    paths = [group[number].described[name].path for number, name in keys]
    contents: _Contents = [{} for _ in group]
    for (number, name), content in zip(keys, storage.read_many(paths), strict=True):
        contents[number][name] = content
    return contents


def _judge(
    storage: Storage,
    group: list[Candidate],
    contents: _Contents,
    selection: Selection,
    time_origin: datetime | None,
    found: _Found,
) -> None:
    """Tell runs from refusals among a group of candidates that have been read."""
    for candidate, files in zip(group, contents, strict=True):
        try:
            run = _run(storage, candidate, files, selection, time_origin)
        except RunError as error:
            refusal = _refusal(storage, candidate.path, candidate.name, error.reason, error)
            kind: RefusalKind = "incomplete" if _vanished(files) else "broken"
            found.refusals.append(replace(refusal, kind=kind))
        else:
            if run is None:
                found.skipped += 1
            else:
                found.runs.append(run)


def _vanished(files: dict[str, bytes | StorageError]) -> bool:
    # The manifest is written last and removed first: without it the run is being rewritten.
    return isinstance(files.get(MANIFEST_FILE), NotFoundError)


def _run(
    storage: Storage,
    candidate: Candidate,
    contents: dict[str, bytes | StorageError],
    selection: Selection,
    time_origin: datetime | None,
) -> Run | None:
    """The run, or None where it is not wanted.

    Raises:
        RunError: It is wanted, or may be, and cannot be exported.
    """
    url = storage.url(candidate.path)
    read: dict[str, bytes] = {}
    for name, content in contents.items():
        if isinstance(content, StorageError):
            raise RunError(f"could not be read: {content}", run_url=url, file=name) from content
        read[name] = content
    files = RunFiles(
        url=url,
        path=candidate.path,
        name=candidate.name,
        run_json=read.get(RUN_FILE, b""),
        manifest_json=read[MANIFEST_FILE],
        index_json=read.get(INDEX_FILE, b""),
        spec_yaml=read.get(SPEC_FILE),
        metadata_json=read.get(METADATA_FILE),
        sizes={name: size for name, size, _ in candidate.series},
        listing=candidate.listing,
        time_origin=time_origin,
    )
    try:
        run = parse_run(files) if candidate.is_run else parse_bundle(files)
    except RunError:
        if selection.asks_created and _is_out_of_window(files, selection):
            return None
        raise
    if not selection.asks_created:
        return run
    if run.created is None:
        raise RunError(
            "createdUtc is missing, so source.created cannot be applied; "
            "add it, or exclude the run by name",
            run_url=url,
            file=RUN_FILE,
        )
    return run if selection.wants_created(run.created) else None


def _is_out_of_window(files: RunFiles, selection: Selection) -> bool:
    try:
        created = created_of(files)
    except RunError:
        return False
    return created is not None and not selection.wants_created(created)


def _refusal(
    storage: Storage, path: str, name: str, reason: str, error: RunError | None = None
) -> Refusal:
    url = storage.url(path)
    return Refusal(url, name, reason, error or RunError(reason, run_url=url))
