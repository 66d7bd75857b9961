"""The bytes of each format, and what other readers make of them."""

from __future__ import annotations

import gzip
import io
import json
import math
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.storage import connect
from pipeline.datapackage.descriptor import COMPRESSION
from pipeline.datapackage.table_spec import TextOptions
from pipeline.errors import SinkError
from pipeline.readback.local_copy import ExportFile
from pipeline.readback.series_values import checked_batches
from pipeline.readback.tables import TableFile
from pipeline.rows.column import Column, Table
from pipeline.sinks import CsvSink, NdjsonSink, ParquetSink, Sink
from tests.read_outputs import bits

AWKWARD = [60.0, 1e16, 1e15, 5e-324, math.nan, math.inf, -math.inf, -0.0, 0.1 + 0.2, 1.7e308]
TABLE = Table(
    (
        Column("time_bin", "timestamp"),
        Column("component_id", "text"),
        Column("value", "number", "entities/bin"),
        Column("seed", "integer"),
        Column("final", "boolean"),
    ),
    {"format": "test", "note": "two\nlines", "runs": ["run_a"]},
)


def read_back(sink: Sink, path: Path) -> pl.DataFrame:
    """The rows of a file as an import reads them."""
    storage, place = connect(str(path))
    file = TableFile(
        stored=ExportFile(storage, place, COMPRESSION.get(path.suffix)),
        path=path.name,
        format=sink.format,  # type: ignore[arg-type]
        columns=TABLE.columns,
        rows=None,
        has_comments=getattr(sink, "metadata_header", False),
    )
    batches = checked_batches(file, TextOptions(**sink.text_options()))
    return pl.concat([batch.frame for batch in batches] or [pl.DataFrame(schema=TABLE.names)])


def frame(values: list[float], texts: list[str | None] | None = None) -> pl.DataFrame:
    chosen = texts or ["A"]
    places = range(len(values))
    rows = [chosen[place % len(chosen)] for place in places]
    start = datetime(2025, 1, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "time_bin": pl.Series(
                [start + timedelta(minutes=5 * (place % 7)) for place in places],
                dtype=pl.Datetime("us", "UTC"),
            ),
            "component_id": pl.Series(rows, dtype=_categories(rows)),
            "value": pl.Series(values, dtype=pl.Float64),
            "seed": pl.Series([None if p % 3 == 1 else p for p in places], dtype=pl.Int64),
            "final": pl.Series([p % 2 == 0 for p in places], dtype=pl.Boolean),
        }
    )


def _categories(rows: list[str | None]) -> pl.Enum:
    """The same for batches that belong together, as in an export."""
    return pl.Enum(
        sorted({*(row for row in rows if row is not None), "UNUSED", "A", 'q"uo,te', "né\n"})
    )


def write(sink: Sink, path: Path, *batches: pl.DataFrame, table: Table = TABLE) -> None:
    with path.open("wb") as stream:
        writer = sink.open(stream, table)
        for batch in batches:
            writer.write(batch)
        written = writer.close()
        assert not stream.closed
    assert written.rows == sum(batch.height for batch in batches)


def sinks() -> list[Any]:
    made: list[Sink] = [
        CsvSink(format="csv", path="x.csv"),
        CsvSink(format="csv", path="x.csv", compression="gzip", bom=True),
        CsvSink(format="csv", path="x.csv", compression="zstd", separator=";", null_value="NA"),
        CsvSink(format="csv", path="x.csv", metadata_header=False, quote_style="always"),
        NdjsonSink(format="ndjson", path="x.ndjson"),
        NdjsonSink(format="ndjson", path="x.ndjson", compression="gzip"),
        NdjsonSink(format="ndjson", path="x.ndjson", compression="zstd"),
        ParquetSink(format="parquet", path="x.parquet", row_group_size=3),
        ParquetSink(format="parquet", path="x.parquet", compression="snappy"),
        ParquetSink(format="parquet", path="x.parquet", compression="none"),
    ]
    return [pytest.param(sink, id=f"{sink.format}-{n}") for n, sink in enumerate(made)]


@pytest.mark.parametrize("sink", sinks())
def test_every_value_comes_back(sink: Sink, tmp_path: Path) -> None:
    path = tmp_path / f"x{sink.extension}"
    first, second = frame(AWKWARD, ["A", None, 'q"uo,te', "né\n"]), frame(AWKWARD[::-1])
    write(sink, path, first, second)
    expected = pl.concat([first, second]).with_columns(pl.col("component_id").cast(pl.String))
    found = read_back(sink, path)
    assert found.columns == TABLE.names
    assert list(map(bits, found["value"])) == list(map(bits, expected["value"]))
    assert found.drop("value").equals(expected.drop("value"))


@pytest.mark.parametrize("sink", sinks())
def test_the_split_into_batches_does_not_show(sink: Sink, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    rows = frame(AWKWARD * 3, ["A", "B"])
    write(sink, whole, rows)
    write(sink, parts, rows.head(1), rows.slice(1, 12), rows.slice(13, 0), rows.slice(13))
    if sink.extension.endswith((".gz", ".zst")):
        one, other = (read_back(sink, _named(p, sink)) for p in (whole, parts))
        assert one.equals(other, null_equal=True)
    else:
        assert whole.read_bytes() == parts.read_bytes()


def _named(path: Path, sink: Sink) -> Path:
    return path.rename(path.with_name(path.name + sink.extension))


@pytest.mark.parametrize("sink", sinks())
def test_a_file_without_rows_still_has_its_columns(sink: Sink, tmp_path: Path) -> None:
    path = tmp_path / f"x{sink.extension}"
    write(sink, path)
    found = read_back(sink, path)
    assert found.columns == TABLE.names
    assert found.height == 0


@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.floats(width=64), min_size=1, max_size=30))
@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
def test_any_double_survives(form: str, values: list[float]) -> None:
    sink: Sink = {
        "csv": CsvSink(format="csv", path="x.csv"),
        "ndjson": NdjsonSink(format="ndjson", path="x.ndjson"),
        "parquet": ParquetSink(format="parquet", path="x.parquet"),
    }[form]
    with TemporaryDirectory() as folder:
        path = Path(folder, f"x{sink.extension}")
        write(sink, path, frame(values))
        found = read_back(sink, path)
    assert list(map(bits, found["value"])) == list(map(bits, values))


printable = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), min_size=1, max_size=8
)


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(st.one_of(st.none(), printable), min_size=1, max_size=8))
def test_any_text_survives_ndjson(texts: list[str | None]) -> None:
    stream = io.BytesIO()
    writer = NdjsonSink(format="ndjson", path="x.ndjson").open(stream, TABLE)
    rows = frame([1.0] * len(texts), texts)
    writer.write(rows)
    writer.close()
    lines = stream.getvalue().decode().split("\n")
    assert lines.pop() == ""
    assert [json.loads(line)["component_id"] for line in lines] == rows["component_id"].to_list()


def test_csv_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write(CsvSink(format="csv", path="x.csv"), path, frame([60.0, math.nan, -math.inf]))
    assert path.read_bytes() == (
        b'# format: "test"\n# note: "two\\nlines"\n# runs: ["run_a"]\n'
        b"time_bin,component_id,value,seed,final\n"
        b"2025-01-01T00:00:00Z,A,60.0,0,true\n"
        b"2025-01-01T00:05:00Z,A,NaN,,false\n"
        b"2025-01-01T00:10:00Z,A,-inf,2,true\n"
    )


def test_ndjson_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    write(NdjsonSink(format="ndjson", path="x"), path, frame([60.0, math.nan, 1e16]))
    assert path.read_bytes() == (
        b'{"time_bin":"2025-01-01T00:00:00Z","component_id":"A","value":60.0,"seed":0,"final":true}\n'
        b'{"time_bin":"2025-01-01T00:05:00Z","component_id":"A","value":"NaN","seed":null,"final":false}\n'
        b'{"time_bin":"2025-01-01T00:10:00Z","component_id":"A","value":1e+16,"seed":2,"final":true}\n'
    )


def test_ndjson_non_finite_as_null_or_error(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    write(NdjsonSink(format="ndjson", path="x", non_finite="null"), path, frame(AWKWARD))
    values = [json.loads(line)["value"] for line in path.read_text().splitlines()]
    assert values == [None if not math.isfinite(v) else v for v in AWKWARD]
    strict = NdjsonSink(format="ndjson", path="x", non_finite="error")
    with pytest.raises(SinkError, match="column 'value' holds a value that JSON cannot express"):
        write(strict, path, frame(AWKWARD))


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compressed_bytes_are_the_same_on_any_day(compression: Any, tmp_path: Path) -> None:
    sink = CsvSink(format="csv", path="x", compression=compression)
    one, other = tmp_path / "one", tmp_path / "other"
    write(sink, one, frame(AWKWARD))
    write(sink, other, frame(AWKWARD))
    assert one.read_bytes() == other.read_bytes()
    plain = tmp_path / "plain"
    write(CsvSink(format="csv", path="x"), plain, frame(AWKWARD))
    with gzip.open(one) if compression == "gzip" else zstandard.open(one) as stream:
        assert stream.read() == plain.read_bytes()


def test_formulas_are_made_harmless(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    texts: list[str | None] = ["=1+1", "+1", "-1", "@x", "\tx", "ok", None]
    write(CsvSink(format="csv", path="x", escape_formulas=True), path, frame([-1.0] * 7, texts))
    read = pd.read_csv(path, comment="#", keep_default_na=False)
    assert read["component_id"].to_list() == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "ok", ""]
    assert read["value"].to_list() == [-1.0] * 7


def test_a_comment_sign_in_a_cell_does_not_cut_the_line(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    texts: list[str | None] = ["#/bin", "a#b", "A", "", None]
    write(CsvSink(format="csv", path="x"), path, frame([1.5] * 5, texts))
    in_pandas = pd.read_csv(path, comment="#", keep_default_na=False)
    assert in_pandas["component_id"].to_list() == ["#/bin", "a#b", "A", "", ""]
    assert in_pandas["value"].to_list() == [1.5] * 5
    query = "select component_id, value from read_csv(?, comment='#', header=true)"
    assert duckdb.execute(query, [str(path)]).fetchall()[:2] == [("#/bin", 1.5), ("a#b", 1.5)]


@pytest.mark.parametrize("style", ["necessary", "always", "non_numeric"])
@pytest.mark.parametrize("null", ["", "NULL"])
def test_a_null_is_never_quoted_and_numbers_stay_numbers(
    style: Any, null: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.csv"
    texts: list[str | None] = ["", None, "NULL", "A"]
    sink = CsvSink(format="csv", path="x", quote_style=style, null_value=null)
    write(sink, path, frame([1.5, 2.0, 3.0, 4.0], texts))
    in_polars = pl.read_csv(path, comment_prefix="#", null_values=[null] if null else None)
    seeds = [0, None, 2, 3]
    assert in_polars["seed"].to_list() == seeds
    assert in_polars.schema["seed"] == pl.Int64
    options = f"header=true, comment='#', quote='\"', escape='\"', nullstr='{null}'"
    query = (
        f"from read_csv('{path}', {options}, allow_quoted_nulls=false) select component_id, seed"
    )
    assert duckdb.sql(query).fetchall() == list(zip(texts, seeds, strict=True))
    assert read_back(sink, path)["seed"].to_list() == seeds
    assert read_back(sink, path)["component_id"][1] is None


@pytest.mark.parametrize("style", ["necessary", "always", "non_numeric"])
def test_odd_column_names(style: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    table = Table((Column("a,b", "number"), Column('say "x"', "text"), Column("#", "text")))
    rows = pl.DataFrame({"a,b": [1.0], 'say "x"': ["y"], "#": ["z"]})
    write(CsvSink(format="csv", path="x", quote_style=style), path, rows, table=table)
    assert pd.read_csv(path, comment="#").to_dict("list") == {
        "a,b": [1.0],
        'say "x"': ["y"],
        "#": ["z"],
    }


def test_the_metadata_header_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write(CsvSink(format="csv", path="x", bom=True), path, frame([1.0]))
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    header = takewhile(lambda line: line.startswith("# "), lines)
    found = dict(line[2:].split(": ", 1) for line in header)
    assert {key: json.loads(text) for key, text in found.items()} == dict(TABLE.metadata)


@pytest.mark.parametrize("bom", [False, True])
def test_csv_in_duckdb_and_pandas(bom: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write(CsvSink(format="csv", path="x", bom=bom), path, frame(AWKWARD, ["A", 'q"u']))
    in_pandas = pd.read_csv(path, comment="#", encoding="utf-8-sig")
    assert list(map(bits, in_pandas["value"])) == list(map(bits, AWKWARD))
    query = "select value, component_id from read_csv(?, comment='#', quote='\"', escape='\"')"
    rows = duckdb.execute(query, [str(path)]).fetchall()
    assert [bits(float(value)) for value, _ in rows] == list(map(bits, AWKWARD))
    assert [text for _, text in rows][:2] == ["A", 'q"u']


def test_parquet_footer_and_types(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write(ParquetSink(format="parquet", path="x", row_group_size=4), path, frame(AWKWARD))
    file = pq.ParquetFile(path)
    assert [str(field.type) for field in file.schema_arrow] == [
        "timestamp[us, tz=UTC]",
        "string",
        "double",
        "int64",
        "bool",
    ]
    assert file.schema_arrow.field("value").metadata == {b"unit": b"entities/bin"}
    assert file.metadata.metadata[b"flowtime.runs"] == b'["run_a"]'
    assert file.metadata.metadata[b"flowtime.rows"] == b"10"
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [4, 4, 2]
    text = file.metadata.row_group(0).column(1)
    assert "RLE_DICTIONARY" in text.encodings
    assert (text.statistics.min, text.statistics.max) == ("A", "A")
    assert text.compression == "ZSTD"
    described = duckdb.execute("describe select * from read_parquet(?)", [str(path)]).fetchall()
    assert [row[1] for row in described] == [
        "TIMESTAMP WITH TIME ZONE",
        "VARCHAR",
        "DOUBLE",
        "BIGINT",
        "BOOLEAN",
    ]
    assert str(pd.read_parquet(path)["time_bin"].dtype) == "datetime64[us, UTC]"


@pytest.mark.parametrize(
    ("minutes", "instants", "values"),
    [(4000, "DELTA_BINARY_PACKED", "PLAIN"), (100, "RLE_DICTIONARY", "RLE_DICTIONARY")],
)
def test_parquet_encodings_fit_the_values(
    minutes: int, instants: str, values: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.parquet"
    start = datetime(2025, 1, 1, tzinfo=UTC)
    places = [place % minutes for place in range(4000)]
    table = Table((Column("time_bin", "timestamp"), Column("value", "number")))
    rows = pl.DataFrame(
        {
            "time_bin": pl.Series([start + timedelta(minutes=p) for p in places]),
            "value": [place / 7 for place in places],
        },
        schema_overrides={"time_bin": pl.Datetime("us", "UTC")},
    )
    write(ParquetSink(format="parquet", path="x"), path, rows, table=table)
    group = pq.ParquetFile(path).metadata.row_group(0)
    found = [set(group.column(place).encodings) - {"RLE"} for place in range(2)]
    assert instants in found[0]
    assert values in found[1]
    assert ("RLE_DICTIONARY" in found[0]) == (instants == "RLE_DICTIONARY")
    assert group.column(0).statistics.max == start + timedelta(minutes=minutes - 1)
    assert pl.read_parquet(path).equals(rows)
    ((total,),) = duckdb.sql(f"select sum(value) from '{path}'").fetchall()
    assert total == pytest.approx(rows["value"].sum())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"separator": "ab"}, "expected one printable ASCII character"),
        ({"separator": '"'}, "same character"),
        ({"separator": "#"}, "metadata header"),
        ({"separator": "."}, "is also the decimal mark"),
        ({"null_value": "a,b"}, "holds the separator"),
        ({"compression_level": 3}, "needs compression"),
        ({"compression": "gzip", "compression_level": 10}, "takes 1 to 9"),
        ({"columns": []}, "columns is empty"),
        ({"columns": ["a", "a"]}, "more than once"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_bad_csv_options(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        CsvSink(format="csv", path="x.csv", **options)


def test_a_null_in_the_only_column_of_csv() -> None:
    """Its line would be blank, which pandas, pyarrow and Python pass over."""
    rows = pl.DataFrame({"unit": ["a", None]})
    table = Table((Column("unit", "text"),))
    writer = CsvSink(format="csv", path="x").open(io.BytesIO(), table)
    with pytest.raises(SinkError, match="'unit' is the only one and has missing values"):
        writer.write(rows)
    stream = io.BytesIO()
    sink = CsvSink(format="csv", path="x", null_value="NULL", metadata_header=False)
    writer = sink.open(stream, table)
    writer.write(rows)
    assert stream.getvalue() == b"unit\na\nNULL\n"


@pytest.mark.parametrize("codec", ["zstd", "gzip", "brotli"])
def test_levels_of_parquet(codec: str) -> None:
    """Brotli has a level 0, which is another than its default."""
    table = Table((Column("value", "number"),))
    rows = pl.DataFrame({"value": [float(number % 1000) / 7 for number in range(5000)]})
    sizes = []
    for level in (0 if codec == "brotli" else 1, 9):
        sink = ParquetSink.model_validate(
            {"format": "parquet", "path": "x", "compression": codec, "compression_level": level}
        )
        stream = io.BytesIO()
        writer = sink.open(stream, table)
        writer.write(rows)
        writer.close()
        sizes.append(len(stream.getvalue()))
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"compression": "snappy", "compression_level": 3}, "no meaning"),
        ({"compression_level": 23}, "takes 1 to 22"),
        ({"row_group_size": 0}, "greater than or equal to 1"),
    ],
)
def test_bad_parquet_options(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        ParquetSink(format="parquet", path="x.parquet", **options)
