"""Hold the series of a run in a fraction of the memory of as many objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from struct import Struct
from typing import overload

from connectors.flowtime.model.series import FileDigest, SeriesSpec

_DIGEST = Struct("<?32s?q")  # is there a sha256, the sha256, is there a size, the size
_NONE = bytes(32)


@dataclass(frozen=True, slots=True, eq=False)
class SeriesShape:
    """What the series of a run are: one object for all runs that have the same ones.

    It is compared and hashed by identity: comparing two tuples would compare every series.

    Attributes:
        specs: The series in the index's order.
    """

    specs: tuple[SeriesSpec, ...]


class SeriesTable(Sequence[SeriesSpec]):
    """The series of a run, in order, and beside each the digest of its file.

    What the series are is mostly the same in run after run, and held once for all of them; their
    digests take 42 bytes a series. An export may hold hundreds of thousands.

    Args:
        shape: What the series are.
        digests: What the file of each must hold; None where nothing is known of any.

    Raises:
        ValueError: A sha256 is none.
    """

    __slots__ = ("_digests", "shape")

    def __init__(self, shape: SeriesShape, digests: Iterable[FileDigest] | None = None) -> None:
        self.shape = shape
        found = repeat(FileDigest(), len(shape.specs)) if digests is None else digests
        self._digests = b"".join(_packed(sha256, size) for sha256, size in found)

    @classmethod
    def of(
        cls, specs: Iterable[SeriesSpec], digests: Iterable[FileDigest] | None = None
    ) -> SeriesTable:
        """Return the table of some series, with a shape of its own."""
        return cls(SeriesShape(tuple(specs)), digests)

    def digests(self) -> Iterator[FileDigest]:
        """Yield what the file of each series must hold."""
        return (_unpacked(*fields) for fields in _DIGEST.iter_unpack(self._digests))

    def digest(self, place: int) -> FileDigest:
        """Return what the file of one series must hold.

        Raises:
            IndexError: There is no series at that place.
        """
        at = range(len(self))[place]
        return _unpacked(*_DIGEST.unpack_from(self._digests, at * _DIGEST.size))

    def sizes(self) -> Iterator[int]:
        """Return bytes of each file; 0 where it is missing."""
        return (size for _, _, _, size in _DIGEST.iter_unpack(self._digests))

    def are_vouched(self) -> Iterator[bool]:
        """Return whether there is a sha256 for each file."""
        return (is_vouched for is_vouched, _, _, _ in _DIGEST.iter_unpack(self._digests))

    @property
    def is_vouched(self) -> bool:
        """Whether there is a sha256 for every file."""
        return 0 not in self._digests[:: _DIGEST.size]

    def picked(self, places: Iterable[int]) -> SeriesTable:
        """Return the table of the series at some places, in that order."""
        chosen = list(places)
        return SeriesTable.of((self[place] for place in chosen), map(self.digest, chosen))

    def listed(self, sizes: Mapping[str, int]) -> SeriesTable:
        """Return the same series with the sizes of a listing.

        Args:
            sizes: Path relative to the run directory → bytes of every file that is there.
        """
        digests = _DIGEST.iter_unpack(self._digests)
        pairs = zip(digests, (sizes.get(one.path) for one in self), strict=True)
        table = SeriesTable(self.shape, ())
        # Packed again as they are: an export of 20,000 known runs spends a tenth of its time here.
        table._digests = b"".join(
            _DIGEST.pack(is_vouched, sha256, size is not None, size or 0)
            for (is_vouched, sha256, _, _), size in pairs
        )
        return table

    def __len__(self) -> int:
        return len(self.shape.specs)

    @overload
    def __getitem__(self, place: int) -> SeriesSpec: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[SeriesSpec, ...]: ...
    def __getitem__(self, place: int | slice) -> SeriesSpec | tuple[SeriesSpec, ...]:
        return self.shape.specs[place]

    def __iter__(self) -> Iterator[SeriesSpec]:
        return iter(self.shape.specs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SeriesTable):
            return NotImplemented
        return self.shape.specs == other.shape.specs and self._digests == other._digests

    def __repr__(self) -> str:
        return f"SeriesTable.of({list(self)!r}, {list(self.digests())!r})"


def _packed(sha256: str | None, size: int | None) -> bytes:
    digest = _NONE if sha256 is None else bytes.fromhex(sha256)
    if len(digest) != len(_NONE):
        raise ValueError(f"a sha256 has 64 hex digits, not {len(2 * digest)}")
    return _DIGEST.pack(sha256 is not None, digest, size is not None, size or 0)


def _unpacked(is_vouched: bool, sha256: bytes, is_there: bool, size: int) -> FileDigest:
    return FileDigest(sha256.hex() if is_vouched else None, size if is_there else None)
