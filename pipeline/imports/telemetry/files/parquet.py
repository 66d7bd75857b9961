"""Read the rows of a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.imports.telemetry.files.content import ForeignFile
from pipeline.imports.telemetry.files.rows import Layout, Rows, find_layout
from pipeline.imports.telemetry.options import ForeignOptions
from pipeline.imports.telemetry.report import MAX_LINES, Findings
from pipeline.rows.arrow import frame_of

BATCH_ROWS = 65_536
_BUFFER_BYTES = 1_000_000
_VALUE_BYTES = 8


def parquet_rows(
    local: Path, file: ForeignFile, start: int, options: ForeignOptions, findings: Findings
) -> tuple[Layout, Iterator[Rows]]:
    """Return the layout of a Parquet file, and its rows.

    Time and value keep their types, everything else becomes text. Pages are read one after the
    other, whatever the size of the row groups.

    Args:
        local: The file on this machine.
        file: The same where it comes from.
        start: The place before its first row.
        options: What the table calls its columns.
        findings: Where problems are noted.

    Raises:
        StopReadingError: It is no whole Parquet file, it claims too much, or lacks a column.
    """
    try:
        opened = pq.ParquetFile(
            local,
            buffer_size=_BUFFER_BYTES,
            pre_buffer=False,
            coerce_int96_timestamp_unit="us",
            thrift_string_size_limit=64_000_000,
            thrift_container_size_limit=10_000_000,
        )
        schema = opened.schema_arrow
        layout = find_layout(schema.names, options, findings, None)
        layout = _without_nested(layout, schema, findings)
        _check_claims(opened.metadata, layout, file, start, findings)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise findings.stop_in_file(
            f"no whole Parquet file ({_brief(error)})", "copy it again"
        ) from error
    return layout, _rows(opened, layout, start, findings)


def _without_nested(layout: Layout, schema: Any, findings: Findings) -> Layout:
    nested = [name for name in layout.extras if pa.types.is_nested(schema.field(name).type)]
    for name in nested:
        findings.note(f"column {name!r:.80} was left out: it is nested")
    return replace(layout, extras=tuple(name for name in layout.extras if name not in nested))


def _check_claims(
    metadata: Any, layout: Layout, file: ForeignFile, start: int, findings: Findings
) -> None:
    """Refuse what the footer claims and the file cannot hold within bounds."""
    rows = metadata.num_rows
    if start + rows > MAX_LINES:
        raise findings.stop_in_file(f"{rows:,} rows", f"at most {MAX_LINES:,} rows are read")
    if rows * _VALUE_BYTES > file.most_bytes:
        raise findings.stop_in_file(
            f"{rows:,} rows in {file.size:,} bytes", "that is more than its bytes can mean"
        )
    wanted = set(layout.columns)
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    unpacked = sum(
        group.column(at).total_uncompressed_size
        for group in groups
        for at in range(group.num_columns)
        if group.column(at).path_in_schema in wanted
    )
    if unpacked > file.most_bytes:
        raise findings.stop_in_file(
            f"its {file.size:,} bytes unpack to {unpacked:,}", "write it with another compression"
        )


def _rows(opened: Any, layout: Layout, start: int, findings: Findings) -> Iterator[Rows]:
    place = start
    batches = opened.iter_batches(BATCH_ROWS, columns=list(layout.columns), use_threads=False)
    while True:
        try:
            batch = next(batches, None)
            if batch is None:
                break
            frame = _frame(batch, layout)
        except (pa.ArrowException, pl.exceptions.PolarsError, OSError, ValueError) as error:
            raise findings.stop_in_file(
                f"cannot be read after row {place - start:,} ({_brief(error)})", "copy it again"
            ) from error
        yield Rows(frame, np.arange(place + 1, place + frame.height + 1, dtype=np.uint32))
        place += frame.height
    if place - start != opened.metadata.num_rows:
        raise findings.stop_in_file(
            f"{place - start:,} rows; its footer claims {opened.metadata.num_rows:,}",
            "copy it again",
        )


def _frame(batch: Any, layout: Layout) -> pl.DataFrame:
    frame = frame_of(batch).select(layout.columns)
    kept = {layout.time, layout.value}
    return frame.with_columns(
        pl.col(name).cast(pl.String)
        for name, kind in frame.schema.items()
        if kind != pl.String and (name not in kept or kind in (pl.Categorical, pl.Enum, pl.Binary))
    )


def _brief(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
