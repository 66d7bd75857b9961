"""What every storage promises to the code above it."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectors.errors import ConflictError, StorageError

_PLAIN_OPTIONS = frozenset(
    {
        "addressing_style",
        "anon",
        "endpoint_url",
        "host",
        "port",
        "profile",
        "project",
        "protocol",
        "region",
        "region_name",
        "signature_version",
    }
)
_STAGED_SUFFIX = ".flowtime-export.part"
_STAGED_NAME = re.compile(
    r"\..+\.(?P<host>[0-9a-f]{8})-(?P<pid>[0-9]{1,10})-[0-9a-f]{8}\.flowtime-export\.part"
)
_STALE_SECONDS = 24 * 3600.0
_HASHED_BYTES = 4_000_000
_NAME_BYTES = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, repr=False)
class StorageOptions:
    """A named set of options for a storage; no text made from it shows a secret.

    Attributes:
        name: What the config calls the set.
        protocol: The protocol it is meant for, or None for any.
        options: fsspec's keyword arguments. Values may be `SecretStr`; a text under a key that is
            not known to be harmless is a secret as well.
    """

    name: str = ""
    protocol: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def revealed(self) -> dict[str, Any]:
        """The options with secrets in clear, for the client library alone."""
        return {key: _revealed(value) for key, value in self.options.items()}

    def secrets(self) -> frozenset[str]:
        """Every text that must not be shown.

        >>> sorted(StorageOptions(options={"key": "A", "region": "x"}).secrets())
        ['A']
        """
        return frozenset(_secrets(self.options))

    def __repr__(self) -> str:
        return (
            f"StorageOptions(name={self.name!r}, protocol={self.protocol!r}, "
            f"options={_masked(self.options)!r})"
        )


def _revealed(value: Any) -> Any:
    if hasattr(value, "get_secret_value"):
        return value.get_secret_value()
    if isinstance(value, Mapping):
        return {key: _revealed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_revealed(item) for item in value)
    return value


def _secrets(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        yield from _secrets_of(name, value)


def _secrets_of(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _secrets(value)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets_of(key, item)
    elif hasattr(value, "get_secret_value"):
        yield str(value.get_secret_value())
    elif isinstance(value, str) and value and key not in _PLAIN_OPTIONS:
        yield value


def _masked(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {name: _masked(item, name) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item, key) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return value if isinstance(value, str) and key in _PLAIN_OPTIONS else "***"


@dataclass(frozen=True, slots=True)
class Entry:
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
    """

    path: str
    files: tuple[Entry, ...]
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A local file that is written now and becomes visible at `target` by `commit` only.

    Attributes:
        local: The file to write.
        target: The storage's own path it will have.
    """

    local: Path
    target: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A small file that says that its writer is there.

    Attributes:
        path: The storage's own full path.
        modified: When it was last written, in seconds since 1970 by the store's clock, if known.
    """

    path: str
    modified: float | None


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
        """The path for people, without credentials; an absolute plain path where local."""

    @abstractmethod
    def walk(self, path: str) -> Iterator[Folder]:
        """Every folder at or below `path` that directly holds a file or a link.

        Listed afresh. A folder comes before all folders below it, and these before any folder
        that is not below it. Files that are being staged are left out.

        Raises:
            NotFoundError: Nothing is there, or a file.
            StorageError: A part could not be listed.
        """

    @abstractmethod
    def info(self, path: str) -> Entry | None:
        """The file at `path`, or None where there is no file."""

    @abstractmethod
    def read(self, path: str, *, start: int = 0, end: int | None = None) -> bytes:
        """The bytes of a file from `start` up to, not including, `end`.

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
        """A file in blocks of `block_bytes` bytes (the last may be shorter), all of one version.

        Raises:
            NotFoundError: No such file.
            StorageError: The file changed in between, or the store failed.
        """

    def refuse_links(self, root: str, path: str) -> None:  # noqa: B027
        """Refuse a path that leads through a link below `root`, which may point anywhere.

        Stores without links have nothing to refuse.

        Raises:
            StorageError: A folder between `root` and `path`, or `path` itself, is a link.
        """

    @abstractmethod
    def stage(self, path: str) -> StagedFile:
        """A fresh, empty local file for what is to become `path`."""

    @abstractmethod
    def commit(self, staged: StagedFile) -> None:
        """Make a staged file visible at its target, whole or not at all, replacing what is there.

        Raises:
            StorageError: It is not visible; or, after a lost answer, it may be.
        """

    def commit_over(self, staged: StagedFile, before: Entry | None) -> None:
        """Commit, provided that the target still is what `before` says.

        Where the store cannot make that one step, it is looked at just before; see `claimed` for
        what keeps other exporters away meanwhile.

        Args:
            staged: The file, whose bytes nobody else writes: a lost answer is told by them.
            before: What `info` gave for the target.

        Raises:
            ConflictError: Somebody else has written or removed the target.
            StorageError: It is not visible; or, after a lost answer, it may be.
        """
        if self.info(staged.target) != before:
            raise ConflictError(
                f"writing {self.url(staged.target)}: another exporter has written it meanwhile",
                url=self.url(staged.target),
            )
        self.commit(staged)

    def sends_in_parts(self, size: int) -> bool:
        """Whether a file of so many bytes is sent in parts that a crash would leave behind."""
        return False

    @abstractmethod
    def mark(self, path: str, data: bytes) -> None:
        """Write a small file at once, seen by whoever lists its folder from now on.

        It need not outlive a power cut.
        """

    @abstractmethod
    def marks(self, folder: str, prefix: str) -> list[Mark]:
        """Files directly in `folder` whose names begin with `prefix`, listed afresh."""

    def abort_uploads(self, paths: Sequence[str], since: float) -> list[str]:
        """Give up uploads to exactly these paths that were begun since a time and never finished.

        Args:
            paths: Targets of uploads in parts.
            since: Seconds since 1970.

        Returns:
            URLs of the targets of what was given up; none where the store has no such uploads.
        """
        return []

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
    def leftovers(self, path: str) -> list[str]:
        """URLs of files at or below `path` that exports which died have left in staging."""

    @abstractmethod
    def remove_leftovers(self, path: str) -> list[str]:
        """Remove what `leftovers` finds and return it."""

    @abstractmethod
    def sweep(self, folder: str) -> None:
        """Remove what exports that died have left in staging directly in `folder`."""

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


def sha256_of(storage: Storage, path: str) -> str:
    """Lower-case hex digest of a stored file.

    Raises:
        NotFoundError: No such file.
        StorageError: The file changed in between, or the store failed.
    """
    digest = hashlib.sha256()
    for block in storage.blocks(path, _HASHED_BYTES):
        digest.update(block)
    return digest.hexdigest()


def join(path: str, *names: str) -> str:
    """A path below `path`.

    Args:
        path: A storage's own path.
        names: Relative paths, appended one after the other.

    Raises:
        StorageError: A name is empty, absolute, climbs out, or holds what no file name should.

    >>> join("bucket/runs", "run_1", "series/a.csv")
    'bucket/runs/run_1/series/a.csv'
    >>> join("/", "tmp")
    '/tmp'
    """
    for name in names:
        if not is_safe_name(name):
            raise StorageError(
                f"{name!r} is not a plain relative path: give names between single slashes, "
                "without `.`, `..`, backslashes or control characters",
                url=path,
            )
    return "/".join((path.rstrip("/") if names else path, *names))


def is_safe_name(name: str) -> bool:
    """Whether a relative path stays below its folder in every kind of store.

    >>> [is_safe_name(name) for name in ("a/b", "a//b", "../a", "/a")]
    [True, False, False, False]
    """
    if _CONTROL.search(name) or "\\" in name:
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))


def relative(path: str, root: str) -> str | None:
    """The part of `path` below `root`, or None where it is not below.

    >>> relative("b/runs/x", "b/runs"), relative("b/runs", "b/runs"), relative("b/runs2", "b/runs")
    ('x', '', None)
    """
    root = root.rstrip("/")
    if path.rstrip("/") == root:
        return ""
    return path[len(root) + 1 :] if path.startswith(f"{root}/") else None


def staged_name(name: str) -> str:
    """A hidden, unique name for the file that is to become `name`."""
    mark = f".{host_mark()}-{os.getpid()}-{secrets.token_hex(4)}{_STAGED_SUFFIX}"
    room = _NAME_BYTES - len(mark) - 1
    return f".{name.encode()[:room].decode(errors='ignore')}{mark}"


def is_staged_name(name: str) -> bool:
    """Whether a name is one that `staged_name` made, here or elsewhere."""
    return name.endswith(_STAGED_SUFFIX) and _STAGED_NAME.fullmatch(name) is not None


def is_abandoned(name: str, modified: float | None) -> bool:
    """Whether nobody can still be writing the staged file of this name.

    Args:
        name: The file's name.
        modified: When it was last written, in seconds since 1970, if known.
    """
    match = _STAGED_NAME.fullmatch(name)
    if match is None:
        return False
    if modified is not None and time.time() - modified > _STALE_SECONDS:
        return True
    return is_of_the_dead(match["host"], int(match["pid"]))


def is_of_the_dead(host: str, pid: int) -> bool:
    """Whether a process of this machine lives no more; never so for one of another machine."""
    return host == host_mark() and not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def host_mark() -> str:
    """A mark of the machine; of the container as well, where process ids mean something else."""
    try:
        # os.readlink, because Path.readlink would resolve nothing more and cost more.
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]
