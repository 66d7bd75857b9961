"""Group a listing into folders that look like run directories."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from typing import Protocol

from connectors.errors import DeniedError
from connectors.flowtime.model.run import NEVER_READ_FOLDERS
from connectors.flowtime.parse.dialects import INDEX_FILE, MANIFEST_FILE, METADATA_FILE, RUN_FILE
from connectors.flowtime.parse.spec_scalars import SPEC_FILE
from connectors.storage import FileInfo, Folder, Storage

DESCRIBING = (RUN_FILE, MANIFEST_FILE, INDEX_FILE, SPEC_FILE, METADATA_FILE)
"""Files of a run directory that say what its series are."""

_READ_FOLDERS = frozenset({"series", "model"})
_OWN_FOLDERS = NEVER_READ_FOLDERS | _READ_FOLDERS


@dataclass(slots=True)
class RunCandidate:
    """A folder that looks like a run directory, as far as it has been listed.

    Attributes:
        path: The folder, as its storage names it.
        name: Its name.
        prefix: What the paths of all below it begin with.
        links: What lies in it and is never followed, relative to it.
        described: Name relative to the folder → file, of those that describe the run.
        series: Name, bytes and version of every other file that may hold a series.
        denied: Why a folder of the run could not be listed, if one could not.
        top_names: Names of all files directly in it.
        other_bytes: Bytes of its files that are in neither of the two.
    """

    path: str
    name: str = field(init=False)
    prefix: str = field(init=False)
    links: list[str] = field(default_factory=list)
    described: dict[str, FileInfo] = field(default_factory=dict)
    series: list[tuple[str, int, str]] = field(default_factory=list)
    top_names: list[str] = field(default_factory=list)
    other_bytes: int = 0
    denied: DeniedError | None = None

    def __post_init__(self) -> None:
        self.name = _name(self.path)
        self.prefix = below(self.path, "")

    @property
    def is_run(self) -> bool:
        """Whether everything below belongs to it; a lone manifest.json claims nothing."""
        return RUN_FILE in self.described or INDEX_FILE in self.described

    @property
    def bytes(self) -> int:
        """Of the files that describe it."""
        return sum(entry.size for entry in self.described.values())

    @property
    def all_bytes(self) -> int:
        """Of all its files, exports in its own folders apart."""
        return self.bytes + sum(size for _, size, _ in self.series) + self.other_bytes

    @property
    def versions(self) -> list[str]:
        """Digest of the names, sizes and versions of its files."""
        return [version for _, _, version in self._files()]

    @property
    def listing(self) -> str:
        """sha256 hex over names, sizes and versions of its files."""
        lines = [f"{name}\0{size}\0{version}\n" for name, size, version in self._files()]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def is_versioned(self) -> bool:
        """Whether the store says of each file when it changes."""
        described = all(one.version for one in self.described.values())
        return described and all(version for _, _, version in self.series)

    def _files(self) -> list[tuple[str, int, str]]:
        described = ((name, one.size, one.version) for name, one in self.described.items())
        return sorted((*described, *self.series))


class SearchObserver(Protocol):
    """What a search asks and reports on its way."""

    def enters(self, path: str) -> bool:
        """Return whether a folder, which is no part of a run, is opened."""

    def link(self, path: str) -> None:
        """Take a link that is not followed and belongs to no run."""

    def denied(self, path: str, error: DeniedError) -> None:
        """Take a folder that may not be listed and belongs to no run that is known so far."""


class RunCandidateSearch:
    """Walks a storage, and gathers folders into candidates.

    Args:
        storage: Where to look.
        root: The folder to begin with.
        observer: Decides about folders, and takes what cannot be followed or listed.
        watch: Takes every folder that is listed; with it, no folder of a run is left out.
        only: Names of the folders directly in `root` that are opened; None for all.
    """

    def __init__(
        self,
        storage: Storage,
        root: str,
        observer: SearchObserver,
        watch: Callable[[Folder], None] | None = None,
        only: Set[str] | None = None,
    ) -> None:
        self._storage = storage
        self._only = only
        self._root = root
        self._observer = observer
        self._watch = watch
        self._pending: dict[str, RunCandidate] = {}

    def candidates(self) -> Iterator[RunCandidate]:
        """Yield each candidate as soon as nothing can join it any more."""
        for folder in self._folders():
            # Stores sort by whole keys (`a-b/` before `a/series/`), file systems by names. Under
            # both orders a folder is over once something sorts after everything below it.
            over = [
                path
                for path, candidate in self._pending.items()
                if folder.path > candidate.prefix + "\U0010ffff"
            ]
            yield from (self._pending.pop(path) for path in over)
            self._sort_in(folder)
            if self._watch is not None:
                self._watch(folder)
        yield from self._pending.values()

    def _folders(self) -> Iterator[Folder]:
        storage, root, only = self._storage, self._root, self._only
        if only is None:
            return storage.walk(root, enter=self._enter, denied=self._denied)
        return storage.walk_some(root, only, enter=self._enter, denied=self._denied)

    def _enter(self, path: str) -> bool:
        """Return whether a folder is opened: of a run's own folders those that describe it."""
        owner = _owner(path, self._pending)
        if owner is None:
            return self._observer.enters(path)
        return self._watch is not None or _top(owner, path) in _READ_FOLDERS

    def _denied(self, path: str, error: DeniedError) -> None:
        owner = _owner(path, self._pending)
        if owner is None:
            self._observer.denied(path, error)
        elif owner.denied is None and _top(owner, path) in _READ_FOLDERS:
            owner.denied = error

    def _sort_in(self, folder: Folder) -> None:
        pending = self._pending
        owner = _owner(folder.path, pending)
        files = {entry.path.rpartition("/")[2]: entry for entry in folder.files}
        if owner is None and _name(folder.path) == "series" and "index.json" in files:
            parent = folder.path.rpartition("/")[0]
            if folder.path != self._root and RUN_FILE not in files and MANIFEST_FILE not in files:
                owner = pending[parent] = RunCandidate(parent)
        if owner is not None:
            _join(owner, folder, files)
        elif RUN_FILE in files or MANIFEST_FILE in files:
            candidate = pending[folder.path] = RunCandidate(folder.path)
            _join(candidate, folder, files)
        else:
            for link in folder.links:
                if link not in folder.special:  # a pipe leads to no run
                    self._observer.link(below(folder.path, link))


def _owner(path: str, pending: dict[str, RunCandidate]) -> RunCandidate | None:
    """Return the candidate that a folder is part of."""
    for candidate in pending.values():
        if not path.startswith(candidate.prefix):
            continue
        if candidate.is_run or _top(candidate, path) in _OWN_FOLDERS:
            return candidate
    return None


def _top(candidate: RunCandidate, path: str) -> str:
    """Return the name directly below a candidate that a path leads through; empty for its own."""
    return path[len(candidate.prefix) :].partition("/")[0]


def _join(candidate: RunCandidate, folder: Folder, files: dict[str, FileInfo]) -> None:
    """Keep of a folder what matters to its run."""
    relative = folder.path[len(candidate.prefix) :]
    top = _top(candidate, folder.path)
    if top and top not in _READ_FOLDERS:
        return
    candidate.links += [below(relative, link) for link in folder.links]
    before = below(relative, "")
    if not top:
        candidate.top_names += files
    for last, entry in files.items():
        name = before + last
        if name in DESCRIBING:
            candidate.described[name] = entry
        elif top == "series" or (not top and name.endswith(".csv")):
            candidate.series.append((name, entry.size, entry.version))
        else:
            candidate.other_bytes += entry.size


def _name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] or "run"


def below(path: str, name: str) -> str:
    """Return the path of a name in a folder; the empty path is no folder."""
    folder = path.rstrip("/")
    return f"{folder}/{name}" if folder else name
