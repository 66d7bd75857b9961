"""Readers that skip row groups, files or folders find every row that a filter asks for."""

from __future__ import annotations

import math
import operator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from pipeline.exports.run import export
from pipeline.rows.column import Column, Table
from pipeline.sinks import ParquetSink
from tests.exporting import config, write_runs
from tests.run_builder import RunSpec

NAN, INF = math.nan, math.inf
# Of each kind of row group one: plain, with NaN at each end, only NaN, infinite, signed zeros.
VALUES = [7, 7, NAN, 7, NAN, NAN, INF, -INF, 0.0, -0.0, NAN, 1, 2, 3]
SINKS: dict[str, dict[str, Any]] = {
    "one group": {"path": "e.parquet"},
    "groups of two": {"path": "e.parquet", "row_group_size": 2},
    "wide": {"path": "e.parquet", "layout": "wide", "row_group_size": 3},
    "data set": {"path": "set-parquet", "partition_by": ["measure"], "max_rows_per_file": 4},
}
COMPARISONS = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "<>": operator.ne,
}
CONSTANTS = (-INF, -1.0, 0.0, 2.0, 7.0, 100.0, INF)


def runs(folder: Path) -> Path:
    other = VALUES[::-1]
    series = {"arrivals@A@X": VALUES, "served@A@X": other, "served@B@X": [5.0] * len(VALUES)}
    return write_runs(folder, RunSpec("run_a", series))


@pytest.mark.parametrize("name", SINKS)
def test_filters_find_what_a_whole_read_holds(tmp_path: Path, name: str) -> None:
    sink = {**SINKS[name], "path": tmp_path / SINKS[name]["path"]}
    export(config(runs(tmp_path / "runs"), sink))
    source = str(sink["path"])
    pattern = source if source.endswith(".parquet") else f"{source}/**/*.parquet"
    lazy = pl.scan_parquet(pattern, hive_partitioning=True)
    whole = lazy.collect()
    arrow = ds.dataset(source, partitioning="hive")
    table = arrow.to_table()
    columns = ["arrivals", "served"] if name == "wide" else ["value"]
    assert whole.height == table.num_rows == (2 if name == "wide" else 3) * len(VALUES)
    with duckdb.connect() as session:
        query = f"FROM read_parquet('{pattern}', hive_partitioning = true)"
        session.execute(f"CREATE TABLE whole AS {query}")
        for column in columns:
            field = pc.field(column)
            assert (
                lazy.filter(pl.col(column).is_nan()).collect().height
                == arrow.count_rows(filter=pc.is_nan(field))
                == whole[column].is_nan().sum()
                > 0
            )
            for sign, compare in COMPARISONS.items():
                for constant in CONSTANTS:
                    condition = f"{column} {sign} '{constant}'::DOUBLE"
                    assert (
                        session.execute(f"SELECT count(*) {query} WHERE {condition}").fetchall()
                        == session.execute(
                            f"SELECT count(*) FROM whole WHERE {condition}"
                        ).fetchall()
                    ), condition
                    kept = compare(pl.col(column), constant)
                    assert lazy.filter(kept).collect().height == whole.filter(kept).height, (
                        condition
                    )
                    chosen = compare(field, pc.scalar(constant))
                    assert arrow.count_rows(filter=chosen) == table.filter(chosen).num_rows, (
                        condition
                    )


def has_statistics(path: Path) -> list[dict[str, bool]]:
    """For each row group, whether each column chunk has statistics."""
    found = pq.read_metadata(path)
    return [
        {
            chunk.path_in_schema: chunk.is_stats_set
            for chunk in (found.row_group(g).column(c) for c in range(found.num_columns))
        }
        for g in range(found.num_row_groups)
    ]


def test_only_chunks_with_nan_lack_statistics(tmp_path: Path) -> None:
    """Pruning is kept wherever it is right."""
    path = tmp_path / "e.parquet"
    export(config(runs(tmp_path / "runs"), {"path": path, "layout": "wide", "row_group_size": 2}))
    values = pq.read_table(path)
    expected = []
    for start in range(0, values.num_rows, 2):
        rows = pl.from_arrow(values.slice(start, 2))
        assert isinstance(rows, pl.DataFrame)
        odd = {name: bool(rows[name].is_nan().any()) for name in ("arrivals", "served")}
        expected.append({name: not odd.get(name, False) for name in rows.columns})
    assert has_statistics(path) == expected
    assert {row["arrivals"] for row in expected} == {row["served"] for row in expected}
    assert {row["arrivals"] for row in expected} == {True, False}


@pytest.mark.parametrize("rows", [1, 2, 5, 14, 1000])
def test_row_groups_of_several_sections_are_one_file(tmp_path: Path, rows: int) -> None:
    """Sections change with every other row group; a name holds what a column path separates by."""
    odd = "a.b ü"
    table = Table((Column(odd, "number"), Column("plain", "number")), {"note": "kept"})
    sink = ParquetSink(format="parquet", path="x", row_group_size=rows)
    frame = pl.DataFrame({odd: VALUES * 3, "plain": [None, *map(float, range(41))]}, strict=False)
    contents = []
    for name in ("one.parquet", "two.parquet"):
        with (tmp_path / name).open("wb") as stream:
            writer = sink.open(stream, table)
            writer.write(frame)
            assert writer.close().rows == frame.height
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    groups = [frame.slice(start, rows) for start in range(0, frame.height, rows)]
    assert has_statistics(tmp_path / "one.parquet") == [
        {odd: not group[odd].is_nan().any(), "plain": True} for group in groups
    ]
    for found in (
        pl.read_parquet(tmp_path / "one.parquet"),
        pl.from_arrow(pq.read_table(tmp_path / "one.parquet")),
        duckdb.sql(f"FROM '{tmp_path}/one.parquet'").pl(),
    ):
        assert isinstance(found, pl.DataFrame)
        assert found.equals(frame)
    footer = pq.read_metadata(tmp_path / "one.parquet")
    assert footer.num_rows == frame.height
    assert footer.metadata[b"flowtime.rows"] == b"42"
    assert footer.metadata[b"flowtime.note"] == b'"kept"'
    # The parts follow each other without a gap: no head or footer is left between sections.
    chunks = [
        footer.row_group(g).column(c)
        for g in range(footer.num_row_groups)
        for c in range(footer.num_columns)
    ]
    begins = [chunk.dictionary_page_offset or chunk.data_page_offset for chunk in chunks]
    ends = [b + c.total_compressed_size for b, c in zip(begins, chunks, strict=True)]
    assert begins == [4, *ends[:-1]]
    assert ends[-1] + footer.serialized_size + 8 == len(contents[0])
