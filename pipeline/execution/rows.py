"""The rows of an export as lazy frames."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from connectors.flowtime.scan.scanner import scan
from connectors.flowtime.scan.series_file import SeriesFile
from pipeline.planning.plan import ExportPlan
from pipeline.reading.inputs import scan_options
from pipeline.reading.source import Source
from pipeline.writing.router import shown_sources


def lazy_rows(plan: ExportPlan, source: Source, files: Collection[SeriesFile]) -> pl.LazyFrame:
    """Return the rows of an export, with every column that a sink needs, as a lazy frame."""
    return with_columns(plan, scan(source.storage, files, scan_options(plan.config)))


def with_columns(plan: ExportPlan, narrow: pl.LazyFrame) -> pl.LazyFrame:
    """Filter a narrow frame and add the columns of the sinks; lazy throughout."""
    if plan.row_filter is not None:
        narrow = plan.row_filter.apply(narrow, plan.tables)
    needed = dict.fromkeys(name for sink in plan.sinks for name in shown_sources(sink))
    return plan.tables.apply(narrow, list(dict.fromkeys([*needed, "value"])))
