"""The series of a run in a fraction of the memory of as many objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from struct import Struct
from typing import overload

from connectors.flowtime.model.series import Series

_PROMISE = Struct("<?32s?q")  # is there a sha256, the sha256, is there a size, the size
_NONE = bytes(32)

Promise = tuple[str | None, int | None]
"""The sha256 that a file must have, as lower-case hex, and its size in bytes."""


class SeriesTable(Sequence[Series]):
    """The series of a run, in order; each is made when it is asked for.

    All but sha256 and size is mostly the same in run after run, and held once for all of them;
    the two take 42 bytes a series. An export may hold hundreds of thousands.

    Args:
        kinds: The series without sha256 and size.
        promises: sha256 and size of each.

    Raises:
        ValueError: A sha256 is none.
    """

    __slots__ = ("_promises", "kinds")

    def __init__(self, kinds: tuple[Series, ...], promises: Iterable[Promise]) -> None:
        self.kinds = kinds
        self._promises = b"".join(_packed(sha256, size) for sha256, size in promises)

    @classmethod
    def of(cls, series: Iterable[Series]) -> SeriesTable:
        """Return the table of some series."""
        found = tuple(series)
        kinds = tuple(replace(one, sha256=None, size=None) for one in found)
        return cls(kinds, ((one.sha256, one.size) for one in found))

    def promises(self) -> Iterator[Promise]:
        """Yield sha256 and size of each series."""
        for is_vouched, sha256, is_there, size in _PROMISE.iter_unpack(self._promises):
            yield sha256.hex() if is_vouched else None, size if is_there else None

    def sizes(self) -> Iterator[int]:
        """Return bytes of each file; 0 where it is missing."""
        return (size for _, _, _, size in _PROMISE.iter_unpack(self._promises))

    def are_vouched(self) -> Iterator[bool]:
        """Return whether there is a sha256 for each file."""
        return (is_vouched for is_vouched, _, _, _ in _PROMISE.iter_unpack(self._promises))

    def picked(self, places: Iterable[int]) -> SeriesTable:
        """Return the table of the series at some places, in that order."""
        chosen = list(places)
        promises = list(self.promises())
        return SeriesTable(
            tuple(self.kinds[place] for place in chosen), [promises[place] for place in chosen]
        )

    def listed(self, sizes: Mapping[str, int]) -> SeriesTable:
        """Return the same series with the sizes of a listing.

        Args:
            sizes: Path relative to the run directory → bytes of every file that is there.
        """
        hashes = (sha256 for sha256, _ in self.promises())
        return SeriesTable(
            self.kinds, zip(hashes, (sizes.get(kind.path) for kind in self.kinds), strict=True)
        )

    def __len__(self) -> int:
        return len(self.kinds)

    @overload
    def __getitem__(self, place: int) -> Series: ...
    @overload
    def __getitem__(self, place: slice) -> SeriesTable: ...
    def __getitem__(self, place: int | slice) -> Series | SeriesTable:
        if isinstance(place, slice):
            return self.picked(range(len(self))[place])
        at = range(len(self))[place]
        is_vouched, sha256, is_there, size = _PROMISE.unpack_from(
            self._promises, at * _PROMISE.size
        )
        return replace(
            self.kinds[at],
            sha256=sha256.hex() if is_vouched else None,
            size=size if is_there else None,
        )

    def __iter__(self) -> Iterator[Series]:
        for kind, (sha256, size) in zip(self.kinds, self.promises(), strict=True):
            yield replace(kind, sha256=sha256, size=size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SeriesTable):
            return NotImplemented
        return self.kinds == other.kinds and self._promises == other._promises

    def __repr__(self) -> str:
        return f"SeriesTable.of({list(self)!r})"


def _packed(sha256: str | None, size: int | None) -> bytes:
    digest = _NONE if sha256 is None else bytes.fromhex(sha256)
    if len(digest) != len(_NONE):
        raise ValueError(f"a sha256 has 64 hex digits, not {len(2 * digest)}")
    return _PROMISE.pack(sha256 is not None, digest, size is not None, size or 0)
