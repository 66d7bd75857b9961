"""Turn the rows of an exported table back into series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from pipeline.datapackage.table_spec import TextOptions
from pipeline.readback.local_copy import local_copy
from pipeline.readback.row_order import Placed, Positions, RowBlock, RowOrder, check_rows
from pipeline.readback.table_reader import Batch, batches
from pipeline.readback.tables import ExportedTable, TableFile
from pipeline.readback.text_values import NAMED
from pipeline.readback.unpacking import MAX_EXPANSION
from pipeline.rows.column import Table
from pipeline.rows.numbers import non_finite_in
from pipeline.sinks.formats import Format
from pipeline.wording import counted

_Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class SeriesValues:
    """The values of one series.

    Attributes:
        series_row: Its place among the series of the table's runs.
        values: One double for each bin.
        missing: Where a value is missing, as NaN or an infinity was written as null; None where
            none is.
    """

    series_row: int
    values: _Array
    missing: _Array | None


def obstacles(table: ExportedTable) -> list[str]:
    """Return the reasons why the runs of a table cannot be restored; nothing is read."""
    contents = table.contents
    if table.is_comparison:
        return ["it holds a comparison, whose rows are of no run"]
    if contents is None:
        return ["an earlier version wrote it and did not say what its rows are: export again"]
    found = list(contents.reasons)
    if table.runs is None:
        found.append(
            "its runs are not described in the file (more than 400 series): put its descriptor "
            "(*.datapackage.json) beside it"
        )
    if not table.is_whole:
        found.append("it is a part of a data set: give the descriptor or the whole folder")
    shown = set(contents.columns.values())
    values = contents.measures if contents.layout == "wide" else ("value",)
    found += [f"column {name!r} was left out" for name in values if name not in shown]
    return found + _lost_values(table)


def _lost_values(table: ExportedTable) -> list[str]:
    contents = table.contents
    assert contents is not None
    odd = [file.non_finite for file in table.files]
    lost = None if None in odd else sum(count or 0 for count in odd)
    null = contents.options.null_value
    if writes_nulls(table) and lost != 0:
        number = "values" if lost is None else counted(lost, "value")
        return [f"NaN and infinities were written as null: {number}"]
    if table.format != "csv" or not null:
        return []
    is_finite = pl.Series([null]).cast(pl.Float64, strict=False).is_finite()[0]
    if is_finite or (null in NAMED and lost != 0):
        return [f"missing values were written as {null!r}, which is also a number's text"]
    return []


def placed_batches(
    table: ExportedTable, order: RowOrder, *, max_expansion: int = MAX_EXPANSION
) -> Iterator[tuple[Sequence[RowBlock], TableFile, Placed]]:
    """Yield the rows of an unfiltered table with their places, every key compared, file after file.

    Raises:
        IntegrityError: The first row that is not as it must be, or a file that is not.
        StorageError: A file could not be read.
    """
    columns = [name for name, _ in table.files[0].partition_key]
    blocks = order.partitioned(columns)
    positions = {key: Positions(order, of_key) for key, of_key in blocks.items()}
    if table.is_whole:
        check_rows(table, positions)
    for key, files in table.partitions.items():
        place = positions.get(key) or Positions(order, ())
        first = files[0].first_row or 0
        for file in files:
            for batch in checked_batches(file, order.contents.options, max_expansion):
                yield blocks.get(key, ()), file, place.place(file, batch, first)
                first += batch.frame.height
        if table.is_whole and first != place.rows:
            raise files[-1].stored.error(
                f"its rows end too early: {first} are there; expected {place.rows}"
            )


def checked_batches(
    file: TableFile, options: TextOptions, max_expansion: int = MAX_EXPANSION
) -> Iterator[Batch]:
    """Yield the rows of a file whose bytes and counts are checked.

    Raises:
        IntegrityError: Bytes, hash, a row or their number are not as promised.
        StorageError: The file could not be read.
    """
    count = non_finite = 0
    columns = Table(file.columns)
    with local_copy(file.stored, max_expansion=max_expansion) as copy:
        for batch in batches(file, copy.path, options):
            count += batch.frame.height
            non_finite += non_finite_in(batch.frame, columns)
            yield batch
    if file.rows is not None and count != file.rows:
        raise file.stored.error(f"has {count} rows; {file.rows} were promised")
    is_counted = file.non_finite is not None and not _writes_nulls(file.format, options)
    if is_counted and non_finite != file.non_finite:
        raise file.stored.error(
            f"holds {non_finite} NaN and infinite values; {file.non_finite} were promised"
        )


def whole_series(
    table: ExportedTable, order: RowOrder, *, max_expansion: int = MAX_EXPANSION
) -> Iterator[SeriesValues]:
    """Yield the series of an unfiltered table, each once, in the order of its rows.

    Values that were written as null are marked. Memory is bounded by the longest series; in a wide
    layout, by the series of one component and class.

    Args:
        table: The table, which has no obstacles.
        order: Its row order.
        max_expansion: How many times its size a compressed file may unpack to.

    Raises:
        IntegrityError: A row is not as it must be.
        StorageError: A file could not be read.
    """
    may_lack = writes_nulls(table)
    current: tuple[RowBlock, dict[str, _Filling]] | None = None
    for blocks, _, placed in placed_batches(table, order, max_expansion=max_expansion):
        for first, end, place in placed.run_lengths():
            block = blocks[place]
            if current is None or current[0] != block:
                current = (block, {c: _Filling(block.bins) for c, _ in block.members})
            cells = block_cells(placed, first, end, block, order, may_lack=may_lack)
            for name, values in cells.items():
                current[1][name].add(int(placed.bins[first]), values)
            if int(placed.bins[end - 1]) + 1 == block.bins:
                for column, series_row in block.members:
                    if column in order.values:
                        filling = current[1][column]
                        yield SeriesValues(series_row, filling.values, filling.missing)
                current = None


def writes_nulls(table: ExportedTable) -> bool:
    """Return whether NaN and infinities of a table were written as null."""
    return table.contents is not None and _writes_nulls(table.format, table.contents.options)


def _writes_nulls(form: Format, options: TextOptions) -> bool:
    return form == "ndjson" and options.non_finite == "null"


class _Filling:
    """The values of a series as far as they have come."""

    def __init__(self, bins: int) -> None:
        self.values = np.empty(bins, dtype=np.float64)
        self.missing: _Array | None = None

    def add(self, first_bin: int, cells: pl.Series) -> None:
        """Take the values from one bin on."""
        end = first_bin + len(cells)
        self.values[first_bin:end] = cells.to_numpy()
        if cells.null_count():
            if self.missing is None:
                self.missing = np.zeros(len(self.values), dtype=bool)
            self.missing[first_bin:end] = cells.is_null().to_numpy()


def block_cells(
    placed: Placed, first: int, end: int, block: RowBlock, order: RowOrder, *, may_lack: bool
) -> dict[str, pl.Series]:
    """Return the values of consecutive rows of one block, by column; others must be missing.

    Args:
        placed: The batch.
        first: The first of these rows.
        end: Row after its last.
        block: Its block.
        order: The order of the rows.
        may_lack: Whether a value may be missing.

    Raises:
        IntegrityError: A value is missing, or is there where there is no such series.
    """
    members = {column for column, _ in block.members}
    found: dict[str, pl.Series] = {}
    for name in order.values:
        cells = placed.batch.frame[name].slice(first, end - first)
        if name in members:
            if cells.null_count() and not may_lack:
                row = cells.is_null().arg_max() or 0
                raise placed.batch.error(first + row, f"{name} is missing")
            found[name] = cells
        elif cells.null_count() != len(cells):
            row = cells.is_not_null().arg_max() or 0
            raise placed.batch.error(
                first + row, f"{name} is {cells[row]}; there is no such series"
            )
    return found
