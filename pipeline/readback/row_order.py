"""Locate each row of a table by the order in which exports write series and bins."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from connectors.flowtime.model.run import Run
from connectors.flowtime.parse.schema import clip
from pipeline.datapackage.lazy_sequence import LazySequence
from pipeline.datapackage.table_spec import TableSpec
from pipeline.errors import IntegrityError
from pipeline.readback.csv_rows import MARKED_FORMULA
from pipeline.readback.table_reader import Batch
from pipeline.readback.tables import ExportedTable, TableFile, column_type
from pipeline.rows.catalogue import CATALOGUE
from pipeline.rows.cell_text import cell_text
from pipeline.rows.metadata_tables import MetadataTables
from pipeline.rows.wide import groups_of

_NO_DATE = datetime(1970, 1, 1, tzinfo=UTC)
_FORMULA = r"^([=+\-@\t\r])"
_Array = np.ndarray[Any, Any]
PartitionKey = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Rows that belong together, one for each bin.

    They are those of a series; in a wide layout, of all series of one component and class.

    Attributes:
        members: Column of the values (as shown) and row of the series table, of each series.
        bins: Number of rows in an export that is complete.
    """

    members: tuple[tuple[str, int], ...]
    bins: int


Blocks = LazySequence[RowBlock]
"""Some of the blocks of a table, of which there may be half a million."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A batch whose rows' places are known.

    Attributes:
        batch: The rows.
        blocks: Place of each row's block in the partition.
        bins: Bin of each row.
    """

    batch: Batch
    blocks: _Array
    bins: _Array

    def run_lengths(self) -> Iterable[tuple[int, int, int]]:
        """Yield first and end row of each run of rows of one block, and the block's place."""
        cuts = np.flatnonzero(np.diff(self.blocks)) + 1
        edges = [0, *cuts.tolist(), len(self.blocks)]
        for first, end in pairwise(edges):
            if end > first:
                yield first, end, int(self.blocks[first])


class RowOrder:
    """The rows that a table must have, by its runs and what its rows are.

    Its `runs` have the grid of the rows, its `exported_runs` their own.

    Args:
        contents: What the rows are.
        runs: The runs in the order of the rows.

    Raises:
        ValueError: The runs cannot have been resampled as the contents say.
    """

    def __init__(self, contents: TableSpec, runs: Sequence[Run]) -> None:
        self.contents = contents
        self.exported_runs = self.runs = tuple(runs)
        if contents.resample is not None:
            resampling = contents.resample.resampling
            self.runs = tuple(resampling.resampled(run) for run in runs)
        self.values = tuple(
            shown
            for shown, source in contents.columns.items()
            if source == "value" or source in contents.measures
        )
        sources = [name for name in contents.columns.values() if name in CATALOGUE]
        self.tables = MetadataTables.build(
            self.runs, sources, contents.constants, contents.exported_at or _NO_DATE
        )
        self._bins = np.array([run.grid.bins for run in self.runs], dtype=np.int64)
        self._run_rows = self.tables.places["run_row"].to_numpy()
        self._wide = list(self._wide_blocks()) if contents.layout == "wide" else None
        self._partitioned: dict[tuple[str, ...], Mapping[PartitionKey, Blocks]] = {}

    @classmethod
    def of(cls, table: ExportedTable) -> RowOrder:
        """Return the order of a table that says what its rows are.

        Raises:
            IntegrityError: Its description contradicts itself.
        """
        assert table.contents is not None
        assert table.runs is not None
        try:
            return cls(table.contents, [described.run for described in table.runs])
        except ValueError as error:
            raise IntegrityError(f"{table.url}: resample: a run does not fit: {error}") from error

    @cached_property
    def units(self) -> Mapping[str, str | None]:
        """The unit of each column as shown, where all series share one."""
        return {
            shown: None
            if source in self.contents.measures
            else self.tables.column(source, shown).unit
            for shown, source in self.contents.columns.items()
        }

    def partitioned(self, columns: Sequence[str]) -> Mapping[PartitionKey, Blocks]:
        """Return the blocks of each partition by the given columns, in the order of their rows.

        Worked out once.
        """
        wanted = tuple(columns)
        if wanted not in self._partitioned:
            self._partitioned[wanted] = self._by_partition(wanted)
        return self._partitioned[wanted]

    def _by_partition(self, columns: Sequence[str]) -> Mapping[PartitionKey, Blocks]:
        count = self.tables.series_count if self._wide is None else len(self._wide)
        everything = Blocks(count, self._block)
        if not columns:
            return {(): everything} if count else {}
        values = self.tables.texts([self.contents.columns[column] for column in columns])
        found: dict[PartitionKey, array[int]] = {}
        for place, block in enumerate(everything):
            key = zip(columns, values[block.members[0][1]], strict=True)
            found.setdefault(tuple(key), array("I")).append(place)
        return {key: self._blocks_at(places) for key, places in found.items()}

    def _blocks_at(self, places: array[int]) -> Blocks:
        return Blocks(len(places), lambda at: self._block(places[at]))

    def _block(self, place: int) -> RowBlock:
        if self._wide is not None:
            return self._wide[place]
        value = self.values[0] if self.values else "value"
        return RowBlock(((value, place),), int(self._bins[self._run_rows[place]]))

    def _wide_blocks(self) -> Iterable[RowBlock]:
        first = 0
        for run in self.runs:
            for group in groups_of(run):
                members = tuple((measure, first + place) for measure, place in group.members)
                yield RowBlock(members, run.grid.bins)
            first += len(run.series)

    def series_name(self, series_row: int) -> str:
        """Run and id of a series, for messages."""
        for run in self.runs:
            if series_row < len(run.series):
                return f"run {run.run_id}, series {run.series[series_row].id}"
            series_row -= len(run.series)
        raise AssertionError("there is no such series")


class Positions:
    """Locations of rows by their position: an unfiltered table leaves no row out.

    Args:
        order: The order of the rows.
        blocks: The blocks of one partition.
    """

    def __init__(self, order: RowOrder, blocks: Sequence[RowBlock]) -> None:
        self._order = order
        edges = np.cumsum([0, *(block.bins for block in blocks)], dtype=np.int64)
        self._begins, self._ends = edges[:-1], edges[1:]
        self._firsts = np.array([block.members[0][1] for block in blocks], dtype=np.uint32)

    @property
    def rows(self) -> int:
        """Rows that the partition must have."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def place(self, file: TableFile, batch: Batch, first: int) -> Placed:
        """Return the places of a batch whose first row is the partition's row `first`.

        Every key column of the batch is compared with what its place asks for.

        Raises:
            IntegrityError: There are more rows than there may be, or a key differs.
        """
        count = batch.frame.height
        if first + count > self.rows:
            raise batch.error(
                max(0, self.rows - first), f"one row too many: there should be {self.rows}"
            )
        low = int(np.searchsorted(self._ends, first, side="right"))
        high = int(np.searchsorted(self._ends, first + count - 1, side="right"))
        ends = np.minimum(self._ends[low : high + 1], first + count) - first
        lengths = np.diff(ends, prepend=0)
        blocks = np.repeat(np.arange(low, high + 1), lengths)
        begins = self._begins[low : high + 1]
        bins = np.arange(first, first + count) - np.repeat(begins, lengths)
        compare_keys(self._order, file, batch, self._firsts[blocks], bins)
        return Placed(batch, blocks, bins)


def compare_keys(
    order: RowOrder, file: TableFile, batch: Batch, series_rows: _Array, bins: _Array
) -> None:
    """Compare every key column of a batch with what the places of its rows ask for.

    Raises:
        IntegrityError: A key differs; the first one is named.
    """
    narrow = narrow_frame(series_rows, bins)
    first: tuple[int, str] | None = None
    for column in expected_keys(order, file, narrow):
        found = batch.frame[column.name]
        wrong = found.ne_missing(column)
        row = wrong.arg_max() if wrong.any() else None
        if row is not None and (first is None or row < first[0]):
            reason = f"{column.name} is {_shown(found, row)}; expected {_shown(column, row)}"
            first = (row, reason)
    if first is not None:
        raise batch.error(*first)


def narrow_frame(series_rows: _Array, bins: _Array) -> pl.DataFrame:
    """Return a frame that metadata columns can be laid over."""
    return pl.DataFrame(
        {
            "series_row": pl.Series(series_rows.astype(np.uint32)),
            "bin_index": pl.Series(bins.astype(np.uint32)),
        }
    )


def expected_keys(order: RowOrder, file: TableFile, narrow: pl.DataFrame) -> list[pl.Series]:
    """Return what the key columns of a file hold, as its format gives them back.

    Args:
        order: The order of the rows.
        file: The file.
        narrow: `series_row` and `bin_index` of each row.
    """
    contents = order.contents
    keys = [c.name for c in file.columns if c.name not in order.values]
    sources = [contents.columns[name] for name in keys]
    laid = [
        order.tables.expression(source).alias(name)
        for name, source in zip(keys, sources, strict=True)
    ]
    if not laid:
        return []
    frame = narrow.select(laid)
    return [
        _as_read(frame[name], column_type(contents, source), file, contents)
        for name, source in zip(keys, sources, strict=True)
    ]


def _as_read(column: pl.Series, kind: str, file: TableFile, contents: TableSpec) -> pl.Series:
    if kind == "timestamp":
        return column
    if kind == "text":
        column = column.cast(pl.String)
    if file.format != "csv":
        return column
    if kind == "number":
        return column
    options = contents.options
    marks = kind == "text" and options.escape_formulas
    written = column.str.replace(_FORMULA, "'$1") if marks else column
    is_null = written.cast(pl.String) == options.null_value
    # There and back again: text that looks as if it were marked loses its mark in reading.
    read = written.str.replace(MARKED_FORMULA, "$1") if marks else written
    return read.to_frame().select(pl.when(is_null.not_()).then(pl.first())).to_series()


def _shown(column: pl.Series, row: int) -> str:
    text = cell_text(column, row)
    return "missing" if text is None else clip(text)


def check_rows(table: ExportedTable, positions: Mapping[PartitionKey, Positions]) -> None:
    """Compare the rows that files promise with those that there must be.

    Raises:
        IntegrityError: A partition is missing, unknown or has another number of rows.
    """
    for key, files in table.partitions.items():
        promised: list[int] = [file.rows for file in files if file.rows is not None]
        rows = positions[key].rows if key in positions else 0
        if key not in positions and any(promised):
            raise files[0].stored.error(f"partition {dict(key)} holds no series of these runs")
        if len(promised) == len(files) and sum(promised) != rows:
            raise IntegrityError(
                f"{table.url}: {sum(promised)} rows are promised; the runs have {rows}"
            )
    missing = [key for key in positions if key not in table.partitions and positions[key].rows]
    if missing:
        raise IntegrityError(f"{table.url}: no file for partition {dict(missing[0])}")
