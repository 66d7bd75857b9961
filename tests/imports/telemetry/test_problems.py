"""What is wrong with a foreign table is named by line, and nothing is written."""

from __future__ import annotations

import gzip
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipeline.imports.telemetry import ForeignDataError, open_foreign
from tests.imports.telemetry.tables import HEADER, imported, refused, reported, stamp, write


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Temporary files go to a folder that must be empty in the end."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def row(number: int, node: str = "A", value: str = "1", measure: str = "m") -> str:
    return f"{stamp(number)},{node},{measure},{value}"


# --- columns and rows that readers understand differently ------------------------------------


@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
@pytest.mark.parametrize("name", ["^.*$", "^val.*$", "*"])
def test_a_column_that_polars_takes_for_a_pattern(tmp_path: Path, name: str, form: str) -> None:
    """Before it was refused, it ended the import with an IndexError."""
    rows = [
        {"time_bin": stamp(n), "component_id": "A", "measure": "m", "value": 1, name: 7}
        for n in range(2)
    ]
    path = tmp_path / f"t.{form}"
    getattr(pl.DataFrame(rows), f"write_{form}")(path)
    (problem,) = refused(path).problems
    line = None if form == "parquet" else 1
    assert (problem.kind, problem.line) == ("column", line)
    assert (problem.found, problem.expected) == (f"a column is called '{name}'", "rename it")


@pytest.mark.parametrize("place", [1, 2, 3])
@pytest.mark.parametrize("gap", ["", " "])
def test_a_key_that_is_there_twice(tmp_path: Path, place: int, gap: str) -> None:
    """Polars takes the first value, Python the last one."""
    lines = [
        f'{{"time_bin":"{stamp(n)}","component_id":"A","measure":"m","value"{gap}:1}}'
        for n in range(3)
    ]
    lines[place - 1] = lines[place - 1].replace("}", ',"value":2}')
    path = tmp_path / "t.ndjson"
    path.write_text("\n".join(lines) + "\n")
    report = refused(path)
    assert reported(report, "row") == [(place, None)]
    assert "the key 'value' is there twice" in report.problems[0].found


def test_half_a_character_in_a_key(tmp_path: Path) -> None:
    path = tmp_path / "t.ndjson"
    path.write_text(
        f'{{"time_bin":"{stamp(0)}","component_id":"A","measure":"m","value":1,"\\ud800":1}}\n'
    )
    assert str(refused(path).problems[0]).endswith(
        r"line 1: half a character in '\ud800'; rename the column"
    )


@pytest.mark.parametrize("second", ["run_b", ""])
def test_a_table_of_several_runs(tmp_path: Path, second: str) -> None:
    """Its rows were taken for those of one run, with a note that the column varies."""
    header = f"{HEADER},run_id"
    lines = [f"{row(0)},run_a", f"{row(1)},run_a", f"{row(0, 'B')},{second}"]
    path = write(tmp_path / "t.csv", *lines, f"{row(1, 'B')},{second}", header=header)
    (problem,) = refused(path).problems
    assert (problem.kind, problem.line, problem.column) == ("column", 4, "run_id")
    assert problem.found == f"run '{second}', while rows before are of 'run_a'"
    assert "a table of its own" in problem.expected
    assert imported(path, run_id="run_c").run.run_id == "run_c"


# --- names, values, times, rows ---------------------------------------------------------------

WRONG_NAMES = ("", "../../etc", "a/b", "a\\b", "a b", "a\x00b", "a\tb", "ü", "a@b", "x" * 513)


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_names_that_cannot_be(name: str, tmp_path: Path) -> None:
    for node, measure, column in ((name, "m", "component_id"), ("A", name, "measure")):
        bad = f'{stamp(1)},"{node}","{measure}",1'
        path = write(tmp_path / "t.csv", row(0), bad, row(1))
        assert reported(refused(path), "name") == [(3, column)]
        objects = [
            {"time_bin": stamp(n), "component_id": c, "measure": m, "value": 1}
            for n, c, m in ((0, "A", "m"), (1, node, measure), (1, "A", "m"))
        ]
        lines = tmp_path / "t.ndjson"
        lines.write_text("".join(json.dumps(one) + "\n" for one in objects))
        assert reported(refused(lines), "name") == [(2, column)]
        pq.write_table(pa.Table.from_pylist(objects), tmp_path / "t.parquet")
        found = refused(tmp_path / "t.parquet", bin_size=5)
        assert (2, column) in [(p.line, p.column) for p in found.problems if p.kind == "name"]


def test_a_class_that_cannot_be_and_an_id_too_long(tmp_path: Path) -> None:
    header = f"{HEADER},class"
    path = write(tmp_path / "t.csv", f"{row(0)},ok", f"{row(1)},a/b", header=header)
    assert reported(refused(path), "name") == [(3, "class")]
    path = write(tmp_path / "u.csv", row(0, "x" * 200, measure="y" * 200), header=HEADER)
    assert refused(path, bin_size=5).counts == {"name": 1}


@pytest.mark.parametrize(
    "value", ["abc", "1,5", "1_000", "0x1F", "--1", "1e", "\u0661", "1e999", "true"]
)
def test_values_that_are_no_numbers(value: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", row(0), row(1, value=f'"{value}"'), row(2))
    assert reported(refused(path), "value") == [(3, "value")]
    text = "\n".join(
        f'{{"time_bin": "{stamp(n)}", "component_id": "A", "measure": "m", "value": {value}}}'
        for n, value in enumerate(("1", "1e999" if value == "1e999" else json.dumps(value), "3"))
    )
    (tmp_path / "t.ndjson").write_text(text)
    assert reported(refused(tmp_path / "t.ndjson"), "value") == [(2, "value")]


@pytest.mark.parametrize(
    "time",
    ["", "soon", "now", "NaT", "2025", "2025-13-01", "2025-02-30T00:00:00Z", "2025-01-01T24:00:00Z",
     "2025-01-01T00:60:00Z", "1735689900", "01/02/2025 00:05", "99999-01-01"],
)  # fmt: skip
def test_times_that_are_none(time: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", row(0), f"{time},A,m,1", row(1))
    assert reported(refused(path), "time") == [(3, "time_bin")]


def test_local_times_that_clocks_skip_or_repeat(tmp_path: Path) -> None:
    times = ("2025-03-30T01:30:00", "2025-03-30T02:30:00", "2025-10-26T02:30:00")
    path = write(tmp_path / "t.csv", *(f"{time},A,m,1" for time in times))
    found = refused(path, time_zone="Europe/Berlin")
    assert reported(found, "time") == [(3, "time_bin"), (4, "time_bin")]


@pytest.mark.parametrize(
    ("time", "zone"),
    [
        ("0000-12-31T23:55:00Z", "UTC"),
        ("0001-01-01T00:00:00+05:00", "UTC"),
        ("0001-01-01T00:00:00", "Europe/Berlin"),
        ("9999-12-31T23:50:00", "America/New_York"),
    ],
)
def test_times_outside_of_the_years_1_to_9999(time: str, zone: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", f"{time},A,m,1", "2025-01-01T00:00:00,A,m,1")
    assert reported(refused(path, time_zone=zone), "time") == [(2, "time_bin")]


@pytest.mark.parametrize("unit", ["ms", "us"])
@pytest.mark.parametrize("zone", ["UTC", None])
@pytest.mark.parametrize("wrong", [2**63 - 1, -(2**63) + 1, 2**62, -62_135_596_800_001])
def test_times_of_parquet_outside_of_the_years(
    unit: str, zone: str | None, wrong: int, tmp_path: Path
) -> None:
    scale = 1 if unit == "ms" else 1000
    odd = wrong * scale if abs(wrong * scale) < 2**63 else wrong
    times = pa.array([0, odd], pa.int64()).cast(pa.timestamp(unit, zone))
    columns = {"time_bin": times, "component_id": ["A"] * 2, "measure": ["m"] * 2}
    pq.write_table(pa.table({**columns, "value": [1, 2]}), tmp_path / "t.parquet")
    found = refused(tmp_path / "t.parquet", time_zone="Europe/Berlin")
    assert reported(found, "time") == [(2, "time_bin")]


def test_dates_far_away(tmp_path: Path) -> None:
    dates = pa.array([0, 2**31 - 1, -(2**31)], pa.int32()).cast(pa.date32())
    columns = {"time_bin": dates, "component_id": ["A"] * 3, "measure": ["m"] * 3}
    pq.write_table(pa.table({**columns, "value": [1, 2, 3]}), tmp_path / "t.parquet")
    found = refused(tmp_path / "t.parquet", time_zone="Europe/Berlin")
    assert reported(found, "time") == [(2, "time_bin"), (3, "time_bin")]


def test_times_with_and_without_a_zone(tmp_path: Path) -> None:
    naive = [f"{stamp(n)[:-1]},A,m,1" for n in (3, 4)]
    path = write(tmp_path / "t.csv", row(0), row(1), row(2), *naive)
    found = refused(path)
    assert reported(found, "zone") == [(5, "time_bin"), (6, "time_bin")]
    assert "line 2" in found.problems[0].expected


def test_rows_that_are_no_rows(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv", row(0), f"{row(1)},9", f"{stamp(2)},A,m", f'{stamp(3)},"A,m,1',
        f'{stamp(3)},"A"x,m,1', row(4),
    )  # fmt: skip
    assert [line for line, _ in reported(refused(path), "row")] == [3, 4, 5, 6]
    lines = ("[1]", "{", '{"a":1}{"b":2}', "x")
    good = f'{{"time_bin": "{stamp(0)}", "component_id": "A", "measure": "m", "value": 1}}'
    (tmp_path / "t.ndjson").write_text("\n".join([good, *lines]))
    assert [line for line, _ in reported(refused(tmp_path / "t.ndjson"), "row")] == [2, 3, 4, 5]


@pytest.mark.parametrize("header", ["time_bin,node,measure,value", "a,b", "time_bin,value,value"])
def test_headers_that_do_not_do(header: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", row(0), header=header)
    assert reported(refused(path), "column")[0][0] == 1


def test_integers_of_parquet_need_a_unit(tmp_path: Path) -> None:
    columns = {"time_bin": [0, 300], "component_id": ["A"] * 2, "measure": ["m"] * 2}
    pq.write_table(pa.table({**columns, "value": [1.0, 2.0]}), tmp_path / "t.parquet")
    found = refused(tmp_path / "t.parquet")
    assert reported(found, "time") == [(1, "time_bin"), (2, "time_bin")]
    assert "time_unit" in found.problems[0].expected
    assert imported(tmp_path / "t.parquet", time_unit="s").values == {"m@A@DEFAULT": [1.0, 2.0]}


# --- the grid ---------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"bin_size": 5}])
def test_gaps_are_named(options: dict[str, Any], tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv", *(row(n) for n in (0, 1, 3, 4)), *(row(n, "B") for n in range(5))
    )
    found = refused(path, **options)
    assert reported(found, "gap") == [(3, None)]
    assert "m@A@DEFAULT has no row for bin 2 (2025-01-01T00:10:00Z)" in found.problems[0].found


def test_duplicates_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", row(0), row(1), row(0), row(2), row(1), row(2, "B"))
    found = refused(path, gaps="nan")
    assert reported(found, "duplicate") == [(4, None), (6, None)]
    assert "m@A@DEFAULT bin 0 (2025-01-01T00:00:00Z)" in found.problems[0].found


def test_one_odd_time_is_named_not_the_gaps_it_makes(tmp_path: Path) -> None:
    lines = [row(n) for n in range(50)]
    lines[7] = f"{stamp(7)[:14]}37:00Z,A,m,1"
    found = refused(write(tmp_path / "t.csv", *lines))
    assert (9, "spacing") in [(p.line, p.kind) for p in found.problems]
    found = refused(write(tmp_path / "t.csv", *lines), bin_size="5m", gaps="nan")
    assert reported(found, "spacing") == [(9, None)]


def test_seconds_are_no_grid(tmp_path: Path) -> None:
    lines = [f"2025-01-01T00:00:{n:02d}Z,A,m,1" for n in (0, 20, 40)]
    found = refused(write(tmp_path / "t.csv", *lines))
    assert [p.line for p in found.problems if p.kind == "spacing"] == [3, 4]


def test_one_time_alone_needs_a_width(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", row(0), row(0, "B"))
    assert reported(refused(path), "grid") == [(2, None)]
    assert imported(path, bin_size="1h").run.grid.bin_minutes == 60


def test_times_before_the_origin(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", row(0), row(1), row(2))
    found = refused(path, time_origin=stamp(1))
    assert reported(found, "spacing") == [(2, None)]
    later = imported(path, time_origin="2024-12-31T23:55:00Z", gaps="nan")
    assert later.run.grid.bins == 4


def test_the_first_twenty_and_the_count(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", *(row(n, value="x") for n in range(500)))
    found = refused(path)
    assert [p.line for p in found.problems] == list(range(2, 22))
    assert found.counts == {"value": 500}
    assert "and 480 more" in found.as_text()
    shown = json.loads(json.dumps(found.as_json()))
    assert (shown["ok"], shown["problemCounts"], len(shown["problems"])) == (
        False,
        {"value": 500},
        20,
    )
    with pytest.raises(ForeignDataError, match=r"line 2, value: 'x'.*\(and 499 more"):
        imported(path)


def test_lines_of_several_files(tmp_path: Path) -> None:
    one = write(tmp_path / "a.csv", row(0), row(1))
    two = write(tmp_path / "b.csv", row(2), row(3, value="x"))
    found = refused(one, two)
    assert [(p.file, p.line) for p in found.problems] == [(str(two), 3)]


# --- hostile files ----------------------------------------------------------------------------


@pytest.mark.parametrize("place", [1, 3, 40_000])
def test_bytes_that_are_not_utf8(place: int, tmp_path: Path) -> None:
    lines = [f"{HEADER}".encode(), *(row(n).encode() for n in range(place + 5))]
    lines[place] = lines[place].replace(b"A", b"\xff")
    (tmp_path / "t.csv").write_bytes(b"\n".join(lines))
    found = refused(tmp_path / "t.csv")
    assert [(p.kind, p.line) for p in found.problems] == [("file", place + 1)]


@pytest.mark.parametrize(
    "data",
    [b"", b"\n\n", b"\xef\xbb\xbf", "a,b\n".encode("utf-16"), b"PAR1" + b"x" * 50, b"PK\x03\x04abc",
     b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"x" * 3_000_000, f"{HEADER}\n".encode(), b"\x00" * 100],
)  # fmt: skip
@pytest.mark.parametrize("name", ["t.csv", "t.ndjson", "t.parquet"])
def test_files_that_are_none(data: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    assert refused(tmp_path / name).rows == 0


@pytest.mark.parametrize("form", ["csv.gz", "csv.zst", "parquet"])
def test_files_that_were_cut_off(form: str, tmp_path: Path) -> None:
    text = "\n".join([HEADER, *(row(n, value=str(n * 7919**5 % 10**9)) for n in range(2000))])
    if form == "parquet":
        sink = io.BytesIO()
        columns = {"time_bin": [stamp(n) for n in range(2000)], "component_id": ["A"] * 2000}
        values = {"measure": ["m"] * 2000, "value": [float(n) for n in range(2000)]}
        pq.write_table(pa.table(columns | values), sink)
        data = sink.getvalue()
    else:
        data = (gzip.compress if form == "csv.gz" else zstandard.compress)(text.encode())
    path = tmp_path / f"t.{form}"
    for keep in (len(data) // 3, len(data) // 2, len(data) - 3):
        path.write_bytes(data[:keep])
        assert refused(path).counts == {"file": 1}
    for at in range(len(data) // 4, len(data), len(data) // 7):  # found, or not to be seen at all
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        with suppress(ForeignDataError):
            imported(path)


def bomb_gz(path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=9) as stream:
        stream.write(f"{HEADER}\n".encode())
        line = f"{row(0)}\n".encode() * 40_000
        for _ in range(300):
            stream.write(line)


def bomb_zst(path: Path) -> None:
    with zstandard.open(path, "wb") as stream:
        stream.write(f"{HEADER}\n".encode())
        for _ in range(300):
            stream.write(b"x" * 1_000_000)


def bomb_parquet(path: Path) -> None:
    schema = pa.schema(
        {"time_bin": "string", "component_id": "string", "measure": "string", "value": "float64"}
    )
    rows = 1_000_000
    columns = [pa.array([text] * rows) for text in (stamp(0), "A", "m")]
    batch = pa.record_batch([*columns, pa.array([1.0] * rows)], schema)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for _ in range(10):
            writer.write_batch(batch, row_group_size=rows)


def far_apart(path: Path) -> None:
    write(path, row(0), row(1), "9999-12-31T23:50:00Z,A,m,1", "0001-01-01T00:00:00Z,A,m,1")


def many_names(path: Path) -> None:
    write(path, *(row(n, f"{n}/" + "x" * 400) for n in range(100_000)))


HOSTILE = {
    "t.csv.gz": (bomb_gz, "file"),
    "t.csv.zst": (bomb_zst, "file"),
    "t.parquet": (bomb_parquet, "file"),
    "far.csv": (far_apart, "size"),
    "names.csv": (many_names, "name"),
}
MEASURED = """
import json, resource, sys
from pipeline.imports.telemetry import ForeignDataError, ForeignOptions, open_foreign
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    with open_foreign([sys.argv[1]], ForeignOptions(gaps="nan")) as found:
        print(json.dumps({"ok": True}))
except ForeignDataError as error:
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"kinds": list(error.report.counts), "megabytes": used // 1024}))
"""


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_bounded_memory(name: str, tmp_path: Path) -> None:
    make, kind = HOSTILE[name]
    make(tmp_path / name)
    before = sorted(tmp_path.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path / name)],
        capture_output=True,
        check=True,
        timeout=120,
        env={**os.environ, "TMPDIR": str(tmp_path / "scratch")},
    )
    found = json.loads(done.stdout)
    assert kind in found["kinds"]
    assert found["megabytes"] < 250
    assert sorted(tmp_path.iterdir()) == before


def test_a_footer_that_claims_a_billion_rows(tmp_path: Path) -> None:
    """Thrift varints of the row count in the footer, made larger in place."""
    rows = 8192
    columns = {"time_bin": [stamp(n) for n in range(rows)], "component_id": ["A"] * rows}
    values = {"measure": ["m"] * rows, "value": [float(n) for n in range(rows)]}
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(columns | values), path, compression="none", store_schema=False)
    data = path.read_bytes()
    assert imported(path).report.rows == rows
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    truth, claim = _varint(rows), _varint(10**9)
    changed = data[footer:-8].replace(truth, claim)
    size = len(changed).to_bytes(4, "little")
    path.write_bytes(data[:footer] + changed + size + data[-4:])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refused(path).counts == {"file": 1}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def _varint(number: int) -> bytes:
    """A thrift integer: zigzag, then seven bits a byte."""
    number *= 2
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def test_the_scratch_is_gone_when_the_caller_fails(tmp_path: Path, scratch: Path) -> None:
    path = write(tmp_path / "t.csv", row(0), row(1))

    def fail() -> None:
        with open_foreign([str(path)]):
            assert list(scratch.iterdir())
            raise RuntimeError("the caller's own")

    with pytest.raises(RuntimeError, match="own"):
        fail()
