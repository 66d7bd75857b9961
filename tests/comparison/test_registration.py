"""Comparisons enter themselves and their sides in a registry, and a rebuild finds them again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import flowtime_export as fx
from pipeline.cli.main import run_cli
from pipeline.comparison import registration
from pipeline.comparison.sides.side import SideForm
from pipeline.comparison.sweep import compare_all
from pipeline.config.comparison import ComparisonConfig
from pipeline.errors import StorageError
from pipeline.exports.run import export
from pipeline.registry.records.comparison_records import _SIDE_TYPES
from pipeline.registry.records.descriptor_records import records_of_descriptor
from pipeline.registry.registry import Registry, open_registry
from tests.exporting import config, spec, write_runs
from tests.registry.test_registry import everything


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    values = [[v + n / 2 for v in (1.0, 2.5, 0.0, 4.0)] for n in range(3)]
    names = ("base", "same", "other")
    shifts = (values[0], values[0], values[1])
    return write_runs(
        tmp_path / "runs",
        *(spec(n, title=f"Model of {n}", values=v) for n, v in zip(names, shifts, strict=True)),
    )


@pytest.fixture
def registry_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'registry.db'}"


def compare(runs: Path, *arguments: str | Path) -> int:
    return run_cli(["compare", *map(str, (runs / "base", runs / "other", *arguments))])


def edges(registry: Registry, artifact_id: str) -> set[tuple[str, str, bool]]:
    found = registry.relationships(artifact_id).derived_from
    return {(one.relation, one.id, one.is_missing) for one in found}


def test_the_command_line_enters_a_comparison_and_its_sides(
    runs: Path, tmp_path: Path, registry_url: str
) -> None:
    out = tmp_path / "out"
    files = ["--out", out / "d.csv", "--out", out / "d.parquet", "--out", out / "d.html"]
    assert compare(runs, *files, "--registry", registry_url) == 0
    with open_registry(registry_url) as registry:
        (found,) = registry.list(type="comparison").artifacts
        assert found.title == "other compared with base"
        assert found.id.startswith("comparison-")
        assert found.location == str(out / "d.datapackage.json")
        assert found.files == ("d.csv", "d.parquet", "d.datapackage.json")
        assert {"comparison", "csv", "parquet", "different"} == set(found.tags)
        assert found.metadata["different"] == 3
        assert found.metadata["maxAbs"] == 0.5
        assert edges(registry, found.id) == {
            ("baseline", "base", False),
            ("comparison", "other", False),
        }
        derived = registry.relationships("base").derivatives
        assert (found.id, "baseline") in {(one.id, one.relation) for one in derived}
        with open_registry(tmp_path / "rebuilt.db") as rebuilt:
            rebuilt.rebuild(str(runs), str(out))
            assert rebuilt.detail(found.id) == registry.detail(found.id)
            assert registry.rebuild().added == 1  # the run that was not compared
            assert everything(rebuilt) == everything(registry)


def test_a_report_alone_is_a_comparison_too(
    runs: Path, tmp_path: Path, registry_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "out" / "report.html"
    assert compare(runs, "--registry", registry_url, "--out", report) == 0
    with open_registry(registry_url) as registry:
        (found,) = registry.list(type="comparison").artifacts
        assert found.location == f"{report}.datapackage.json"
        assert found.files == ("report.html", "report.html.datapackage.json")
        assert found.size == report.stat().st_size
        assert set(found.tags) == {"comparison", "html", "different"}
        assert edges(registry, found.id) == {
            ("baseline", "base", False),
            ("comparison", "other", False),
        }
        with open_registry(tmp_path / "rebuilt.db") as rebuilt:
            rebuilt.rebuild(str(runs), str(report.parent))
            assert rebuilt.detail(found.id) == registry.detail(found.id)
    assert run_cli(["verify", found.location]) == 0
    assert run_cli(["verify", str(report.parent)]) == 0
    # A later comparison replaces the report, and what is said of it.
    others = ["--out", tmp_path / "out" / "d.csv", "--out", report]
    assert run_cli(["compare", *map(str, (runs / "base", runs / "same", *others))]) == 0
    assert run_cli(["verify", found.location]) == 0
    with open_registry(registry_url) as registry:
        registry.rebuild()
        assert "equal" in registry.get(found.id).tags
        deletion = registry.plan_deletion(found.id)
        assert {Path(one.path).name for one in deletion.files} == {
            "report.html",
            "report.html.datapackage.json",
        }
    report.write_text("<p>no report")
    capsys.readouterr()
    assert run_cli(["verify", found.location]) == 1
    assert "report.html" in capsys.readouterr().out


def test_a_report_beside_tables_makes_no_second_comparison(
    runs: Path, tmp_path: Path, registry_url: str
) -> None:
    out = tmp_path / "out"
    options = ["--out", out / "d.csv", "--out", out / "report.html", "--registry", registry_url]
    assert compare(runs, *options) == 0
    with open_registry(registry_url) as registry:
        registry.rebuild(str(out))
        assert registry.list(type="comparison").total == 1


def test_a_report_beside_an_export_is_not_taken_for_it(runs: Path, tmp_path: Path) -> None:
    gold = tmp_path / "gold"
    export(config(runs / "base", {"path": gold / "base.parquet"}))
    comparison = fx.compare(str(runs / "base"), str(runs / "other"))
    comparison.to_html(str(gold / "report.html"))
    assert fx.compare(str(gold), str(runs / "base")).summary["different"] == 0
    for verb in ("compare", "import"):
        rest = [str(runs / "base")] if verb == "compare" else ["--out", str(tmp_path / "new")]
        assert run_cli([verb, str(gold / "report.html.datapackage.json"), *rest]) == 1


@pytest.mark.parametrize("what", ["sweep", "export"])
def test_a_registry_is_closed_when_something_else_fails(
    runs: Path, tmp_path: Path, registry_url: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Registry] = []
    close = Registry.close

    def noted(registry: Registry) -> None:
        closed.append(registry)
        close(registry)

    monkeypatch.setattr(Registry, "close", noted)
    monkeypatch.setattr(registration, "_BATCH", 1)  # the registry is opened by the first of all
    (tmp_path / "folder.xml").mkdir()
    if what == "sweep":
        outputs = {"html": str(tmp_path / "{run_id}.html"), "junit": str(tmp_path / "folder.xml")}
        settings = ComparisonConfig.model_validate(
            {
                "version": 1,
                "baseline": str(runs / "base"),
                "comparisons": [str(runs / "*")],
                "outputs": outputs,
                "registry": {"url": registry_url},
            }
        )
        with pytest.raises(StorageError, match=r"folder\.xml"):
            compare_all(settings)
    else:
        sink = {"path": tmp_path / "folder.xml" / "x.csv"}
        (tmp_path / "folder.xml" / "x.csv").mkdir()
        with pytest.raises(StorageError, match=r"x\.csv"):
            export(config(runs, sink, registry={"url": registry_url}))
    assert closed


def test_the_sides_may_be_exports_and_moved_runs(
    runs: Path, tmp_path: Path, registry_url: str
) -> None:
    export(config(runs / "other", {"path": tmp_path / "gold" / "other.parquet"}))
    comparison = fx.compare(str(runs / "base"), str(tmp_path / "gold"))
    assert comparison.write(str(tmp_path / "d.csv"), registry=registry_url) == ()
    (runs / "base").rename(runs / "moved")
    with open_registry(registry_url) as registry:
        registry.rebuild()
        (found,) = registry.list(type="comparison").artifacts
        (exported,) = registry.list(type="export").artifacts
        assert edges(registry, found.id) == {
            ("baseline", "base", False),
            ("comparison", exported.id, False),
        }
        assert registry.get("base").location == str(runs / "moved")


def test_what_is_gone_is_shown_as_such(runs: Path, tmp_path: Path, registry_url: str) -> None:
    compare(runs, "--registry", registry_url, "--out", tmp_path / "out" / "d.csv")
    shutil.rmtree(runs / "other")
    with open_registry(registry_url) as registry:
        registry.rebuild()
        (found,) = registry.list(type="comparison").artifacts
        assert ("comparison", "other", True) in edges(registry, found.id)


@pytest.mark.parametrize("from_config", [True, False])
def test_a_sweep_enters_its_metrics_and_its_comparisons(
    runs: Path, tmp_path: Path, registry_url: str, from_config: bool
) -> None:
    plain: dict[str, Any] = {
        "version": 1,
        "name": "suite",
        "baseline": str(runs / "base"),
        "comparisons": [str(runs / "*")],
        "outputs": {
            "metrics": str(tmp_path / "out" / "metrics.parquet"),
            "differences": str(tmp_path / "out" / "{run_id}.csv"),
        },
    }
    if from_config:
        plain["registry"] = {"url": registry_url}
    path = tmp_path / "compare.yaml"
    path.write_text(yaml.safe_dump(plain))
    options = [] if from_config else ["--registry", registry_url]
    assert run_cli(["compare", "--config", str(path), *options]) == 0
    with open_registry(registry_url) as registry:
        titles = {one.title: one for one in registry.list(type="comparison").artifacts}
        suite = "suite: 2 runs compared with base"
        assert set(titles) == {suite, "same compared with base", "other compared with base"}
        assert "equal" in titles["same compared with base"].tags
        assert edges(registry, titles[suite].id) == {
            ("baseline", "base", False),
            ("comparison", "same", False),
            ("comparison", "other", False),
        }


@pytest.mark.parametrize("url", ["sqlite:////proc/nowhere/registry.db", "broken"])
def test_a_registry_that_fails_is_a_note(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    if url == "broken":
        (tmp_path / "broken.db").write_bytes(b"no database at all" * 100)
        url = f"sqlite:///{tmp_path / 'broken.db'}"
    out = tmp_path / "d.csv"
    assert compare(runs, "--registry", url, "--out", out, "--json") == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert out.exists()
    assert any("the registry is not up to date" in note for note in notes)
    notes = fx.compare(str(runs / "base"), str(runs / "same")).write(str(out), registry=url)
    assert "the registry is not up to date" in notes[0]


def test_the_url_of_a_registry_is_checked_first(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.csv"
    assert compare(runs, "--registry", "mysql://host/db", "--out", out) == 2
    assert not out.exists()


def test_files_of_a_comparison_are_deleted_like_those_of_an_export(
    runs: Path, tmp_path: Path, registry_url: str
) -> None:
    compare(runs, "--registry", registry_url, "--out", tmp_path / "out" / "d.csv")
    with open_registry(registry_url) as registry:
        (found,) = registry.list(type="comparison").artifacts
        deletion = registry.plan_deletion(found.id)
        assert {file.path.rpartition("/")[2] for file in deletion.files} == {
            "d.csv",
            "d.datapackage.json",
        }
        registry.delete(deletion)
        assert [*(tmp_path / "out").iterdir()] == []
        assert registry.list(type="comparison").total == 0


def test_every_form_of_a_side_has_a_type() -> None:
    assert set(_SIDE_TYPES) == set(SideForm.__args__)


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"baseline": None, "comparison": [], "summary": 5, "total": "x", "alignment": []},
        {"baseline": {"runId": 7, "url": {}, "type": ["x"], "fingerprint": 1}, "comparisons": 3},
        {"comparisons": [1, None, {"runId": "\ud800<b>", "location": "\x00"}], "config": {}},
        {"summary": {"different": True, "equal": "many"}, "total": {"mae": [1], "smape": "\x00"}},
    ],
    ids=["empty", "types", "side", "sides", "numbers"],
)
def test_hostile_descriptors_become_plain_records(
    about: dict[str, Any], registry: Registry
) -> None:
    resource = {
        "name": "d",
        "path": "d.csv",
        "format": "csv",
        "bytes": 5,
        "hash": f"sha256:{'0' * 64}",
        "rowCount": 1,
        "flowtime": {"target": "d.csv", "comparison": about},
    }
    package = {"resources": [resource], "flowtime": {"version": "1", "runs": []}}
    data = json.dumps(package, ensure_ascii=True).encode()
    if "ud800" in data.decode():
        data = data.replace(b"\\ud800", b"?")  # no descriptor is read with half a pair
    (record,) = records_of_descriptor(data, "/x/d.datapackage.json", "1")
    registry.add([record])
    (found,) = registry.list(type="comparison").artifacts
    assert "compared with" in found.title


@pytest.fixture
def registry(registry_url: str) -> Any:
    with open_registry(registry_url) as found:
        yield found
