"""What README, docs and configs say is true."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest
import yaml
from pydantic import BaseModel

from connectors.storage import connect
from pipeline.cli.main import cli, run_cli
from pipeline.config import ExportConfig
from pipeline.config.path_template import TEMPLATE_FIELDS
from pipeline.rows.catalogue import CATALOGUE
from pipeline.sinks.formats import AnySink
from tests.servers import S3Server

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
FORMATS = ROOT / "docs/formats.md"
DOCS = sorted((ROOT / "docs").rglob("*.md"))
CONFIGS = sorted(path.name for path in (ROOT / "configs").glob("*.yaml"))
S3_CONFIG = "nightly-s3-lake.yaml"
SAMPLE_RUNS = sorted(path.name for path in (ROOT / "samples/runs").iterdir())


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what a user has after cloning, as the working directory."""
    for name in ("samples", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def snippets(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def shell_lines(page: Path) -> list[str]:
    return [line for snippet in snippets(page, "sh") for line in snippet.splitlines() if line]


def cli_calls(command: str) -> list[list[str]]:
    """Arguments of each call of the tool in a chain of commands."""
    calls: list[list[str]] = []
    for part in command.split("&&"):
        program, *arguments = shlex.split(part)
        if Path(program).name == "flowtime-export":
            calls.append(arguments)
    return calls


# --------------------------------------------------------------------------- configs


def test_there_are_configs() -> None:
    assert S3_CONFIG in CONFIGS
    assert len(CONFIGS) > 1


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != S3_CONFIG])
def test_config_exports_then_finds_nothing_to_do(
    name: str, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["run", f"configs/{name}"]) == 0
    first = capsys.readouterr().out
    assert f"{len(SAMPLE_RUNS)} runs" in first
    assert run_cli(["run", f"configs/{name}"]) == 0
    assert "nothing changed, nothing written" in capsys.readouterr().out
    assert list(checkout.rglob("*datapackage.json"))


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != S3_CONFIG])
def test_command_in_a_configs_comment_runs(name: str, checkout: Path) -> None:
    text = (ROOT / "configs" / name).read_text()
    commands = re.findall(r"^# +(flowtime-export .+)$", text, re.MULTILINE)
    assert len(commands) == 1
    (arguments,) = cli_calls(commands[0].replace("/data/runs", "samples/runs"))
    assert run_cli(arguments) == 0


def test_s3_config_exports(
    moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    storage, path = connect(f"s3://{moto_s3.bucket}/docs", moto_s3.options())
    for file in (ROOT / "samples/runs").rglob("*"):
        if file.is_file():
            target = f"{path}/runs/{file.relative_to(ROOT / 'samples/runs').as_posix()}"
            staged = storage.stage(target)
            staged.local.write_bytes(file.read_bytes())
            storage.commit(staged)
    monkeypatch.setenv("S3_ENDPOINT", moto_s3.endpoint_url)
    monkeypatch.setenv("S3_KEY", moto_s3.key)
    monkeypatch.setenv("S3_SECRET", moto_s3.secret)
    monkeypatch.setenv("RUNS_URL", f"s3://{moto_s3.bucket}/docs/runs")
    monkeypatch.setenv("LAKE_URL", f"s3://{moto_s3.bucket}/docs/gold")
    config = str(ROOT / "configs" / S3_CONFIG)
    arguments = ["run", config, "--set", "storage.lake.region=us-east-1"]
    assert run_cli(arguments) == 0
    shown = capsys.readouterr()
    assert f"{len(SAMPLE_RUNS)} runs" in shown.out
    assert moto_s3.secret not in shown.out + shown.err
    found = [entry.path for folder in storage.walk(f"{path}/gold") for entry in folder.files]
    assert any("/source=" in one and one.endswith(".parquet") for one in found)
    assert f"{path}/gold/_datapackage.json" in found
    assert run_cli(arguments) == 0
    assert "nothing changed" in capsys.readouterr().out


# --------------------------------------------------------------------------- README


def test_readme_has_one_command_to_export_and_one_to_test() -> None:
    export, test = shell_lines(README)
    for command in (export, test):
        checked = subprocess.run(["sh", "-n", "-c", command], capture_output=True)
        assert checked.returncode == 0, checked.stderr
        # Debian's packages come first; they are of use, but need not be there.
        made, installed, *_ = map(shlex.split, command.rpartition("|| true; ")[2].split("&&"))
        assert made[-1] == ".venv"
        assert installed[0] == ".venv/bin/pip"
    assert shlex.split(test.split("&&")[-1])[:3] == [".venv/bin/python", "-m", "pytest"]


def test_readme_export_command_works(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls = cli_calls(shell_lines(README)[0])
    assert [call[0] for call in calls] == ["run", "preview"]
    for call in calls:
        assert run_cli(call) == 0
    shown = capsys.readouterr().out
    for ending in ("csv", "ndjson", "parquet", "datapackage.json"):
        assert (checkout / f"out/quickstart/export.{ending}").is_file()
    assert "224.5" in shown


def test_frictionless_accepts_the_quickstart(checkout: Path) -> None:
    assert run_cli(["run", "configs/quickstart.yaml"]) == 0
    command = ["frictionless", "validate", "out/quickstart/export.datapackage.json"]
    subprocess.run([sys.executable, "-m", *command], check=True)


def test_readme_and_format_snippets_run(checkout: Path) -> None:
    assert run_cli(["run", "configs/quickstart.yaml"]) == 0
    python = [one for page in (README, FORMATS) for one in snippets(page, "python")]
    for snippet in python:
        if "out/lake" not in snippet:
            subprocess.run([sys.executable, "-c", snippet], check=True, env=_environment())


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_readme_config_is_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("S3_ENDPOINT", "S3_KEY", "S3_SECRET"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    found = [s for page in (README, *DOCS) for s in snippets(page, "yaml") if "version: 1" in s]
    whole = [one for one in found if "comparisons:" not in one]
    assert len(whole) >= 5
    for number, text in enumerate(whole):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text)
        assert run_cli(["validate", str(file)]) == 0, capsys.readouterr().err


def test_readme_names_every_command() -> None:
    named = set(re.findall(r"`flowtime-export ([a-z-]+)", README.read_text()))
    assert named == set(cli.list_commands(click.Context(cli)))


# --------------------------------------------------------------------------- guides

GUIDES = ("tutorial.md", "excel.md", "lake-tables.md")
"""Pages whose commands all work in a clone, one after the other."""


def _page_commands(page: Path) -> Iterator[list[str]]:
    """Calls of the tool in the order of the page, typed at a prompt or listed."""
    for command in re.findall(r"^(?:\$ )?(flowtime-export .+)$", page.read_text(), re.MULTILINE):
        yield from cli_calls(command)


@pytest.mark.parametrize("name", GUIDES)
def test_commands_of_a_guide_work(name: str, checkout: Path) -> None:
    page = ROOT / "docs" / name
    calls = list(_page_commands(page))
    assert calls
    for call in calls:
        assert run_cli(call) == 0, call
    for snippet in snippets(page, "python"):
        subprocess.run([sys.executable, "-c", snippet], check=True, env=_environment())


def test_the_lake_guide_exports(checkout: Path) -> None:
    (config,) = snippets(ROOT / "docs/lake.md", "yaml")
    (checkout / "lake.yaml").write_text(config)
    assert run_cli(["run", "lake.yaml"]) == 0
    assert (checkout / "out/lake/_datapackage.json").is_file()


def test_every_decision_is_listed_with_its_status() -> None:
    folder = ROOT / "docs/decisions"
    listed = re.findall(
        r"^\| (\d+) \| \[(.+?)\]\((.+?)\) \| (.+) \|$", (folder / "index.md").read_text(), re.M
    )
    assert [file for _, _, file, _ in listed] == sorted(p.name for p in folder.glob("0*.md"))
    for number, title, file, status in listed:
        text = (folder / file).read_text()
        assert text.startswith(f"# {number}. {title}\n\nDate: ")
        assert f"\nStatus: {status}\n" in text


def test_hosted_ci_calls_the_projects_own_script() -> None:
    for name in ("ci.yml", "release.yml"):
        jobs = yaml.safe_load((ROOT / ".github/workflows" / name).read_text())["jobs"]
        steps = [step.get("run") for job in jobs.values() for step in job["steps"]]
        assert "bash .ci/run" in steps


# --------------------------------------------------------------------------- excerpts


def _paths(value: Any, path: str = "") -> set[str]:
    """Every key of JSON data, with the keys above it; entries of lists count as one."""
    if isinstance(value, dict):
        return {f"{path}.{key}" for key in value}.union(
            *(_paths(child, f"{path}.{key}") for key, child in value.items())
        )
    if isinstance(value, list):
        return set[str]().union(*(_paths(child, f"{path}[]") for child in value))
    return set()


def test_json_excerpts_have_the_keys_of_the_real_thing(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["run", "configs/quickstart.yaml", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    descriptor = json.loads((checkout / "out/quickstart/export.datapackage.json").read_text())
    (shown_descriptor,) = snippets(ROOT / "docs/formats.md", "json")
    (shown_report,) = snippets(ROOT / "docs/operations.md", "json")
    assert _paths(json.loads(shown_descriptor)) == _paths(descriptor)
    assert _paths(json.loads(shown_report)) == _paths(report)


# --------------------------------------------------------------------------- completeness


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    """Every model below a type."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
        for field in kind.model_fields.values():
            yield from _models(field.annotation)
    else:
        for part in get_args(kind):
            yield from _models(part)


def _keys(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_every_key_of_the_config_is_documented() -> None:
    text = (ROOT / "docs/config.md").read_text()
    first_cells = "\n".join(line.split("|")[1] for line in text.splitlines() if line[:1] == "|")
    documented = {part for one in re.findall(r"`([^`]+)`", first_cells) for part in one.split(".")}
    models = {*_models(ExportConfig), *_models(AnySink)}
    assert len(models) > 8
    wanted = {key for model in models for key in _keys(model)}
    assert wanted - documented == set()


def test_every_path_field_is_documented() -> None:
    text = (ROOT / "docs/config.md").read_text()
    assert [field for field in TEMPLATE_FIELDS if f"| `{{{field}}}` |" not in text] == []


def test_every_column_is_documented_with_its_type() -> None:
    text = (ROOT / "docs/formats.md").read_text()
    rows = [f"| `{column.name}` | {column.type} |" for column in CATALOGUE.values()]
    assert [row for row in rows if row not in text] == []


def test_every_dependency_is_documented() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project.get("optional-dependencies", {})
    wanted = [*project["dependencies"], *(one for extra in optional.values() for one in extra)]
    names = {re.split(r"[<>=!~\[; ]", one)[0] for one in wanted}
    text = (ROOT / "docs/dependencies.md").read_text()
    lines = [line.split("|")[1] for line in text.splitlines() if line[:1] == "|"]
    documented = set(re.findall(r"`([^`]+)`", "\n".join(lines)))
    assert names == documented


def test_the_changelog_knows_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == ["Unreleased", version]


# --------------------------------------------------------------------------- links


def _links(page: Path) -> Iterator[str]:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" not in target:
            yield target


def _anchors(page: Path) -> set[str]:
    """Anchors as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", [README, ROOT / "CHANGELOG.md", *DOCS], ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    broken = []
    for link in _links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        found = target.exists() and (not anchor or anchor in _anchors(target))
        if not found:
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("package", ["connectors", "pipeline"])
def test_every_room_is_on_the_architecture_page(package: str) -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    rooms = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
    assert {room for room in rooms if f"| `{package}/{room}` |" not in page} == set()
