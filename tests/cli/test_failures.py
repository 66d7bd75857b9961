"""Whatever fails, a verb ends with its exit code, one message, and an object for --json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from pipeline.cli.commands import exports as export_commands
from pipeline.cli.main import cli, run_cli
from pipeline.errors import SinkError
from tests.exporting import spec, write_runs

Streams = pytest.CaptureFixture[str]


@pytest.fixture
def config(tmp_path: Path) -> str:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    path = tmp_path / "config.yaml"
    path.write_text(
        "version: 1\nname: nightly\n"
        "storage: {lake: {protocol: s3, secret: canary-5up3r}}\n"
        f"source: {{url: {runs}}}\n"
        f"sinks:\n  - {{format: csv, path: {tmp_path}/out/e.csv}}\n"
    )
    return str(path)


def failed(capsys: Streams, arguments: list[str]) -> tuple[int, dict[str, Any], str]:
    """Exit code, the failure object on stdout, and stderr."""
    code = run_cli(arguments)
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["status"], found["exit_code"]) == ("failed", code)
    assert set(found["error"]) >= {"type", "message"}
    assert "Traceback" not in err
    return code, found, err


def test_every_kind_of_failure_is_an_object(config: str, tmp_path: Path, capsys: Streams) -> None:
    broken = str(tmp_path / "runs" / "run_a" / "run.json")
    cases: list[tuple[list[str], int, str]] = [
        (["run", "nowhere.yaml"], 2, "ConfigError"),
        (["run", config, "--nonsense"], 2, "UsageError"),
        (["frobnicate"], 2, "UsageError"),
        (["run", config, "--set", "sinks.0.formt=csv"], 2, "ConfigError"),
        (["plan", config, "--set", "source.url=/nowhere/at/all"], 1, "NotFoundError"),
        (["preview", config, "--set", "source.url=/nowhere/at/all"], 1, "NotFoundError"),
        (["runs", "/nowhere/at/all"], 1, "NotFoundError"),
        (["export", "/nowhere/at/all", "--format", "csv"], 1, "NotFoundError"),
        (["verify", "/nowhere/at/all"], 1, "NotFoundError"),
        (["import", "/nowhere/at/all.csv", "--out", str(tmp_path / "back")], 1, "NotFoundError"),
        (["test-loop", "/nowhere/at/all"], 1, "NotFoundError"),
        (["import", broken, "--out", str(tmp_path / "back")], 1, "ForeignDataError"),
    ]
    for arguments, code, kind in cases:
        found_code, found, err = failed(capsys, [*arguments, "--json"])
        assert (found_code, found["error"]["type"]) == (code, kind), arguments
        assert err.count("\n") <= (5 if kind == "UsageError" else 1), err


def test_the_object_says_what_and_where(config: str, tmp_path: Path, capsys: Streams) -> None:
    (tmp_path / "runs" / "run_a" / "series" / "served@A@DEFAULT.csv").write_text("nonsense\n")
    code, found, err = failed(capsys, ["run", config, "--json"])
    assert code == 1
    assert found["name"] == "nightly"
    assert found["error"]["type"] == "IntegrityError"
    assert found["error"]["run_url"] == str(tmp_path / "runs" / "run_a")
    assert found["error"]["series"] == "served@A@DEFAULT"
    assert found["error"]["message"] in err


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (IndexError("list index out of range canary-5up3r"), 1, "InternalError"),
        (MemoryError(), 1, "MemoryError"),
        (BaseException("panicked"), 1, "InternalError"),  # as the panic of an extension in Rust
        (KeyboardInterrupt(), 130, "Interrupted"),
        (click.Abort(), 130, "Interrupted"),
        (SinkError("full"), 1, "SinkError"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "plan"])
def test_an_unexpected_error_is_no_traceback(
    config: str,
    capsys: Streams,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    kind: str,
    verb: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(export_commands, "find_runs" if verb == "plan" else "export", fail)
    found_code, found, err = failed(capsys, [verb, config, "--json"])
    assert (found_code, found["name"], found["error"]["type"]) == (code, "nightly", kind)
    assert "canary" not in err + str(found)
    if kind == "InternalError":
        assert "--debug" in err
    assert run_cli([verb, config]) == code
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("where", ["before", "after", "environment"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_debug_shows_the_traceback_without_secrets(
    config: str,
    capsys: Streams,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    form: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise IndexError("canary-5up3r")

    monkeypatch.setattr(export_commands, "export", fail)
    arguments = ["--log-format", form, "run", config, "--json"]
    if where == "environment":
        monkeypatch.setenv("FLOWTIME_EXPORT_DEBUG", "1")
    else:
        arguments.insert(0 if where == "before" else len(arguments), "--debug")
    assert run_cli(arguments) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["type"] == "InternalError"
    assert "Traceback" in err
    assert "in fail" in err
    assert "canary" not in out + err
    if form == "json":
        assert "Traceback" in json.loads(err)["error"]


def test_a_failure_of_a_watch_is_one_line(
    config: str, capsys: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise IndexError

    monkeypatch.setattr(export_commands, "export", fail)
    assert run_cli(["run", config, "--watch", "1s", "--json"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["error"]["type"] == "InternalError"


def test_summaries_are_those_of_the_verbs() -> None:
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        assert cli.lazy[name].summary == (command.help or "").split("\n\n")[0].replace("\n", " ")
        assert any("--debug" in option.opts for option in command.params), name
