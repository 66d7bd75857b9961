"""Join the row groups of several Parquet files under one footer.

The footer is a Thrift structure in the compact protocol
(https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md). Of all its
fields only offsets depend on the place in the file; every other byte is kept as it is.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.storage import Writable
from pipeline.sinks.parquet_encoding import MAGIC, TAIL_BYTES
from pipeline.sinks.sink import SegmentFile, Written, copy_bytes

_STOP, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 0, 3, 7, 8, 9, 10, 11, 12
_BOOLEANS = (1, 2)
_INTEGERS = (4, 5, 6)

_Fields = Mapping[int, "_Fields | None"]
_OFFSETS: _Fields = {  # FileMetaData
    4: {  # row_groups
        1: {  # columns
            2: None,  # file_offset
            3: {9: None, 10: None, 11: None, 14: None},  # pages, dictionary, Bloom filter
            4: None,  # offset_index_offset
            6: None,  # column_index_offset
        },
        5: None,  # file_offset
    },
}
"""The fields that hold offsets, by the ids of parquet.thrift."""


class JoinedRowGroups:
    """Row groups that follow each other in one file.

    Attributes:
        size: Bytes of them so far.
    """

    def __init__(self) -> None:
        self.size = 0
        self._footers: list[pq.FileMetaData] = []

    def append(self, footer: pq.FileMetaData, size: int) -> None:
        """Add row groups.

        Args:
            footer: What the footer of a file says that holds them alone.
            size: Their bytes.
        """
        if footer.num_row_groups:
            self._footers.append(_moved(footer, self.size))
        self.size += size

    def footer(self, schema: pa.Schema, metadata: Mapping[str, str]) -> bytes:
        """Return the end of the file: the footer, its length and the magic bytes.

        Args:
            schema: The schema of all row groups.
            metadata: Key-value pairs of the footer.
        """
        collected: list[pq.FileMetaData] = []
        # A file without row groups supplies all but these.
        with pq.ParquetWriter(
            pa.BufferOutputStream(), schema, store_schema=False, metadata_collector=collected
        ) as empty:
            empty.add_key_value_metadata(metadata)
        (joined,) = collected
        for footer in self._footers:
            joined.append_row_groups(footer)
        file = io.BytesIO()
        joined.write_metadata_file(file)
        return file.getvalue().removeprefix(MAGIC)


class ParquetJoin:
    """Puts the row groups of files behind each other, under one footer.

    Their bytes are copied; of the footers only the offsets change.

    Args:
        stream: The open binary stream, at its beginning.
        schema: The schema of all row groups.
        metadata_of: Gives the key-value pairs of the footer for a number of rows.
    """

    def __init__(
        self, stream: Writable, schema: pa.Schema, metadata_of: Callable[[int], Mapping[str, str]]
    ) -> None:
        self._stream = stream
        self._schema = schema
        self._metadata_of = metadata_of
        self._row_groups = JoinedRowGroups()
        self._written = Written(0, 0)
        stream.write(MAGIC)

    def add(self, segment: SegmentFile) -> None:
        """Copy the next row groups."""
        with segment.path.open("rb") as file:
            footer, size = _read_footer(file)
            file.seek(len(MAGIC))
            copy_bytes(file, self._stream, size)
        self._row_groups.append(footer, size)
        self._written = self._written.plus(segment.written)

    def close(self) -> Written:
        """Write the footer."""
        metadata = self._metadata_of(self._written.rows)
        self._stream.write(self._row_groups.footer(self._schema, metadata))
        return self._written


def _read_footer(file: IO[bytes]) -> tuple[pq.FileMetaData, int]:
    """Return the footer of an open file, and the bytes of its row groups."""
    footer = pq.read_metadata(file)
    end = file.seek(-TAIL_BYTES, io.SEEK_END)
    size = int.from_bytes(file.read(4), "little")
    return footer, end - size - len(MAGIC)


def _moved(footer: pq.FileMetaData, distance: int) -> pq.FileMetaData:
    """Return a footer whose row groups lie further back in the file.

    Args:
        footer: The footer of the row groups where they are now.
        distance: Bytes by which they are moved.
    """
    if distance == 0:
        return footer
    file = io.BytesIO()
    footer.write_metadata_file(file)
    content = file.getvalue()[len(MAGIC) : -TAIL_BYTES]
    shifted = _Shifter(content, distance).footer()
    size = len(shifted).to_bytes(4, "little")
    return pq.read_metadata(io.BytesIO(MAGIC + shifted + size + MAGIC))


class _Shifter:
    """Copies a footer, with its offsets increased."""

    def __init__(self, content: bytes, distance: int) -> None:
        self._content = content
        self._distance = distance
        self._at = 0
        self._copied = 0
        self._out = bytearray()

    def footer(self) -> bytes:
        self._struct(_OFFSETS)
        self._out += self._content[self._copied :]
        return bytes(self._out)

    def _struct(self, offsets: _Fields) -> None:
        field = 0
        while (header := self._byte()) != _STOP:
            kind, delta = header & 0x0F, header >> 4
            field = field + delta if delta else _unzigzag(self._varint())
            if kind in _BOOLEANS:
                continue  # the value is in the header
            if field in offsets and offsets[field] is None:
                self._shift()
            else:
                self._value(kind, offsets.get(field) or {})

    def _value(self, kind: int, offsets: _Fields) -> None:
        if kind == _STRUCT:
            self._struct(offsets)
        elif kind in (_LIST, _SET):
            header = self._byte()
            size = header >> 4
            for _ in range(self._varint() if size == 15 else size):
                self._value(header & 0x0F, offsets)
        elif kind == _MAP:
            size = self._varint()
            kinds = self._byte() if size else 0
            for _ in range(size):
                self._value(kinds >> 4, {})
                self._value(kinds & 0x0F, {})
        elif kind in _INTEGERS:
            self._varint()
        elif kind == _BINARY:
            size = self._varint()
            self._at += size
        elif kind == _DOUBLE:
            self._at += 8
        elif kind in (_BYTE, *_BOOLEANS):
            self._at += 1
        else:
            raise ValueError(f"a Parquet footer has a field of the unknown type {kind}")

    def _shift(self) -> None:
        """Replace an offset; 0 means that there is none."""
        self._out += self._content[self._copied : self._at]
        offset = _unzigzag(self._varint())
        self._out += _varint(2 * (offset + self._distance if offset else 0))
        self._copied = self._at

    def _byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7


def _unzigzag(number: int) -> int:
    return (number >> 1) ^ -(number & 1)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
