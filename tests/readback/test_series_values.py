"""Exports opened and turned back into series."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import frictionless
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import NotFoundError
from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.scan.scanner import scan
from connectors.flowtime.scan.series_files import series_files
from connectors.storage import StorageOptions, connect
from pipeline.datapackage.table_spec import TextOptions
from pipeline.errors import IntegrityError
from pipeline.exports.run import export
from pipeline.imports import import_export
from pipeline.readback import line_blocks, open_export, table_reader
from pipeline.readback.csv_rows import CsvRows
from pipeline.readback.line_blocks import Lines
from pipeline.readback.ndjson_rows import NdjsonRows
from pipeline.readback.row_order import RowOrder
from pipeline.readback.series_values import SeriesValues, obstacles, whole_series
from pipeline.readback.tables import ExportedTable
from pipeline.rows.column import Column, Table
from pipeline.sinks import CsvSink, NdjsonSink
from pipeline.sinks import csv as csv_sinks
from tests.exporting import config, spec, write_runs
from tests.read_outputs import bits
from tests.run_builder import AWKWARD, DIALECTS
from tests.servers import S3Server

SINKS: dict[str, dict[str, Any]] = {
    "plain csv": {"path": "e.csv"},
    "csv without metadata": {"path": "e.csv", "metadata_header": False, "bom": True},
    "odd csv": {"path": "e.csv.gz", "separator": ";", "quote": "'", "quote_style": "always"},
    "csv of dashes": {"path": "e.csv.zst", "null_value": "-", "escape_formulas": True},
    "non-numeric csv": {"path": "e.csv", "quote_style": "non_numeric", "bom": True},
    "ndjson": {"path": "e.ndjson"},
    "ndjson gz": {"path": "e.ndjson.gz"},
    "ndjson zst": {"path": "e.ndjson.zst"},
    "parquet": {"path": "e.parquet"},
    "small row groups": {"path": "e.parquet", "row_group_size": 7, "compression": "snappy"},
    "parts of csv": {"path": "set-csv", "max_rows_per_file": 17},
    "folders of ndjson": {"path": "set-ndjson", "partition_by": ["node", "run_id"]},
    "folders of parquet": {"path": "set-parquet", "partition_by": ["unit"]},
    "parts in folders": {"path": "set-csv", "partition_by": ["run_id"], "max_rows_per_file": 9},
}
METADATA = {
    "columns": ["run_id", "unit", "seed", "created_at", "series_id", "model_title", "bin_index"],
    "constants": {"team": 'a\'b "c" #d\\e', "number": 7, "half": 0.5, "yes": True},
}


def runs_below(folder: Path) -> Path:
    return write_runs(
        folder / "runs",
        spec("run_a", values=AWKWARD, title='Tills, "fast" #1\nat\\the ünder'),
        spec("run_b", "served@A@-", "served@-@DEFAULT", "errors@A@-", values=AWKWARD),
        DIALECTS["bare-measure-ids"]("run_c"),
        DIALECTS["classes"]("run_d"),
    )


def originals(url: str, options: StorageOptions | None = None) -> dict[int, list[bytes]]:
    """The bits of every value, by the row of its series."""
    storage, path = connect(url, options)
    frame = scan(storage, series_files(discover(storage, path).runs)).collect()
    parts = frame.partition_by("series_row", maintain_order=True)
    return {int(p["series_row"][0]): [bits(v) for v in p["value"]] for p in parts}


def unpacked(table: ExportedTable) -> Iterator[SeriesValues]:
    return whole_series(table, RowOrder.of(table))


def restored(url: str, options: StorageOptions | None = None) -> dict[int, list[bytes]]:
    (table,) = open_export(url, options).tables
    assert obstacles(table) == []
    found = {}
    for one in unpacked(table):
        assert one.series_row not in found
        assert one.missing is None
        found[one.series_row] = [bits(value) for value in one.values.tolist()]
    return found


@pytest.mark.parametrize("layout", ["long", "wide"])
@pytest.mark.parametrize("sink", SINKS.values(), ids=SINKS)
def test_every_value_comes_back(tmp_path: Path, sink: dict[str, Any], layout: str) -> None:
    runs = runs_below(tmp_path)
    if layout == "wide" and "unit" in sink.get("partition_by", ()):
        sink = {**sink, "partition_by": ["class"]}
    target = tmp_path / "out" / sink["path"]
    settings_ = config(
        runs,
        {**sink, "path": target, "layout": layout},
        metadata=METADATA,
        transform={"rename": {"component_id": "node", "model_title": "title"}},
    )
    export(settings_)
    expected = originals(str(runs))
    assert restored(str(target)) == expected
    described = next((tmp_path / "out").rglob("*datapackage.json"))
    assert restored(str(described)) == restored(str(described.parent)) == expected


@pytest.mark.parametrize("columns", [["value"], ["value", "measure"], ["value", "time_bin"]])
def test_few_columns_are_enough(tmp_path: Path, columns: list[str]) -> None:
    runs = runs_below(tmp_path)
    export(config(runs, {"path": tmp_path / "e.csv", "columns": columns}))
    assert restored(str(tmp_path / "e.csv")) == originals(str(runs))


def test_a_store_far_away(tmp_path: Path, rclone_s3: S3Server) -> None:
    runs = runs_below(tmp_path)
    options = rclone_s3.options()
    url = f"s3://{rclone_s3.bucket}/{tmp_path.name}"
    sinks = [
        {"path": f"{url}/{name}", "storage": "lake", **more}
        for name, more in (
            ("e.csv.gz", {}),
            ("e.ndjson.zst", {}),
            ("e.parquet", {}),
            ("set-parquet", {"partition_by": ["measure"]}),
        )
    ]
    export(config(runs, *sinks, storage={"lake": {"protocol": "s3", **options.options}}))
    expected = originals(str(runs))
    for sink in sinks:
        assert restored(str(sink["path"]), options) == expected


@pytest.mark.parametrize("name", ["e.csv", "e.csv.gz", "e.csv.zst", "e.parquet"])
@pytest.mark.parametrize("layout", ["long", "wide"])
def test_a_file_that_left_its_folder(tmp_path: Path, name: str, layout: str) -> None:
    runs = runs_below(tmp_path)
    export(config(runs, {"path": tmp_path / name, "layout": layout}, metadata=METADATA))
    (tmp_path / "alone").mkdir()
    shutil.copy(tmp_path / name, tmp_path / "alone" / name)
    assert open_export(str(tmp_path / "alone" / name)).descriptor_url is None
    assert restored(str(tmp_path / "alone" / name)) == originals(str(runs))


@pytest.mark.parametrize(
    ("sink", "message"),
    [
        ({"path": "e.csv", "metadata_header": False}, "has no metadata header"),
        ({"path": "e.ndjson"}, "NDJSON has no metadata of its own"),
    ],
)
def test_a_file_that_is_not_enough_alone(
    tmp_path: Path, sink: dict[str, Any], message: str
) -> None:
    export(config(runs_below(tmp_path), {**sink, "path": tmp_path / "out" / sink["path"]}))
    (tmp_path / "out" / "e.datapackage.json").unlink()
    with pytest.raises(IntegrityError, match=message):
        open_export(str(tmp_path / "out" / sink["path"]))


@pytest.mark.parametrize("name", ["foreign.csv", "foreign.parquet", "x.txt", "cut.parquet"])
def test_what_is_not_ours(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "foreign.parquet":
        pq.write_table(pa.table({"a": [1]}), path)
    else:
        path.write_text("a,b\n1,2\n")
    with pytest.raises(IntegrityError, match=name):
        open_export(str(path))
    with pytest.raises(IntegrityError, match="holds no descriptor"):
        open_export(str(tmp_path))
    with pytest.raises(NotFoundError):
        open_export(str(tmp_path / "nothing"))


# --------------------------------------------------------------------------- what cannot be undone


@pytest.mark.parametrize(
    ("sink", "blocks", "message"),
    [
        ({}, {"transform": {"filter": "value > 2"}}, "filtered by value > 2"),
        ({}, {"transform": {"filter": "measure = 'served'"}}, "filtered by measure"),
        ({}, {"source": {"series": {"measures": ["served"]}}}, "leaves out 3 of 6"),
        ({"columns": ["time_bin", "measure"]}, {}, "column 'value' was left out"),
        ({"layout": "wide", "columns": ["time_bin", "served"]}, {}, "column 'arrivals' was left"),
        # Earlier versions wrote such files.
        ({"null_value": "1.0"}, {}, "also a number's text"),
        ({"format": "ndjson", "path": "e.ndjson", "non_finite": "null"}, {}, "2 values"),
    ],
)
def test_obstacles(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sink: dict[str, Any],
    blocks: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setattr(csv_sinks, "check_null_value", lambda *_, **__: None)
    values = [1.0, float("nan")]
    names = ("arrivals@A@X", "served@A@X", "errors@A@X")
    runs = write_runs(
        tmp_path / "runs",
        spec("run_a", *names, values=values),
        spec("run_b", "arrivals@A@X", "served@A@X", "served@B@X", values=[3.0, 4.0]),
    )
    if "non_finite" in sink:
        runs = write_runs(tmp_path / "odd", spec("run_a", "a@A@X", "b@A@X", values=values))
    path = tmp_path / sink.get("path", "e.csv")
    export(config(runs, {**sink, "path": path}, **blocks))
    (table,) = open_export(str(path)).tables
    assert any(message in one for one in obstacles(table))
    with pytest.raises(IntegrityError, match="cannot be restored"):
        import_export([str(path)], str(tmp_path / "back"))


def test_a_filter_that_keeps_everything_is_no_obstacle(tmp_path: Path) -> None:
    runs = runs_below(tmp_path)
    export(config(runs, {"path": tmp_path / "e.csv"}, transform={"filter": "run_id <> 'x'"}))
    assert restored(str(tmp_path / "e.csv")) == originals(str(runs))


def test_parts_are_distinguished_from_whole_tables(tmp_path: Path) -> None:
    runs = runs_below(tmp_path)
    export(config(runs, {"path": tmp_path / "set-csv", "max_rows_per_file": 50}))
    part = sorted((tmp_path / "set-csv").glob("part-*"))[1]
    (tmp_path / "alone").mkdir()
    shutil.copy(part, tmp_path / "alone")
    for path in (part, tmp_path / "alone" / part.name):
        (table,) = open_export(str(path)).tables
        assert table.files[0].first_row == 50
        assert any("part of a data set" in one for one in obstacles(table))


# --------------------------------------------------------------------------- large headers


@pytest.fixture(scope="module")
def of_400(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("of400")
    names = [f"measure_{n}@Component_{n}@DEFAULT" for n in range(400)]
    runs = write_runs(folder / "runs", spec("run_a", *names))
    export(config(runs, {"path": folder / "e.csv"}, {"path": folder / "p" / "e.parquet"}))
    return folder


def test_the_header_of_400_series_is_passed_over_by_all_readers(of_400: Path) -> None:
    path = str(of_400 / "e.csv")
    assert max(len(line) for line in (of_400 / "e.csv").read_text().splitlines()) > 50_000
    assert len(pd.read_csv(path, comment="#")) == 1600
    assert pl.read_csv(path, comment_prefix="#").height == 1600
    query = "select count(*), sum(value) from read_csv(?, comment='#')"
    count, total = duckdb.execute(query, [path]).fetchall()[0]
    assert (count, total) == (1600, pl.read_csv(path, comment_prefix="#")["value"].sum())
    with frictionless.system.use_context(trusted=True):
        report = frictionless.Package(str(of_400 / "e.datapackage.json")).validate()
    assert report.valid


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_401_series_are_not_described_in_the_file(of_400: Path, tmp_path: Path, form: str) -> None:
    shutil.copy(next(of_400.rglob(f"e.{form}")), tmp_path)
    assert obstacles(open_export(str(tmp_path / f"e.{form}")).tables[0]) == []
    names = [f"m_{n}@C@DEFAULT" for n in range(401)]
    runs = write_runs(tmp_path / "runs", spec("run_a", *names))
    export(config(runs, {"path": tmp_path / "more" / f"e.{form}"}))
    assert obstacles(open_export(str(tmp_path / "more" / f"e.{form}")).tables[0]) == []
    (tmp_path / "more" / "e.datapackage.json").unlink()
    (found,) = obstacles(open_export(str(tmp_path / "more" / f"e.{form}")).tables[0])
    assert "more than 400 series" in found


# --------------------------------------------------------------------------- text, exactly

ANY_DOUBLE = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True)
COLUMNS = (Column("name", "text"), Column("value", "number"), Column("count", "integer"))


@given(st.lists(st.tuples(st.text() | st.none(), ANY_DOUBLE | st.none()), min_size=1))
@settings(max_examples=300, deadline=None)
def test_any_text_and_double_through_rows(cells: list[tuple[str | None, float | None]]) -> None:
    frame = pl.DataFrame(
        {
            "name": pl.Series([c[0] for c in cells], dtype=pl.String),
            "value": pl.Series([c[1] for c in cells], dtype=pl.Float64),
            "count": pl.Series(range(len(cells)), dtype=pl.Int64),
        }
    )
    csv_sink = CsvSink(format="csv", path="x", metadata_header=False, null_value="~null~")
    for sink in (csv_sink, NdjsonSink(format="ndjson", path="x")):
        stream = io.BytesIO()
        writer = sink.open(stream, Table(COLUMNS))
        writer.write(frame)
        writer.close()
        data = stream.getvalue()
        if sink.format == "csv":
            data = data.partition(b"\n")[2]
            options = TextOptions(null_value="~null~")
            found = CsvRows(COLUMNS, options, "x").parse(Lines(data, 2, b'"' in data))
        else:
            found = NdjsonRows(COLUMNS, "x").parse(Lines(data, 1, False))
        assert found["name"].to_list() == [None if c[0] == "~null~" else c[0] for c in cells]
        values = [None if v is None else bits(v) for v in found["value"]]
        assert values == [None if c[1] is None else bits(c[1]) for c in cells]


BAD_CSV = {
    b"a,1.5\n": "line 5: has 2 cells",
    b"a,1.5,3,4\n": "line 5: has 4 cells",
    b"a,x,3\n": "line 5: value is 'x', no number",
    b"a,nan,3\n": "line 5: value is 'nan', not a double",
    b"a,1e999,3\n": "line 5: value is '1e999', not a double",
    b"a,1.5,3.5\n": "line 5: count is '3.5', no integer",
    b"\n": "line 5: has 0 cells",
    b'"a,1.5,3\n': "line 5",
    b'"a"b,1.5,3\n': "line 5",
}


@pytest.mark.parametrize(("row", "message"), BAD_CSV.items(), ids=map(repr, BAD_CSV))
def test_bad_csv_rows_are_named(row: bytes, message: str) -> None:
    rows = CsvRows(COLUMNS, TextOptions(), "here.csv")
    data = b"a,1.5,2\nb,2.5,3\n" + row + b"c,3.5,4\n"
    with pytest.raises(IntegrityError, match=r"here\.csv: ") as caught:
        rows.parse(Lines(data, 3, b'"' in data))
    assert message in str(caught.value)


BAD_NDJSON = {
    b"\n": "is not JSON",
    b"[1]\n": "is no JSON object",
    b'{"name":"a","value":1.5}\n': "has the keys name, value",
    b'{"value":1.5,"name":"a","count":2}\n': "has the keys value, name, count",
    b'{"name":"a","value":"x","count":2}\n': "value is 'x', no number",
    b'{"name":"a","value":true,"count":2}\n': "value is true, no number",
    b'{"name":"a","value":1e999,"count":2}\n': "value is inf, no number",
    b'{"name":"a","value":NaN,"count":2}\n': "NaN is no JSON number",
    b'{"name":5,"value":1.5,"count":2}\n': "name is 5, no text",
    b'{"name":"a","value":1.5,"count":2.5}\n': "count is 2.5, no integer",
    b'{"name": "a", "value": 1.5, "count": 2}\n': "laid out otherwise",
    b'{"name":"a","value":1.5,"count":' + b"[" * 100_000 + b"\n": "is not JSON",
    b'{"name":"\x1f","value":1.5,"count":2}\n': "is not JSON",
}


@pytest.mark.parametrize(
    ("row", "message"), BAD_NDJSON.items(), ids=[repr(row[:50]) for row in BAD_NDJSON]
)
def test_bad_ndjson_rows_are_named(row: bytes, message: str) -> None:
    good = b'{"name":"a","value":1.5,"count":2}\n'
    with pytest.raises(IntegrityError, match=r"here\.ndjson: line 5: ") as caught:
        NdjsonRows(COLUMNS, "here.ndjson").parse(Lines(good + good + row + good, 3, False))
    assert message in str(caught.value)


def test_blocks_end_where_rows_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_blocks, "BLOCK_BYTES", 7)
    data = b'a,"1\n\n2",c\n"""",\n,\n"\n",x\n'
    (tmp_path / "x").write_bytes(data)
    found = [one.data for one in line_blocks.line_blocks(tmp_path / "x", "x", b'"')]
    assert b"".join(found) == data
    assert all(one.count(b'"') % 2 == 0 for one in found)
    assert len(found) > 1
    (tmp_path / "x").write_bytes(data + b"\xff\n")
    with pytest.raises(IntegrityError, match="line 8: byte 0xff is not UTF-8"):
        list(line_blocks.line_blocks(tmp_path / "x", "x", b'"'))
    (tmp_path / "x").write_bytes(data + b"cut")
    with pytest.raises(IntegrityError, match="line 8: the row does not end"):
        list(line_blocks.line_blocks(tmp_path / "x", "x", b'"'))


# --------------------------------------------------------------------------- hostile exports

Json = dict[str, Any]


def forged(change: Callable[[Json], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "e.datapackage.json"
        found = json.loads(path.read_text())
        change(found)
        path.write_text(json.dumps(found))

    return apply


def in_resource(key: str, value: object) -> Callable[[Path], None]:
    return forged(lambda found: found["resources"][0].update({key: value}))


def in_own(key: str, value: object) -> Callable[[Path], None]:
    return forged(lambda found: found["resources"][0]["flowtime"].update({key: value}))


HOSTILE = {
    "path climbs": in_resource("path", "../secret.csv"),
    "path climbs inside": in_resource("path", "a/../../secret.csv"),
    "absolute path": in_resource("path", "/etc/passwd"),
    "URL": in_resource("path", "https://example.org/e.csv"),
    "S3 URL": in_resource("path", "s3://bucket/e.csv"),
    "backslashes": in_resource("path", "..\\secret.csv"),
    "list of paths": in_resource("path", ["e.csv"]),
    "no hash": in_resource("hash", "md5:1"),
    "negative bytes": in_resource("bytes", -1),
    "rows beyond reason": in_resource("rowCount", 10**30),
    "unknown format": in_resource("format", "exe"),
    "schema": in_resource("schema", {"fields": [{"name": "value", "type": "geojson"}]}),
    "swapped fields": forged(lambda f: f["resources"][0]["schema"]["fields"].reverse()),
    "unknown column": in_own("columns", {"x": "y"}),
    "runs beyond the list": in_own("runs", [[0, 10**9]]),
    "no runs": in_own("runs", None),
    "twice": forged(lambda found: found["resources"].append(found["resources"][0])),
    "no resources": forged(lambda found: found.pop("resources")),
    "billion bins": forged(lambda found: found["flowtime"]["runs"][0].update(bins=10**9)),
    "deep": lambda folder: (folder / "e.datapackage.json").write_text("[" * 10**6) and None,
    "not UTF-8": lambda folder: (folder / "e.datapackage.json").write_bytes(b'{"\xff') and None,
}


@pytest.mark.parametrize("harm", HOSTILE.values(), ids=HOSTILE)
def test_hostile_descriptors_are_refused(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    (tmp_path / "secret.csv").write_text("secret\n")
    export(config(runs_below(tmp_path), {"path": tmp_path / "out" / "e.csv"}))
    harm(tmp_path / "out")
    with pytest.raises(IntegrityError, match=r"e\.datapackage\.json") as caught:
        open_export(str(tmp_path / "out"))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("codec", ["gz", "zst"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "out" / f"e.csv.{codec}"
    export(config(runs_below(tmp_path), {"path": path}))
    zeros = bytes(200_000_000)
    data = gzip.compress(zeros) if codec == "gz" else zstandard.compress(zeros)
    path.write_bytes(data)
    described = path.parent / "e.datapackage.json"
    found = json.loads(described.read_text())
    found["resources"][0] |= {
        "bytes": len(data),
        "hash": f"sha256:{hashlib.sha256(data).hexdigest()}",
    }
    described.write_text(json.dumps(found))
    (table,) = open_export(str(described)).tables
    with pytest.raises(IntegrityError, match="unpacks to more than 200 times"):
        list(unpacked(table))


def test_claims_of_a_billion_rows_cost_nothing(tmp_path: Path) -> None:
    runs = runs_below(tmp_path)
    export(config(runs, {"path": tmp_path / "e.csv"}, source={"include": ["run_a"]}))
    path = tmp_path / "e.datapackage.json"
    found = json.loads(path.read_text())
    run = found["flowtime"]["runs"][0]
    run["bins"] = 5 * 10**7
    for row in run["series"]["rows"]:
        row[7] = 5 * 10**7
    run["binMinutes"] = 1
    found["resources"][0]["rowCount"] = 3 * 5 * 10**7
    path.write_text(json.dumps(found))
    (table,) = open_export(str(path)).tables
    with pytest.raises(IntegrityError, match=r"bins end after|component_id|time_bin|end too early"):
        list(unpacked(table))


def test_batches_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_reader, "BATCH_ROWS", 10)
    runs = runs_below(tmp_path)
    for form in ("csv", "ndjson", "parquet"):
        path = tmp_path / f"e.{form}"
        export(config(runs, {"path": path}))
        (file,) = open_export(str(path)).files
        found = list(table_reader.batches(file, path, TextOptions()))
        assert max(batch.frame.height for batch in found) == 10
        assert [b.first_row for b in found] == np.cumsum(
            [0, *(b.frame.height for b in found[:-1])]
        ).tolist()
        if form != "parquet":
            lines = path.read_text().splitlines()
            for batch in found:
                assert batch.first_line is not None
                assert batch.frame["measure"][0] in lines[batch.first_line - 1]
