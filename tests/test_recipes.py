"""The recipes of README and docs, run over ids that readers like to take for something else."""

from __future__ import annotations

import ast
import csv
import math
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import yaml

from pipeline.config import ExportConfig
from pipeline.exports.run import export
from tests.exporting import spec
from tests.read_outputs import bits, read_runs
from tests.run_builder import write_run

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Readers guess the type of a column by all its values.
POOLS: dict[str, tuple[str | None, ...]] = {
    "numbers": ("007", "7", "1e3", None),
    "booleans": ("true", "false"),
    "missing": ("NA", "null", "None", "nan", None),
    "dates": ("2025-01-01", "2024-02-29"),
    "marks": ("#/h", "#h", "a=b%20c", "vip", "VIP", "", None),
    "mixed": ("007", "7", "NA", "1e3", "#/h", "true", None, "x"),
}
VALUES = (1.0, math.nan, math.inf, -0.0)


@dataclass(frozen=True)
class Exported:
    """What the quickstart and the data lake write, of other runs.

    Attributes:
        folder: The working directory of the recipes.
        rows: The rows, read by the standard library.
    """

    folder: Path
    rows: list[dict[str, Any]]


@pytest.fixture(scope="module", params=POOLS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    base = tmp_path_factory.mktemp("recipes")
    runs = base / "samples/runs"
    sources: dict[str, str | None] = {}
    for place, text in enumerate(POOLS[request.param]):
        name = re.sub(r"[^A-Za-z0-9.-]", "", text or "") or "0"
        run_id = (text or f"0{place}").replace("/", "~")
        sources[run_id] = text or None  # an empty text names no source
        series = (f"arrivals@{name}@{name}", f"served@{name}@{name}")
        one = spec(f"run_{place}", *series, values=VALUES, run_id=run_id, extra={"source": text})
        write_run(runs, one)
    (lake,) = _snippets(ROOT / "docs/lake.md", "yaml")
    for text in ((ROOT / "configs/quickstart.yaml").read_text(), lake):
        found = yaml.safe_load(text)
        found["source"]["url"] = str(runs)
        for sink in found["sinks"]:
            sink["path"] = str(base / sink["path"])
        export(ExportConfig.model_validate(found))
    rows = [
        {
            "run_id": run.run_id,
            "source": sources[run.run_id],
            "component_id": component,
            "measure": measure,
            "class": class_name,
            "value": bits(value),
            "time_bin": moment,
        }
        for run in read_runs(runs)
        for moment, component, measure, class_name, value in run.rows
    ]
    return Exported(base, rows)


def _snippets(page: Path, language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [text for text in found if "version: 1" in text or re.search(r"out/(quick|lake)", text)]


def _recipes(language: str) -> Iterator[Any]:
    for page in PAGES:
        for place, text in enumerate(_snippets(page, language)):
            if not re.search(r"flowtime_export|pipeline", text):  # test_docs.py runs those
                yield pytest.param(text, id=f"{page.name}-{place}")


def _rows(table: Any) -> list[dict[str, Any]] | None:
    """Rows of what a statement gave; None where it gave no table."""
    if hasattr(table, "toArrow"):  # of Spark
        table = table.toArrow()
    if isinstance(table, pl.LazyFrame):
        table = table.collect()
    if isinstance(table, pl.DataFrame):
        table = table.to_arrow()
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    if not isinstance(table, pa.Table):
        return None
    if "time_bin" in table.column_names:
        place = table.column_names.index("time_bin")
        assert pa.types.is_timestamp(table.schema.field(place).type)
        utc = table[place].cast(pa.timestamp("us", "UTC"))
        text = [moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in utc.to_pylist()]
        table = table.set_column(place, "time_bin", [text])
    return [dict(row) for row in table.to_pylist()]


def _compare(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Compare the columns that both have; of groups, the different rows."""
    names = [name for name in expected[0] if name in found[0]]
    assert "run_id" in names
    if "value" in names:
        assert all(name in names for name in ("component_id", "class", "time_bin"))
        # pandas has one missing value for NaN and null.
        found = [
            {**row, "value": bits(math.nan if row["value"] is None else row["value"])}
            for row in found
        ]
    shown, wanted = (
        [tuple(row[name] for name in names) for row in rows] for rows in (found, expected)
    )
    if "value" in names:
        assert Counter(shown) == Counter(wanted)
    else:
        assert sorted(shown) == sorted(set(wanted))


@pytest.mark.parametrize("snippet", list(_recipes("python")))
def test_python(snippet: str, exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    if "pyspark" in snippet:
        pytest.importorskip("pyspark")
        # Its JVM stays in the folder that it was started in.
        snippet = snippet.replace('"out/', f'"{exported.folder}/out/')
    monkeypatch.chdir(exported.folder)
    names: dict[str, Any] = {}
    for statement in ast.parse(snippet).body:
        if not isinstance(statement, ast.Expr):
            exec(compile(ast.Module([statement], []), "recipe", "exec"), names)
            continue
        result = eval(compile(ast.Expression(statement.value), "recipe", "eval"), names)
        rows = _rows(result)
        if rows is not None:
            _compare(rows, exported.rows)


@pytest.mark.parametrize("snippet", list(_recipes("sql")))
def test_sql(snippet: str, exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported.folder)
    with duckdb.connect() as session:
        for statement in snippet.strip().rstrip(";").split(";\n"):
            rows = _rows(session.sql(statement).to_arrow_table())
            assert rows is not None
            _compare(rows, exported.rows)


_WRITE_R = """
text <- rows[names(rows) != "value"]
text$time_bin <- format(text$time_bin, "%Y-%m-%dT%H:%M:%SZ")
text$value <- sprintf("%.17g", rows$value)
write.csv(text, "rows.csv", row.names = FALSE, na = "<missing>")
"""


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
@pytest.mark.parametrize("snippet", list(_recipes("r")))
def test_r(snippet: str, exported: Exported) -> None:
    subprocess.run(["Rscript", "-e", snippet + _WRITE_R], cwd=exported.folder, check=True)
    with (exported.folder / "rows.csv").open(newline="") as file:
        read = [
            {name: None if cell == "<missing>" else cell for name, cell in row.items()}
            for row in csv.DictReader(file)
        ]
    # Like pandas, R has one missing value for an empty text and null.
    expected = [{**row, "component_id": row["component_id"] or None} for row in exported.rows]
    _compare([{**row, "value": float(row["value"] or "nan")} for row in read], expected)


def test_every_kind_of_reader_has_a_recipe() -> None:
    code = "".join(str(one.values[0]) for lang in ("python", "sql") for one in _recipes(lang))
    for reader in ("pd.read_csv", "pl.read_csv", "FROM read_csv", "spark.read.csv"):
        assert reader in code
    for read in (
        "pd.read_parquet",
        "scan_parquet",
        "FROM read_parquet",
        "ds.dataset",
        "spark.read.parquet",
    ):
        assert read in code
    for read in ("pd.read_json", "pl.read_ndjson", "FROM read_json", "spark.read.json"):
        assert read in code
    assert "read.csv(" in "".join(str(one.values[0]) for one in _recipes("r"))
