"""Keys of the document that are no settings: `env_file`, `$schema` and `x-...`."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from pipeline.cli.main import run_cli
from pipeline.config import checked_config, config_schema, load_config, parse_config
from pipeline.config.comparison import load_comparison_config
from pipeline.errors import ConfigError
from tests.exporting import spec, write_runs

TEXT = """\
$schema: ./schema.json
x-team: {anything: [1, "${NOT_SET}"]}
x-csv: &csv
  format: csv
  path: "{run_id}.csv"
version: 1
source: {url: runs}
sinks:
  - *csv
"""
BASE = "version: 1\nsource: {url: '${RUNS}'}\nsinks: [{format: csv, path: '${OUT:-out}/e.csv'}]\n"


def test_keys_for_people_and_editors_are_ignored() -> None:
    found = parse_config(TEXT, environ={})
    plain = parse_config(TEXT[TEXT.index("version:") :].replace("*csv", "{format: csv, path: "
                                                                "'{run_id}.csv'}"))  # fmt: skip
    assert found == plain
    jsonschema.validate(yaml.safe_load(TEXT), config_schema())


def test_only_at_the_top_level() -> None:
    with pytest.raises(ConfigError, match=r"c\.yaml:7:10: source\.x-note: unknown key"):
        parse_config(TEXT.replace("{url: runs}", "{x-note: 1, url: runs}"), filename="c.yaml")
    with pytest.raises(ConfigError, match=r"xteam: unknown key"):
        parse_config(TEXT.replace("x-team", "xteam"), environ={"NOT_SET": "1"})


def test_plain_data_may_have_them_too() -> None:
    data = yaml.safe_load(TEXT)
    assert checked_config(data, called="request") == parse_config(TEXT)
    # No request makes the service read a file.
    with pytest.raises(ConfigError, match="env_file: unknown key"):
        checked_config({**data, "env_file": "/etc/passwd"}, called="request")


# --------------------------------------------------------------------------- env_file


def written(folder: Path, text: str) -> Path:
    file = folder / "config" / "c.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_variables_of_a_file(tmp_path: Path) -> None:
    file = written(tmp_path, f"env_file: .env\n{BASE}")
    (file.parent / ".env").write_text(
        "\ufeff# where\nRUNS=/data/runs\nexport OUT='my # out'\n\nEMPTY=\nLATER=\"a\\tb\"\n",
        encoding="utf-8",
    )
    found = load_config(file, environ={})
    assert (found.source.url, found.sinks[0].path) == ("/data/runs", "my # out/e.csv")
    # The process wins, as it does for other tools.
    assert load_config(file, environ={"RUNS": "s3://sim/runs"}).source.url == "s3://sim/runs"


def test_several_files(tmp_path: Path) -> None:
    file = written(tmp_path, f"env_file: [../a.env, '${{MORE:-b}}.env']\n{BASE}")
    (tmp_path / "a.env").write_text("RUNS=one\nOUT=a\n")
    (file.parent / "b.env").write_text("RUNS=two\n")
    (file.parent / "c.env").write_text("RUNS=three\n")
    found = load_config(file, environ={})
    assert (found.source.url, found.sinks[0].path) == ("two", "a/e.csv")
    assert load_config(file, environ={"MORE": "c"}).source.url == "three"
    changed = load_config(file, overrides=["env_file=c.env"], environ={})
    assert (changed.source.url, changed.sinks[0].path) == ("three", "out/e.csv")


def test_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "flowtime.env").write_text("RUNS=here\n")
    assert load_config(written(tmp_path, f"env_file: ~/flowtime.env\n{BASE}")).source.url == "here"


@pytest.mark.parametrize(
    ("key", "content", "complaint"),
    [
        ("no.env", None, "c.yaml:1:11: env_file: 'no.env' is not there, or is no file"),
        (".", None, "env_file: '.' is not there, or is no file"),
        ("a.env", b"RUNS=a\nsecret value\n", "env_file: a.env:2: expected NAME=value"),
        ("a.env", b"# c\n=secret\n", "a.env:2: expected NAME=value"),
        ("a.env", b"RUNS\n", "a.env:1: expected NAME=value"),
        ("a.env", b"A-B=secret\n", "a.env:1: expected NAME=value"),
        ("a.env", b"A='secret\n", "a.env:1: expected NAME=value"),
        ("a.env", b"A=\xff\n", "'a.env' is not UTF-8 text"),
        ("a.env", b"A=" + b"x" * 1024 * 1024, "is larger than 1048576 bytes"),
        ("3", None, "c.yaml:1:11: env_file: expected a path or a list of paths"),
        ("[a.env, {b: 1}]", b"", "c.yaml:1:19: env_file: expected a path or a list of paths"),
        ("'${NOPE}'", None, "env_file: environment variable NOPE is not set"),
    ],
)
def test_what_is_wrong_with_a_file(
    tmp_path: Path, key: str, content: bytes | None, complaint: str
) -> None:
    file = written(tmp_path, f"env_file: {key}\n{BASE}")
    if content is not None:
        (file.parent / "a.env").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(file, environ={"RUNS": "r"})
    assert complaint in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_variable_that_no_file_has(tmp_path: Path) -> None:
    file = written(tmp_path, f"env_file: a.env\n{BASE}")
    (file.parent / "a.env").write_text("OTHER=1\n")
    with pytest.raises(ConfigError, match="environment variable RUNS is not set"):
        load_config(file, environ={})


def test_configs_of_comparisons_have_them_too(tmp_path: Path) -> None:
    text = "x-a: 1\n$schema: s\nenv_file: a.env\nversion: 1\nbaseline: ${A}\ncomparisons: [b]\n"
    file = written(tmp_path, text)
    (file.parent / "a.env").write_text("A=runs/a\n")
    assert load_comparison_config(file, environ={}).baseline.url == "runs/a"


def test_the_command_line_reads_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    file = written(tmp_path, f"env_file: a.env\n{BASE}")
    (file.parent / "a.env").write_text(f"RUNS={runs}\nOUT={tmp_path}/out\n")
    assert run_cli(["run", str(file)]) == 0
    assert (tmp_path / "out" / "e.csv").is_file()
    assert run_cli(["schema"]) == 0
    assert '"env_file"' in capsys.readouterr().out
