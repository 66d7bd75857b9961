"""Encode rows as the row groups of a Parquet file, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MAGIC = b"PAR1"
TAIL_BYTES = 8
"""Length of the footer and the magic bytes, at the end of a file."""


@dataclass(frozen=True, slots=True)
class RowGroup:
    """What is encoded as one row group.

    Attributes:
        rows: At least one row.
        without_statistics: Columns that get no statistics.
    """

    rows: pa.Table
    without_statistics: frozenset[str]


@dataclass(frozen=True, slots=True)
class EncodedRowGroups:
    """Encoded row groups, which follow each other.

    Attributes:
        content: Their bytes.
        footer: What the footer of a file says that holds them alone.
    """

    content: pa.Buffer
    footer: pq.FileMetaData


def encoded(
    groups: Iterable[RowGroup], schema: pa.Schema, options: Mapping[str, Any]
) -> list[EncodedRowGroups]:
    """Return the row groups, encoded.

    Arrow fixes the columns with statistics when a writer is opened: row groups that follow each
    other have one writer as long as they agree in them.

    Args:
        groups: The row groups, in order.
        schema: The schema of all of them.
        options: Options of `pyarrow.parquet.ParquetWriter`.
    """
    return [
        _encoded_alike(alike, schema, without, options)
        for without, alike in groupby(groups, key=attrgetter("without_statistics"))
    ]


def _encoded_alike(
    groups: Iterable[RowGroup],
    schema: pa.Schema,
    without: frozenset[str],
    options: Mapping[str, Any],
) -> EncodedRowGroups:
    file = pa.BufferOutputStream()
    footers: list[pq.FileMetaData] = []
    with pq.ParquetWriter(
        file,
        schema,
        write_statistics=[name for name in schema.names if name not in without] or False
        if without
        else True,
        metadata_collector=footers,
        **options,
    ) as writer:
        for group in groups:
            writer.write_table(group.rows, row_group_size=group.rows.num_rows)
    whole = file.getvalue()
    return EncodedRowGroups(whole[len(MAGIC) : row_groups_end(whole)], footers[0])


def row_groups_end(file: pa.Buffer) -> int:
    """Return where the row groups of a Parquet file end and its footer begins, in bytes."""
    tail = len(file) - TAIL_BYTES
    return tail - int.from_bytes(file[tail : tail + 4].to_pybytes(), "little")
