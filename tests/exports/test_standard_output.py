"""Rows on standard output: the bytes of a file, and nothing else beside them."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from pipeline.cli.main import run_cli
from pipeline.errors import RunError, StorageError
from pipeline.exports.run import export
from tests.cli.test_streams import shell
from tests.exporting import config, names, spec, write_runs

Capture = pytest.CaptureFixture[bytes]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", *(spec(f"run_{number}") for number in range(3)))


def written(tmp_path: Path, runs: Path, *sinks: dict[str, Any], **blocks: Any) -> str:
    plain = {"version": 1, "source": {"url": str(runs)}, "sinks": list(sinks), **blocks}
    (tmp_path / "config.json").write_text(json.dumps(plain))
    return str(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("csv", {"format": "csv"}),
        ("csv.gz", {"format": "csv", "compression": "gzip"}),
        ("ndjson", {"format": "ndjson"}),
        ("parquet", {"format": "parquet"}),
        ("csv", {"format": "csv", "layout": "wide"}),
    ],
)
@pytest.mark.parametrize("engine", ["local", "processes"])
def test_the_bytes_are_those_of_a_file(
    tmp_path: Path,
    runs: Path,
    capsysbinary: Capture,
    ending: str,
    options: dict[str, Any],
    engine: str,
) -> None:
    file = tmp_path / "out" / f"e.{ending}"
    export(config(runs, {**options, "path": file}))
    report = export(
        config(runs, {**options, "path": "-"}, execution={"engine": engine, "workers": 1})
    )
    assert capsysbinary.readouterr().out == file.read_bytes()
    (target,) = report.targets
    assert (target.url, target.descriptor, target.size) == ("stdout", None, file.stat().st_size)


def test_parquet_and_gzip_from_a_pipe_are_read_by_others(
    tmp_path: Path, runs: Path, capsysbinary: Capture
) -> None:
    assert run_cli(["export", f"{runs}/run_0", "--format", "parquet", "--out", "-"]) == 0
    rows = pq.read_table(io.BytesIO(capsysbinary.readouterr().out))
    assert rows.num_rows == 12
    path = written(tmp_path, runs, {"format": "csv", "path": "-", "compression": "gzip"})
    assert run_cli(["run", path]) == 0
    text = gzip.decompress(capsysbinary.readouterr().out)
    assert pl.read_csv(text, comment_prefix="#").height == 36


def test_the_report_goes_to_stderr_and_files_are_published_as_ever(
    tmp_path: Path, runs: Path, capsysbinary: Capture
) -> None:
    sinks = [{"format": "ndjson", "path": "-"}, {"format": "csv", "path": f"{tmp_path}/out/e.csv"}]
    path = written(tmp_path, runs, *sinks)
    for status in (b"e.csv", b"unchanged"):
        assert run_cli(["run", path]) == 0
        out, err = capsysbinary.readouterr()
        assert len([json.loads(line) for line in out.splitlines()]) == 36
        assert status in err
        assert b"stdout" in err
    assert names(tmp_path / "out") == ["e.csv", "e.datapackage.json"]


def test_a_plan_shows_standard_output_and_writes_nothing_there(
    tmp_path: Path, runs: Path, capsysbinary: Capture
) -> None:
    path = written(tmp_path, runs, {"format": "csv", "path": "-"})
    assert run_cli(["plan", path, "--json"]) == 0
    (sink,) = json.loads(capsysbinary.readouterr().out)["sinks"]
    assert (sink["url"], sink["descriptor"], sink["status"]) == ("stdout", None, "write")
    assert run_cli(["doctor", path]) == 0


def test_nothing_is_printed_of_a_broken_run(
    tmp_path: Path, runs: Path, capsysbinary: Capture
) -> None:
    broken = next((runs / "run_2" / "series").glob("*.csv"))
    broken.write_text("t,value\n0,1\n1,what\n2,1\n3,1\n")
    with pytest.raises(RunError):
        export(config(runs, {"format": "csv", "path": "-"}))
    assert capsysbinary.readouterr().out == b""
    skipping = config(runs, {"format": "csv", "path": "-"}, source={"on_error": "skip"})
    assert export(skipping).exit_code == 3
    assert pl.read_csv(capsysbinary.readouterr().out, comment_prefix="#").height == 24


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"partition_by": ["measure"]}, "needs a folder as path"),
        ({"max_rows_per_file": 10}, "needs a folder as path"),
        ({"if_exists": "skip"}, "nothing exists on standard output"),
        ({"storage": "lake"}, "standard output is in no storage"),
    ],
)
def test_options_that_need_files_are_refused(
    tmp_path: Path, runs: Path, options: dict[str, Any], message: str, capsys: Any
) -> None:
    path = written(tmp_path, runs, {"format": "csv", "path": "-", **options}, storage={"lake": {}})
    assert run_cli(["validate", path]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("forms", [("csv", "csv"), ("csv", "ndjson")])
def test_one_sink_alone_writes_to_standard_output(
    tmp_path: Path, runs: Path, forms: tuple[str, ...], capsys: Any
) -> None:
    path = written(tmp_path, runs, *({"format": form, "path": "-"} for form in forms))
    assert run_cli(["validate", path]) == 2
    assert capsys.readouterr().err.count("sinks[1].path: ") == 1


def test_rows_and_reports_do_not_share_stdout(tmp_path: Path, runs: Path, capsys: Any) -> None:
    path = written(tmp_path, runs, {"format": "csv", "path": "-"})
    assert run_cli(["run", path, "--json"]) == 2
    assert "--json" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert run_cli(["run", path, "--watch", "1s"]) == 2
    assert run_cli(["export", str(runs), "--format", "all", "--out", "-"]) == 2
    dask = {"engine": "dask", "address": "tcp://127.0.0.1:1"}
    with pytest.raises(ValueError, match="Dask"):
        config(runs, {"format": "csv", "path": "-"}, execution=dask)


def test_a_reader_may_end_early_and_a_full_disk_is_an_error(tmp_path: Path, runs: Path) -> None:
    written(tmp_path, runs, {"format": "csv", "path": "-"})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    line = f"export TMPDIR={scratch}; flowtime run config.json | head -1"
    ended = shell(tmp_path, line)
    assert (ended.returncode, ended.stdout) == (0, '# format: "flowtime-gold-csv"\n'), ended.stderr
    assert "Traceback" not in ended.stderr
    full = shell(tmp_path, "flowtime run config.json >/dev/full")
    assert full.returncode == 1
    assert "stdout cannot be written: No space left on device" in full.stderr
    assert names(scratch) == []


def test_a_stream_of_text_alone_is_refused(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    with pytest.raises(StorageError, match="takes text alone"):
        export(config(runs, {"format": "csv", "path": "-"}))
