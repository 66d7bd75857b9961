"""Paths of sinks: what is a file, what is a folder, what is refused, what an ending asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from pydantic import ValidationError

from pipeline.cli.main import run_cli
from pipeline.config import ExportConfig, parse_config, single_run_config
from pipeline.errors import ConfigError
from pipeline.exports.run import export
from tests.exporting import config, descriptor, names, spec, write_runs

FILES = ["a.csv", "a.tsv", "a.b.csv", "a.tsv.gz", "a.csv.zst", "x.csv/a.csv", "{name}.csv"]
FOLDERS = [
    "gold",
    "gold/",
    "gold.v2/",
    "v1.2",
    "x.y/gold",
    "2025.01.31",
    "gold.csv/",
    "A.CSV/",
    ".g",
    "s3://my.bucket",
    "s3://lake/gold",
    "{run_id}",
    "a.{date}",
    "{run_name}/",
]
REFUSED = {
    "a.txt": "'a.txt' ends in .txt, which is no format: a file ends in .csv",
    "a.json": "'a.json' ends in .json, which is no format",
    "A.CSV": "'A.CSV': write the ending in lower case, 'a.csv'",
    "a.Csv.GZ": "write the ending in lower case, 'a.csv.gz'",
    "a.csv.bz2": "'a.csv.bz2' ends in .bz2, which is no format",
    "a.csv.zip": "ends in .zip",
    "a.csv.gz.bak": "ends in .bak",
    "a.xlsx": "ends in .xlsx",
    "a.csv~": "ends in .csv~",
    "a.7z": "ends in .7z",
    "gold.v2": "a folder of files in /",
    "s3://lake/gold.v2": "a folder of files in /",
    "out/{run_id}.txt": "ends in .txt",
    "{name}.{format}x": "ends in .csvx",
    "{date}.CSV": "in lower case",
}


def text_of(path: str, rest: str = "") -> str:
    return (
        "version: 1\nname: nightly\nsource: {url: runs}\nsinks:\n"
        f"  - format: csv\n    path: '{path}'\n{rest}"
    )


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(
        tmp_path / "runs",
        spec("run_a", created="2025-03-01T23:59:59Z"),
        spec("run_b", created="2025-03-02T00:00:00Z"),
        spec("run_c", created="2025-03-02T01:30:00+02:00"),
    )


@pytest.mark.parametrize("path", FILES)
def test_files(path: str) -> None:
    message = "needs a folder as path"
    with pytest.raises(ConfigError, match=message):
        parse_config(text_of(path, "    max_rows_per_file: 5\n"))


@pytest.mark.parametrize("path", FOLDERS)
def test_folders(path: str) -> None:
    assert parse_config(text_of(path, "    max_rows_per_file: 5\n")).sinks[0].path == path


@pytest.mark.parametrize("path", REFUSED)
def test_unknown_endings_are_refused(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text_of(path), filename="c.yaml")
    assert str(caught.value).startswith("c.yaml:6:11: sinks[0].path: ")
    assert REFUSED[path] in str(caught.value)


@pytest.mark.parametrize("path", ["a.txt", "A.CSV", "a.csv.bz2", "a.json"])
def test_the_command_line_refuses_them_too(path: str, runs: Path, tmp_path: Path) -> None:
    before = names(tmp_path)
    out = str(tmp_path / path)
    assert run_cli(["export", str(runs / "run_a"), "--format", "csv", "--out", out]) == 2
    assert run_cli(["export", str(runs / "run_a"), "--format", "all", "--out", out]) == 2
    assert names(tmp_path) == before


def test_one_file_does_not_hold_several_formats() -> None:
    with pytest.raises(ConfigError, match=r"--out: a\.csv is a file, but there are 2 formats"):
        single_run_config("runs/run_a", ["csv", "parquet"], "a.csv")


def test_a_folder_that_is_called_like_a_file_stays_a_folder(runs: Path, tmp_path: Path) -> None:
    write_runs(runs, spec("run_d", run_id="odd.csv"))
    export(config(runs, {"format": "csv", "path": f"{tmp_path}/out/{{run_id}}"}))
    assert (tmp_path / "out" / "odd.csv" / "_datapackage.json").is_file()
    export(config(runs, {"format": "csv", "path": f"{tmp_path}/gold.csv/"}))
    assert descriptor(tmp_path / "gold.csv" / "_datapackage.json")["resources"]


@pytest.mark.parametrize(
    ("path", "options", "complaint"),
    [
        ("a.csv", {"compression": "gzip"}, r"a\.csv is no gzip file by its name; .* \.csv\.gz"),
        ("a.tsv", {"compression": "zstd"}, r"a\.tsv is no zstd file by its name"),
        ("a.ndjson", {"compression": "gzip"}, r"end the path in \.ndjson\.gz"),
        ("a.{format}", {"compression": "gzip"}, r"a\.csv is no gzip file by its name"),
        ("a.csv.gz", {"compression": "zstd"}, "the path asks for gzip"),
        ("a.csv.gz", {"compression": "none"}, "the path asks for gzip"),
        ("a.parquet.gz", {}, "Parquet compresses inside the file"),
    ],
)
def test_name_and_compression_agree(path: str, options: dict[str, Any], complaint: str) -> None:
    form = next((one for one in ("ndjson", "parquet") if one in path), "csv")
    with pytest.raises(ValidationError, match=complaint):
        config("runs", {"format": form, "path": path, **options})


@pytest.mark.parametrize("path", ["e.tsv", "e.tsv.gz", "e.tsv.zst"])
def test_a_tsv_file_has_tabs(path: str, runs: Path, tmp_path: Path) -> None:
    export(config(runs, {"format": "csv", "path": tmp_path / path}))
    found = duckdb.sql(
        f"SELECT component_id, measure, value FROM read_csv('{tmp_path / path}', comment='#', "
        "delim='\t', header=true, quote='\"') ORDER BY ALL"
    )
    frame = pd.read_csv(tmp_path / path, comment="#", sep="\t")
    rows = sorted(frame[found.columns].itertuples(index=False, name=None))
    assert rows == found.fetchall()
    assert len(rows) == 36
    described = descriptor(tmp_path / "e.datapackage.json")["resources"][0]
    assert (described["format"], described["dialect"]["delimiter"]) == ("csv", "\t")
    assert run_cli(["verify", str(tmp_path / path)]) == 0


def test_a_separator_may_be_given_all_the_same() -> None:
    found = parse_config(text_of("a.tsv", "    separator: ';'\n"))
    assert found.sinks[0].model_dump()["separator"] == ";"
    assert parse_config(text_of("tsv/")).sinks[0].model_dump()["separator"] == ","


# --------------------------------------------------------------------------- days


def test_the_day_of_the_run_is_a_field(runs: Path, tmp_path: Path) -> None:
    pattern = f"{tmp_path}/out/{{created_date}}/gold.parquet"
    report = export(config(runs, {"path": pattern}))
    assert [target.rows for target in report.targets] == [24, 12]
    found = duckdb.sql(
        f"SELECT parse_path(filename)[-2] AS day, string_agg(DISTINCT run_id ORDER BY run_id) "
        f"FROM read_parquet('{tmp_path}/out/*/gold.parquet', filename = true) "
        "GROUP BY day ORDER BY day"
    ).fetchall()
    assert found == [("2025-03-01", "run_a,run_c"), ("2025-03-02", "run_b")]


@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
def test_only_the_day_that_changed_is_written_again(form: str, runs: Path, tmp_path: Path) -> None:
    settings = config(runs, {"format": form, "path": f"{tmp_path}/out/{{created_date}}/"})
    export(settings)
    write_runs(runs, spec("run_e", created="2025-03-02T12:00:00Z"))
    report = export(settings)
    assert [(t.url[-10:], t.status) for t in report.targets] == [
        ("2025-03-02", "exported"),
        ("2025-03-01", "unchanged"),
    ]
    for day in ("2025-03-01", "2025-03-02"):
        assert run_cli(["verify", f"{tmp_path}/out/{day}"]) == 0


def test_each_run_below_its_day(runs: Path, tmp_path: Path) -> None:
    export(config(runs, {"path": f"{tmp_path}/out/{{created_date}}/{{run_id}}.csv"}))
    files = [name for name in names(tmp_path / "out") if name.endswith(".csv")]
    assert files == ["2025-03-01/run_a.csv", "2025-03-01/run_c.csv", "2025-03-02/run_b.csv"]


def test_a_run_without_a_day_is_refused(runs: Path, tmp_path: Path) -> None:
    write_runs(runs, spec("run_d", created=None))
    settings: ExportConfig = config(runs, {"path": f"{tmp_path}/out/{{created_date}}.csv"})
    with pytest.raises(ConfigError, match=r"run_d: createdUtc is missing, so that \{created_date"):
        export(settings)
    assert not (tmp_path / "out").exists()
