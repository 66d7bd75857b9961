"""The verb `artifacts`, and exports and imports that enter themselves from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.main import run_cli
from tests.exporting import spec, write_runs


class Cli:
    """The command line with one registry."""

    def __init__(self, capsys: pytest.CaptureFixture[str], registry: str) -> None:
        self._capsys = capsys
        self._registry = registry

    def __call__(self, *arguments: str | Path, code: int = 0) -> str:
        found = run_cli([*map(str, arguments), "--registry", self._registry])
        captured = self._capsys.readouterr()
        assert found == code, captured.err
        return captured.out if code == 0 else captured.out + captured.err

    def json(self, *arguments: str | Path, code: int = 0) -> Any:
        found = run_cli([*map(str, arguments), "--registry", self._registry, "--json"])
        captured = self._capsys.readouterr()
        assert found == code, captured.err
        return json.loads(captured.out)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], registry_url: str) -> Cli:
    return Cli(capsys, registry_url)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(
        tmp_path / "runs",
        spec("run_a", title="Checkout", created="2025-01-01T00:00:00Z"),
        spec("run_b", created="2025-01-02T00:00:00Z"),
    )


def test_verbs(cli: Cli, runs: Path, tmp_path: Path) -> None:
    assert "entered" in cli("artifacts", "rebuild", runs)
    assert "Checkout" in cli("artifacts", "list", "--type", "run", "--search", "check")
    listed = cli.json("artifacts", "list", "--type", "RUN", "--limit", "1", "--facets")
    assert (listed["total"], listed["count"]) == (2, 1)
    assert listed["artifacts"][0]["id"] == "run_b"
    assert listed["facets"]["type"] == {"run": 2}
    second = cli.json("artifacts", "list", "--type", "run", "--cursor", listed["nextCursor"])
    assert [one["id"] for one in second["artifacts"]] == ["run_a"]
    assert "x" in cli.json("artifacts", "tag", "run_a", "x")["tags"]
    assert "x" not in cli.json("artifacts", "untag", "run_a", "x")["tags"]
    assert cli.json("artifacts", "edit", "run_a", "--note", "seen", "--pinned")["note"] == "seen"
    assert cli.json("artifacts", "list", "--pinned")["artifacts"][0]["id"] == "run_a"
    answer = cli.json("artifacts", "archive", "run_a", "nothing", code=1)
    assert (answer["success"], answer["archived"]) == (False, 1)
    assert cli.json("artifacts", "list", "--type", "run")["total"] == 1
    cli("artifacts", "unarchive", "run_a")
    assert "sameModel" not in cli("artifacts", "relationships", "run_a")
    assert cli.json("artifacts", "relationships", "run_a")["artifactId"] == "run_a"
    assert cli.json("artifacts", "stats")["types"]["run"]["count"] == 2
    assert "title" in cli("artifacts", "show", "run_a")
    saved = tmp_path / "saved.json"
    cli("artifacts", "export-user-data", saved)
    assert json.loads(saved.read_text())["artifacts"][0]["note"] == "seen"
    cli("artifacts", "import-user-data", saved)


def test_errors(cli: Cli, runs: Path, tmp_path: Path) -> None:
    assert "know" in cli("artifacts", "rebuild", code=2)
    cli("artifacts", "rebuild", runs)
    assert "Artifact 'no' not found" in cli("artifacts", "show", "no", code=1)
    assert "is no instant" in cli("artifacts", "list", "--created-after", "soon", code=2)
    assert "cursor" in cli("artifacts", "list", "--cursor", "x", code=2)
    assert "say what to change" in cli("artifacts", "edit", "run_a", code=2)
    assert "cannot be read" in cli("artifacts", "import-user-data", tmp_path / "no", code=2)


def test_a_missing_file_is_not_made_by_looking(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cli = Cli(capsys, f"sqlite:///{tmp_path / 'typo.db'}")
    assert "there is no registry" in cli("artifacts", "list", code=2)
    assert not (tmp_path / "typo.db").exists()


def test_a_restored_run_leads_back_to_its_export(cli: Cli, runs: Path, tmp_path: Path) -> None:
    cli("artifacts", "rebuild", runs)
    cli("export", runs / "run_a", "--format", "parquet", "--out", tmp_path / "gold.parquet")
    cli("import", tmp_path / "gold.parquet", "--out", tmp_path / "back")
    listed = cli.json("artifacts", "list")["artifacts"]
    export = next(one["id"] for one in listed if one["type"] == "export")
    restored = next(
        one["id"] for one in listed if one["location"].startswith(str(tmp_path / "back"))
    )
    assert restored.startswith("run_a~")
    derived = cli.json("artifacts", "relationships", restored)["derivedFrom"]
    assert {"id": export, "relationshipType": "restoredFrom"}.items() <= {
        **next(one for one in derived if one["type"] == "export")
    }.items()
    both = cli.json("artifacts", "relationships", export)
    assert [one["relationshipType"] for one in both["derivatives"]] == ["restoredFrom"]
    before = cli.json("artifacts", "list", "--sort-by", "id")
    added = cli.json("artifacts", "rebuild", runs, tmp_path / "back", tmp_path)["added"]
    assert added == 0
    assert cli.json("artifacts", "list", "--sort-by", "id") == before


def test_delete(cli: Cli, runs: Path, tmp_path: Path) -> None:
    kept = runs / "run_a" / "notes" / "mine.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    cli("export", runs / "run_a", "--format", "csv", "--out", tmp_path / "lake")
    cli("artifacts", "rebuild", runs)
    export = cli.json("artifacts", "list", "--type", "export")["artifacts"][0]["id"]
    shown = cli.json("artifacts", "delete", "run_a", export, "run_a", "--dry-run")
    assert [one["id"] for one in shown["artifacts"]] == ["run_a", export]
    assert shown["deleted"] is False
    assert (runs / "run_a" / "manifest.json").exists()
    assert "confirm with --yes" in cli("artifacts", "delete", "run_a", code=2)
    assert shown["artifacts"][0]["files"][0]["url"].endswith("manifest.json")
    cli("artifacts", "delete", "run_a", export, "--yes")
    assert [path for path in (runs / "run_a").rglob("*") if path.is_file()] == [kept]
    assert list((tmp_path / "lake").glob("*")) == []
    assert cli.json("artifacts", "list", "--type", "export")["total"] == 0


def test_what_has_changed_or_lies_outside_is_not_deleted(
    cli: Cli, runs: Path, tmp_path: Path
) -> None:
    cli("artifacts", "rebuild", runs)
    text = (runs / "run_a" / "run.json").read_text()
    (runs / "run_a" / "run.json").write_text(text + " ")
    assert "not what was registered" in cli("artifacts", "delete", "run_a", "--yes", code=1)
    (runs / "run_a" / "run.json").write_text(text)
    (tmp_path / "elsewhere").mkdir()
    (runs / "run_b").rename(tmp_path / "elsewhere" / "run_b")
    (runs / "run_b").symlink_to(tmp_path / "elsewhere" / "run_b")
    cli("artifacts", "delete", "run_b", "--yes", code=1)
    assert (tmp_path / "elsewhere" / "run_b" / "run.json").exists()
    model = cli.json("artifacts", "list", "--type", "model")["artifacts"][0]["id"]
    assert "no files of its own" in cli("artifacts", "delete", model, "--yes", code=2)
