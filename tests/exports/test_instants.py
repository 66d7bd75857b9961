"""Instants with fractions of a second: one rule for every column in every format."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.exports.run import export
from pipeline.imports import import_export
from pipeline.verification import verify
from tests.datapackage.test_descriptor import complaints
from tests.exporting import config, spec, write_runs

COLUMNS = ["time_bin", "created_at", "time_origin", "exported_at"]
FORMATS = ("csv", "ndjson", "parquet")
NOW = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
# .NET writes ticks of 100 ns: what is below a microsecond is cut.
STARTS = {"run_a": "2025-01-01T00:00:00.5Z", "run_b": "2025-01-01T00:00:00Z"}
CREATED = {"run_a": "2025-01-02T03:04:05Z", "run_b": "2025-01-02T00:00:00.1234567Z"}


def runs(folder: Path) -> Path:
    made = [
        spec(name, "arrivals@A@X", origin=("grid.start", STARTS[name]), created=CREATED[name])
        for name in STARTS
    ]
    return write_runs(folder, *made)


def exported(folder: Path, path: str, **sink: Any) -> Path:
    settings = config(
        runs(folder / "runs"),
        {"path": folder / "out" / path, **sink},
        metadata={"columns": ["run_id", *COLUMNS[1:]]},
    )
    export(settings, now=NOW)
    return folder / "out"


def expected() -> list[tuple[str, ...]]:
    """The four instants of each row, as text."""
    rows = []
    for name, begin in (("run_a", "00.500000Z"), ("run_b", "00.000000Z")):
        created = "05.000000Z" if name == "run_a" else "00.123456Z"
        created = f"2025-01-02T{'03:04' if name == 'run_a' else '00:00'}:{created}"
        origin = f"2025-01-01T00:00:{begin}"
        rows += [
            (f"2025-01-01T{hour:02d}:00:{begin}", created, origin, "2026-02-03T04:05:06.000789Z")
            for hour in range(4)
        ]
    return rows


def as_text(table: pa.Table) -> list[tuple[str, ...]]:
    columns = [table[name].to_pylist() for name in COLUMNS]
    shown = [[moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for moment in one] for one in columns]
    return list(zip(*shown, strict=True))


def cells(path: Path) -> list[tuple[str, ...]]:
    """The four columns as they are written, or as Arrow reads them."""
    if path.suffix == ".parquet":
        return as_text(pq.read_table(path))
    text = path.read_text()
    if path.suffix == ".ndjson":
        found = [json.loads(line) for line in text.splitlines()]
    else:
        found = list(csv.DictReader(row for row in text.splitlines() if row[:1] != "#"))
    return [tuple(row[name] for name in COLUMNS) for row in found]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_keeps_microseconds(tmp_path: Path, form: str) -> None:
    assert cells(exported(tmp_path, f"e.{form}") / f"e.{form}") == expected()


@pytest.mark.parametrize("form", FORMATS)
def test_the_columns_of_a_file_depend_on_its_runs_alone(tmp_path: Path, form: str) -> None:
    """Whole seconds keep their bytes; a column is written in one way."""
    out = exported(tmp_path, "{run_id}." + form)
    both = expected()
    if form == "parquet":
        assert cells(out / "run_a.parquet") + cells(out / "run_b.parquet") == both
        return
    plain = [tuple(cell.replace(".000000Z", "Z") for cell in row) for row in both]
    assert cells(out / f"run_a.{form}") + cells(out / f"run_b.{form}") == plain


def test_readers_see_the_same_types_and_instants(tmp_path: Path) -> None:
    for form in FORMATS:
        exported(tmp_path, f"e.{form}")
    out = tmp_path / "out"
    parquet = pq.read_table(out / "e.parquet").select(COLUMNS)
    by_polars = pl.read_csv(out / "e.csv", comment_prefix="#", try_parse_dates=True)
    assert as_text(by_polars.to_arrow()) == expected()
    by_pandas = pd.read_csv(out / "e.csv", comment="#", parse_dates=COLUMNS)
    assert as_text(pa.Table.from_pandas(by_pandas[COLUMNS])) == expected()
    with duckdb.connect() as session:
        session.execute("SET timezone = 'UTC'")
        for query in (
            "read_csv(?, comment = '#')",
            "read_json(?, columns = {" + ", ".join(f"{n}: TIMESTAMPTZ" for n in COLUMNS) + "})",
        ):
            path = out / ("e.csv" if "csv" in query else "e.ndjson")
            found = session.sql(f"SELECT {', '.join(COLUMNS)} FROM {query}", params=[str(path)])
            assert as_text(found.to_arrow_table()) == as_text(parquet) == expected()


@pytest.mark.parametrize("layout", ["long", "wide"])
@pytest.mark.parametrize("form", FORMATS)
def test_verified_imported_and_described(tmp_path: Path, form: str, layout: str) -> None:
    out = exported(tmp_path, f"e.{form}", layout=layout)
    report = verify(str(out / "e.datapackage.json"), str(tmp_path / "runs"))
    assert report.ok, report.as_text()
    assert complaints(out / "e.datapackage.json") == []
    import_export([str(out / "e.datapackage.json")], str(tmp_path / "back"))
    again = verify(str(out / f"e.{form}"), str(tmp_path / "back"))
    assert again.ok, again.as_text()


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("filtered", [False, True], ids=["whole", "filtered"])
def test_verify_notices_another_fraction(
    tmp_path: Path, form: str, column: str, filtered: bool
) -> None:
    blocks: dict[str, Any] = {"transform": {"filter": "value >= 0"}} if filtered else {}
    path = tmp_path / f"e.{form}"
    settings = config(
        runs(tmp_path / "runs"),
        {"path": path},
        metadata={"columns": ["run_id", *COLUMNS[1:]]},
        **blocks,
    )
    export(settings, now=NOW)
    descriptor = tmp_path / "e.datapackage.json"
    assert verify(str(descriptor), str(tmp_path / "runs")).ok
    if form == "parquet":
        table = pq.read_table(path)
        cut = pl.Series(table[column]).dt.truncate("1s").to_arrow().cast(table[column].type)
        place = table.column_names.index(column)
        kept = table.set_column(place, table.field(place), cut)
        pq.write_table(kept.replace_schema_metadata(pq.read_metadata(path).metadata), path)
    else:
        text = path.read_text()
        begin = text.index("time_bin,") if form == "csv" else 0
        cut_text = text[begin:]
        for row in {row[COLUMNS.index(column)] for row in expected()}:
            cut_text = cut_text.replace(row, row[:-8] + ".000000Z")
        path.write_text(text[:begin] + cut_text)
    found = json.loads(descriptor.read_text())
    (resource,) = found["resources"]
    resource["bytes"] = path.stat().st_size
    resource["hash"] = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    descriptor.write_text(json.dumps(found))
    report = verify(str(descriptor), str(tmp_path / "runs"))
    (problem,) = report.files[0].problems
    assert "expected" in problem or "no such series" in problem


def test_verify_notices_a_run_that_begins_at_another_time(tmp_path: Path) -> None:
    out = exported(tmp_path, "e.csv")
    for name, text in (("run_a", STARTS["run_a"]), ("run_b", CREATED["run_b"])):
        for file in ("spec.yaml", "run.json"):
            place = tmp_path / "runs" / name / file
            place.write_text(place.read_text().replace(text, text[:19] + ".25Z"))
    report = verify(str(out / "e.csv"), str(tmp_path / "runs"))
    assert [one.problems for one in report.comparisons] == [
        (
            "run run_a: its time origin is 2025-01-01T00:00:00.250000Z; "
            "2025-01-01T00:00:00.500000Z was exported",
            "run run_b: created is 2025-01-02T00:00:00.250000Z; "
            "2025-01-02T00:00:00.123456Z was exported",
        )
    ]


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("time_bin = '2025-01-01T01:00:00.5Z'", 1),
        ("time_bin > '2025-01-01T00:00:00.49Z'", 7),
        ("created_at = '2025-01-02T00:00:00.123456Z'", 4),
        ("created_at < '2025-01-02T00:00:00.123456Z'", 0),
        ("time_origin BETWEEN '2025-01-01T00:00:00.4Z' AND '2025-01-01T00:00:00.6Z'", 4),
    ],
)
def test_conditions_on_fractions(tmp_path: Path, condition: str, rows: int) -> None:
    settings = config(
        runs(tmp_path / "runs"),
        {"path": tmp_path / "e.csv"},
        metadata={"columns": ["run_id", *COLUMNS[1:]]},
        transform={"filter": condition},
    )
    assert export(settings, now=NOW).targets[0].rows == rows


def test_a_long_grid_of_fractions_is_parsed_and_written_alike(tmp_path: Path) -> None:
    """Across days, and with more rows than a block of lines."""
    start = datetime(2024, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC)
    values = [float(place) for place in range(5_000)]
    made = spec("run_a", "m@A@X", values=values, origin=("grid.start", start.isoformat()))
    folder = write_runs(tmp_path / "runs", made)
    export(config(folder, {"path": tmp_path / "e.csv", "columns": ["time_bin", "value"]}))
    rows = [line for line in (tmp_path / "e.csv").read_text().splitlines() if line[:1] != "#"]
    moments = [start + timedelta(hours=place) for place in range(5_000)]
    assert [row.partition(",")[0] for row in rows[1:]] == [
        moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for moment in moments
    ]
    assert verify(str(tmp_path / "e.csv"), str(folder)).ok
