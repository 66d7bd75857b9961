"""Build the lazy frames of an export's rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import polars as pl

from connectors.flowtime.scan.scanner import ScanOptions, ScanProgress, scan
from connectors.flowtime.scan.series_file import SeriesFile
from connectors.storage import Storage
from pipeline.planning.plan import ExportPlan
from pipeline.rows.resample import BinGroups, Resampler
from pipeline.rows.stages import staged
from pipeline.writing.router import shown_sources


def narrow_rows(
    plan: ExportPlan,
    storage: Storage,
    files: Collection[SeriesFile],
    options: ScanOptions,
    progress: ScanProgress | None = None,
) -> pl.LazyFrame:
    """Return the rows of series files, resampled, then filtered, as the config asks.

    Args:
        plan: The plan of the export.
        storage: Where the files are.
        files: The files.
        options: How they are read.
        progress: Receives what has been read.
    """
    through = None
    if plan.resampling is not None:
        groups = BinGroups.of(plan.resampling, plan.runs)

        def through(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
            return staged(frames, [Resampler(groups)])

    narrow = scan(storage, files, options, progress=progress, through=through)
    return narrow if plan.row_filter is None else plan.row_filter.apply(narrow, plan.tables)


def with_columns(plan: ExportPlan, narrow: pl.LazyFrame) -> pl.LazyFrame:
    """Add the columns of the sinks to narrow rows; lazy throughout."""
    needed = dict.fromkeys(name for sink in plan.sinks for name in shown_sources(sink))
    return plan.tables.apply(narrow, list(dict.fromkeys([*needed, "value"])))
