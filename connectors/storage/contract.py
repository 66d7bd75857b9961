"""Define the interface of all storages."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from connectors.errors import ConflictError, DeniedError, StorageError
from connectors.storage.addresses.location import Location
from connectors.storage.addresses.paths import relative

_HASHED_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A stored file.

    Attributes:
        path: The storage's own full path.
        size: Bytes.
        version: Text that changes with the content: an ETag, or the time of the last write.
    """

    path: str
    size: int
    version: str


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder of a walk.

    Attributes:
        path: The storage's own full path.
        files: The files directly in it, sorted by path.
        links: Names of what is there but never read: symbolic links, devices, pipes, and names
            that no path can hold.
        special: Those of `links` that are devices, pipes and sockets, which lead nowhere.
    """

    path: str
    files: tuple[FileInfo, ...]
    links: tuple[str, ...] = ()
    special: frozenset[str] = frozenset()


Enter = Callable[[str], bool]
"""Whether a walk opens the folder at a path."""

Failed = Callable[[StorageError], None]
"""Takes what went wrong with one of several files."""

Denied = Callable[[str, DeniedError], None]
"""Takes a folder that may not be listed, and why."""


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A local file that is written now and becomes visible at `target` by `commit` only.

    Attributes:
        local: The file to write.
        target: The storage's own path it will have.
        handed_over: The same file in the store, under a hidden name, once `hand_over` has put it
            there; the local one is gone then.
    """

    local: Path
    target: str
    handed_over: FileInfo | None = None


class Writable(Protocol):
    """A binary stream that is written: an open file, or one that compresses or hashes."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Append bytes; return their number."""

    def flush(self) -> object:
        """Hand all bytes to what is below: in the end, to the operating system."""

    def close(self) -> None:
        """Flush and close."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A small file that says that its writer is there.

    Attributes:
        path: The storage's own full path.
        modified: When it was last written, in seconds since 1970 by the store's clock, if known.
    """

    path: str
    modified: float | None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class StoreAccess:
    """How libraries that know object stores themselves reach a path of a storage.

    Attributes:
        uri: The path, as a path of this machine or a URL.
        options: In the words of Rust's object_store; secrets in clear, credentials for some minutes
            at least.
    """

    uri: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """An upload in parts that was begun and not completed; its parts take space unseen.

    Attributes:
        path: The storage's own path of what was to be written.
        id: The store's name for the upload.
        begun: Seconds since 1970, by the store's clock.
    """

    path: str
    id: str
    begun: float


class Storage(ABC):
    """A place where bytes live.

    Paths are the storage's own, as `connect` and `join` make them: segments between `/`, taken
    literally. Methods may be called from several threads at once. Every failure of the store is
    a `StorageError`; `NotFoundError` where nothing is stored.

    Attributes:
        protocol: `file`, `s3`, ...
        is_local: Whether paths are paths of this machine.
    """

    protocol: str
    is_local: bool

    @abstractmethod
    def url(self, path: str) -> str:
        """Return the path for people, without credentials; an absolute plain path where local."""

    @abstractmethod
    def locations(self, paths: Sequence[str]) -> list[Location]:
        """Return where paths lead, over links and under whatever name; no request is made."""

    @abstractmethod
    def walk(
        self, path: str, *, enter: Enter | None = None, denied: Denied | None = None
    ) -> Iterator[Folder]:
        """Yield every folder at or below `path` that directly holds a file or a link.

        Listed afresh. A folder comes before all folders below it, and these before any folder
        that is not below it. Files that are being staged are left out.

        Args:
            path: The folder to begin with.
            enter: Answers for each folder below `path`, before it is opened, whether it is
                walked; the others are left out with all that is below them.
            denied: Called for each folder below `path` that may not be listed; the walk goes on.

        Raises:
            NotFoundError: Nothing is there, or a file.
            DeniedError: `path` may not be listed, or a folder below it and `denied` is None.
            StorageError: A part could not be listed for another reason.
        """

    def walk_some(
        self,
        path: str,
        names: Set[str],
        *,
        enter: Enter | None = None,
        denied: Denied | None = None,
    ) -> Iterator[Folder]:
        """Yield what `walk` yields of some of the folders directly in a folder.

        Args:
            path: The folder, for which `folders` has names.
            names: The folders that are walked; none for the links directly in `path` alone.
            enter: See `walk`.
            denied: See `walk`.

        Raises:
            StorageError: As `walk` does.
        """

        def enters(one: str) -> bool:
            parent, _, name = one.rstrip("/").rpartition("/")
            if parent == path.rstrip("/") and name not in names:
                return False
            return enter is None or enter(one)

        found = self.walk(path, enter=enters, denied=denied)
        return (one for one in found if not names or one.path != path)

    def folders(self, path: str) -> list[str] | None:
        """Return the names of the folders directly in a folder that holds no file.

        None where files are there, too, or where to list a folder alone would save nothing.

        Raises:
            StorageError: It could not be listed.
        """
        return None

    @abstractmethod
    def info(self, path: str) -> FileInfo | None:
        """Return the file at `path`, or None where there is no file."""

    @abstractmethod
    def read(self, path: str, *, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes of a file from `start` up to, not including, `end`.

        Fewer where the file ends earlier.

        Raises:
            NotFoundError: No such file.
            StorageError: It is a link or no file, it changed in between, or the store failed.
        """

    @abstractmethod
    def read_many(self, paths: Sequence[str]) -> list[bytes | StorageError]:
        """Whole files, in the order of `paths`; what failed is there as its error."""

    @abstractmethod
    def blocks(self, path: str, block_bytes: int) -> Iterator[bytes]:
        """Yield a file in blocks of `block_bytes` bytes (the last may be shorter), of one version.

        Raises:
            NotFoundError: No such file.
            StorageError: The file changed in between, or the store failed.
        """

    def access(self, path: str) -> StoreAccess:
        """Return how other libraries reach a path.

        Raises:
            StorageError: They cannot, or the store failed.
        """
        raise StorageError(
            f"{self.url(path)}: {self.protocol}:// cannot be reached by the packages for lake "
            "tables: choose a local path, s3:// or abfs://",
            url=self.url(path),
        )

    def refuse_links(self, root: str, path: str) -> None:  # noqa: B027
        """Refuse a path that leads through a link below `root`, which may point anywhere.

        Stores without links have nothing to refuse.

        Raises:
            StorageError: A folder between `root` and `path`, or `path` itself, is a link.
        """

    @abstractmethod
    def stage(self, path: str) -> StagedFile:
        """Return a fresh, empty local file for what is to become `path`."""

    def open(self, staged: StagedFile) -> Writable:
        """Open a staged file that may become large, to be written from its beginning.

        Raises:
            OSError: It cannot be opened; every call of what is returned may raise it, too.
        """
        return staged.local.open("wb")

    def hand_over(self, staged: StagedFile, folder: str) -> StagedFile:
        """Return a staged file that another process can commit, fetch or discard.

        Files that are staged on a disk are there already.

        Args:
            staged: The file, written and closed.
            folder: Where a store takes it under a hidden name, until it is committed. What is
                left there by processes that were killed is removed by the next claim of the folder.

        Raises:
            StorageError: The store refused it.
        """
        return staged

    def fetch(self, staged: StagedFile) -> StagedFile:
        """Return a file that was handed over as one that is staged on this machine.

        Raises:
            StorageError: The store failed.
        """
        return staged

    @abstractmethod
    def commit(self, staged: StagedFile) -> None:
        """Make a staged file visible at its target, whole or not at all, replacing what is there.

        Raises:
            StorageError: It is not visible; or, after a lost answer, it may be.
        """

    def commit_over(self, staged: StagedFile, before: FileInfo | None) -> None:
        """Commit, provided that the target still is what `before` says.

        Where the store cannot make that one step, it is looked at just before; see `claimed` for
        what keeps other exporters away meanwhile.

        Args:
            staged: The file, whose bytes no other writer has: a lost answer is recognised by them.
            before: What `info` gave for the target.

        Raises:
            ConflictError: Another writer has written or removed the target.
            StorageError: It is not visible; or, after a lost answer, it may be.
        """
        if self.info(staged.target) != before:
            raise ConflictError(
                f"writing {self.url(staged.target)}: another exporter has written it meanwhile",
                url=self.url(staged.target),
            )
        self.commit(staged)

    def sends_in_parts(self, size: int) -> bool:
        """Return whether a file of that size is sent in parts, which a crash would leave behind."""
        return False

    @abstractmethod
    def mark(self, path: str, data: bytes, *, durable: bool = False) -> None:
        """Write a small file at once, seen by every listing of its folder from now on.

        Args:
            path: The file.
            data: Its bytes.
            durable: Whether it has to outlive a power cut.
        """

    @abstractmethod
    def marks(self, folder: str, prefix: str) -> list[Mark]:
        """Return files directly in `folder` whose names begin with `prefix`, listed afresh."""

    def unfinished_uploads(self, path: str) -> list[UnfinishedUpload]:
        """Return uploads in parts to a path, or to what is below it, that were never completed.

        Those at work are among them. There are none where the store has no such uploads, does not
        list them, or removes them itself.

        Raises:
            StorageError: They could not be listed.
        """
        return []

    def abort_upload(self, upload: UnfinishedUpload) -> None:  # noqa: B027
        """Have the store remove the parts of an upload; nothing happens where it has gone.

        Raises:
            StorageError: The store failed.
        """

    def abort_uploads(self, paths: Sequence[str], since: float) -> list[str]:
        """Abort uploads to exactly these paths that were begun since a time and never completed.

        Args:
            paths: Targets of uploads in parts.
            since: Seconds since 1970.

        Returns:
            URLs of the targets of what was aborted.
        """
        aborted = []
        for path in paths:
            for upload in self.unfinished_uploads(path):
                if upload.path == path and upload.begun >= since:
                    self.abort_upload(upload)
                    aborted.append(self.url(path))
        return aborted

    @abstractmethod
    def discard(self, staged: StagedFile) -> None:
        """Remove a staged file; nothing happens after a commit."""

    @abstractmethod
    def discard_all(self) -> None:
        """Remove whatever this process has staged here: for the way out after a signal."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove one file; nothing happens where there is none."""

    @abstractmethod
    def remove_folder(self, path: str) -> None:
        """Remove a folder that is empty.

        Nothing happens where something is in it, where there is none, or where folders are no
        more than parts of names.
        """

    @abstractmethod
    def abandoned(self, path: str) -> list[Mark]:
        """Return staged files and claims at or below `path` that no living exporter writes."""

    @abstractmethod
    def remove_leftovers(self, path: str, failed: Failed | None = None) -> list[str]:
        """Remove what dead exporters left in staging, but for claims that record files.

        Args:
            path: A folder.
            failed: Called for each file that could not be removed; by default that is raised.

        Returns:
            URLs of abandoned files at or below the path, and abandoned folders of this machine in
            the temporary directory.
        """

    @abstractmethod
    def sweep(self, folder: str) -> None:
        """Remove what killed exports have left in staging directly in `folder`."""

    @abstractmethod
    def check_list(self, path: str) -> None:
        """Find out whether `path` can be listed.

        Raises:
            NotFoundError: Nothing is there.
            StorageError: It cannot be listed; the message says why.
        """

    @abstractmethod
    def check_write(self, path: str) -> None:
        """Find out, with a small file that is removed again, whether `path` can be written below.

        Raises:
            StorageError: It cannot; the message says why.
        """


def entered(folders: Iterator[Folder], root: str, enter: Enter | None) -> Iterator[Folder]:
    """Leave out of a flat listing what a walk would not enter.

    Args:
        folders: Folders at or below `root`, in the order of a walk.
        root: The folder that the walk begins with.
        enter: See `Storage.walk`.
    """
    if enter is None:
        yield from folders
        return
    way: list[tuple[str, bool]] = []  # the folders from the root to the present one, each once
    for folder in folders:
        while way and relative(folder.path, way[-1][0]) is None:
            way.pop()
        at, wanted = way[-1] if way else (root, True)
        rest = relative(folder.path, at)
        for name in (rest or "").split("/") if wanted else ():
            if name:
                at = f"{at.rstrip('/')}/{name}"
                wanted = wanted and enter(at)
                way.append((at, wanted))
        if wanted:
            yield folder


def sha256_of(storage: Storage, path: str) -> str:
    """Return lower-case hex digest of a stored file.

    Raises:
        NotFoundError: No such file.
        StorageError: The file changed in between, or the store failed.
    """
    digest = hashlib.sha256()
    for block in storage.blocks(path, _HASHED_BYTES):
        digest.update(block)
    return digest.hexdigest()
