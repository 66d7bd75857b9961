"""Bytes that readers rely on: they change only on purpose, with a new format version or a note."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.exports.run import export
from tests.exporting import config

GOLDEN = Path("tests/golden")
RUNS = Path("samples/runs").resolve()
COLUMNS = ["run_id", "unit", "kind", "class_kind", "bin_index", "created_at"]
SINKS: dict[str, dict[str, Any]] = {
    "plain.csv": {},
    "excel.csv": {"dialect": "excel-eu", "metadata_header": False, "escape_formulas": True},
    "wide.csv": {"layout": "wide", "quote_style": "always"},
    "plain.ndjson": {},
    "nulls.ndjson": {"non_finite": "null", "columns": ["time_bin", "measure", "value"]},
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sample run, whose values are odd, as each of the text sinks writes it."""
    out = tmp_path_factory.mktemp("golden")
    sinks = [{"path": str(out / name), **options} for name, options in SINKS.items()]
    made = config(RUNS / "run_returns_odd_values", *sinks, metadata={"columns": COLUMNS})
    export(made, now=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    return out


@pytest.mark.parametrize("name", SINKS)
def test_rows(written: Path, name: str) -> None:
    assert (written / name).read_bytes() == (GOLDEN / name).read_bytes()


def test_descriptor(written: Path) -> None:
    assert described(written) == json.loads((GOLDEN / "plain.datapackage.json").read_text("utf-8"))


def described(folder: Path) -> dict[str, Any]:
    """A descriptor without what differs by release, checkout and write."""
    text = (folder / "plain.datapackage.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text.replace(str(RUNS), "RUNS"))
    for name in ("version", "writeId"):
        del found["flowtime"][name]
    del found["flowtime"]["config"]["hash"]
    for resource in found["resources"]:
        del resource["flowtime"]["state"]
    for run in found["flowtime"]["runs"]:
        del run["listing"]
    return found
