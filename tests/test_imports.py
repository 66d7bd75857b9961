"""What starting the command line loads, and what it leaves until it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "fastapi",
    "starlette",
    "httpx",
    "prometheus_client",
    "sse_starlette",
    "uvicorn",
    "sqlalchemy",
    "dask",
    "distributed",
    "pandas",
    "duckdb",
    "frictionless",
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


def loaded(code: str) -> set[str]:
    """Top-level modules of a fresh interpreter after some code."""
    shown = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    found = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, check=True, timeout=60
    )
    return set(found.stdout.split())


def test_the_command_line_is_light() -> None:
    modules = loaded("import pipeline.cli.main")
    assert {"polars", "pydantic", "click"} <= modules
    assert modules.isdisjoint(HEAVY)


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
