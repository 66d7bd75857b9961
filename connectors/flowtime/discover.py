"""Storage → runs, with a reason for every run that is not among them.

A listing is walked once. Each folder that looks like a run directory becomes a candidate; what
is not wanted by name is never opened, the rest is read in groups, many files at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from connectors.errors import NotFoundError, RunError, StorageError
from connectors.flowtime.dialects import (
    INDEX_FILE,
    MANIFEST_FILE,
    METADATA_FILE,
    RUN_FILE,
    RunFiles,
    created_of,
    parse_run,
)
from connectors.flowtime.run import NEVER_READ_FOLDERS, Run
from connectors.flowtime.schema import MAX_JSON_BYTES
from connectors.flowtime.spec import SPEC_FILE
from connectors.storage import Entry, Folder, Storage

GROUP_RUNS = 256
GROUP_BYTES = 64 * 1024 * 1024

_DESCRIBING = (RUN_FILE, MANIFEST_FILE, INDEX_FILE, SPEC_FILE, METADATA_FILE)
_OPTIONAL = (SPEC_FILE, METADATA_FILE)
_OWN_FOLDERS = NEVER_READ_FOLDERS | {"series", "model"}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which runs and which of their series are wanted.

    Attributes:
        include: Globs on the run directory's name, case-sensitive; one must match.
        exclude: Likewise; none may match.
        created_from: Earliest `createdUtc`, inclusive.
        created_to: Latest `createdUtc`, exclusive.
        measures, components, classes: Globs on the series; one of each must match.
    """

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    created_from: datetime | None = None
    created_to: datetime | None = None
    measures: tuple[str, ...] = ("*",)
    components: tuple[str, ...] = ("*",)
    classes: tuple[str, ...] = ("*",)

    def wants_name(self, name: str) -> bool:
        """Whether a run directory of that name is wanted."""
        return _matches(name, self.include) and not _matches(name, self.exclude)

    @property
    def asks_created(self) -> bool:
        """Whether `createdUtc` plays a part."""
        return self.created_from is not None or self.created_to is not None

    def wants_created(self, created: datetime) -> bool:
        """Whether a run created at that instant is wanted."""
        after = self.created_from is None or created >= _utc(self.created_from)
        return after and (self.created_to is None or created < _utc(self.created_to))


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
class _Candidate:
    """A folder that looks like a run directory, as far as it has been listed."""

    path: str
    name: str
    links: list[str] = field(default_factory=list)
    described: dict[str, Entry] = field(default_factory=dict)
    series: list[tuple[str, int, str]] = field(default_factory=list)

    @property
    def is_run(self) -> bool:
        """Whether everything below belongs to it; a lone manifest.json claims nothing."""
        return RUN_FILE in self.described or INDEX_FILE in self.described

    @property
    def bytes(self) -> int:
        return sum(entry.size for entry in self.described.values())


@dataclass(slots=True)
class _Found:
    """What has been found so far."""

    runs: list[Run] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    skipped: int = 0


def discover(
    storage: Storage,
    path: str,
    selection: Selection = Selection(),
    *,
    time_origin: datetime | None = None,
    with_metadata: bool = True,
) -> Discovery:
    """Find the runs at or below a path.

    Args:
        storage: Where to look.
        path: A run directory, or a folder of run directories at any depth.
        selection: What is wanted.
        time_origin: Start of bin 0 of every run, or None to find it in the runs.
        with_metadata: False where titles and the like are not asked for; saves requests.

    Raises:
        StorageError: The listing failed. What fails for one run is a refusal instead.
    """
    found = _Found()
    wanted = _wanted(storage, path, selection, found)
    for group in _groups(wanted):
        _read(storage, group, selection, time_origin, with_metadata, found)
    return Discovery(
        runs=tuple(sorted(found.runs, key=lambda run: (run.run_id, run.url))),
        refusals=tuple(sorted(found.refusals, key=lambda refusal: refusal.url)),
        skipped=found.skipped,
    )


def select_series(run: Run, selection: Selection) -> Run:
    """The same run with the wanted series only, in the same order."""
    asked = (selection.measures, selection.components, selection.classes)
    if all("*" in globs for globs in asked):
        return run
    return replace(
        run,
        series=tuple(
            one
            for one in run.series
            if _matches(one.measure, selection.measures)
            and _matches(one.component or "", selection.components)
            and _matches(one.class_name, selection.classes)
        ),
    )


@lru_cache(maxsize=65536)
def _matches(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _utc(instant: datetime) -> datetime:
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _wanted(
    storage: Storage, path: str, selection: Selection, found: _Found
) -> Iterator[_Candidate]:
    """Candidates that are wanted by name and have what a run must have."""

    def refuse_link(folder: str, name: str) -> None:
        if selection.wants_name(name):
            reason = "link not followed: list the run where it really is"
            refusal = _refusal(storage, _below(folder, name), name, reason)
            found.refusals.append(replace(refusal, kind="link"))

    for candidate in _candidates(storage.walk(path), path, refuse_link):
        if not selection.wants_name(candidate.name):
            found.skipped += 1
        elif reason := _incomplete(candidate):
            refusal = _refusal(storage, candidate.path, candidate.name, reason)
            found.refusals.append(replace(refusal, kind="incomplete"))
        elif reason := _unreadable(candidate):
            found.refusals.append(_refusal(storage, candidate.path, candidate.name, reason))
        else:
            yield candidate


def _candidates(
    folders: Iterator[Folder], root: str, refuse_link: Callable[[str, str], None]
) -> Iterator[_Candidate]:
    """Gather folders into candidates, each handed on as soon as nothing can join it any more."""
    pending: dict[str, _Candidate] = {}
    for folder in folders:
        # Stores sort by whole keys (`a-b/` before `a/series/`), file systems by names. Under
        # both orders a folder is over once something sorts after everything below it.
        over = [one for one in pending if folder.path > _below(one, "\U0010ffff")]
        yield from (pending.pop(one) for one in over)
        _sort_in(folder, root, pending, refuse_link)
    yield from pending.values()


def _sort_in(
    folder: Folder,
    root: str,
    pending: dict[str, _Candidate],
    refuse_link: Callable[[str, str], None],
) -> None:
    owner = _owner(folder.path, pending)
    files = {_name(entry.path): entry for entry in folder.files}
    if owner is None and _name(folder.path) == "series" and "index.json" in files:
        parent = folder.path.rpartition("/")[0]
        if folder.path != root and RUN_FILE not in files and MANIFEST_FILE not in files:
            owner = pending[parent] = _Candidate(parent, _name(parent))
    if owner is not None:
        _join(owner, folder, files)
    elif RUN_FILE in files or MANIFEST_FILE in files:
        candidate = pending[folder.path] = _Candidate(folder.path, _name(folder.path))
        _join(candidate, folder, files)
    else:
        for link in folder.links:
            refuse_link(folder.path, link)


def _owner(path: str, pending: dict[str, _Candidate]) -> _Candidate | None:
    """The candidate that a folder is part of."""
    for candidate in pending.values():
        if path.startswith(_below(candidate.path, "")):
            top = path[len(_below(candidate.path, "")) :].partition("/")[0]
            if candidate.is_run or top in _OWN_FOLDERS:
                return candidate
    return None


def _join(candidate: _Candidate, folder: Folder, files: dict[str, Entry]) -> None:
    """Keep of a folder what matters to its run."""
    relative = folder.path[len(_below(candidate.path, "")) :]
    top = relative.partition("/")[0]
    if top and top not in ("series", "model"):
        return
    candidate.links += [_below(relative, link) for link in folder.links]
    before = _below(relative, "")
    for last, entry in files.items():
        name = before + last
        if name in _DESCRIBING:
            candidate.described[name] = entry
        elif top == "series" or (not top and name.endswith(".csv")):
            candidate.series.append((name, entry.size, entry.version))


def _incomplete(candidate: _Candidate) -> str | None:
    if MANIFEST_FILE in candidate.described:
        return None
    if MANIFEST_FILE in candidate.links:
        return f"{MANIFEST_FILE} is a link, which is not followed"
    return f"{MANIFEST_FILE} is missing: the run is still being written, or its writer died"


def _unreadable(candidate: _Candidate) -> str | None:
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
    hint = f"; {', '.join(linked)} is a link, which is not followed" if linked else ""
    return f"{', '.join(missing)} is missing: restore it or evaluate the model again{hint}"


def _groups(candidates: Iterator[_Candidate]) -> Iterator[list[_Candidate]]:
    """Candidates in groups that are bounded in number and in bytes."""
    group: list[_Candidate] = []
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
    storage: Storage,
    group: list[_Candidate],
    selection: Selection,
    time_origin: datetime | None,
    with_metadata: bool,
    found: _Found,
) -> None:
    """Read and judge a group of candidates."""
    passed_over = set() if with_metadata else {METADATA_FILE}
    if not with_metadata and time_origin is not None:
        passed_over.add(SPEC_FILE)
    keys = [
        (number, name)
        for number, candidate in enumerate(group)
        for name in _DESCRIBING
        if name in candidate.described and name not in passed_over
    ]
    paths = [group[number].described[name].path for number, name in keys]
    contents: list[dict[str, bytes | StorageError]] = [{} for _ in group]
    for (number, name), content in zip(keys, storage.read_many(paths), strict=True):
        contents[number][name] = content
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
    candidate: _Candidate,
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
    if not candidate.is_run:
        raise RunError(_what_else(read[MANIFEST_FILE]), run_url=url, file=MANIFEST_FILE)
    candidate.series.sort()
    files = RunFiles(
        url=url,
        path=candidate.path,
        name=candidate.name,
        run_json=read[RUN_FILE],
        manifest_json=read[MANIFEST_FILE],
        index_json=read[INDEX_FILE],
        spec_yaml=read.get(SPEC_FILE),
        metadata_json=read.get(METADATA_FILE),
        sizes={name: size for name, size, _ in candidate.series},
        listing=_digest(candidate.series),
        time_origin=time_origin,
    )
    try:
        run = parse_run(files)
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


class _Bundle(BaseModel):
    """The one field by which a telemetry bundle's manifest is told from others."""

    model_config = ConfigDict(extra="ignore")

    files: list[object]


def _what_else(manifest: bytes) -> str:
    try:
        _Bundle.model_validate_json(manifest.removeprefix(b"\xef\xbb\xbf"))
    except ValidationError:
        return f"{RUN_FILE} and {INDEX_FILE} are missing: this is no run directory; exclude it"
    return "a telemetry bundle, not a run directory: bundles are not a source yet; exclude it"


def _digest(series: list[tuple[str, int, str]]) -> str:
    digest = hashlib.sha256()
    for name, size, version in series:
        digest.update(f"{name}\0{size}\0{version}\n".encode())
    return digest.hexdigest()


def _refusal(
    storage: Storage, path: str, name: str, reason: str, error: RunError | None = None
) -> Refusal:
    url = storage.url(path)
    return Refusal(url, name, reason, error or RunError(reason, run_url=url))


def _name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] or "run"


def _below(path: str, name: str) -> str:
    return f"{path.rstrip('/')}/{name}" if path.rstrip("/") else name
