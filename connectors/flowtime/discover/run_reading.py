"""Read the files that describe run directories, many at a time, and make runs of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from connectors.errors import RunError, StorageError
from connectors.flowtime.discover.run_candidates import DESCRIBING, RunCandidate
from connectors.flowtime.discover.selection import Selection
from connectors.flowtime.model.run import Run, RunOverview
from connectors.flowtime.parse.dialects import (
    INDEX_FILE,
    MANIFEST_FILE,
    METADATA_FILE,
    RUN_FILE,
    RunFiles,
    created_of,
    parse_run,
    restored_from,
)
from connectors.flowtime.parse.spec_scalars import SPEC_FILE
from connectors.flowtime.parse.spec_summary import SpecSummary, summarise_spec
from connectors.flowtime.parse.telemetry import parse_bundle
from connectors.storage import Storage
from connectors.storage.calls.deadline import ContextPool

GROUP_RUNS = 256
GROUP_BYTES = 64 * 1024 * 1024
_MOST_NAMES = 1000

DescribingFiles = Mapping[str, bytes | StorageError]
"""The files that describe a run, by name, or why they could not be read."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How runs are read.

    Attributes:
        selection: What is wanted.
        time_origin: Start of bin 0 of every run, or None to find it in the runs.
        summarise: Whether runs get a `summary`.
    """

    selection: Selection
    time_origin: datetime | None = None
    summarise: bool = False


def read_in_groups(
    storage: Storage, candidates: Iterator[RunCandidate]
) -> Iterator[list[tuple[RunCandidate, DescribingFiles]]]:
    """Yield candidates with their files, group by group.

    On remote storages the next group is read meanwhile.
    """
    groups = _groups(candidates)
    if storage.is_local:
        yield from (_read(storage, group) for group in groups)
        return
    with ContextPool(1, thread_name_prefix="flowtime-discover") as reader:
        before: Future[list[tuple[RunCandidate, DescribingFiles]]] | None = None
        for group in groups:
            reading = reader.submit(_read, storage, group)
            if before is not None:
                yield before.result()
            before = reading
        if before is not None:
            yield before.result()


def _groups(candidates: Iterator[RunCandidate]) -> Iterator[list[RunCandidate]]:
    """Yield candidates in groups that are bounded in number and in bytes."""
    group: list[RunCandidate] = []
    held = 0
    for candidate in candidates:
        if group and (len(group) >= GROUP_RUNS or held + candidate.bytes > GROUP_BYTES):
            yield group
            group, held = [], 0
        group.append(candidate)
        held += candidate.bytes
    if group:
        yield group


def _read(
    storage: Storage, group: list[RunCandidate]
) -> list[tuple[RunCandidate, DescribingFiles]]:
    """Return the files that describe each candidate of a group."""
    keys = [
        (number, name)
        for number, candidate in enumerate(group)
        for name in DESCRIBING
        if name in candidate.described
    ]
    paths = [group[number].described[name].path for number, name in keys]
    contents: list[dict[str, bytes | StorageError]] = [{} for _ in group]
    for (number, name), content in zip(keys, storage.read_many(paths), strict=True):
        contents[number][name] = content
    return list(zip(group, contents, strict=True))


def run_of(
    storage: Storage, candidate: RunCandidate, contents: DescribingFiles, options: ReadOptions
) -> Run | None:
    """Return the run of a candidate, or None where it is not wanted.

    Args:
        storage: Where it is.
        candidate: Its folder, as it was listed.
        contents: The files that describe it.
        options: How it is read.

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
        time_origin=options.time_origin,
    )
    selection = options.selection
    try:
        run = parse_run(files) if candidate.is_run else parse_bundle(files)
    except RunError:
        if selection.asks_created and _is_out_of_window(files, selection):
            return None
        raise
    if options.summarise:
        run = replace(run, summary=_summary(storage, candidate, files))
    if not selection.asks_created:
        return run
    if run.created is None:
        raise RunError(
            "createdUtc is missing, so source.created and source.latest cannot be applied; "
            "add it, or exclude the run by name",
            run_url=url,
            file=RUN_FILE,
        )
    return run if selection.wants_created(run.created) else None


def _summary(storage: Storage, candidate: RunCandidate, files: RunFiles) -> RunOverview:
    spec = SpecSummary() if files.spec_yaml is None else summarise_spec(files.spec_yaml)
    # Only local file systems identify versions by the time of the last write.
    written = [int(v) for v in candidate.versions if v.isdigit()] if storage.is_local else []
    return RunOverview(
        files=tuple(sorted(candidate.top_names)[:_MOST_NAMES]),
        size=candidate.all_bytes,
        modified=_moment(max(written)) if written else None,
        title=spec.title,
        description=spec.description,
        tags=spec.tags,
        restored_from=restored_from(files.manifest_json),
    )


def _moment(nanoseconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(nanoseconds // 10**9, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _is_out_of_window(files: RunFiles, selection: Selection) -> bool:
    try:
        created = created_of(files)
    except RunError:
        return False
    return created is not None and not selection.wants_created(created)
