"""Identify the place that a path leads to, the same for every spelling of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """A file or folder of a store, and the folders above it.

    Attributes:
        chain: What identifies the place itself, then each folder above it, up to the root.
    """

    chain: tuple[str, ...]

    @classmethod
    def of_parts(cls, store: str, path: str) -> Location:
        """Return the location of a path in a store that has no links.

        >>> Location.of_parts("s3:", "b/a").chain
        ('s3:/b/a', 's3:/b', 's3:')
        """
        parts = [part for part in path.split("/") if part]
        return cls(tuple("/".join((store, *parts[:end])) for end in range(len(parts), -1, -1)))

    @property
    def key(self) -> str:
        """What identifies the place."""
        return self.chain[0]

    def is_within(self, other: Location) -> bool:
        """Return whether this is the other place, or below it."""
        return other.key in self.chain
