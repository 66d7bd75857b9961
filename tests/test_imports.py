"""What starting the command line loads, and what it leaves until it is needed."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.exporting import spec, write_runs

HEAVY = (
    "fastapi",
    "starlette",
    "httpx",
    "prometheus_client",
    "sse_starlette",
    "uvicorn",
    "sqlalchemy",
    "deltalake",
    "pyiceberg",
    "dask",
    "distributed",
    "pandas",
    "duckdb",
    "frictionless",
    "adlfs",
    "azure",
    "gcsfs",
    "google",
    "s3fs",
    "botocore",
    "aiobotocore",
    "obstore",
    "fsspec",
    "rich",
    "sqlglot",
    "pytest",
    "tests",
)


def loaded(code: str, *, whole: bool = False) -> set[str]:
    """Top-level modules of a fresh interpreter after some code; with `whole`, all modules."""
    names = "sys.modules" if whole else "{name.partition('.')[0] for name in sys.modules}"
    shown = f"import sys\n{code}\nprint()\nprint(*{names})"
    found = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, check=True, timeout=60
    )
    return set(found.stdout.splitlines()[-1].split())


HEAVIER = (*HEAVY, "asyncio", "numpy", "polars", "pyarrow", "pydantic", "yaml")


def test_runs_are_found_before_dataframes_are_loaded() -> None:
    code = "import pipeline.cli.commands.exports, pipeline.execution.processes"
    assert loaded(code).isdisjoint({"numpy", "polars", "pyarrow"})


@pytest.mark.parametrize("arguments", [[], ["--version"], ["--help"]], ids=str)
def test_the_command_line_is_light(arguments: list[str]) -> None:
    code = f"from pipeline.cli.main import run_cli\nrun_cli({arguments})" if arguments else ""
    modules = loaded(f"import pipeline.cli.main\n{code}")
    assert "click" in modules
    assert modules.isdisjoint(HEAVIER)


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_command_line_starts_at_once(option: str) -> None:
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-c", "from pipeline.cli.main import main; main()", option]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) <= 0.15, seconds


def test_an_export_loads_what_its_config_needs(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    sinks = [{"format": "csv", "path": str(tmp_path / "e.csv")}]
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"version": 1, "source": {"url": str(runs)}, "sinks": sinks}))
    running = f"from pipeline.cli.main import run_cli\nassert run_cli(['run', {str(path)!r}]) == 0"
    modules = loaded(running, whole=True)
    assert "polars" in modules
    unneeded = {*HEAVY, "asyncio", "ssl", "pyarrow.parquet", "pyarrow.fs", "zstandard"}
    assert modules.isdisjoint(unneeded)


@pytest.mark.parametrize("format_", ["csv", "ndjson", "parquet"])
def test_writing_is_light(format_: str) -> None:
    # pyarrow imports pandas for some of its functions, where it is installed.
    writing = f"""
import io
import polars as pl
from pydantic import TypeAdapter
from pipeline.rows.column import Column, Table
from pipeline.sinks.formats import AnySink
sink = TypeAdapter(AnySink).validate_python({{"format": "{format_}", "path": "x"}})
table = Table((Column("text", "text"), Column("number", "number"), Column("whole", "integer")))
writer = sink.open(io.BytesIO(), table)
columns = {{"text": ["a", "a", "b"], "number": [0.5, 1.5, 2.5], "whole": [1, 2, 3]}}
writer.write(pl.DataFrame(columns))
writer.close()
"""
    assert loaded(writing).isdisjoint(HEAVY)


@pytest.mark.parametrize("module", ["connectors.storage", "connectors.flowtime.scan.scanner"])
def test_the_ground_floor_knows_nothing_of_the_pipeline(module: str) -> None:
    assert "pipeline" not in loaded(f"import {module}")


def test_s3_is_loaded_when_it_is_used() -> None:
    connecting = "from connectors.storage import connect\nconnect('s3://bucket/key')"
    assert not loaded(connecting).isdisjoint({"s3fs", "obstore"})
