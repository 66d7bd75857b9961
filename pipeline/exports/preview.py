"""Return the first rows that each sink would write."""

from __future__ import annotations

import math
from datetime import datetime
from itertools import groupby
from typing import Any

import polars as pl

from connectors.flowtime.model.instant import instant_text
from connectors.flowtime.scan.series_files import SeriesFiles
from pipeline.execution.rows import narrow_rows, with_columns
from pipeline.planning.plan import ExportPlan, SinkPlan
from pipeline.reading.inputs import scan_options
from pipeline.reading.source import Source
from pipeline.rows.stages import staged
from pipeline.rows.wide import WideAssembler


def preview(plan: ExportPlan, source: Source, rows: int) -> list[tuple[SinkPlan, pl.DataFrame]]:
    """Return the first rows of each sink; only the files that hold them are read.

    Args:
        plan: What would be exported.
        source: Where the runs are.
        rows: Rows of each sink at the most.
    """
    return [(sink, _first_rows(plan, source, sink, rows)) for sink in plan.sinks]


def json_cell(value: Any) -> Any:
    """Return a cell as JSON can hold it: instants, NaN and infinities as the text of NDJSON.

    >>> json_cell(float("-inf")), json_cell(datetime.fromisoformat("2025-01-01T00:00+00:00"))
    ('-inf', '2025-01-01T00:00:00Z')
    """
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value).replace("nan", "NaN")
    return value


def _first_rows(plan: ExportPlan, source: Source, sink: SinkPlan, rows: int) -> pl.DataFrame:
    frame = _first_wide(plan, source, sink) if sink.measures else _first_long(plan, source, rows)
    shown = [pl.col(entry.source).alias(entry.column.name) for entry in sink.shown]
    return frame.head(rows).select(shown).with_columns(pl.col(pl.Enum).cast(pl.String))


def _first_long(plan: ExportPlan, source: Source, rows: int) -> pl.DataFrame:
    files = SeriesFiles(plan.runs, plan.is_kept)
    narrow = narrow_rows(plan, source.storage, files, scan_options(plan.config))
    return with_columns(plan, narrow).head(rows).collect()


def _first_wide(plan: ExportPlan, source: Source, sink: SinkPlan) -> pl.DataFrame:
    """Return the wide rows of the first run that has any."""
    files = SeriesFiles(plan.runs, plan.is_kept)
    by_run = groupby(files, key=lambda file: file.run_url)
    first = next((list(of_run) for _, of_run in by_run), [])
    narrow = narrow_rows(plan, source.storage, first, scan_options(plan.config))
    assembler = WideAssembler(plan.tables.runs, sink.measures)
    wide = next(staged(narrow.collect_batches(), [assembler]), None)
    if wide is None:
        return pl.DataFrame(schema=[entry.source for entry in sink.shown])
    laid = [plan.tables.expression(e.source) for e in sink.shown if e.source not in sink.measures]
    return wide.with_columns(laid)
