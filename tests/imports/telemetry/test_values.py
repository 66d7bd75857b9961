"""Foreign tables of any writer and any order, value for value."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from connectors.storage import connect
from pipeline.imports.telemetry import ForeignOptions, open_foreign
from tests.examples import in_parts
from tests.imports.telemetry.tables import HEADER, START, all_bits, imported, stamp, write
from tests.run_builder import AWKWARD
from tests.servers import S3Server

NAMES = st.text("ABCabc019._-", min_size=1, max_size=6)
DOUBLES = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True), st.sampled_from(AWKWARD)
)
Table = dict[str, list[float]]


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, int]:
    """Series by id, and the width of a bin in minutes."""
    keys = draw(
        st.lists(st.tuples(NAMES, NAMES, NAMES), min_size=1, max_size=5, unique_by=lambda k: k)
    )
    bins = draw(st.integers(2, 8))
    series = {"@".join(key): draw(st.lists(DOUBLES, min_size=bins, max_size=bins)) for key in keys}
    return series, draw(st.sampled_from([1, 5, 7, 60, 1440, 10080]))


def rows_of(table: Table, minutes: int, random: Random) -> list[dict[str, Any]]:
    """The rows of a table in any order."""
    rows = [
        {
            "time_bin": stamp(number, minutes),
            "component_id": name.split("@")[1],
            "measure": name.split("@")[0],
            "class": name.split("@")[2],
            "value": value,
        }
        for name, values in table.items()
        for number, value in enumerate(values)
    ]
    random.shuffle(rows)
    return rows


def csv_bytes(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), quoting=csv.QUOTE_MINIMAL)
    writer.writeheader()
    writer.writerows({**row, "value": repr(row["value"])} for row in rows)
    return text.getvalue().encode()


def ndjson_bytes(rows: list[dict[str, Any]]) -> bytes:
    def plain(row: dict[str, Any]) -> dict[str, Any]:
        value = row["value"]
        return row if math.isfinite(value) else {**row, "value": repr(value)}

    return "".join(json.dumps(plain(row)) + "\n" for row in rows).encode()


def parquet_bytes(rows: list[dict[str, Any]]) -> bytes:
    table = pa.Table.from_pylist(rows)
    instants = pa.array(pd.to_datetime([row["time_bin"] for row in rows]))
    sink = io.BytesIO()
    pq.write_table(table.set_column(0, "time_bin", instants), sink, row_group_size=7)
    return sink.getvalue()


WRITERS = {"csv": csv_bytes, "ndjson": ndjson_bytes, "parquet": parquet_bytes}


@pytest.mark.parametrize("form", WRITERS)
@in_parts(300)
@given(tables(), st.randoms(use_true_random=False), st.sampled_from([24, 480, 64_000_000]))
def test_any_table_in_any_order_bit_for_bit(
    form: str, made: tuple[Table, int], random: Random, budget: int
) -> None:
    table, minutes = made
    data = WRITERS[form](rows_of(table, minutes, random))
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"t.{form}"
        path.write_bytes(data)
        found = imported(path, budget=budget)
    assert all_bits(found.values) == all_bits(table)
    assert [series.id for series in found.run.series] == sorted(table)
    assert (found.run.time_origin, found.run.grid.bin_minutes) == (START, minutes)


# --- what other tools write -------------------------------------------------------------------

PLAIN: Table = {
    "arrivals@A@DEFAULT": [1.0, 2.5, math.nan],
    "served@A@DEFAULT": [0.1, -0.0, 1e-300],
    "served@B@DEFAULT": [5e-324, 1.5, 1e308],
}


def frame() -> pd.DataFrame:
    rows = rows_of(PLAIN, 5, Random(1))
    made = pd.DataFrame(rows).drop(columns="class")
    made["time_bin"] = pd.to_datetime(made["time_bin"])
    return made


def by_duckdb(path: Path, how: str) -> None:
    made = frame()
    with duckdb.connect() as session:
        session.execute("set timezone = 'UTC'")
        session.register("made", made)
        session.execute(f"copy made to '{path}' ({how})")


def spark_csv(folder: Path) -> None:
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    rows = rows_of(PLAIN, 5, Random(2))
    for number, part in enumerate((rows[:4], rows[4:])):
        lines = [
            f"{r['time_bin'][:-1]}.000Z,{r['component_id']},{r['measure']},"
            + ("NaN" if math.isnan(r["value"]) else repr(r["value"]).upper().replace("E+", "E"))
            for r in part
        ]
        write(folder / f"part-0000{number}-x.csv", *lines)


def spark_parquet(folder: Path) -> None:
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    table = pa.Table.from_pandas(frame(), preserve_index=False)
    for number in range(2):
        pq.write_table(
            table.slice(number * 5, 5),
            folder / f"part-0000{number}.snappy.parquet",
            use_deprecated_int96_timestamps=True,
        )


def naive(made: pd.DataFrame) -> pd.DataFrame:
    return made.assign(time_bin=made["time_bin"].dt.tz_localize(None))


TOOLS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "pandas csv": (lambda p: frame().to_csv(p, index=False), "t.csv", {}),
    "pandas csv with index": (lambda p: frame().to_csv(p), "t.csv", {}),
    "pandas csv naive": (lambda p: naive(frame()).to_csv(p, index=False), "t.csv", {}),
    "pandas csv gz": (lambda p: frame().to_csv(p, index=False), "t.csv.gz", {}),
    "pandas csv zst": (lambda p: frame().to_csv(p, index=False), "t.csv.zst", {}),
    "pandas tsv": (lambda p: frame().to_csv(p, index=False, sep="\t"), "t.tsv", {}),
    "pandas quoted": (lambda p: frame().to_csv(p, index=False, quoting=1, sep=";"), "t.csv", {}),
    "pandas bom crlf": (
        lambda p: frame().to_csv(p, index=False, encoding="utf-8-sig", lineterminator="\r\n"),
        "t.csv",
        {},
    ),
    "pandas parquet": (lambda p: frame().to_parquet(p), "t.parquet", {}),
    "pandas parquet naive": (lambda p: naive(frame()).to_parquet(p), "t.parquet", {}),
    "pandas parquet categories": (
        lambda p: frame().astype({"measure": "category"}).to_parquet(p),
        "t.parquet",
        {},
    ),
    "pandas lines iso": (
        lambda p: frame().to_json(p, orient="records", lines=True, date_format="iso"),
        "t.jsonl",
        {"_digits": 10},
    ),
    "pandas lines epoch": (
        lambda p: (
            frame()
            .assign(time_bin=frame()["time_bin"].astype("datetime64[ms, UTC]").astype("int64"))
            .to_json(p, orient="records", lines=True)
        ),
        "t.ndjson",
        {"_digits": 10, "time_unit": "ms"},
    ),
    "duckdb csv": (lambda p: by_duckdb(p, "format csv"), "t.csv", {}),
    "duckdb csv delim": (lambda p: by_duckdb(p, "format csv, delimiter '|'"), "t.csv", {}),
    "duckdb json": (lambda p: by_duckdb(p, "format json"), "t.ndjson", {}),
    "duckdb parquet": (lambda p: by_duckdb(p, "format parquet, compression zstd"), "t.parquet", {}),
    "polars csv": (lambda p: pl.from_pandas(frame()).write_csv(p), "t.csv", {}),
    "polars ndjson": (lambda p: pl.from_pandas(frame()).write_ndjson(p), "t.ndjson", {}),
    "polars parquet": (lambda p: pl.from_pandas(frame()).write_parquet(p), "t.parquet", {}),
    "spark csv": (spark_csv, "out", {}),
    "spark parquet": (spark_parquet, "out", {}),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_what_other_tools_write(tool: str, tmp_path: Path) -> None:
    write_it, name, options = TOOLS[tool]
    path = tmp_path / name
    write_it(path)
    asked = {key: value for key, value in options.items() if not key.startswith("_")}
    found = imported(path, **asked)
    if "_digits" in options:  # pandas writes JSON numbers with at most 15 decimals
        finite = {name: values[:2] for name, values in found.values.items()}
        assert finite["arrivals@A@DEFAULT"] == [1.0, 2.5]
        assert finite["served@A@DEFAULT"] == [0.1, 0.0]
    else:
        assert all_bits(found.values) == all_bits(PLAIN)
    assert found.run.grid.bins == 3
    assert found.run.grid.bin_minutes == 5
    assert found.run.time_origin == START
    assert found.run.source == found.run.mode == "telemetry"


def test_several_compressed_members_are_one_file(tmp_path: Path) -> None:
    lines = [f"{stamp(n)},A,served,{n}.5\n".encode() for n in range(4)]
    head = f"{HEADER}\n".encode()
    zipped = gzip.compress(head + lines[0]) + gzip.compress(b"".join(lines[1:]))
    (tmp_path / "t.csv.gz").write_bytes(zipped)
    pack = zstandard.ZstdCompressor().compress
    (tmp_path / "t.csv.zst").write_bytes(pack(head + lines[0]) + pack(b"".join(lines[1:])))
    for name in ("t.csv.gz", "t.csv.zst"):
        assert imported(tmp_path / name).values == {"served@A@DEFAULT": [0.5, 1.5, 2.5, 3.5]}


def test_on_s3_as_on_disk(moto_s3: S3Server, tmp_path: Path) -> None:
    for form, make in WRITERS.items():
        data = make(rows_of(PLAIN, 5, Random(3)))
        url = f"s3://{moto_s3.bucket}/foreign/t.{form}"
        storage, path = connect(url, moto_s3.options())
        staged = storage.stage(path)
        staged.local.write_bytes(data)
        storage.commit(staged)
        (tmp_path / f"t.{form}").write_bytes(data)
        with open_foreign([url], storage=moto_s3.options()) as found:
            values = {series.id: array.tolist() for series, array in found.series()}
            run_id = found.run.run_id
        there = imported(tmp_path / f"t.{form}")
        assert all_bits(values) == all_bits(there.values) == all_bits(PLAIN)
        assert run_id == there.run.run_id


# --- spellings --------------------------------------------------------------------------------

SPELLINGS = {
    "NaN": math.nan, "nan": math.nan, "-nan": math.nan, "": math.nan, "NA": math.nan,
    "null": math.nan, "inf": math.inf, "Infinity": math.inf, "+INF": math.inf,
    "-inf": -math.inf, "-Infinity": -math.inf, "1.#INF": math.inf, "-1.#IND": math.nan,
    "1E+16": 1e16, "1e-05": 1e-5, "+5": 5.0, " 7 ": 7.0, ".5": 0.5, "1.": 1.0, "-0": -0.0,
    "-0.0": -0.0, "4.9406564584124654e-324": 5e-324, "1e-400": 0.0,
    "0.1000000000000000055511151231257827021181583404541015625": 0.1,
}  # fmt: skip


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_spellings_of_numbers(spelled: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", f"{stamp(0)},A,m,{spelled}", f"{stamp(1)},A,m,1")
    expected = {"m@A@DEFAULT": [SPELLINGS[spelled], 1.0]}
    assert all_bits(imported(path).values) == all_bits(expected)


def test_minus_zero_written_as_a_whole_number_in_json(tmp_path: Path) -> None:
    lines = [
        f'{{"time_bin": "{stamp(n)}", "component_id": "A", "measure": "m", "value": {value}}}'
        for n, value in enumerate(("-0", "0", "-0.0", "NaN", "-Infinity", "1E5"))
    ]
    path = tmp_path / "t.ndjson"
    path.write_text("\n\n".join(lines))
    expected = {"m@A@DEFAULT": [-0.0, 0.0, -0.0, math.nan, -math.inf, 1e5]}
    assert all_bits(imported(path).values) == all_bits(expected)


TIMES: dict[str, tuple[tuple[str, str], dict[str, Any], str]] = {
    "offset": (("2025-01-01T01:00:00+01:00", "2025-01-01T01:05:00+01:00"), {}, stamp(0)),
    "space": (("2025-01-01 00:00:00", "2025-01-01 00:05:00"), {}, stamp(0)),
    "ticks": (("2025-01-01T00:00:00.0000000Z", "2025-01-01T00:05:00.0000000Z"), {}, stamp(0)),
    "no seconds": (("2025-01-01T00:00Z", "2025-01-01T00:05Z"), {}, stamp(0)),
    "days": (("2025-01-01", "2025-01-02"), {}, stamp(0)),
    "seconds": (("1735689600", "1735689900"), {"time_unit": "s"}, stamp(0)),
    "milliseconds": (("1735689600000", "1735689900000"), {"time_unit": "ms"}, stamp(0)),
    "microseconds": (("1735689600000000", "1735689900000000"), {"time_unit": "us"}, stamp(0)),
    "berlin": (
        ("2025-01-01T01:00:00", "2025-01-01T01:05:00"),
        {"time_zone": "Europe/Berlin"},
        stamp(0),
    ),
    "bins": (
        ("0", "1"),
        {"time_unit": "bin", "bin_size": "5m", "time_origin": "2025-01-01"},
        stamp(0),
    ),
    "restamped": (
        ("2031-07-07T00:00:00Z", "2031-07-07T00:01:00Z"),
        {"restamp": True, "bin_size": "1d", "time_origin": "2025-01-01"},
        stamp(0),
    ),
    "year one": (("0001-01-01T00:00:00Z", "0001-01-01T00:05:00Z"), {}, "0001-01-01T00:00:00Z"),
}


@pytest.mark.parametrize("name", TIMES)
def test_spellings_of_times(name: str, tmp_path: Path) -> None:
    (first, second), options, start = TIMES[name]
    path = write(tmp_path / "t.csv", f"{second},A,m,2", f"{first},A,m,1")
    found = imported(path, **options)
    assert found.values == {"m@A@DEFAULT": [1.0, 2.0]}
    assert found.run.time_origin.isoformat().replace("+00:00", "Z") == start
    assert found.run.grid.bin_minutes == (1440 if name in ("days", "restamped") else 5)
    said = any("name no time zone" in note for note in found.report.notes)
    assert said == (name in ("space", "days", "berlin"))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_timestamps_of_parquet(unit: str, zone: str | None, tmp_path: Path) -> None:
    seconds = [1735689600 + 300 * n for n in range(3)]
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    times = pa.array([one * factor for one in seconds], pa.timestamp(unit, zone))
    columns = {"time_bin": times, "component_id": ["A"] * 3, "measure": ["m"] * 3}
    pq.write_table(pa.table({**columns, "value": [1, 2, 3]}), tmp_path / "t.parquet")
    found = imported(tmp_path / "t.parquet")
    assert found.values == {"m@A@DEFAULT": [1.0, 2.0, 3.0]}
    assert found.run.time_origin == START


# --- columns ----------------------------------------------------------------------------------


def test_columns_by_other_names_classes_and_extras(tmp_path: Path) -> None:
    path = write(
        tmp_path / "My table (2).csv",
        *(
            f'{stamp(n)},"{node}",served,{cls},{n},{unit},flow,abc,blue,{node}-site,{n}'
            for n in range(3)
            for node, cls, unit in (("A", "", "m/s"), ("B", "vip@x", "kg"))
        ),
        header="timestamp,node,measure,class,value,unit,kind,model_hash,team,site,bin_index",
    )
    found = imported(path, columns={"time_bin": "timestamp", "component_id": "node"})
    first, second = found.run.series
    assert (first.id, first.unit, first.kind, first.class_kind) == (
        "served@A@DEFAULT", "m/s", "flow", "fallback",
    )  # fmt: skip
    assert (second.id, second.component, second.class_name, second.unit, second.class_kind) == (
        "served@B@vip@x", "B", "vip@x", "kg", "specific",
    )  # fmt: skip
    assert found.run.model_hash == "abc"
    assert found.run.extra == {
        "importedColumns": {
            "team": "blue",
            "site": {"served@A@DEFAULT": "A-site", "served@B@vip@x": "B-site"},
        }
    }
    assert "column 'bin_index' was left out: it varies within a series" in found.report.notes
    assert found.run.run_id.startswith("telemetry_My_table_2_")


def test_a_run_id_of_the_table_and_of_the_options(tmp_path: Path) -> None:
    lines = [f"{stamp(n)},A,m,1,{{}}" for n in range(2)]
    good = write(
        tmp_path / "a.csv", *(one.format("run_7") for one in lines), header=f"{HEADER},run_id"
    )
    bad = write(
        tmp_path / "b.csv", *(one.format("../x") for one in lines), header=f"{HEADER},run_id"
    )
    assert imported(good).run.run_id == "run_7"
    assert imported(good, run_id="mine").run.run_id == "mine"
    assert imported(bad).run.run_id.startswith("telemetry_b_")


def test_comments_blank_lines_and_our_own_headers(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        f"# a: 1\n\n# b\n{HEADER}\n{stamp(0)},A,m,1\n\n# note\n{stamp(1)},A,m,2\n   \n", "utf-8"
    )
    assert imported(path).values == {"m@A@DEFAULT": [1.0, 2.0]}


def test_gaps_and_duplicates_by_option(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv",
        *(f"{stamp(n)},A,m,{n}" for n in (0, 1, 3)),
        *(f"{stamp(n)},B,m,{n}" for n in (3, 0, 1, 2, 1)),
        f"{stamp(1)},B,m,9",
    )
    for budget in (24, 64_000_000):
        found = imported(path, gaps="nan", duplicates="last", budget=budget)
        expected = {"m@A@DEFAULT": [0.0, 1.0, math.nan, 3.0], "m@B@DEFAULT": [0.0, 9.0, 2.0, 3.0]}
        assert all_bits(found.values) == all_bits(expected)
        assert (found.report.filled, found.report.replaced) == (1, 2)


def test_the_same_rows_in_another_order_are_the_same_run(tmp_path: Path) -> None:
    lines = [f"{stamp(n)},{c},m,{n}" for n in range(4) for c in "CAB"]
    one = imported(write(tmp_path / "t.csv", *lines), run_id="r")
    two = imported(write(tmp_path / "t.csv", *reversed(lines)), run_id="r")
    assert one.run.series == two.run.series
    assert list(one.values) == list(two.values)


def test_options_are_checked() -> None:
    for wrong in (
        {"columns": {"vlaue": "x"}},
        {"bin_size": "0m"},
        {"bin_size": "soon"},
        {"time_zone": "Mars/Base"},
        {"run_id": "../x"},
        {"class_name": "a/b"},
        {"time_unit": "bin"},
        {"restamp": True},
        {"separator": "x"},
        {"unknown": 1},
    ):
        with pytest.raises(ValueError, match="validation error"):
            ForeignOptions(**wrong)  # type: ignore[arg-type]
    assert ForeignOptions(bin_size="1h").bin_size == 60  # type: ignore[arg-type]
