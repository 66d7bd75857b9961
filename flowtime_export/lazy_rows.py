"""Scan the rows of runs as a lazy frame of Polars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from os import fspath
from typing import Any

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.model.run import Run
from connectors.flowtime.scan.scanner import ScanOptions, conjuncts, read_files
from connectors.flowtime.scan.series_files import SeriesFiles
from connectors.storage import Storage, StorageOptions, connect
from flowtime_export.storage_options import AnyPath, AnyStorageOptions, storage_options_of
from pipeline.errors import ConfigError
from pipeline.rows.catalogue import BASE_COLUMNS, CATALOGUE
from pipeline.rows.filter import parse_filter
from pipeline.rows.metadata_tables import POLARS_TYPES, MetadataTables
from pipeline.rows.row_filter import RowFilter
from pipeline.wording import suggestion

_BATCH_ROWS = 250_000
_Flags = np.ndarray[Any, np.dtype[np.bool_]]
_OF_SERIES = {name for name, column in CATALOGUE.items() if column.level == "series"}


def scan(
    url: AnyPath,
    *,
    columns: Sequence[str] | None = None,
    metadata: Sequence[str] = ("run_id", "unit"),
    filter: str | None = None,
    storage_options: AnyStorageOptions = None,
) -> pl.LazyFrame:
    """Return the rows of all runs at a URL as a lazy frame; nothing is read before it is collected.

    Rows come by run id, then in the order of each run's index, then by bin. Every series file
    that is read is checked whole: header, bins, numbers, sha256. Files are read only where the
    filter, or a condition in Polars on columns such as `measure` or `run_id`, leaves them.

    Args:
        url: A run directory, or a folder of run directories at any depth, as a path or URL.
        columns: The columns, in order; default `time_bin, component_id, measure, class, value`
            and those of `metadata`.
        metadata: Columns of the catalogue that follow the base columns.
        filter: A SQL condition over the columns of the catalogue, as in a config.
        storage_options: fsspec's options of the storage.

    Raises:
        ConfigError: There is no such column, or the filter is no condition.
        RunError: When collected: a run is broken.
        StorageError: When collected: the URL cannot be listed or read.

    >>> rows = scan("samples/runs", metadata=["run_id"], filter="value > 100")
    >>> rows.collect_schema().names()
    ['time_bin', 'component_id', 'measure', 'class', 'value', 'run_id']
    >>> rows.select(pl.col("value").min()).collect().item() > 100
    True
    """
    now = datetime.now(UTC)
    names = _checked([*BASE_COLUMNS, *metadata] if columns is None else columns)
    rows = _Rows(
        url=fspath(url),
        storage_options=storage_options_of(storage_options),
        row_filter=None if filter is None else parse_filter(filter, {}, now),
        now=now,
        schema={name: POLARS_TYPES[CATALOGUE[name].type] for name in names},
    )
    return register_io_source(rows.frames, schema=rows.schema, is_pure=True)


@dataclass(frozen=True)
class _Rows:
    """The rows of runs, found when they are asked for.

    Attributes:
        url: Where the runs are.
        storage_options: How to connect to it.
        row_filter: The condition on rows, if there is one.
        now: The instant of `now()`, and of the column `exported_at`.
        schema: The columns with their types.
    """

    url: str
    storage_options: StorageOptions | None
    row_filter: RowFilter | None
    now: datetime
    schema: dict[str, pl.DataType]

    def frames(
        self,
        columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        _: int | None,
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows that a query needs, as Polars asks its sources for them."""
        shown = list(self.schema) if columns is None else columns
        looked_at = [] if predicate is None else predicate.meta.root_names()
        needed = list(dict.fromkeys([*shown, *looked_at]))
        storage, runs = self._runs()
        tables = self._tables(runs, needed)
        wanted = self._wanted(tables, predicate)
        if n_rows is not None and predicate is None and self._keeps_all_rows:
            wanted &= _first_series(runs, wanted, n_rows)
        files = SeriesFiles(runs, wanted)
        for narrow in read_files(storage, files, ScanOptions(batch_rows=_BATCH_ROWS)):
            rows = self._with_columns(narrow.lazy(), tables, needed)
            frame = (rows if predicate is None else rows.filter(predicate)).select(shown).collect()
            if n_rows is not None:
                frame = frame.head(n_rows)
                n_rows -= frame.height
            yield frame
            if n_rows == 0:
                return

    def _runs(self) -> tuple[Storage, Sequence[Run]]:
        storage, path = connect(self.url, self.storage_options)
        found = discover(storage, path)
        alone = [one for one in found.refusals if one.url == storage.url(path)]
        for refusal in [*alone, *(one for one in found.refusals if one.kind == "broken")]:
            raise refusal.error
        return storage, found.runs

    def _tables(self, runs: Sequence[Run], names: Iterable[str]) -> MetadataTables:
        wanted = list(names)
        if self.row_filter is not None:
            of_series = self.row_filter.of_series
            wanted += self.row_filter.columns
            wanted += [] if of_series is None else of_series.meta.root_names()
        return MetadataTables.build(runs, wanted, {}, self.now)

    @property
    def _keeps_all_rows(self) -> bool:
        return self.row_filter is None or self.row_filter.of_rows is None

    def _wanted(self, tables: MetadataTables, predicate: pl.Expr | None) -> _Flags:
        """Return whether each series can hold a row that is asked for."""
        rows = (
            tables.series_rows() if self.row_filter is None else self.row_filter.series_rows(tables)
        )
        frame = rows.to_frame()
        for part in [] if predicate is None else conjuncts(predicate):
            names = part.meta.root_names()
            if names and _OF_SERIES.issuperset(names):
                laid = [_typed(tables.expression(name), name) for name in dict.fromkeys(names)]
                frame = frame.with_columns(laid).filter(part).select("series_row")
        wanted = np.zeros(tables.series_count, dtype=np.bool_)
        wanted[frame["series_row"].to_numpy()] = True
        return wanted

    def _with_columns(
        self, narrow: pl.LazyFrame, tables: MetadataTables, names: Sequence[str]
    ) -> pl.LazyFrame:
        if self.row_filter is not None:
            narrow = self.row_filter.apply(narrow, tables)
        return narrow.select([_typed(tables.expression(name), name) for name in names])


def _first_series(runs: Sequence[Run], wanted: _Flags, n_rows: int) -> _Flags:
    """Return whether each series is one of the first wanted ones that have so many rows."""
    rows = np.repeat([run.grid.bins for run in runs], [len(run.series) for run in runs])
    before = np.cumsum(np.where(wanted, rows, 0)) - rows
    first: _Flags = before < n_rows
    return first


def _typed(column: pl.Expr, name: str) -> pl.Expr:
    """Return a column with the type that its users see; the tables hold text as Enum."""
    return column.cast(POLARS_TYPES[CATALOGUE[name].type]).alias(name)


def _checked(names: Iterable[str]) -> list[str]:
    found = list(names)
    for name in found:
        if name not in CATALOGUE:
            raise ConfigError(f"there is no column {name!r}; {suggestion(name, CATALOGUE)}")
        if found.count(name) > 1:
            raise ConfigError(f"column {name!r} is named twice")
    if not found:
        raise ConfigError("columns is empty: name at least one column")
    return found
