"""The requests that an object store's client makes, each repeated while its failure may pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from connectors.storage.calls.failures import StoreFailures
from connectors.storage.contract import FileInfo

ABSENT = ""
"""As the expected version of an object: there is none."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object of a listing.

    Attributes:
        key: Its name in the bucket.
        size: Bytes.
        version: Text that changes with the content; usable as a condition.
        modified: When it was last written, in seconds since 1970 by the store's clock.
    """

    key: str
    size: int
    version: str
    modified: float


@dataclass(frozen=True, slots=True)
class ListingPage:
    """A page of a listing.

    Attributes:
        objects: Objects in the order of their keys.
        prefixes: Folders below the listed one, when they were not to be opened; they end in `/`.
    """

    objects: tuple[StoredObject, ...]
    prefixes: tuple[str, ...] = ()


class ObjectClient(ABC):
    """Requests to one object store; what fails is the client library's own error.

    Paths are `bucket/key`, taken literally.

    Attributes:
        failures: What these errors mean.
        most_copied_bytes: The store copies no larger objects by one call of `copy`.
        store: What distinguishes the store from others of its protocol, such as its endpoint.
    """

    failures: ClassVar[StoreFailures]
    most_copied_bytes: ClassVar[int]
    store: str

    @abstractmethod
    def listing(
        self, bucket: str, prefix: str, *, delimiter: bool, most: int | None = None
    ) -> Iterator[ListingPage]:
        """Yield the pages of a listing.

        Args:
            bucket: The bucket.
            prefix: How the keys begin.
            delimiter: Whether folders below appear by name only.
            most: How many objects a page may have.
        """

    @abstractmethod
    def head(self, path: str) -> FileInfo:
        """Return what is stored at a path."""

    @abstractmethod
    def get(
        self, path: str, start: int, end: int | None, *, version: str | None = None
    ) -> tuple[bytes, str]:
        """Return bytes of an object with its version, on the condition that it is `version`."""

    @abstractmethod
    def put(self, path: str, body: bytes, *, expected: str | None = None) -> None:
        """Store an object whole, with a digest that the store compares.

        Args:
            path: Where.
            body: Its bytes.
            expected: The version that is to be replaced, `ABSENT` for none; None for any.
        """

    @abstractmethod
    def send(self, path: str, file: Path, size: int) -> None:
        """Store a large file in parts that become visible at once."""

    @abstractmethod
    def copy(self, file: FileInfo, path: str) -> None:
        """Copy an object within the store, on the condition that it still is that version.

        The copy becomes visible at once, as a whole.
        """

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove an object; whether there was one may not be known."""

    @abstractmethod
    def needs_parts(self, size: int) -> bool:
        """Return whether a file of so many bytes is sent in parts."""


def split_key(path: str) -> tuple[str, str]:
    """Bucket and key of a path."""
    bucket, _, key = path.partition("/")
    return bucket, key


def key_prefix(path: str) -> tuple[str, str]:
    """Bucket of a folder, and what the keys of all objects in it begin with."""
    bucket, key = split_key(path)
    return bucket, f"{key}/" if key else ""
