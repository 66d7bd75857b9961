"""The wide layout against a pivot made by hand."""

from __future__ import annotations

import errno
import io
import math
import os
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.scan.scanner import scan
from connectors.flowtime.scan.series_files import series_files
from connectors.storage import connect
from pipeline.errors import ConfigError, SinkError
from pipeline.exports.run import export
from pipeline.rows import wide
from pipeline.rows.wide import WideAssembler, measures_of
from tests.exporting import config, names, spec, write_runs
from tests.read_outputs import bits, read_runs
from tests.run_builder import AWKWARD, DIALECTS

# Measures come and go from component to component, and from run to run.
SPARSE = ("arrivals@A@DEFAULT", "served@B@DEFAULT", "served@A@DEFAULT", "errors@A@Order")

Wide = list[tuple[Any, ...]]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(
        tmp_path / "runs",
        spec("run_a", *SPARSE, values=AWKWARD),
        DIALECTS["bare-measure-ids"]("run_b"),
        DIALECTS["classes"]("run_c"),
        spec("run_d", "served@A@DEFAULT", values=[1.0]),
    )


def pivoted(folder: Path) -> tuple[list[str], Wide]:
    """Measures in the order in which they are met, and the rows of a pivot."""
    found = read_runs(folder)
    measures = list(dict.fromkeys(row[2] for run in found for row in run.rows))
    rows: Wide = []
    for run in found:
        groups: dict[Any, dict[str, dict[str, float]]] = {}
        for time_bin, component, measure, class_name, value in run.rows:
            cells = groups.setdefault((component, class_name), {}).setdefault(time_bin, {})
            cells[measure] = value
        rows += [
            (time_bin, component, class_name, *(cells.get(m) for m in measures), run.run_id)
            for (component, class_name), bins in groups.items()
            for time_bin, cells in bins.items()
        ]
    return measures, rows


def exact(rows: Wide) -> Wide:
    return [tuple(bits(c) if isinstance(c, float) else c for c in row) for row in rows]


def read(path: Path) -> Wide:
    frame = pl.read_parquet(path)
    return exact(frame.with_columns(pl.col("time_bin").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).rows())


def test_a_pivot(runs: Path, tmp_path: Path) -> None:
    sinks = [{"path": tmp_path / f"e.{form}", "layout": "wide"} for form in ("parquet", "csv")]
    report = export(config(runs, *sinks))
    measures, rows = pivoted(runs)
    frame = pl.read_parquet(tmp_path / "e.parquet")
    assert frame.columns == ["time_bin", "component_id", "class", *measures, "run_id"]
    assert [frame.schema[name] for name in measures] == [pl.Float64] * len(measures)
    assert read(tmp_path / "e.parquet") == exact(rows)
    csv = pl.read_csv(tmp_path / "e.csv", comment_prefix="#", schema_overrides=frame.schema)
    assert csv.equals(frame, null_equal=True)
    assert [target.rows for target in report.targets] == [len(rows)] * 2
    assert any("'unit'" in note for note in report.notes)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([], []),
        (["run_id", "unit"], ["1 column that differs by measure: 'unit'"]),
        (
            ["unit", "kind", "run_id", "series_id", "class_kind"],
            ["4 columns that differ by measure: 'unit', 'kind', 'series_id' and 1 more"],
        ),
    ],
)
def test_columns_that_are_left_out_are_listed_in_one_note(
    runs: Path, tmp_path: Path, columns: list[str], expected: list[str]
) -> None:
    sink = {"path": tmp_path / "e.csv", "layout": "wide"}
    report = export(config(runs, sink, metadata={"columns": columns}))
    head = f"sink {tmp_path}/e.csv: layout wide leaves out "
    assert [note for note in report.notes if "layout wide" in note] == [
        head + one for one in expected
    ]


def test_a_missing_measure_is_null_and_nan_is_not(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a", *SPARSE, values=[math.nan, 1.0]))
    export(config(runs, {"path": tmp_path / "e.parquet", "layout": "wide"}))
    frame = pl.read_parquet(tmp_path / "e.parquet").select("arrivals", "served", "errors")
    assert [[cell is None for cell in row] for row in frame.rows()] == [
        *[[False, False, True]] * 2,
        *[[True, False, True]] * 2,
        *[[True, True, False]] * 2,
    ]
    assert math.isnan(frame["arrivals"][0])


@pytest.mark.parametrize("limit", [0, 1, 900])
def test_a_matrix_on_disk_gives_the_same(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    sink = {"path": tmp_path / "memory.parquet", "layout": "wide"}
    export(config(runs, sink))
    monkeypatch.setattr(wide, "IN_MEMORY_BYTES", limit)
    monkeypatch.setattr(wide, "_ROWS_AT_ONCE", 7)
    export(config(runs, {**sink, "path": tmp_path / "disk.parquet"}))
    memory, disk = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("memory", "disk"))
    assert disk.equals(memory, null_equal=True)
    assert memory.height == len(pivoted(runs)[1])


class _Full(io.FileIO):
    """A temporary file on a disk that is full."""

    def _refuse(self, *_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write = _refuse


class _FullAtOnce(_Full):
    truncate = _Full._refuse


@pytest.mark.parametrize("kind", [_Full, _FullAtOnce])
def test_a_temporary_disk_that_is_full(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[_Full]
) -> None:
    monkeypatch.setattr(wide, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda prefix: kind(tmp_path / prefix, "w+"))
    with pytest.raises(SinkError, match="No space left on device; set TMPDIR"):
        export(config(runs, {"path": tmp_path / "out" / "e.csv", "layout": "wide"}))
    assert names(tmp_path / "out") == []


def test_a_filter_leaves_cells_out(runs: Path, tmp_path: Path) -> None:
    rule = {"filter": "value > 1 and measure <> 'served'"}
    export(config(runs, {"path": tmp_path / "e.parquet", "layout": "wide"}, transform=rule))
    measures, rows = pivoted(runs)
    expected = []
    for row in rows:
        cells = [
            None
            if cell is None or measure == "served" or not (cell > 1 or math.isnan(cell))
            else cell
            for measure, cell in zip(measures, row[3:-1], strict=True)
        ]
        if any(cell is not None for cell in cells):
            expected.append((*row[:3], *cells, row[-1]))
    assert 0 < len(expected) < len(rows)
    assert read(tmp_path / "e.parquet") == exact(expected)


def test_one_file_a_run_and_hive_folders(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(
        config(
            runs,
            {"path": f"{out}/{{run_id}}.parquet", "layout": "wide"},
            {"path": out / "set-parquet", "layout": "wide", "partition_by": ["component_id"]},
            {"path": out / "few.parquet", "layout": "wide", "columns": ["served", "time_bin"]},
        )
    )
    _, rows = pivoted(runs)
    for run in "abcd":
        assert read(out / f"run_{run}.parquet") == exact([r for r in rows if r[-1] == f"run_{run}"])
    hive = pl.read_parquet(out / "set-parquet/**/*.parquet", hive_partitioning=True)
    assert hive.height == len(rows)
    null = [n for n in names(out) if "component_id=__HIVE_DEFAULT_PARTITION__/" in n]
    assert len(null) == 1
    assert pl.read_parquet(out / "few.parquet").columns == ["served", "time_bin"]


def test_one_pass_for_long_and_wide(runs: Path, tmp_path: Path) -> None:
    long, wide_sink = {"path": tmp_path / "long.parquet"}, {"path": tmp_path / "w.parquet"}
    report = export(config(runs, long, {**wide_sink, "layout": "wide"}))
    assert report.rows_read == sum(len(run.rows) for run in read_runs(runs))
    assert pl.read_parquet(tmp_path / "long.parquet").height == report.rows_read


def test_two_series_for_one_cell(tmp_path: Path) -> None:
    # The second id names no class, which means DEFAULT.
    run = (
        write_runs(tmp_path / "runs", spec("run_a", "served@A@DEFAULT", "served@A@Order")) / "run_a"
    )
    index = run / "series" / "index.json"
    index.write_text(index.read_text().replace('"class": "Order"', '"class": "DEFAULT"'))
    with pytest.raises(ConfigError, match=r"served@A@DEFAULT and served@A@Order would share"):
        export(config(run, {"path": tmp_path / "e.csv", "layout": "wide"}))
    export(config(run, {"path": tmp_path / "e.csv"}))


@pytest.mark.parametrize("measure", ["class", "time_bin", "run_id", "bin_index", "series_row"])
@pytest.mark.parametrize("rename", [{}, {"class": "customer"}])
def test_a_measure_named_like_a_column(
    tmp_path: Path, measure: str, rename: dict[str, str]
) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a", f"{measure}@A@DEFAULT", "b@A@DEFAULT"))
    sink = {"path": tmp_path / "e.parquet", "layout": "wide"}
    with pytest.raises(ConfigError, match=f"measure '{measure}' has the name of a column"):
        export(config(runs, sink, transform={"rename": rename}))
    export(config(runs, sink, source={"series": {"measures": ["b"]}}))
    assert pl.read_parquet(sink["path"]).columns[3] == "b"


def test_a_column_renamed_to_a_measure(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a", "b@A@DEFAULT"))
    renamed = {"rename": {"class": "b"}}
    with pytest.raises(ConfigError, match="measure 'b' has the name of another column"):
        export(config(runs, {"path": tmp_path / "e.csv", "layout": "wide"}, transform=renamed))


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 400), max_size=12), on_disk=st.booleans(), strip=st.integers(1, 30)
)
def test_the_split_into_batches_does_not_show(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], on_disk: bool, strip: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "wide-runs"
    if not folder.exists():
        write_runs(folder, spec("run_a", *SPARSE, values=AWKWARD), DIALECTS["classes"]("run_b"))
    storage, path = connect(str(folder))
    found = discover(storage, path).runs
    narrow = scan(storage, series_files(found)).collect()
    measures = measures_of(found)
    whole = pl.concat(_assembled(WideAssembler(found, measures), [narrow]))
    places = sorted({0, *(cut for cut in cuts if cut < narrow.height), narrow.height})
    parts = [narrow.slice(low, high - low) for low, high in pairwise(places)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wide, "IN_MEMORY_BYTES", 0 if on_disk else 10**9)
        patch.setattr(wide, "_ROWS_AT_ONCE", strip)
        split = pl.concat(_assembled(WideAssembler(found, measures), parts))
    assert split.equals(whole, null_equal=True)


def _assembled(assembler: WideAssembler, parts: list[pl.DataFrame]) -> list[pl.DataFrame]:
    frames = [frame for part in parts for frame in assembler.add(part)]
    return [*frames, *assembler.finish()]
