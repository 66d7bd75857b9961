"""The examples of docs/options.md: each is run, and read back by another tool."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.cli.main import run_cli
from tests.cli.test_streams import shell
from tests.test_docs import ROOT, checkout, snippets
from tests.webhooks.receiver import receiving, wait_for

__all__ = ["checkout"]

PAGE = ROOT / "docs/options.md"
ROWS = 4504
"""Rows of all samples."""

_ROW = re.compile(r"^\| (?P<option>.+?) \| `(?P<example>.+?)` \| .+ \| .+ \|$", re.MULTILINE)
EXAMPLES = {match["option"]: match["example"] for match in _ROW.finditer(PAGE.read_text())}
COMMANDS = [
    command.replace(r"\|", "|")
    for command in re.findall(r"^\| `(flowtime-export .+?)` \| .+ \|$", PAGE.read_text(), re.M)
]


def write_config(folder: Path, example: str) -> Path:
    base, part = yaml.safe_load(snippets(PAGE, "yaml")[0]), yaml.safe_load(example)
    base["source"] |= part.pop("source", {})
    file = folder / "rows.yaml"
    file.write_text(yaml.safe_dump({**base, **part}))
    return file


def run(folder: Path, option: str) -> None:
    assert run_cli(["run", str(write_config(folder, EXAMPLES[option]))]) == 0


def by_duckdb(path: Path, what: str = "count(*)", **options: str) -> list[tuple[Any, ...]]:
    more = "".join(f", {key}='{value}'" for key, value in options.items())
    return duckdb.sql(
        f"select {what} from read_csv('{path}', comment='#', header=true{more})"
    ).fetchall()


def runs_in(folder: Path) -> list[str]:
    path = folder / "out/rows.csv"
    found = duckdb.sql(
        f"select distinct run_id from read_csv('{path}', comment='#') order by run_id"
    ).fetchall()
    return [name for (name,) in found]


def decimal(folder: Path) -> None:
    frame = pd.read_csv(folder / "out/rows.csv", sep=";", decimal=",", comment="#")
    assert (len(frame), frame["value"].dtype, frame["value"][0]) == (ROWS, "float64", 224.5)
    assert ";224,5;" in (folder / "out/rows.csv").read_text()


def dialect(folder: Path) -> None:
    path = folder / "out/rows.csv"
    frame = pd.read_csv(path, sep=";", decimal=",", encoding="utf-8-sig")
    assert (len(frame), frame["value"][0], frame.columns[0]) == (ROWS, 224.5, "time_bin")


def created_date(folder: Path) -> None:
    files = sorted(path.name for path in (folder / "out").glob("*.parquet"))
    assert files == ["2025-01-02.parquet", "2025-03-02.parquet"]
    assert pl.read_parquet(folder / "out/*.parquet").height == ROWS


def prune(folder: Path) -> None:
    shutil.rmtree(folder / "samples/runs/run_support_weekly")
    assert run_cli(["run", str(folder / "rows.yaml")]) == 0
    frames = [
        pl.read_csv(path, comment_prefix="#", infer_schema=False)
        for path in (folder / "out").glob("*.csv")
    ]
    runs = pl.concat(frames)["run_id"].unique()
    assert len(frames) == len(runs) == 5
    assert "run_support_weekly" not in runs


def null_value(folder: Path) -> None:
    path = folder / "out/rows.csv"
    counted = "arrivals", "served", "utilization"
    what = ", ".join(f"count({measure})" for measure in counted)
    (row,) = by_duckdb(path, what, nullstr="NULL", quote='"', escape='"')
    frame = pl.read_csv(path, comment_prefix="#", null_values="NULL")
    assert list(row) == [frame[measure].count() for measure in counted]
    assert min(row) < frame.height
    assert ",NULL," in path.read_text()


def listed(folder: Path) -> None:
    assert runs_in(folder) == ["run_orders_classes", "run_support_weekly"]


def globs(folder: Path) -> None:
    assert runs_in(folder) == ["run_orders_classes", "run_payments_5min"]


def everything(folder: Path) -> None:
    assert by_duckdb(folder / "out/rows.csv") == [(ROWS,)]


def created(folder: Path) -> None:
    assert runs_in(folder) == ["run_warehouse_daily"]


def latest(folder: Path) -> None:
    assert runs_in(folder) == ["run_payments_5min"]


def resample(folder: Path) -> None:
    plain = folder / "plain.csv"
    arguments = ["--set", f"sinks.0.path={plain}", "--set", "transform.resample=null"]
    assert run_cli(["run", str(folder / "rows.yaml"), *arguments]) == 0
    key = "component_id, measure, class"
    aggregated = duckdb.sql(
        f"""with fine as (
            select epoch(time_bucket(interval 4 hours, time_bin)) as bin, *
            from read_csv('{plain}', comment='#')
        )
        select bin, {key},
            case kind when 'flow' then sum(value)
                 when 'stock' then last(value order by time_bin)
                 else avg(value) end as aggregated
        from fine group by bin, {key}, kind order by all"""
    ).fetchall()
    rows = duckdb.sql(
        f"from read_csv('{folder}/out/rows.csv', comment='#') "
        f"select epoch(time_bin), {key}, value order by all"
    ).fetchall()
    assert [row[:4] for row in rows] == [row[:4] for row in aggregated]
    assert [row[4] for row in rows] == pytest.approx([row[4] for row in aggregated])
    assert len(rows) == 12 * 12


def columns(folder: Path) -> None:
    assert by_duckdb(folder / "out/rows.csv", "distinct kind is not null") == [(True,)]


def constant(folder: Path) -> None:
    assert by_duckdb(folder / "out/rows.csv", "distinct team") == [("ops",)]


CHECKS: dict[str, Callable[[Path], None]] = {
    "`decimal`": decimal,
    "`dialect`": dialect,
    "`{created_date}`": created_date,
    "`prune`": prune,
    "`null_value`": null_value,
    "`url`, a list": listed,
    "`url`, globs": globs,
    "`url`, `~`": everything,
    "`created`": created,
    "`latest`": latest,
    "`resample`": resample,
    "`x-…`, an anchor": columns,
    "`$schema`": everything,
    "`env_file`": constant,
}
ALONE = {'`path: "-"`', "`webhooks`"}
"""Options with a test of their own."""


def test_every_example_is_checked() -> None:
    assert set(CHECKS) | ALONE == set(EXAMPLES)
    assert len(COMMANDS) == 4


@pytest.mark.parametrize("option", CHECKS)
def test_an_example_is_read_back_by_another_tool(
    option: str, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(checkout / "samples"))
    (checkout / "local.env").write_text("TEAM=ops\n")
    if option == "`created`":
        file = checkout / "samples/runs/run_warehouse_daily/run.json"
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        file.write_text(file.read_text().replace("2025-01-02T03:04:05Z", now))
    run(checkout, option)
    CHECKS[option](checkout)


def test_rows_on_standard_output(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(checkout, '`path: "-"`')
    lines = (line for line in io.StringIO(capsys.readouterr().out) if not line.startswith("#"))
    assert len(list(csv.DictReader(lines))) == ROWS


def test_a_report_sent_to_a_service(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as (url, got):
        monkeypatch.setenv("HOOK_URL", url)
        monkeypatch.setenv("HOOK_SECRET", "secret")
        run(checkout, "`webhooks`")
        wait_for(got, 1)
    assert json.loads(got[0][1])["targets"][0]["rows"] == ROWS


def test_commands(checkout: Path) -> None:
    write_config(checkout, "{}")
    lines = [re.sub(r"\bflowtime-export ", "flowtime ", command) for command in COMMANDS]
    ended = shell(checkout, " &&\n".join(lines))
    assert ended.returncode == 0, ended.stderr
    assert by_duckdb(checkout / "out/rows.csv") == [(ROWS,)]
    assert '# format: "flowtime-gold-csv"\n' in ended.stdout
    assert pq.read_table(checkout / "run.parquet").num_rows > 100
    assert "as promised by 7 descriptors" in ended.stdout
