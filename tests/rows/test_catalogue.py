"""Every column of the catalogue, in every format, read back by DuckDB."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.exports.run import export
from pipeline.imports import import_export
from pipeline.rows.catalogue import CATALOGUE_NAMES, PER_MEASURE
from pipeline.verification import verify
from tests.exporting import config, descriptor, spec, write_runs

BINS = 4
KINDS = ("flow", "state", "stock")
IDS = ("arrivals@A@DEFAULT", "served@A@DEFAULT", "served@B@DEFAULT")
HASH = "sha256:90a466e2f8698a3cb750f2156342ff406c32852ffb9d28a7aba26066001cf693"
_INSTANT = re.compile(r"^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\+00)?$")
READERS = {
    "csv": "read_csv('{}', comment='#', header=true, all_varchar=true)",
    "ndjson": "read_ndjson('{}')",
    "parquet": "read_parquet('{}')",
}
# What the files of the run say; columns that differ by series have one value for each.
CONSTANT: dict[str, Any] = {
    "run_id": "run_a",
    "run_name": "run_a",
    "source": "engine",
    "engine_version": "0.1.0",
    "scenario_hash": HASH,
    "model_hash": HASH,
    "created_at": "2025-01-02T03:04:05Z",
    "created_month": "2025-01",
    "schema_version": "1",
    "template_id": "adhoc-model",
    "template_title": "Ad Hoc Model",
    "model_title": "A model",
    "mode": "simulation",
    "seed": "42",
    "unit": "entities/bin",
    "class_kind": "fallback",
    "bin_size_minutes": "60",
    "time_origin": "2025-01-01T00:00:00Z",
}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", spec("run_a", *IDS))


def _expected(name: str, runs: Path, exported_at: str) -> list[str]:
    if name == "series_id":
        return [one for one in IDS for _ in range(BINS)]
    if name == "kind":
        return [one for one in KINDS for _ in range(BINS)]
    if name == "bin_index":
        return [str(one) for one in range(BINS)] * len(IDS)
    if name == "run_url":
        return [str(runs / "run_a")] * BINS * len(IDS)
    if name == "exported_at":
        return [exported_at] * BINS * len(IDS)
    return [CONSTANT[name]] * BINS * len(IDS)


def _read(path: Path, names: tuple[str, ...]) -> dict[str, list[str]]:
    """Columns as text; instants as this project writes them in text formats."""
    wanted = ", ".join(f"{name}::VARCHAR" for name in names)
    source = READERS[path.suffix[1:]].format(path)
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        rows = database.execute(f"SELECT {wanted} FROM {source}").fetchall()
    as_text = [[_INSTANT.sub(r"\1T\2Z", cell) for cell in row] for row in rows]
    return {name: [row[place] for row in as_text] for place, name in enumerate(names)}


@pytest.mark.parametrize("form", READERS)
def test_each_column_holds_what_the_run_says(form: str, runs: Path, tmp_path: Path) -> None:
    path = tmp_path / f"all.{form}"
    before = datetime.now(UTC).replace(microsecond=0)
    export(config(runs, {"path": path}, metadata={"columns": list(CATALOGUE_NAMES)}))
    found = _read(path, CATALOGUE_NAMES)
    exported_at = found["exported_at"][0]
    assert before <= datetime.fromisoformat(exported_at) <= datetime.now(UTC) + timedelta(seconds=1)
    for name in CATALOGUE_NAMES:
        assert found[name] == _expected(name, runs, exported_at), name


@pytest.mark.parametrize("form", READERS)
@pytest.mark.parametrize("layout", ["long", "wide"])
def test_all_columns_are_verified_and_return(
    form: str, layout: str, runs: Path, tmp_path: Path
) -> None:
    path = tmp_path / f"all.{form}"
    sink = {"path": path, "layout": layout}
    metadata = {"columns": list(CATALOGUE_NAMES), "constants": {"team": "ops", "share": 0.5}}
    export(config(runs, sink, metadata=metadata))
    checked = verify(str(path), str(runs))
    assert checked.ok
    fields = descriptor(tmp_path / "all.datapackage.json")["resources"][0]["schema"]["fields"]
    shown = {field["name"] for field in fields}
    hidden = set() if layout == "long" else PER_MEASURE
    assert shown >= (set(CATALOGUE_NAMES) - hidden) | {"team", "share"}
    import_export([str(path)], str(tmp_path / "back"))
    for one in IDS:
        name = f"run_a/series/{one}.csv"
        assert (tmp_path / "back" / name).read_bytes() == (runs / name).read_bytes()


def test_each_column_alone_beside_the_base_columns(runs: Path, tmp_path: Path) -> None:
    sinks = [{"path": tmp_path / f"{name}.parquet"} for name in CATALOGUE_NAMES]
    for name, sink in zip(CATALOGUE_NAMES, sinks, strict=True):
        export(config(runs, sink, metadata={"columns": [name]}))
        assert list(_read(sink["path"], (name,))[name])
        assert verify(str(sink["path"]), str(runs)).ok
