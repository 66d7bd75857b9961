"""CSV with a decimal comma: read by pandas, Polars and DuckDB, verified and imported again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest
from pydantic import ValidationError

from pipeline.cli.main import run_cli
from pipeline.config import parse_config
from pipeline.exports.run import export
from tests.exporting import config, descriptor, spec, write_runs
from tests.run_builder import AWKWARD

EU: dict[str, Any] = {"separator": ";", "decimal": ","}


def spelled(values: Iterable[float]) -> list[str]:
    """Values so that NaN equals itself and -0.0 differs from 0.0."""
    return [repr(float(value)) for value in values]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", spec("run_a", values=AWKWARD))


@pytest.mark.parametrize(
    "options",
    [EU, {"dialect": "excel-eu"}, {**EU, "quote_style": "always"},
     {"decimal": ",", "quote_style": "always"}, {**EU, "null_value": "NULL"}],
)  # fmt: skip
def test_every_value_comes_back(runs: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    path, plain = tmp_path / "e.csv", tmp_path / "e.parquet"
    export(config(runs, {"path": path, **options}, {"path": plain}))
    wanted = pl.read_parquet(plain)["value"].to_list()
    separator = options.get("separator", ";" if "dialect" in options else ",")
    text = path.read_text(encoding="utf-8-sig")
    assert "1,5" in text
    frame = pd.read_csv(path, sep=separator, decimal=",", comment="#", encoding="utf-8-sig")
    assert spelled(frame["value"]) == spelled(wanted)
    by_polars = pl.read_csv(path, separator=separator, decimal_comma=True, comment_prefix="#")
    assert spelled(by_polars["value"]) == spelled(wanted)
    found = duckdb.sql(
        f"SELECT value FROM read_csv('{path}', delim='{separator}', header=true, quote='\"', "
        "comment='#', decimal_separator=',', types={'value': 'DOUBLE'})"
    ).fetchall()
    assert spelled(one for (one,) in found) == spelled(wanted)


@pytest.mark.parametrize(
    "options", [EU, {"dialect": "excel-eu"}, {"decimal": ",", "quote_style": "always"}]
)
def test_it_is_verified_and_imported(runs: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "e.csv"
    export(config(runs, {"path": path, **options}))
    assert run_cli(["verify", str(path), "--against", str(runs)]) == 0
    assert run_cli(["import", str(path), "--out", str(tmp_path / "back")]) == 0
    for series in (runs / "run_a" / "series").glob("*.csv"):
        assert (tmp_path / "back" / "run_a" / "series" / series.name).read_bytes() == (
            series.read_bytes()
        )
    damaged = path.read_bytes().replace(b"1,5", b"1,7", 1)
    path.write_bytes(damaged)
    assert run_cli(["verify", str(path), "--against", str(runs)]) == 1


def test_the_file_alone_is_enough(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    export(config(runs, {"path": path, **EU}))
    (tmp_path / "e.datapackage.json").unlink()
    assert run_cli(["verify", str(path), "--against", str(runs)]) == 0


def test_the_descriptor_says_so(runs: Path, tmp_path: Path) -> None:
    export(config(runs, {"path": tmp_path / "e.csv", **EU}))
    found = descriptor(tmp_path / "e.datapackage.json")["resources"][0]
    fields = {field["name"]: field for field in found["schema"]["fields"]}
    assert fields["value"]["decimalChar"] == ","
    assert found["dialect"]["delimiter"] == ";"
    assert found["flowtime"]["options"] == {"separator": ";", "decimal": ","}


def test_the_preset_is_what_excel_opens(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    export(config(runs, {"path": path, "dialect": "excel-eu"}))
    data = path.read_bytes()
    assert data.startswith(b"\xef\xbb\xbftime_bin;component_id;measure;class;value;run_id;unit\n")


def test_keys_beside_the_preset_win() -> None:
    sink = (
        "version: 1\nsource: {url: runs}\nsinks:\n"
        "  - {format: csv, path: e.csv, dialect: excel-eu, bom: false, separator: '|'}\n"
    )
    found = json.loads(parse_config(sink).sinks[0].model_dump_json())
    assert (found["separator"], found["decimal"], found["bom"]) == ("|", ",", False)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"decimal": ","}, "is also the decimal mark"),
        ({"dialect": "excel-eu", "separator": ","}, "is also the decimal mark"),
        ({"decimal": ";"}, "Input should be '.' or ','"),
        ({**EU, "null_value": "1,0"}, "is also a number"),
        ({"dialect": "excel"}, "excel-eu"),
    ],
)
def test_what_could_not_be_read_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        config("runs", {"path": "e.csv", **options})
