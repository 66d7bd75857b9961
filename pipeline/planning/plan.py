"""Define the plan of an export: what will be read and written, and what files say of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import polars as pl

from connectors.flowtime.model.instant import instant_text
from connectors.flowtime.model.run import Run
from pipeline.config import ExportConfig
from pipeline.datapackage.run_record import describe_run
from pipeline.datapackage.table_spec import ResampledBins, TableSpec, TextOptions
from pipeline.planning.clock import clock_uses
from pipeline.planning.segments import (
    MOST_SEGMENT_ROWS,
    SEGMENT_ROWS,
    Segment,
    cut_segments,
    whole_runs,
)
from pipeline.planning.target import Target
from pipeline.rows.column import Column, Table
from pipeline.rows.metadata_tables import MetadataTables, with_fractions
from pipeline.rows.resampling import Resampling
from pipeline.rows.row_filter import RowFilter
from pipeline.sinks import Sink
from pipeline.version import FORMAT_VERSION

_RUNS_LISTED_IN_A_FILE = 100
_SERIES_DESCRIBED_IN_A_FILE = 400


@dataclass(frozen=True)
class Shown:
    """A column of an output and what fills it: a column's name, or a measure in a wide layout."""

    source: str
    column: Column


@dataclass(frozen=True, eq=False)
class SinkPlan:
    """What one sink will write; equal to itself alone.

    Attributes:
        sink: Its options.
        shown: All its columns in order, partition columns included.
        targets: Its exports.
        measures: Columns of a wide layout, in order; empty for a long one.
        notes: What a reader of the report should know.
    """

    sink: Sink
    shown: tuple[Shown, ...]
    targets: tuple[Target, ...]
    measures: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def in_file(self) -> tuple[Shown, ...]:
        """The columns of the files: partition columns are named by the folders, if there are any.

        Not all readers of lake tables take them from the log.
        """
        folders = () if self.sink.is_table else self.sink.partition_by
        return tuple(shown for shown in self.shown if shown.column.name not in folders)

    @property
    def partition_sources(self) -> tuple[str, ...]:
        """The columns behind `partition_by`."""
        sources = {shown.column.name: shown.source for shown in self.shown}
        return tuple(sources[name] for name in self.sink.partition_by)


@dataclass(frozen=True)
class ExportPlan:
    """What one export will read and write.

    Attributes:
        config: The settings.
        runs: The runs, in the order of the rows.
        tables: What metadata columns are gathered from; its runs have the grid of the rows, which
            is a coarser one where they are resampled.
        kept: Rows of the series whose files are read.
        row_filter: The condition on rows, if there is one.
        sinks: What each sink will write.
        is_filtered: Whether the condition may leave rows out.
        layouts: URL of a run → how the file of each series is laid out, where only the file can
            say, as no sha256 does.
    """

    config: ExportConfig
    runs: tuple[Run, ...]
    tables: MetadataTables
    kept: pl.Series
    row_filter: RowFilter | None
    sinks: tuple[SinkPlan, ...]
    is_filtered: bool = False
    layouts: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)

    @property
    def resampling(self) -> Resampling | None:
        """How bins become wider, if they do."""
        block = self.config.transform.resample
        return None if block is None else block.resampling

    @property
    def notes(self) -> tuple[str, ...]:
        """Why the tables have no rows, where that is known beforehand."""
        if any(run.series for run in self.runs):
            cause = None if len(self.kept) else "no series can fulfil transform.filter"
        else:
            is_selected = any(run.series_left_out for run in self.runs)
            cause = "no series matches source.series" if is_selected else None
        return () if cause is None else (f"{cause}: the tables have no rows",)

    @cached_property
    def is_kept(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether the file of each series is read."""
        found = np.zeros(self.tables.series_count, dtype=bool)
        found[self.kept.to_numpy()] = True
        return found

    @cached_property
    def rows_of_series(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Rows that each series gives, before any condition on rows; 0 where none is read."""
        bins = np.array([run.grid.bins for run in self.tables.runs], dtype=np.int64)
        rows: np.ndarray[Any, np.dtype[np.int64]] = np.repeat(bins, np.diff(self.starts))
        return rows * self.is_kept

    @cached_property
    def rows_per_run(self) -> tuple[int, ...]:
        """Rows that the kept series of each run give, before any condition on rows."""
        before = np.concatenate(([0], np.cumsum(self.rows_of_series)))
        return tuple(np.diff(before[list(self.starts)]).tolist())

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Row of the first series of each run in the table of series, and the end of the last."""
        return tuple(accumulate((len(run.series) for run in self.runs), initial=0))

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The segments that the rows are read and encoded in."""
        most = [sink.sink.max_rows_per_file or 0 for sink in self.sinks]
        counts = [self.rows_of_series[start:end] for start, end in pairwise(self.starts)]
        factors = [
            run.grid.bins // of_rows.grid.bins
            for run, of_rows in zip(self.runs, self.tables.runs, strict=True)
        ]
        return cut_segments(counts, min(max(SEGMENT_ROWS, *most), MOST_SEGMENT_ROWS), factors)

    def segments_of(self, sink: SinkPlan) -> tuple[Segment, ...]:
        """Return the segments of one sink: a wide layout needs all series of a run at once."""
        return whole_runs(self.segments) if sink.measures else self.segments

    def rows_known(self, plan: SinkPlan, target: Target) -> int | None:
        """Return rows of a target's only file, or of a lake table, where they are known before."""
        filtered = self.row_filter is not None and self.row_filter.of_rows is not None
        if filtered or plan.measures or (target.is_folder and target.table is None):
            return None
        return sum(self.rows_per_run[row] for row in target.runs)

    def table(self, plan: SinkPlan, target: Target) -> Table:
        """Return what a file of a target holds, and says of itself."""
        runs = [self.runs[row] for row in target.runs]
        listed = [self.tables.runs[row] for row in target.runs[:_RUNS_LISTED_IN_A_FILE]]
        columns = self.file_columns(plan, target)
        metadata: dict[str, Any] = {
            "format": f"flowtime-gold-{plan.sink.format}",
            "format_version": FORMAT_VERSION,
            "config": self.config.name,
            "layout": plan.sink.layout,
            "run_count": len(runs),
            "runs": [_run_header(run) for run in listed],
            "columns": [_column_header(column) for column in columns],
        }
        rows = self.rows_known(plan, target)
        if rows is not None:
            metadata["rows"] = rows
        metadata["contents"] = self.contents(plan, target).as_json()
        few = sum(len(run.series) for run in runs) <= _SERIES_DESCRIBED_IN_A_FILE
        # What is in one hive folder alone is never a whole run.
        if few and not plan.sink.partition_by:
            # Where a run is changes no byte unless a column shows it.
            with_place = any(shown.source == "run_url" for shown in plan.shown)
            metadata["described_runs"] = [
                self.described(run, with_place=with_place) for run in runs
            ]
        return Table(columns, metadata)

    def file_columns(self, plan: SinkPlan, target: Target) -> tuple[Column, ...]:
        """Return the columns of a target's files."""
        runs = (self.runs[row] for row in target.runs)
        fractional = with_fractions(runs, self.tables.exported_at)
        return tuple(
            replace(shown.column, has_fractions=shown.source in fractional)
            for shown in plan.in_file
        )

    def described(self, run: Run, *, with_place: bool = True) -> dict[str, Any]:
        """Return a run as descriptors and files name it."""
        return describe_run(run, with_place=with_place, layouts=self.layouts.get(run.url))

    def contents(self, plan: SinkPlan, target: Target) -> TableSpec:
        """Return what the rows of a target are."""
        sources = [shown.source for shown in plan.shown]
        constants = self.config.metadata.constants
        row_filter = self.row_filter if self.is_filtered else None
        return TableSpec(
            layout=plan.sink.layout,
            columns={shown.column.name: shown.source for shown in plan.shown},
            measures=plan.measures,
            constants={name: constants[name] for name in sources if name in constants},
            exported_at=self.tables.exported_at if "exported_at" in sources else None,
            options=TextOptions.model_validate(plan.sink.text_options()),
            resample=None if self.resampling is None else ResampledBins.of(self.resampling),
            filter=None if row_filter is None else row_filter.text,
            reasons=tuple(self._left_out(target)),
        )

    def _left_out(self, target: Target) -> list[str]:
        """Return why not all rows of all series of a target's runs are in it."""
        reasons = []
        if self.resampling is not None:
            reasons.append(f"bins were resampled to {self.resampling.minutes} minutes")
        if self.row_filter is not None and self.is_filtered:
            reasons.append(f"rows were filtered by {self.row_filter.text}")
        runs = [self.runs[row] for row in target.runs]
        left_out = sum(run.series_left_out for run in runs)
        if left_out:
            total = left_out + sum(len(run.series) for run in runs)
            reasons.append(f"the selection of series leaves out {left_out} of {total}")
        return reasons

    def state(self, plan: SinkPlan, target: Target) -> str:
        """Return the digest of all that shapes a target's bytes; equal means nothing has changed.

        What depends on the clock differs from export to export.
        """
        config = self.config
        shaping = {
            "format_version": FORMAT_VERSION,
            "name": config.name,
            "source": config.source.model_dump(
                mode="json", include={"series", "time_origin", "verify"}
            ),
            "metadata": config.metadata.model_dump(mode="json"),
            "order": [*config.metadata.constants],
            "transform": config.transform.model_dump(mode="json"),
            "sink": plan.sink.model_dump(mode="json", exclude={*plan.sink.locating}),
            "measures": plan.measures,
            "runs": [_run_state(self.runs[row]) for row in target.runs],
        }
        if clock_uses(config, plan.sink, self.row_filter):
            shaping["clock"] = self.tables.exported_at.isoformat()
        text = json.dumps(shaping, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _run_header(run: Run) -> dict[str, Any]:
    return {
        "id": run.run_id,
        "fingerprint": f"sha256:{run.fingerprint}",
        "source": run.source,
        "engine_version": run.engine_version,
        "scenario_hash": run.scenario_hash,
        "created_at": None if run.created is None else instant_text(run.created),
        "time_origin": instant_text(run.time_origin),
        "bins": run.grid.bins,
        "bin_size_minutes": run.grid.bin_minutes,
        "series": len(run.series),
    }


def _column_header(column: Column) -> dict[str, Any]:
    header: dict[str, Any] = {"name": column.name, "type": column.type}
    if column.unit is not None:
        header["unit"] = column.unit
    return header


def _run_state(run: Run) -> list[str]:
    origin = run.time_origin.isoformat()
    return [run.run_id, run.url, run.fingerprint, run.listing, origin]
