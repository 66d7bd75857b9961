"""Orchestrators run for real, in environments of their own.

An environment has the orchestrator and this project; its Python is named by a variable such as
`FLOWTIME_EXPORT_TEST_PREFECT=/opt/prefect/bin/python`.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.integrations.command import run_export
from pipeline.integrations.published_table import tables_of

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/orchestrators.md").read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the samples and configs, as the working directory of the orchestrator."""
    for name in ("samples", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def orchestrator(name: str) -> str:
    variable = f"FLOWTIME_EXPORT_TEST_{name.upper()}"
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"needs an environment with {name}: set {variable} to its Python")
    return python


def snippet(section: str, language: str = "python", number: int = 0) -> str:
    part = GUIDE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", part, re.DOTALL | re.MULTILINE)[number]


def run(python: str, code: str, folder: Path, **env: str) -> str:
    done = subprocess.run(
        [python, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def spoil(checkout: Path) -> str:
    """Break one sample run and return its name."""
    folder = sorted((checkout / "samples/runs").iterdir())[0]
    next(folder.glob("series/*.csv")).write_text("bin_index,value\n")
    return folder.name


# --------------------------------------------------------------------------- what all share


def test_tables_and_what_a_report_says_of_them(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout)
    tables = tables_of("configs/quickstart.yaml")
    assert [table.name for table in tables] == [
        "quickstart_csv", "quickstart_ndjson", "quickstart_parquet",
    ]  # fmt: skip
    result = run_export("configs/quickstart.yaml")
    assert result.exit_code == 0, result.log
    descriptor = json.loads((checkout / "out/quickstart/export.datapackage.json").read_text())
    hashes = {one["path"]: one["hash"] for one in descriptor["resources"]}
    for table in tables:
        metadata = table.metadata(result.output)
        assert metadata["status"] == "exported"
        assert metadata["rows"] == 4504
        assert metadata["digest"] == hashes[f"export.{table.format}"]
    again = run_export("configs/quickstart.yaml")
    assert tables[0].metadata(again.output)["status"] == "unchanged"


def test_a_file_for_each_run_is_the_table_of_their_folder(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout)
    (table,) = tables_of("configs/ndjson-feed.yaml")
    assert table.uri == f"file://{checkout}/out/feed"
    result = run_export("configs/ndjson-feed.yaml")
    assert table.metadata(result.output)["files"] == 6


def test_a_wrong_config_and_broken_runs_have_their_codes(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout)
    wrong = run_export("configs/quickstart.yaml", overrides={"source.nonsense": "1"})
    assert (wrong.exit_code, wrong.failed, wrong.may_retry) == (2, True, False)
    assert "nonsense" in wrong.message
    broken = spoil(checkout)
    failed = run_export("configs/quickstart.yaml")
    assert (failed.exit_code, failed.failed, failed.may_retry) == (1, True, True)
    assert broken in failed.message
    skipped = run_export("configs/quickstart.yaml", overrides={"source.on_error": "skip"})
    assert (skipped.exit_code, skipped.failed, skipped.may_retry) == (3, False, False)
    assert [Path(run).name for run in skipped.skipped_runs] == [broken]


@pytest.mark.parametrize("name", ["airflow", "dagster", "prefect"])
def test_an_orchestrator_that_is_not_installed_is_named_with_its_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"pipeline.integrations.{name}", raising=False)
    with pytest.raises(
        ConfigError, match=rf"needs {name}.*pip install 'flowtime-export\[{name}\]'"
    ):
        importlib.import_module(f"pipeline.integrations.{name}")


# --------------------------------------------------------------------------- Prefect


def prefect_settings(checkout: Path) -> dict[str, str]:
    """Environment variables of a Prefect of its own, which asks nothing of the network."""
    return {
        "PREFECT_HOME": str(checkout / "prefect"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }


def test_prefect_exports_verifies_and_publishes_an_artifact(checkout: Path) -> None:
    python = orchestrator("prefect")
    env = prefect_settings(checkout)
    run(python, snippet("Prefect"), checkout, **env)
    with sqlite3.connect(checkout / "prefect/prefect.db") as database:
        (data,) = database.execute("SELECT data FROM artifact WHERE type = 'table'").fetchone()
        states = database.execute("SELECT name, state_name FROM task_run").fetchall()
    rows = json.loads(json.loads(data)) if isinstance(json.loads(data), str) else json.loads(data)
    assert [row["rows"] for row in rows] == [4504, 4504, 4504]
    assert {state for _, state in states} == {"Completed"}
    spoil(checkout)
    skip = (
        "from pipeline.integrations.prefect import export_flow\n"
        "state = export_flow('configs/quickstart.yaml', {'source.on_error': 'skip'}, "
        "return_state=True)\nprint(state.name)"
    )
    assert "Skipped runs" in run(python, skip, checkout, **env)


def test_prefect_tries_again_where_that_may_help(checkout: Path) -> None:
    python = orchestrator("prefect")
    spoil(checkout)
    code = (
        "from pipeline.integrations.prefect import export_task\n"
        "soon = export_task.with_options(retry_delay_seconds=0)\n"
        "for overrides in ({}, {'source.nonsense': '1'}):\n"
        "    state = soon('configs/quickstart.yaml', overrides, return_state=True)\n"
        "    print(state.name, state.message)\n"
    )
    env = prefect_settings(checkout)
    shown = run(python, code, checkout, **env)
    assert "RuntimeError" in shown
    assert "nonsense" in shown
    with sqlite3.connect(checkout / "prefect/prefect.db") as database:
        runs = database.execute("SELECT state_name, run_count FROM task_run ORDER BY start_time")
        assert runs.fetchall() == [("Failed", 3), ("Failed", 1)]


# --------------------------------------------------------------------------- Dagster


def test_dagster_materializes_an_asset_for_each_sink(checkout: Path) -> None:
    python = orchestrator("dagster")
    code = snippet("Dagster") + (
        "\nresult = dg.materialize(list(defs.assets))\n"
        "for event in result.get_asset_materialization_events():\n"
        "    found = event.materialization\n"
        "    print(found.asset_key.to_user_string(), found.metadata['rows'].value)\n"
        "for check in result.get_asset_check_evaluations():\n"
        "    print(check.asset_key.to_user_string(), check.check_name, check.passed)\n"
    )
    shown = run(python, code, checkout, DAGSTER_HOME="")
    for name in ("quickstart_csv", "quickstart_ndjson", "quickstart_parquet"):
        assert f"{name} 4504\n" in shown
        assert f"{name} verified True\n" in shown


def test_dagster_tries_again_where_that_may_help(checkout: Path) -> None:
    python = orchestrator("dagster")
    spoil(checkout)
    code = (
        "import dagster as dg\nfrom pathlib import Path\n"
        "from pipeline.integrations import dagster as ours\n"
        "asset = ours.export_definitions(Path('configs/quickstart.yaml')).assets[0]\n"
        "def tries(**wrong):\n"
        "    real = ours.run_export\n"
        "    ours.run_export = lambda config, overrides: real(config, overrides=wrong)\n"
        "    job = dg.define_asset_job('again', [asset], op_retry_policy=dg.RetryPolicy(2))\n"
        "    defs = dg.Definitions(assets=[asset], jobs=[job])\n"
        "    with dg.DagsterInstance.ephemeral() as instance:\n"
        "        found = defs.resolve_job_def('again').execute_in_process(\n"
        "            instance=instance, raise_on_error=False)\n"
        "    events = [event.event_type_value for event in found.all_events]\n"
        "    ours.run_export = real\n"
        "    return events.count('STEP_RESTARTED'), events.count('STEP_FAILURE')\n"
        "print(tries(), tries(**{'source.nonsense': '1'}))"
    )
    assert "(2, 1) (0, 1)" in run(python, code, checkout, DAGSTER_HOME="")


def test_dagster_loads_the_component_from_yaml(checkout: Path) -> None:
    python = orchestrator("dagster")
    folder = checkout / "project/defs/gold"
    folder.mkdir(parents=True)
    (checkout / "project/__init__.py").touch()
    (checkout / "project/defs/__init__.py").touch()
    config = str(checkout / "configs/quickstart.yaml")
    text = snippet("Dagster", "yaml").replace("configs/quickstart.yaml", config)
    (folder / "defs.yaml").write_text(text)
    (checkout / "pyproject.toml").write_text(
        "[tool.dg]\ndirectory_type = 'project'\n"
        "[tool.dg.project]\nroot_module = 'project'\ndefs_module = 'project.defs'\n"
    )
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from pathlib import Path\nimport dagster as dg\n"
        "defs = dg.load_from_defs_folder(path_within_project=Path('project/defs').absolute())\n"
        "print(sorted(one.key.to_user_string() for one in defs.resolve_all_asset_specs()))"
    )
    shown = run(python, code, checkout)
    assert "['quickstart_csv', 'quickstart_ndjson', 'quickstart_parquet']" in shown


# --------------------------------------------------------------------------- Airflow


@pytest.mark.parametrize(
    ("overrides", "on_skipped", "state"),
    [("{}", "succeed", "success"), ("{'source.on_error': 'skip'}", "skip", "skipped")],
)
def test_airflow_runs_a_dag(checkout: Path, overrides: str, on_skipped: str, state: str) -> None:
    python = orchestrator("airflow")
    if state == "skipped":
        spoil(checkout)
    dags = checkout / "dags"
    dags.mkdir()
    code = snippet("Airflow").replace('"succeed"', f'"{on_skipped}", overrides={overrides}')
    (dags / "gold.py").write_text(code)
    env = {
        "AIRFLOW_HOME": str(checkout / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(ROOT),
    }
    airflow = str(Path(python).with_name("airflow"))
    for arguments in (["db", "migrate"], ["dags", "test", "gold"]):
        done = subprocess.run(
            [airflow, *arguments],
            cwd=checkout, env={**os.environ, **env}, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    with sqlite3.connect(checkout / "airflow/airflow.db") as database:
        ((found,),) = database.execute("SELECT state FROM task_instance").fetchall()
        events = database.execute(
            "SELECT a.name, e.extra FROM asset_event e JOIN asset a ON a.id = e.asset_id"
        ).fetchall()
    assert found == state
    extras = {name: json.loads(extra) for name, extra in events}
    if state == "success":
        assert {extra["rows"] for extra in extras.values()} == {4504}
        assert len(extras) == 3
    else:
        assert extras == {}
