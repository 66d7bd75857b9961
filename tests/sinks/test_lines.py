"""Text rows against a plain rendering, cell by cell, of every shape of table."""

from __future__ import annotations

import io
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.rows.column import Column, ColumnType, Table
from pipeline.sinks import CsvSink, NdjsonSink, Sink, lines
from pipeline.sinks.text import render_integers, render_timestamps

TYPES: dict[ColumnType, Any] = {
    "timestamp": pl.Datetime("us", "UTC"),
    "number": pl.Float64,
    "integer": pl.Int64,
    "boolean": pl.Boolean,
    "text": pl.String,
}
ORIGIN = datetime(2024, 2, 28, 23, 50, tzinfo=UTC)
TEXTS = ["A", "", "NA", "=x", 'q"u', "a,b", "#", "é\n", "^t.*$", None]
cells: dict[ColumnType, st.SearchStrategy[Any]] = {
    "timestamp": st.one_of(
        st.none(),
        st.integers(0, 3000).map(lambda minutes: ORIGIN + timedelta(minutes=minutes)),
        st.datetimes(timezones=st.just(UTC)),
    ),
    "number": st.one_of(st.none(), st.floats(width=64), st.sampled_from([60.0, 0.125])),
    "integer": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(0, 2)),
    "boolean": st.sampled_from([True, False, None]),
    "text": st.sampled_from(TEXTS),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, pl.DataFrame]:
    """Columns of any types in any order; each keeps its value for a while, or changes often."""
    kinds = draw(st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=6))
    height = draw(st.integers(1, 24))
    columns, series = [], []
    for place, kind in enumerate(kinds):
        name = draw(st.sampled_from([f"c{place}", f"^c{place}.*$", f'"{place},']))
        length = draw(st.sampled_from([1, 2, 7, 24]))
        values = draw(st.lists(cells[kind], min_size=24 // length, max_size=24 // length))
        kept = [values[row // length % len(values)] for row in range(height)]
        column = pl.Series(kept, dtype=TYPES[kind])
        if kind == "text" and draw(st.booleans()):
            column = column.cast(pl.Enum([text for text in TEXTS if text is not None]))
        columns.append(Column(name, kind))
        series.append(column.alias(name))
    return Table(tuple(columns)), pl.DataFrame(series)


def shown(kind: ColumnType, value: Any) -> str:
    """A value that is not null as text, without quotes."""
    if kind == "timestamp":
        return str(value.strftime("%Y-%m-%dT%H:%M:%SZ")).rjust(20, "0")
    if kind == "number":
        # Polars' own shortest form; the sink tests read any double back, bit for bit.
        return pl.DataFrame({"value": [value]}).write_csv(include_header=False).rstrip("\n")
    return str(value).lower() if kind == "boolean" else str(value)


def csv_cell(sink: CsvSink, kind: ColumnType, value: Any) -> str:
    text = sink.null_value if value is None else shown(kind, value)
    if kind == "text" and value is not None:
        if sink.escape_formulas and text[:1] in ("=", "+", "-", "@", "\t", "\r"):
            text = "'" + text
        risky = any(mark in text for mark in (sink.separator, sink.quote, "\n", "\r", "#"))
        needed = risky or text == sink.null_value
    else:
        needed = False
    if sink.quote_style == "non_numeric":
        needed = value is not None and kind not in ("number", "integer")
    if needed or (sink.quote_style == "always" and value is not None):
        return sink.quote + text.replace(sink.quote, sink.quote * 2) + sink.quote
    return text


def json_cell(sink: NdjsonSink, kind: ColumnType, value: Any) -> str:
    if value is None or (
        kind == "number" and not math.isfinite(value) and sink.non_finite == "null"
    ):
        return "null"
    if kind == "text":
        return json.dumps(value, ensure_ascii=False)
    text = shown(kind, value)
    quoted = kind == "timestamp" or (kind == "number" and not math.isfinite(value))
    return f'"{text}"' if quoted else text


def plainly(sink: Sink, table: Table, rows: pl.DataFrame) -> str:
    """All rows, one cell after the other."""
    made = []
    for row in rows.rows():
        pairs = list(zip(table.columns, row, strict=True))
        if isinstance(sink, CsvSink):
            made.append(sink.separator.join(csv_cell(sink, c.type, value) for c, value in pairs))
        elif isinstance(sink, NdjsonSink):
            members = (f"{json.dumps(c.name)}:{json_cell(sink, c.type, v)}" for c, v in pairs)
            made.append("{" + ",".join(members) + "}")
    return "".join(line + "\n" for line in made)


def written(sink: Sink, table: Table, rows: pl.DataFrame) -> str:
    """What the sink makes of the rows, without a head."""
    stream, empty = io.BytesIO(), io.BytesIO()
    writer = sink.open(stream, table)
    writer.write(rows)
    writer.close()
    sink.open(empty, table).close()
    return stream.getvalue().removeprefix(empty.getvalue()).decode()


@pytest.mark.parametrize(
    "sink",
    [
        CsvSink(format="csv", path="x"),
        CsvSink(format="csv", path="x", null_value="NA", separator=";", escape_formulas=True),
        CsvSink(format="csv", path="x", quote_style="always", null_value="NA", quote="'"),
        CsvSink(format="csv", path="x", quote_style="non_numeric"),
        NdjsonSink(format="ndjson", path="x"),
        NdjsonSink(format="ndjson", path="x", non_finite="null"),
    ],
    ids=["csv", "csv-nulls", "csv-always", "csv-non-numeric", "ndjson", "ndjson-null"],
)
@settings(max_examples=150, deadline=None)
@given(made=tables())
def test_lines_are_those_of_a_plain_rendering(sink: Sink, made: tuple[Table, pl.DataFrame]) -> None:
    table, rows = made
    only = rows.to_series() if rows.width == 1 else None
    blank = isinstance(sink, CsvSink) and not sink.null_value
    assume(not (blank and only is not None and only.null_count()))
    assert written(sink, table, rows) == plainly(sink, table, rows)


def test_long_texts_are_laid_out_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_MOST_BYTES", 1000)
    table = Table((Column("text", "text"), Column("value", "number")))
    rows = pl.DataFrame(
        {"text": ["a" * 400] * 5 + ["b"] * 5, "value": [float(v) for v in range(10)]}
    )
    sink = NdjsonSink(format="ndjson", path="x")
    pieces: list[int] = []

    class Stream(io.BytesIO):
        def write(self, data: Any) -> int:
            pieces.append(len(data))
            return super().write(data)

    stream = Stream()
    writer = sink.open(stream, table)
    writer.write(rows)
    writer.close()
    assert stream.getvalue().decode() == plainly(sink, table, rows)
    assert len(pieces) > 3
    assert max(pieces) <= 1000


@pytest.mark.parametrize("year", [1, 1969, 9999])
def test_instants_of_any_year(year: int) -> None:
    instants = [datetime(year, 12, 31, 23, 59, second, tzinfo=UTC) for second in (0, 59)]
    whole = pl.Series(instants[:1], dtype=TYPES["timestamp"])
    both = pl.Series(instants, dtype=TYPES["timestamp"])
    assert render_timestamps(whole, "").to_pylist() == [f"{year:04d}-12-31T23:59:00Z"]
    assert render_timestamps(both, "").to_pylist()[1] == f"{year:04d}-12-31T23:59:59Z"


def test_texts_that_are_no_longer_kept_are_rendered_again() -> None:
    table = Table((Column("text", "text"), Column("value", "number")))
    sink = NdjsonSink(format="ndjson", path="x")
    names = [f"text {place}" for place in range(5000)]
    stream = io.BytesIO()
    writer = sink.open(stream, table)
    batches = [
        pl.DataFrame({"text": chosen, "value": [1.5] * len(chosen)})
        for chosen in (names, names[:3], names[1:4000], names[::-1])
    ]
    for batch in batches:
        writer.write(batch)
    writer.close()
    assert stream.getvalue().decode() == plainly(sink, table, pl.concat(batches))


def test_instants_far_apart() -> None:
    instants = [datetime(1, 1, 1, tzinfo=UTC), ORIGIN, datetime(9999, 12, 31, 23, 59, tzinfo=UTC)]
    rendered = render_timestamps(pl.Series(instants, dtype=TYPES["timestamp"]), "", '"')
    assert rendered.to_pylist() == [f'"{shown("timestamp", one)}"' for one in instants]


@given(
    first=st.integers(-(10**6), 10**6),
    step=st.sampled_from([1, 5, 7, 60, 1440, 10_080]),
    lengths=st.lists(st.integers(1, 1500), min_size=1, max_size=3),
    before=st.sampled_from(["", ","]),
)
@settings(max_examples=60, deadline=None)
def test_bins_of_series_that_begin_together(
    first: int, step: int, lengths: list[int], before: str
) -> None:
    instants = [
        ORIGIN + timedelta(minutes=first + place * step)
        for length in lengths
        for place in range(length)
    ]
    rendered = render_timestamps(pl.Series(instants, dtype=TYPES["timestamp"]), "", '"', before)
    assert rendered.to_pylist() == [f'{before}"{shown("timestamp", one)}"' for one in instants]


@given(first=st.integers(-3000, 3000), length=st.integers(1, 5000), rounds=st.integers(1, 2))
@settings(max_examples=60, deadline=None)
def test_consecutive_whole_numbers(first: int, length: int, rounds: int) -> None:
    numbers = [*range(first, first + length)] * rounds
    rendered = render_integers(pl.Series(numbers, dtype=pl.Int64), "", "", ",")
    assert rendered.to_pylist() == [f",{one}" for one in numbers]


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize(
    "numbers",
    [
        [0, 1, 2, 3] * 9,  # few: looked up
        [-3, -2, -3] * 9,
        [2**63 - 1, 2**63 - 2] * 9,
        [-(2**63), 2**63 - 1] * 9,
        [7, 100, -5],
        [None, 1, 1, 1, 1, 1, 1, 1],
        [None, None],
        [],
    ],
)
def test_whole_numbers(numbers: list[int | None], quote: str) -> None:
    rendered = render_integers(pl.Series(numbers, dtype=pl.Int64), "NA", quote, ":")
    expected = [":NA" if one is None else f":{quote}{one}{quote}" for one in numbers]
    assert rendered.to_pylist() == expected
