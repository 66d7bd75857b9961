"""Render the first rows of an export as they will look in the file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import polars as pl

from pipeline.exports.preview import json_cell, preview
from pipeline.planning.plan import ExportPlan
from pipeline.reading.source import Source
from pipeline.rows.column import Column


@dataclass(frozen=True)
class FirstRows:
    """The beginning of a file.

    Attributes:
        columns: Its columns.
        text: The beginning as text; a drawn table where the format is binary.
        rows: Cells of the rows, JSON-compatible.
        rows_total: Rows of the whole file; None if not known.
    """

    columns: tuple[Column, ...]
    text: str
    rows: list[list[Any]]
    rows_total: int | None


def first_rows(plan: ExportPlan, source: Source, count: int) -> FirstRows:
    """Return the first rows of the only sink of a plan.

    Raises:
        RunError: The run's files do not hold what it promises.
    """
    ((sink_plan, frame),) = preview(plan, source, count)
    table = plan.table(sink_plan, sink_plan.targets[0])
    if sink_plan.sink.format == "parquet":
        text = _drawn(frame)
    else:
        stream = io.BytesIO()
        writer = sink_plan.sink.open(stream, table)
        writer.write(frame)
        writer.close()
        text = stream.getvalue().decode("utf-8")
    return FirstRows(
        columns=table.columns,
        text=text,
        rows=[[json_cell(cell) for cell in row] for row in frame.iter_rows()],
        rows_total=plan.rows_known(sink_plan, sink_plan.targets[0]),
    )


def _drawn(frame: pl.DataFrame) -> str:
    with pl.Config(
        tbl_rows=frame.height,
        tbl_cols=-1,
        tbl_width_chars=-1,
        fmt_str_lengths=80,
        tbl_hide_dataframe_shape=True,
    ):
        return str(frame) + "\n"
