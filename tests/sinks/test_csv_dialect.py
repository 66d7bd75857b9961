"""CSV dialects: what is accepted can be read, what could not be read is refused."""

from __future__ import annotations

import csv
import io
import math
import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.csv as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.errors import ConfigError
from pipeline.exports.run import export
from pipeline.rows.column import Column, Table
from pipeline.sinks import CsvSink, csv_dialect, text
from tests.exporting import config, spec, write_runs

PRINTABLE = sorted({*string.printable[:95], "\t"})
TABLE = Table(
    (
        Column("time_bin", "timestamp"),
        Column("label", "text"),
        Column("value", "number"),
        Column("seed", "integer"),
        Column("final", "boolean"),
        Column("created_at", "timestamp", has_fractions=True),
    ),
    {"format": "flowtime-gold-csv"},
)
VALUES = [1.5, -2.0, math.nan, math.inf, -math.inf, -0.0, 1e16, 5e-324, 0.1 + 0.2, 678.9]
TEXTS = [None, "007", "NA", "", "#/h", 'a"b', "x,y", "'=1", "a\nb", " lead", "trail ", "1e3", "\\"]
NUMBER = Column("n", "number")
Cells = list[tuple[str | None, float]]


def sink(**options: Any) -> CsvSink:
    return CsvSink.model_validate({"format": "csv", "path": "x.csv", **options})


def rows(*more: str) -> pl.DataFrame:
    """Rows whose typed cells hold every digit, and whose text holds more, between other text."""
    texts = [*TEXTS, *(more if more else ()), *(f"a{one}{one}b" for one in more)]
    count = range(len(texts))
    start = datetime(2034, 5, 16, 7, 8, 9, tzinfo=UTC)
    instant = pl.Datetime("us", "UTC")
    known = pl.Enum(sorted({one for one in texts if one is not None}))
    return pl.DataFrame(
        {
            "time_bin": pl.Series([start + timedelta(hours=n) for n in count], dtype=instant),
            "label": pl.Series(texts, dtype=known),
            "value": [VALUES[n % len(VALUES)] for n in count],
            "seed": pl.Series([None if n % 3 == 1 else n - 5 for n in count], dtype=pl.Int64),
            "final": [n % 2 == 0 for n in count],
            "created_at": pl.Series(
                [start + timedelta(microseconds=n) for n in count], dtype=instant
            ),
        }
    )


def write(chosen: CsvSink, path: Path, frame: pl.DataFrame) -> None:
    with path.open("wb") as stream:
        writer = chosen.open(stream, TABLE)
        writer.write(frame)
        writer.close()


# --- readers: label and value of each row ---------------------------------------------------


def by_csv(chosen: CsvSink, path: Path) -> Cells:
    content = path.read_text(encoding="utf-8")
    if chosen.metadata_header:
        content = content.partition("\n")[2]
    reader = csv.reader(
        io.StringIO(content, newline=""),
        delimiter=chosen.separator,
        quotechar=chosen.quote,
        strict=True,
    )
    header, *found = reader
    assert header == TABLE.names
    assert {len(row) for row in found} == {len(TABLE.columns)}
    return [(row[1], float(row[2])) for row in found]


def by_polars(chosen: CsvSink, path: Path) -> Cells:
    frame = pl.read_csv(
        path,
        comment_prefix="#" if chosen.metadata_header else None,
        separator=chosen.separator,
        quote_char=chosen.quote,
        null_values=chosen.null_value,
        empty_string_is_null=chosen.null_value == "",
        schema_overrides={"label": pl.String, "value": pl.Float64},
        try_parse_dates=True,
    )
    assert frame.columns == TABLE.names
    assert frame.schema["time_bin"] == pl.Datetime("us", "UTC")
    assert frame.schema["seed"] == pl.Int64
    assert frame.schema["final"] == pl.Boolean
    return frame.select("label", "value").rows()


def by_pandas(chosen: CsvSink, path: Path) -> Cells:
    frame = pd.read_csv(
        path,
        comment="#" if chosen.metadata_header else None,
        sep=chosen.separator,
        quotechar=chosen.quote,
        keep_default_na=False,
        na_values={"seed": [chosen.null_value]},
        dtype={"label": str, "seed": "Int64"},
        parse_dates=["time_bin", "created_at"],
    )
    assert list(frame) == TABLE.names
    assert str(frame["time_bin"].dtype) == "datetime64[us, UTC]"
    assert frame["final"].dtype == bool
    return list(zip(frame["label"].tolist(), frame["value"].astype(float).tolist(), strict=True))


def by_arrow(chosen: CsvSink, path: Path) -> Cells:
    table = pc.read_csv(
        path,
        read_options=pc.ReadOptions(skip_rows=int(chosen.metadata_header)),
        parse_options=pc.ParseOptions(
            delimiter=chosen.separator, quote_char=chosen.quote, newlines_in_values=True
        ),
        convert_options=pc.ConvertOptions(
            null_values=[chosen.null_value],
            strings_can_be_null=True,
            column_types={"label": "string", "value": "float64", "seed": "int64"},
        ),
    )
    assert table.column_names == TABLE.names
    return list(zip(table["label"].to_pylist(), table["value"].to_pylist(), strict=True))


def by_duckdb(chosen: CsvSink, path: Path) -> Cells:
    def quoted(option: str) -> str:
        return "'" + option.replace("'", "''") + "'"

    query = (
        f"FROM read_csv({quoted(str(path))}, header = true, delim = {quoted(chosen.separator)}, "
        f"quote = {quoted(chosen.quote)}, escape = {quoted(chosen.quote)}, "
        f"comment = '{'#' if chosen.metadata_header else ''}', "
        f"nullstr = {quoted(chosen.null_value)}, types = {{label: VARCHAR, value: DOUBLE}})"
    )
    with duckdb.connect() as session:
        types = dict(
            session.execute(f"SELECT column_name, column_type FROM (DESCRIBE {query})").fetchall()
        )
        assert list(types) == TABLE.names
        assert types["time_bin"] == "TIMESTAMP WITH TIME ZONE"
        assert (types["seed"], types["final"]) == ("BIGINT", "BOOLEAN")
        return session.execute(f"SELECT label, value {query}").fetchall()


READERS: list[Callable[[CsvSink, Path], Cells]] = [
    by_csv,
    by_polars,
    by_pandas,
    by_arrow,
    by_duckdb,
]


def comparable(cells: Cells, null: str) -> list[tuple[str, str]]:
    """Nulls as their text, which some readers do not distinguish from quoted text."""
    shown = [null if not isinstance(label, str) else label for label, _ in cells]
    return list(zip(shown, (repr(float(value)) for _, value in cells), strict=True))


def check(path: Path, frame: pl.DataFrame, readers: Any = tuple(READERS), **options: Any) -> None:
    chosen = sink(**options)
    write(chosen, path, frame)
    expected = comparable(frame.select("label", "value").rows(), chosen.null_value)
    for reader in readers:
        assert comparable(reader(chosen, path), chosen.null_value) == expected, reader.__name__


def is_refused(**options: Any) -> bool:
    try:
        sink(**options)
    except ValidationError:
        return True
    return False


def unquoted_characters(folder: Path, style: str) -> set[str]:
    """Characters of the typed cells that are written without quotes."""
    path = folder / "plain.csv"
    write(sink(quote_style=style, separator="|", metadata_header=False), path, rows())
    return {
        character
        for row in path.read_text().replace("a\nb", "").splitlines()[1:]
        for place, cell in enumerate(row.split("|"))
        if place != 1 and not cell.startswith('"')
        for character in cell
    }


@pytest.mark.parametrize("style", ["necessary", "non_numeric", "always"])
def test_every_separator(tmp_path: Path, style: str) -> None:
    """Accepted are exactly those that occur in no cell without quotes."""
    others = {one for one in PRINTABLE if not is_refused(separator=one, quote_style=style)}
    in_cells = unquoted_characters(tmp_path, style)
    assert others == {*PRINTABLE} - in_cells - {'"', "#"}
    assert (":" in in_cells, "7" in in_cells) == (style == "necessary", style != "always")
    # Where all cells are quoted, readers have the same to do with every separator.
    for separator in sorted(others) if style == "necessary" else (":", "T", ",", "\t"):
        if separator not in in_cells:
            # Arrow and Polars take quoted numbers for text, or quoted nulls for no numbers.
            readers = READERS if style == "necessary" else [by_csv]
            check(
                tmp_path / "e.csv",
                rows(separator),
                readers,
                separator=separator,
                quote_style=style,
            )


def test_every_quote(tmp_path: Path) -> None:
    accepted = {one for one in PRINTABLE if not is_refused(quote=one, separator="|")}
    assert accepted == {*string.punctuation} - {*"-+.:_#|"}
    for quote in sorted(accepted):
        check(tmp_path / "e.csv", rows(quote, "|", f"|{quote}"), quote=quote, separator="|")


def test_comment_signs_without_a_header(tmp_path: Path) -> None:
    for options in ({"separator": "#"}, {"quote": "#"}, {"null_value": "#N/A"}):
        assert is_refused(**options)
        check(tmp_path / "e.csv", rows("#"), metadata_header=False, **options)


@pytest.mark.parametrize("header", [True, False])
def test_every_null_value_of_one_character(tmp_path: Path, header: bool) -> None:
    accepted = [one for one in PRINTABLE if not is_refused(null_value=one, metadata_header=header)]
    refused = {*string.digits, '"', ",", "\t", *("#" if header else "")}
    assert {*PRINTABLE} - {*accepted} == refused
    for null in accepted[:: 1 if header else 8]:
        check(tmp_path / "e.csv", rows(), null_value=null, metadata_header=header)


@pytest.mark.parametrize("null", ["NULL", "null", "None", "\\N", "N/A", "n/a", "--", "[]", "a b"])
def test_usual_null_values(tmp_path: Path, null: str) -> None:
    check(tmp_path / "e.csv", rows(null), null_value=null)


@pytest.mark.parametrize(
    "null",
    ["1.0", "0", "-1", "1e3", "NaN", "nan", "inf", "-inf", "Infinity", " 7 ", "true", "False",
     "2025-01-01T00:00:00Z", "2025-01-01", "#", "#N/A", "a#", 'a"', "a,b"],
)  # fmt: skip
@pytest.mark.parametrize("style", ["necessary", "non_numeric"])
def test_null_values_that_are_values(null: str, style: str) -> None:
    assert is_refused(null_value=null, quote_style=style)


@pytest.mark.parametrize(
    ("options", "name"),
    [({"null_value": "value"}, "value"), ({"null_value": "NA", "layout": "wide"}, "NA")],
)
def test_a_null_value_that_names_a_column(
    tmp_path: Path, options: dict[str, Any], name: str
) -> None:
    """DuckDB takes such a name for missing, quoted or not."""
    runs = write_runs(tmp_path / "runs", spec("run_a", "NA@A@X"))
    settings = config(runs, {"path": tmp_path / "out.csv", **options})
    with pytest.raises(ConfigError, match=f"null_value '{name}' is also the name of a column"):
        export(settings)
    assert not (tmp_path / "out.csv").exists()


@settings(max_examples=200)
@given(
    st.floats(),
    st.integers(-(2**63), 2**63 - 1),
    st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)),  # noqa: DTZ001
)
def test_typed_cells_hold_the_declared_characters_alone(
    number: float, whole: int, moment: datetime
) -> None:
    numbers = str(pl.Series([number]).cast(pl.String)[0]) + str(whole)
    assert set(numbers) <= csv_dialect.NUMBER_CHARACTERS
    instants = pl.Series([moment], dtype=pl.Datetime("us")).dt.replace_time_zone("UTC")
    for has_fractions in (False, True):
        (cell,) = text.render_timestamps(instants, "", has_fractions=has_fractions).to_pylist()
        assert set(cell) <= csv_dialect.TIMESTAMP_CHARACTERS
