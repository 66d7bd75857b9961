"""Every dialect through every format on every storage, read by everyone's readers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
import pytest

from connectors.storage import StorageOptions, connect
from pipeline.exports.report import Report
from pipeline.exports.run import export
from tests.exporting import config, upload
from tests.read_outputs import ReadRun, exact, iso, read_runs
from tests.run_builder import BUNDLES, DIALECTS, write_bundles, write_run

STORES = ("local", "rclone", "moto")
COLUMNS = ["time_bin", "component_id", "measure", "class", "value", "run_name", "bin_index"]
FILES = ("export.csv", "export.ndjson", "export.parquet", "nulls.ndjson")
INSTANT = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Exported:
    """One export of all dialects, its files brought to this machine."""

    folder: Path
    runs: list[ReadRun]
    report: Report

    def path(self, name: str) -> str:
        return str(self.folder / name)


@pytest.fixture(scope="module", params=STORES)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    base = tmp_path_factory.mktemp("matrix")
    for name, build in DIALECTS.items():
        write_run(base / "runs", build(name))
    write_bundles(base / "runs")
    storage: dict[str, Any] = {}
    url, options = str(base), None
    if request.param != "local":
        server = request.getfixturevalue(f"{request.param}_s3")
        options = server.options()
        url = f"s3://{server.bucket}/{base.name}"
        storage = {"s3": {"protocol": "s3", **options.options}}
        upload(base / "runs", f"{url}/runs", options)
    named = {"storage": "s3"} if storage else {}
    sinks: list[dict[str, Any]] = [{"path": f"{url}/out/{name}", **named} for name in FILES]
    sinks[-1]["non_finite"] = "null"
    settings = config(
        f"{url}/runs",
        *sinks,
        storage=storage,
        source=named,
        metadata={"columns": ["run_name", "bin_index"]},
    )
    report = export(settings)
    _download(f"{url}/out", options, base / "read")
    return Exported(base / "read", read_runs(base / "runs"), report)


def _download(url: str, options: StorageOptions | None, folder: Path) -> None:
    storage, root = connect(url, options)
    folder.mkdir()
    for place in storage.walk(root):
        for entry in place.files:
            (folder / entry.path.rpartition("/")[2]).write_bytes(storage.read(entry.path))


# --- readers: rows as tuples in the order of COLUMNS, and the types they saw ------------------

Table = tuple[list[tuple[Any, ...]], dict[str, str]]


def duckdb_rows(query: str, path: str) -> Table:
    with duckdb.connect() as session:
        session.execute("set timezone = 'UTC'")
        described = session.execute(f"describe select * from {query}", [path]).fetchall()
        # Without pytz DuckDB hands out no zoned instants: in UTC the zone can be left off.
        instants = f"select * replace (time_bin::timestamp as time_bin) from {query}"
        found = session.execute(instants, [path]).fetchall()
        return found, {row[0]: row[1] for row in described}


def polars_rows(frame: pl.DataFrame) -> Table:
    return frame.rows(), {name: str(kind) for name, kind in frame.schema.items()}


def arrow_rows(table: pa.Table) -> Table:
    columns = [column.to_pylist() for column in table.columns]
    types = {field.name: str(field.type) for field in table.schema}
    return list(zip(*columns, strict=True)), types


def pandas_rows(frame: pd.DataFrame) -> Table:
    types = {str(name): str(kind) for name, kind in frame.dtypes.items()}
    columns = [
        [None if name != "value" and pd.isna(cell) else cell for cell in frame[name].tolist()]
        for name in frame.columns
    ]
    return list(zip(*columns, strict=True)), types


def header_lines(path: str) -> int:
    with open(path, encoding="utf-8") as file:
        return sum(1 for line in file if line.startswith("#"))


NDJSON_TYPES = dict.fromkeys(COLUMNS, pl.String) | {"bin_index": pl.Int64}
DUCKDB_NDJSON = (
    "read_ndjson(?, columns={time_bin: 'TIMESTAMPTZ', component_id: 'VARCHAR', "
    "measure: 'VARCHAR', class: 'VARCHAR', value: 'DOUBLE', run_name: 'VARCHAR', "
    "bin_index: 'BIGINT'})"
)


def polars_ndjson(path: str) -> Table:
    frame = pl.read_ndjson(path, schema_overrides=NDJSON_TYPES)
    return polars_rows(frame.with_columns(pl.col("value").cast(pl.Float64)))


def pandas_ndjson(path: str) -> Table:
    # pandas.read_json cannot read 5e-324; what json reads, pandas takes.
    frame = pd.DataFrame([json.loads(line) for line in Path(path).read_text().splitlines()])
    return pandas_rows(frame.astype({"value": float}))


READERS: dict[tuple[str, str], Callable[[str], Table]] = {
    ("export.csv", "duckdb"): lambda p: duckdb_rows("read_csv(?, comment='#')", p),
    ("export.csv", "polars"): lambda p: polars_rows(
        pl.read_csv(p, comment_prefix="#", try_parse_dates=True)
    ),
    ("export.csv", "pyarrow"): lambda p: arrow_rows(
        pa.csv.read_csv(
            p,
            read_options=pa.csv.ReadOptions(skip_rows=header_lines(p)),
            convert_options=pa.csv.ConvertOptions(
                strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        )
    ),
    ("export.csv", "pandas"): lambda p: pandas_rows(
        pd.read_csv(p, comment="#", parse_dates=["time_bin"])
    ),
    ("export.ndjson", "duckdb"): lambda p: duckdb_rows(DUCKDB_NDJSON, p),
    ("export.ndjson", "polars"): polars_ndjson,
    ("export.ndjson", "pandas"): pandas_ndjson,
    ("nulls.ndjson", "pyarrow"): lambda p: arrow_rows(pa.json.read_json(p)),
    ("export.parquet", "duckdb"): lambda p: duckdb_rows("read_parquet(?)", p),
    ("export.parquet", "polars"): lambda p: polars_rows(pl.read_parquet(p)),
    ("export.parquet", "pyarrow"): lambda p: arrow_rows(pa.parquet.read_table(p)),
    ("export.parquet", "pandas"): lambda p: pandas_rows(pd.read_parquet(p)),
}
TYPES = {
    "duckdb": {"time_bin": "TIMESTAMP WITH TIME ZONE", "value": "DOUBLE", "measure": "VARCHAR"},
    "polars": {"time_bin": str(INSTANT), "value": "Float64", "bin_index": "Int64"},
    "pyarrow": {"time_bin": "timestamp[us, tz=UTC]", "value": "double", "measure": "string"},
    "pandas": {"time_bin": "datetime64[us, UTC]", "value": "float64", "bin_index": "int64"},
}
NOT_TYPED = {  # JSON has no instants; Arrow's CSV reader takes whole seconds for seconds
    ("export.csv", "pyarrow"): {"time_bin": "timestamp[s, tz=UTC]"},
    ("nulls.ndjson", "pyarrow"): {"time_bin": "timestamp[s]"},
    ("export.ndjson", "polars"): {"time_bin": "String"},
    ("export.ndjson", "pandas"): {"time_bin": "str"},
}
CASES = [pytest.param(file, who, id=f"{file}-{who}") for file, who in READERS]


@lru_cache(maxsize=64)
def read(path: str, file: str, who: str) -> Table:
    return READERS[file, who](path)


def _comparable(row: tuple[Any, ...]) -> tuple[Any, ...]:
    moment = row[0]
    if isinstance(moment, datetime):
        moment = iso(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return (moment, *row[1:4], math.nan if row[4] is None else row[4])


@pytest.mark.parametrize(("file", "who"), CASES)
@pytest.mark.parametrize("dialect", [*DIALECTS, *BUNDLES])
def test_every_value_of_every_dialect(
    exported: Exported, dialect: str, file: str, who: str
) -> None:
    rows, _ = read(exported.path(file), file, who)
    (run,) = [one for one in exported.runs if one.name == dialect]
    expected = run.rows
    if file.startswith("nulls"):
        nothing = [math.nan if not math.isfinite(row[4]) else row[4] for row in expected]
        expected = [(*row[:4], value) for row, value in zip(expected, nothing, strict=True)]
    found = [_comparable(row) for row in rows if row[5] == dialect]
    assert exact(found) == exact(expected)
    bins = [row[6] for row in rows if row[5] == dialect]
    assert bins == list(range(len(bins) // len(run.series))) * len(run.series)


@pytest.mark.parametrize(("file", "who"), CASES)
def test_order_and_types(exported: Exported, file: str, who: str) -> None:
    rows, types = read(exported.path(file), file, who)
    assert list(types) == COLUMNS
    wanted = TYPES[who] | NOT_TYPED.get((file, who), {})
    assert {name: types[name] for name in wanted} == wanted
    assert len(rows) == sum(len(run.rows) for run in exported.runs) == exported.report.rows_read
    order = list(dict.fromkeys(row[5] for row in rows))
    assert order == [run.name for run in exported.runs]


def test_the_descriptor_counts_them(exported: Exported) -> None:
    found = json.loads((exported.folder / "export.datapackage.json").read_text())
    total = sum(len(run.rows) for run in exported.runs)
    odd = sum(not math.isfinite(row[4]) for run in exported.runs for row in run.rows)
    assert odd > 0
    counts = {r["path"]: (r["rowCount"], r["nonFiniteCount"]) for r in found["resources"]}
    assert counts == {name: (total, odd) for name in FILES if name.startswith("export")}
    assert [run["name"] for run in found["flowtime"]["runs"]] == [r.name for r in exported.runs]
