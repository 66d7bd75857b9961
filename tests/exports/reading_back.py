"""Drawn exports as DuckDB, pyarrow and Polars read them, whole and filtered."""

from __future__ import annotations

import json
import math
import operator
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.json

from pipeline.sinks import CsvSink
from tests.exports.drawn_exports import INSTANTS, Cell, DrawnExport, Row, Rows, row
from tests.read_outputs import bits

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
NON_FINITE = {bits(math.nan), bits(math.inf), bits(-math.inf)}
_COMPARE = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SESSION = duckdb.connect()
_SESSION.execute("SET timezone = 'UTC'; SET threads = 1")


class ReadBack:
    """One export on this disk.

    Args:
        drawn: What was drawn.
        folder: The output folder.
        resources: The resources of its descriptor.
    """

    def __init__(self, drawn: DrawnExport, folder: Path, resources: list[dict[str, Any]]) -> None:
        self.drawn = drawn
        self.form = drawn.sink["format"]
        self.place = folder / drawn.path
        self.base = self.place if self.place.is_dir() else self.place.parent
        self.resources = resources

    def check(self, expected: Rows) -> None:
        """Assert that every reader finds the expected rows, and by a filter what it should."""
        if self.form == "parquet":
            self._check_parquet(expected)
        else:
            self._check_text(expected)

    # --- Parquet: the whole folder, with filters that readers push down

    def _check_parquet(self, expected: Rows) -> None:
        names = self.drawn.partition_by
        pattern = f"{self.place}/**/*.parquet" if self.place.is_dir() else str(self.place)
        hive = {"hive_schema": dict.fromkeys(names, pl.String())} if names else {}
        known = self._without_literal(expected)
        assert _rows(self._by_polars(pl.scan_parquet(pattern, **hive)).to_arrow()) == known, (
            "polars"
        )
        assert _rows(self._by_arrow()) == known, "pyarrow"
        options = ", hive_partitioning = true, hive_types_autocast = false" if names else ""
        query = f"FROM read_parquet('{pattern}'{options})"
        assert _rows(self._by_duckdb(query)) == expected, "duckdb"

    def _by_polars(self, lazy: pl.LazyFrame) -> pl.DataFrame:
        """Return all rows; assert that a filter finds those of them that it should."""
        column, sign, constant = self.drawn.filter
        whole = lazy.collect()
        if column in whole.columns:
            kept = _COMPARE[sign](pl.col(column), constant)
            found = _rows(lazy.filter(kept).collect().to_arrow())
            assert found == _rows(whole.filter(kept).to_arrow()), "polars, filtered"
        return whole

    def _by_duckdb(self, query: str) -> pa.Table:
        """Return all rows; assert that a filter finds those of them that it should."""
        column, sign, constant = self.drawn.filter
        whole = _SESSION.sql(query).to_arrow_table()
        if column in whole.column_names:
            literal = _literal(str(constant)) + ("::DOUBLE" if isinstance(constant, float) else "")
            condition = f'WHERE "{column}" {sign} {literal}'
            found = _rows(_SESSION.sql(f"{query} {condition}").to_arrow_table())
            wanted = _SESSION.sql(f"FROM whole {condition}").to_arrow_table()
            assert found == _rows(wanted), "duckdb, filtered"
        return whole

    def _by_arrow(self) -> pa.Table:
        """Return all rows; assert that a filter finds those of them that it should."""
        column, sign, constant = self.drawn.filter
        schema = pa.schema([(name, pa.string()) for name in self.drawn.partition_by])
        folders = ds.partitioning(schema, flavor="hive") if len(schema) else None
        dataset = ds.dataset(self.place, partitioning=folders)
        whole = dataset.to_table()
        for kept in (
            _COMPARE[sign](pc.field(column), pc.scalar(constant)),
            pc.is_nan(pc.field(self.drawn.numbers[0])),
        ):
            assert _rows(dataset.to_table(filter=kept)) == _rows(whole.filter(kept)), str(kept)
        return whole

    def _without_literal(self, expected: Rows) -> Rows:
        """Return rows as pyarrow and Polars see them, who decode a folder's name too early."""
        names = self.drawn.partition_by
        return Counter(
            _mapped(
                expected, lambda name, cell: None if name in names and cell == HIVE_NULL else cell
            )
        )

    # --- text: file by file, as hive folders are for Parquet

    def _check_text(self, expected: Rows) -> None:
        known = self._as_text(expected)
        by_duckdb: Rows = Counter()
        by_polars: Rows = Counter()
        by_arrow: Rows | None = Counter()
        for resource in self.resources:
            folders = resource["flowtime"]["partition"]
            path = self.base / resource["path"]
            columns = [field["name"] for field in resource["schema"]["fields"]]
            read = self._csv if self.form == "csv" else self._ndjson
            tables = read(path, columns)
            for table, found in zip(tables, (by_duckdb, by_polars, by_arrow), strict=True):
                if table is None:
                    by_arrow = None
                elif found is not None:
                    found.update(self._as_text(_rows(table, folders)))
        assert by_duckdb == known, "duckdb"
        assert by_polars == known, "polars"
        assert by_arrow is None or by_arrow == known, "pyarrow"

    def _as_text(self, rows: Rows) -> Rows:
        """Return rows as text can hold them."""
        sink, names = self.drawn.sink, self.drawn.partition_by
        null = sink.get("null_value") if self.form == "csv" else None
        marks = bool(sink.get("escape_formulas"))
        numbers = self.drawn.numbers

        def shown(name: str, cell: Cell) -> Cell:
            if sink.get("non_finite") == "null" and name in numbers and cell in NON_FINITE:
                return None
            if name in names or not isinstance(cell, str):
                return cell
            cell = f"'{cell}" if marks and cell[:1] in ("=", "+", "-", "@") else cell
            return None if cell == null else cell

        return Counter(_mapped(rows, shown))

    def _csv(self, path: Path, columns: list[str]) -> Iterator[pa.Table]:
        sink = CsvSink.model_validate({**self.drawn.sink, "path": "x"})
        comment = "#" if sink.metadata_header else ""
        types = self._types(columns)
        spelled = ", ".join(f"{_literal(n)}: '{_DUCKDB[kind]}'" for n, kind in types.items())
        yield self._by_duckdb(
            f"FROM read_csv({_literal(str(path))}, header = true, hive_partitioning = false, "
            f"delim = {_literal(sink.separator)}, quote = {_literal(sink.quote)}, "
            f"escape = {_literal(sink.quote)}, comment = '{comment}', "
            f"nullstr = {_literal(sink.null_value)}, types = {{{spelled}}})"
        )
        lazy = pl.scan_csv(
            path,
            comment_prefix=comment or None,
            separator=sink.separator,
            quote_char=sink.quote,
            null_values=sink.null_value,
            empty_string_is_null=sink.null_value == "",
            schema_overrides={
                n: pl.Float64() if k == "number" else pl.String() for n, k in types.items()
            },
        )
        yield _with_instants(self._by_polars(lazy)).to_arrow()
        with pa.input_stream(path, compression="detect") as stream:
            content = stream.read()
        head = content.removeprefix(b"\xef\xbb\xbf")
        comments = sum(line.startswith(b"# ") for line in head.split(b"\n")) if comment else 0
        yield pyarrow.csv.read_csv(
            pa.BufferReader(content),
            read_options=pyarrow.csv.ReadOptions(skip_rows=comments),
            parse_options=pyarrow.csv.ParseOptions(delimiter=sink.separator, quote_char=sink.quote),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={n: _ARROW[k] for n, k in types.items()},
                null_values=[sink.null_value],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )

    def _ndjson(self, path: Path, columns: list[str]) -> Iterator[pa.Table | None]:
        types = self._types(columns)
        spelled = ", ".join(f"{_literal(n)}: '{_DUCKDB[kind]}'" for n, kind in types.items())
        yield self._by_duckdb(
            f"FROM read_ndjson({_literal(str(path))}, hive_partitioning = false, "
            f"columns = {{{spelled}}})"
        )
        lazy = pl.scan_ndjson(path, schema=dict.fromkeys(columns, pl.String()))
        numbers = [pl.col(name).cast(pl.Float64) for name in self.drawn.numbers]
        yield _with_instants(self._by_polars(lazy.with_columns(numbers))).to_arrow()
        with pa.input_stream(path, compression="detect") as stream:
            content = stream.read()
        if any(
            isinstance(json.loads(one)[n], str)
            for one in content.splitlines()
            for n in self.drawn.numbers
        ):
            yield None  # a column of numbers and texts
        else:
            schema = pa.schema([(n, _ARROW[kind]) for n, kind in types.items()])
            options = pyarrow.json.ParseOptions(explicit_schema=schema)
            yield pyarrow.json.read_json(pa.BufferReader(content), parse_options=options)

    def _types(self, columns: list[str]) -> dict[str, str]:
        numbers = self.drawn.numbers
        return {
            name: "number" if name in numbers else "instant" if name in INSTANTS else "text"
            for name in columns
        }


_DUCKDB = {"number": "DOUBLE", "instant": "TIMESTAMPTZ", "text": "VARCHAR"}
_ARROW = {"number": pa.float64(), "instant": pa.timestamp("us", "UTC"), "text": pa.string()}


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _with_instants(frame: pl.DataFrame) -> pl.DataFrame:
    names = [name for name in INSTANTS if name in frame.columns]
    return frame.with_columns(
        pl.col(names).str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC")
    )


def _rows(table: pa.Table, folders: Mapping[str, str | None] | None = None) -> Rows:
    """Return the rows of a table, with what its folders say."""
    columns: dict[str, list[Cell]] = {}
    for name in table.column_names:
        column = table[name]
        if pa.types.is_timestamp(column.type):
            columns[name] = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
        elif pa.types.is_floating(column.type):
            columns[name] = [None if v is None else bits(v) for v in column.to_pylist()]
        else:
            columns[name] = column.to_pylist()
    for name, text in (folders or {}).items():
        columns[name] = [text] * table.num_rows
    names = sorted(columns)
    return Counter(
        tuple(zip(names, cells, strict=True))
        for cells in zip(*(columns[name] for name in names), strict=True)
    )


def _mapped(rows: Rows, change: Any) -> Iterator[Row]:
    for cells in rows.elements():
        yield row({name: change(name, cell) for name, cell in cells})
