"""Places where bytes live: local disk, S3 and whatever else fsspec knows.

INTERFACE DRAFT (being implemented)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectors.errors import StorageError


@dataclass(frozen=True)
class StorageOptions:
    """A named option set of the config: fsspec keyword arguments, secrets never shown by repr/str."""

    name: str = ""
    protocol: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # str values may be pydantic SecretStr


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored file. `path` is the storage's own full path, `version` an ETag or mtime_ns as text."""

    path: str
    size: int
    version: str


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder of a walk: its path, the files directly in it (sorted by path), and the names of links not followed."""

    path: str
    files: tuple[Entry, ...]
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A local file that is written now and becomes visible at `target` by `commit` only."""

    local: Path
    target: str


class Storage(ABC):
    protocol: str
    is_local: bool

    @abstractmethod
    def url(
        self, path: str
    ) -> str: ...  # for people and reports, no credentials; local: absolute plain path (no file://)
    @abstractmethod
    def walk(
        self, path: str
    ) -> Iterator[
        Folder
    ]: ...  # every folder at or below path holding files, in sorted path order, fresh from the store
    @abstractmethod
    def info(self, path: str) -> Entry | None: ...  # None: no such file
    @abstractmethod
    def read(self, path: str, *, start: int = 0, end: int | None = None) -> bytes: ...
    @abstractmethod
    def read_many(
        self, paths: Sequence[str]
    ) -> list[bytes | StorageError]: ...  # in order, concurrently
    @abstractmethod
    def blocks(self, path: str, block_bytes: int) -> Iterator[bytes]: ...  # sequential
    @abstractmethod
    def stage(self, path: str) -> StagedFile: ...
    @abstractmethod
    def commit(self, staged: StagedFile) -> None: ...  # whole or not at all
    @abstractmethod
    def discard(self, staged: StagedFile) -> None: ...
    @abstractmethod
    def delete(self, path: str) -> None: ...
    @abstractmethod
    def leftovers(self, path: str) -> list[str]: ...  # what crashed exports left at or below path
    @abstractmethod
    def remove_leftovers(self, path: str) -> list[str]: ...
