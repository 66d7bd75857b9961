"""The command line: what it prints where, and how it ends."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import polars as pl
import pytest
import yaml

from connectors.flowtime.discover.discovery import discover
from connectors.storage.staging.names import host_mark
from pipeline.cli.main import run_cli
from pipeline.config import parse_config
from tests.exporting import dead_process, descriptor, names, snapshot, spec, write_runs
from tests.read_outputs import read_runs
from tests.run_builder import write_many

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
NO_RUNS = ("--set", "source.include=[nothing]")
COMMAND = [sys.executable, "-c", "from pipeline.cli.main import main; main()"]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))


@pytest.fixture
def config(runs: Path, tmp_path: Path) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"version: 1\nname: nightly\nsource: {{url: {runs}}}\n"
        f"sinks:\n  - {{format: csv, path: {tmp_path}/out/e.csv}}\n"
        f"  - {{format: parquet, path: {tmp_path}/out/e.parquet}}\n"
    )
    return str(path)


Streams = pytest.CaptureFixture[str]


def printed(capsys: Streams) -> Any:
    """What is on stdout, as JSON; stderr must be empty."""
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


# --- the main job ---------------------------------------------------------------------------


def test_run(config: str, tmp_path: Path, capsys: Streams) -> None:
    assert run_cli(["run", config]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[0].startswith("nightly: 2 runs, 6 series, 24 rows read in ")
    assert f"{tmp_path}/out/e.csv" in out
    assert run_cli(["run", config]) == 0
    assert "nothing changed, nothing written" in capsys.readouterr().out
    assert run_cli(["run", config, "--full-refresh", "--json"]) == 0
    report = printed(capsys)
    assert [target["status"] for target in report["targets"]] == ["exported"] * 2
    assert (report["exit_code"], report["rows_read"], report["status"]) == (0, 24, "done")


def test_set(config: str, tmp_path: Path, capsys: Streams) -> None:
    changes = [f"sinks.0.path={tmp_path}/other.csv", "source.include=[run_a]", "name=mine"]
    arguments = [part for change in changes for part in ("--set", change)]
    assert run_cli(["run", config, *arguments, "--json"]) == 0
    report = printed(capsys)
    assert (report["name"], report["runs"]) == ("mine", 1)
    assert (tmp_path / "other.csv").exists()


@pytest.mark.parametrize("verb", [["plan"], ["run", "--dry-run"], ["preview"], ["validate"]])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_verbs_that_touch_nothing(
    config: str, tmp_path: Path, capsys: Streams, verb: list[str], form: list[str]
) -> None:
    before = snapshot(tmp_path)
    assert run_cli([verb[0], config, *verb[1:], *form]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) if form else "csv" in out
    assert snapshot(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "runs"]


def test_validate_prints_json(config: str, capsys: Streams) -> None:
    dated = "sinks=[{format: csv, path: 'out/{date}.csv'}]"
    assert run_cli(["validate", config, "--set", dated, "--json"]) == 0
    found = printed(capsys)
    assert (found["status"], found["exit_code"], found["formats"]) == ("valid", 0, ["csv"])
    assert "{date} is the day of the export" in found["warnings"][0]


def test_plan_counts(config: str, tmp_path: Path, capsys: Streams) -> None:
    assert run_cli(["plan", config, "--json"]) == 0
    plan = printed(capsys)
    size = sum(path.stat().st_size for path in (tmp_path / "runs").rglob("series/*.csv"))
    assert (plan["runs"], plan["series"], plan["rows"], plan["bytes"]) == (2, 6, 24, size)
    assert [sink["status"] for sink in plan["sinks"]] == ["write", "write"]
    run_cli(["run", config, "--json"])
    capsys.readouterr()
    run_cli(["plan", config, "--json"])
    assert [sink["status"] for sink in printed(capsys)["sinks"]] == ["unchanged", "unchanged"]


def test_plan_counts_what_is_read_and_what_is_selected(
    config: str, tmp_path: Path, capsys: Streams
) -> None:
    def plan(*options: str) -> tuple[str, dict[str, int]]:
        capsys.readouterr()
        assert run_cli(["run", config, "--dry-run", *options]) == 0
        line = capsys.readouterr().out.splitlines()[0]
        assert run_cli(["run", config, "--dry-run", *options, "--json"]) == 0
        data = printed(capsys)
        assert (data["runs"], data["series"], data["rows"]) == (2, 6, 24)
        return line, data["to_read"]

    def size(*runs: str) -> int:
        files = (path for run in runs for path in (tmp_path / "runs" / run).glob("series/*.csv"))
        return sum(path.stat().st_size for path in files)

    everything = {"runs": 2, "series": 6, "rows": 24, "bytes": size("run_a", "run_b")}
    line, to_read = plan()
    assert line.startswith("nightly: read 2 runs, 6 series, 24 rows, ")
    assert to_read == everything

    run_cli(["run", config])
    line, to_read = plan()
    nothing = f"read nothing of the 2 runs in {tmp_path}/runs: no target needs their rows"
    assert line == f"nightly: {nothing}"
    assert to_read == dict.fromkeys(everything, 0)
    line, to_read = plan("--full-refresh")
    assert line.startswith("nightly: read 2 runs, 6 series, 24 rows, ")
    assert to_read == everything

    one_file_a_run = f"sinks=[{{path: '{tmp_path}/out/{{run_id}}.csv', format: csv}}]"
    run_cli(["run", config, "--set", one_file_a_run])
    write_runs(tmp_path / "runs", spec("run_b", values=(9.0, 8.0, 7.0, 6.0)))
    line, to_read = plan("--set", one_file_a_run)
    assert line.startswith("nightly: read 1 of 2 runs, 3 series, 12 rows, ")
    assert to_read == {"runs": 1, "series": 3, "rows": 12, "bytes": size("run_b")}


def test_preview_shows_what_is_written(config: str, tmp_path: Path, capsys: Streams) -> None:
    assert run_cli(["preview", config, "--rows", "5", "--json"]) == 0
    shown = printed(capsys)
    assert [len(sink["rows"]) for sink in shown] == [5, 5]
    run_cli(["run", config])
    frame = pl.read_parquet(tmp_path / "out" / "e.parquet").head(5)
    assert [row["value"] for row in shown[1]["rows"]] == frame["value"].to_list()
    assert list(shown[1]["rows"][0]) == frame.columns


def test_preview_as_json_is_what_ndjson_would_hold(tmp_path: Path, capsys: Streams) -> None:
    """JSON has neither NaN nor infinities, and strict parsers such as jq refuse them."""
    values = (math.nan, math.inf, -math.inf, 1e-7)
    runs = write_runs(tmp_path / "runs", spec("run_a", values=values))
    (tmp_path / "c.yaml").write_text(
        f"version: 1\nsource: {{url: {runs}}}\n"
        f"sinks: [{{format: ndjson, path: {tmp_path}/e.ndjson}}]\n"
    )
    config = str(tmp_path / "c.yaml")
    assert run_cli(["preview", config, "--rows", "12", "--json"]) == 0
    out = capsys.readouterr().out
    (shown,) = [sink["rows"] for sink in json.loads(out, parse_constant=pytest.fail)]
    assert run_cli(["run", config]) == 0
    lines = (tmp_path / "e.ndjson").read_text().splitlines()
    assert shown == [json.loads(line) for line in lines]
    capsys.readouterr()
    assert run_cli(["preview", config, "--json", *NO_RUNS]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_doctor(config: str, tmp_path: Path, capsys: Streams) -> None:
    assert run_cli(["doctor", config]) == 0
    assert capsys.readouterr().out.count("ok  ") == 3
    assert not (tmp_path / "out").exists()
    assert run_cli(["doctor", config, "--set", "source.url=/nowhere/at/all", "--json"]) == 1
    found = printed(capsys)
    assert "/nowhere/at/all" in found[0]["problem"]
    assert [entry["problem"] for entry in found[1:]] == [None, None]


def test_doctor_goes_on_where_a_package_for_the_source_is_missing(
    tmp_path: Path, capsys: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [one for one in sys.modules if one.startswith("connectors.storage.azure")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "connectors.storage.azure", None)
    monkeypatch.setattr("connectors.storage._known", {})  # so that no earlier storage is found
    file = tmp_path / "config.yaml"
    file.write_text(
        "version: 1\nstorage: {lake: {protocol: abfs, account_name: acme}}\n"
        "source: {url: 'abfs://sim/runs', storage: lake}\n"
        f"sinks: [{{format: delta, path: {tmp_path}/table}}]\n"
    )
    assert run_cli(["doctor", str(file), "--json"]) == 1
    source, written, read = (entry["problem"] for entry in printed(capsys))
    assert "pip install 'flowtime-export[azure]'" in source
    assert written is None
    assert "pip install 'flowtime-export[azure]'" in read


@pytest.mark.parametrize("verb", ["preview", "compare"])
def test_texts_of_a_run_do_not_change_the_terminal(
    config: str, runs: Path, capsys: Streams, verb: str
) -> None:
    file = runs / "run_b" / "run.json"
    content = json.loads(file.read_text("utf-8-sig"))
    file.write_text(json.dumps({**content, "source": "bell\x07"}))
    arguments = {
        "preview": [
            config,
            "--set",
            "metadata.columns=[source]",
            "--set",
            "source.include=[run_b]",
        ],
        "compare": [str(runs / "run_a"), str(runs / "run_b")],
    }
    assert run_cli([verb, *arguments[verb]]) == 0
    out = capsys.readouterr().out
    assert "bell\\x07" in out
    assert "\x07" not in out


# --- without a config -----------------------------------------------------------------------


def test_runs(runs: Path, capsys: Streams) -> None:
    (runs / "run_b" / "manifest.json").unlink()
    assert run_cli(["runs", str(runs), "--json"]) == 0
    whole, waiting = printed(capsys)
    assert (whole["id"], whole["bins"], whole["series"], whole["complete"]) == ("run_a", 4, 3, True)
    assert (waiting["name"], waiting["complete"]) == ("run_b", False)
    assert whole["created"] == "2025-01-02T03:04:05Z"
    assert list(whole) == list(waiting)
    assert "manifest.json" in waiting["reason"]
    assert run_cli(["runs", str(runs)]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "run",
        "run_a",
        "run_b",
    ]
    assert run_cli(["runs", "/nowhere/at/all"]) == 1


def test_runs_says_where_a_run_is_broken(runs: Path, capsys: Streams) -> None:
    (runs / "run_b" / "run.json").write_text('{"runId": ')
    reason = "file run.json line 1: is cut off at column 10"
    assert run_cli(["runs", str(runs)]) == 0
    assert f"  broken: {reason}" in capsys.readouterr().out.splitlines()[-1]
    assert run_cli(["runs", str(runs), "--json"]) == 0
    broken = printed(capsys)[-1]
    assert (broken["name"], broken["kind"]) == ("run_b", "broken")
    assert broken["reason"].startswith(reason)


def test_runs_warns_of_a_folder_without_runs(tmp_path: Path, capsys: Streams) -> None:
    assert run_cli(["runs", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert err == f"WARNING no run directories found under {tmp_path}\n"
    assert run_cli(["runs", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("rum", "No such command 'rum'; did you mean 'run'?"),
        ("exprot", "No such command 'exprot'; did you mean 'export'?"),
        ("qqq", "No such command 'qqq'; choose from artifacts, clean, compare,"),
    ],
)
def test_a_mistyped_verb(typed: str, message: str, capsys: Streams) -> None:
    assert run_cli([typed]) == 2
    assert f"Error: {message}" in capsys.readouterr().err


def test_export_all(runs: Path, tmp_path: Path, capsys: Streams) -> None:
    run = runs / "run_a"
    assert run_cli(["export", str(run), "--format", "all"]) == 0
    capsys.readouterr()
    assert names(run / "gold") == [
        "export.csv",
        "export.datapackage.json",
        "export.ndjson",
        "export.parquet",
    ]
    descriptor(run / "gold" / "export.datapackage.json")
    rows = read_runs(runs)[0].rows
    assert pl.read_parquet(run / "gold/export.parquet").height == len(rows)
    out = tmp_path / "else" / "x.csv"
    assert run_cli(["export", str(run), "--format", "csv", "--out", str(out), "--json"]) == 0
    assert printed(capsys)["targets"][0]["rows"] == len(rows)
    assert out.exists()


def test_init_and_schema(tmp_path: Path, capsys: Streams) -> None:
    assert run_cli(["schema"]) == 0
    schema = printed(capsys)
    jsonschema.Draft202012Validator.check_schema(schema)
    texts = [path.read_text() for path in CONFIGS]
    assert len(texts) > 3
    for arguments in ([], ["--source", "s3://sim/runs", "--to", "s3://lake/x", "--format", "csv"]):
        assert run_cli(["init", *arguments]) == 0
        texts.append(capsys.readouterr().out)
        environ = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
        assert parse_config(texts[-1], environ=environ).sinks
    for text in texts:
        jsonschema.validate(yaml.safe_load(text), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"version": 1, "sources": {}}, schema)
    path = tmp_path / "new.yaml"
    assert run_cli(["init", "--out", str(path)]) == 0
    assert run_cli(["validate", str(path)]) == 0
    assert run_cli(["init", "--out", str(path)]) == 2


def test_clean(tmp_path: Path, capsys: Streams) -> None:
    script = f"""
from connectors.storage import connect
storage, path = connect({str(tmp_path / "out")!r})
storage.stage(path + "/e.csv").local.write_text("half")
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    (tmp_path / "out" / "mine.part").write_text("mine")
    assert len(names(tmp_path / "out")) == 2
    assert run_cli(["clean", str(tmp_path / "out"), "--json"]) == 0
    assert len(printed(capsys)["removed"]) == 1
    assert names(tmp_path / "out") == ["mine.part"]


def test_clean_goes_on_after_what_it_cannot_remove(tmp_path: Path, capsys: Streams) -> None:
    dead = f"-.{host_mark()}-{dead_process()}-0123456"
    for folder, number in (("a", 1), ("b", 2), ("c", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f".flowtime-export-claim{dead}{number}.flowtime-export.part").touch()
    bad = next((tmp_path / "b").iterdir())
    bad.unlink()
    bad.symlink_to(tmp_path / "elsewhere")
    assert run_cli(["clean", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out.count("removed ") == 2
    assert "2 leftovers of crashed exports removed" in err
    assert f"not removed: reading {bad}" in err
    assert names(tmp_path) == [f"b/{bad.name}"]
    assert run_cli(["clean", str(tmp_path), "--json"]) == 1
    assert len(printed(capsys)["problems"]) == 1


@pytest.mark.parametrize(("target", "code"), [("nosuch", 1), ("/", 2), ("s3://", 2), (".", 0)])
def test_clean_needs_a_place_that_is_there(
    target: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Streams
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_cli(["clean", target]) == code
    assert bool(capsys.readouterr().err.startswith("ERROR")) == bool(code)


def test_export_takes_one_run(tmp_path: Path, capsys: Streams) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    (tmp_path / "empty").mkdir()
    out = ["--format", "csv", "--out", str(tmp_path / "e.csv")]
    assert run_cli(["export", str(runs), *out]) == 2
    assert f"export takes one run, and 2 runs were found: name one of them, such as {runs}" in (
        capsys.readouterr().err
    )
    assert run_cli(["export", str(tmp_path / "empty"), *out]) == 2
    assert "no run directory was found there" in capsys.readouterr().err
    assert not (tmp_path / "e.csv").exists()
    assert run_cli(["export", str(runs / "run_a"), *out]) == 0


def test_export_looks_for_its_run_once(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    def looking(storage: Any, path: str, *args: Any, **options: Any) -> Any:
        looks.append(path)
        return discover(storage, path, *args, **options)

    monkeypatch.setattr("pipeline.reading.source.discover", looking)
    run = str(runs / "run_a")
    assert run_cli(["export", run, "--format", "csv", "--out", str(tmp_path / "e.csv")]) == 0
    assert looks == [run]


def test_a_plan_counts_in_words(tmp_path: Path, capsys: Streams) -> None:
    write_runs(tmp_path / "runs", spec("run_a", "served@A@DEFAULT", values=[1.0]))
    (tmp_path / "empty").mkdir()
    sinks = [{"format": "csv", "path": str(tmp_path / "e.csv")}]
    for folder, said in (
        ("runs", ["read 1 run, 1 series, 1 row,", " 1 row  "]),
        ("empty", ["read 0 runs, 0 series, 0 rows,", "csv     keep"]),
    ):
        plain = {"version": 1, "source": {"url": str(tmp_path / folder)}, "sinks": sinks}
        (tmp_path / "config.json").write_text(json.dumps(plain))
        assert run_cli(["plan", str(tmp_path / "config.json")]) == 0
        out = capsys.readouterr().out
        assert all(text in out for text in said), out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "nosuch.csv", "--out", "x"], "there is no such file or folder"),
        (["verify", "nosuch.csv"], "there is no such file or folder"),
        (["compare", "RUN", "nosuch"], "there is no such file or folder"),
        (["compare", "RUN", "RUN", "--map", "A"], "--map 'A': expected OLD=NEW"),
        (["compare", "RUN", "RUN", "--map", "Z=A"], "has no component or series 'Z'"),
        (
            ["compare", "RUN", "RUN", "--aggregation", "x"],
            "--aggregation 'x': expected KIND=METHOD",
        ),
        (
            ["import", "RUN", "--out", "x", "--column", "a=b"],
            "--column: a run's table has no column 'a'",
        ),
        (["import", "EXPORT", "--out", "OUT"], "--if-exists replace or skip"),
    ],
)
def test_messages_name_what_was_typed(
    tmp_path: Path, arguments: list[str], said: str, capsys: Streams
) -> None:
    run = write_runs(tmp_path / "runs", spec("run_a")) / "run_a"
    file = tmp_path / "e.csv"
    assert run_cli(["export", str(run), "--format", "csv", "--out", str(file)]) == 0
    words = {"RUN": str(run), "EXPORT": str(file), "OUT": str(tmp_path / "runs")}
    assert run_cli([words.get(part, part) for part in arguments]) in (1, 2)
    assert said in capsys.readouterr().err


def test_a_registry_without_a_scheme_is_none(tmp_path: Path, capsys: Streams) -> None:
    file = tmp_path / "registry.db"
    assert run_cli(["artifacts", "list", "--registry", str(file)]) == 2
    assert "sqlite:///FILE" in capsys.readouterr().err
    assert not file.exists()


# --- how it ends ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "nowhere.yaml"], "nowhere.yaml"),
        (["run"], "Missing argument"),
        (["frobnicate"], "No such command"),
        (["run", "CONFIG", "--set", "sinks.0.formt=csv"], "format"),
        (["run", "CONFIG", "--set", "transform.filter=valu > 0"], "value"),
        (["validate", "CONFIG", "--set", "transform.filter=valu > 0"], "value"),
        (["run", "CONFIG", *NO_RUNS, "--set", "source.require_runs=true"], "require_runs"),
        (["export", "nowhere", "--format", "xlsx"], "xlsx"),
        (["preview", "CONFIG", "--rows", "0"], "rows"),
    ],
)
def test_usage_and_config_errors(
    config: str, tmp_path: Path, capsys: Streams, arguments: list[str], said: str
) -> None:
    assert run_cli([config if part == "CONFIG" else part for part in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_no_runs_is_a_warning(config: str, capsys: Streams) -> None:
    assert run_cli(["run", config, *NO_RUNS]) == 0
    out, err = capsys.readouterr()
    assert "no runs found" in out
    assert err.startswith("WARNING no runs found under")


def test_logs_are_json_on_stderr(config: str, runs: Path) -> None:
    (runs / "run_b" / "series" / "served@A@DEFAULT.csv").write_text("")
    arguments = ["--log-format", "json", "--log-level", "info", "run", config, "--json"]
    ended = subprocess.run(
        [*COMMAND, *arguments, "--set", "source.on_error=skip"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 3
    assert json.loads(ended.stdout)["exit_code"] == 3
    records = [json.loads(line) for line in ended.stderr.splitlines()]
    assert {"time", "level", "logger", "message"} <= set(records[0])
    assert [r["level"] for r in records] == ["info", "warning", "info"]
    assert "run_b" in records[1]["message"]


def test_options_of_the_logs_may_follow_the_verb(config: str, capsys: Streams) -> None:
    assert run_cli(["run", config, "--json", "--log-format", "json", "--log-level", "info"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["exit_code"] == 0
    assert [json.loads(line)["level"] for line in err.splitlines()] == ["info", "info"]
    assert run_cli(["run", config, "--log-format", "xml"]) == 2
    assert "'xml' is not one of 'text', 'json'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["term", "int"]
)
def test_a_signal_in_the_midst_of_an_export(tmp_path: Path, number: int, code: int) -> None:
    write_many(tmp_path / "runs", runs=1, series=40, bins=60_000, seed=1)
    out = tmp_path / "out"
    path = tmp_path / "config.yaml"
    sinks = [{"format": f, "path": f"{out}/{f}", "layout": "long"} for f in ("csv", "ndjson")]
    source = {"url": str(tmp_path / "runs")}
    path.write_text(json.dumps({"version": 1, "source": source, "sinks": sinks}))
    process = subprocess.Popen(
        [*COMMAND, "run", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 30
    while sum(file.stat().st_size > 0 for file in out.rglob(".*.part")) < len(sinks):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, number)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (code, "")
    # Python may complain before of a generator that the signal hit while it was being closed.
    assert stderr.splitlines()[-1].endswith("nothing was published in part")
    assert names(out) == []
