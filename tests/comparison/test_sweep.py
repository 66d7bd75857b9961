"""Many comparisons with one baseline: a config, one line each, metrics as one table, JUnit XML."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest
import yaml

from connectors.errors import NotFoundError
from pipeline.cli.main import run_cli
from pipeline.comparison.sides.side_urls import matching_urls
from pipeline.exports.run import export
from pipeline.verification import verify
from tests.exporting import config, names, spec, upload, write_runs
from tests.run_builder import RunSpec
from tests.servers import S3Server


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Three runs that lie apart from the baseline by 0, 0.5 and 1."""
    runs = [spec(f"sweep_{n}", values=[v + n / 2 for v in (1.0, 2.5, 0.0, 4.0)]) for n in range(3)]
    write_runs(tmp_path / "runs", spec("base", values=[1.0, 2.5, 0.0, 4.0]), *runs)
    return tmp_path


def write_config(folder: Path, **blocks: Any) -> str:
    plain = {
        "version": 1,
        "name": "suite",
        "baseline": str(folder / "runs" / "base"),
        "comparisons": [str(folder / "runs" / "sweep_*")],
        **blocks,
    }
    path = folder / "compare.yaml"
    path.write_text(yaml.safe_dump(plain), encoding="utf-8")
    return str(path)


def outcomes(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    found = json.loads(capsys.readouterr().out)
    return {one["name"]: one["outcome"] for one in found["comparisons"]}


@pytest.mark.parametrize(
    ("blocks", "arguments", "expected", "code"),
    [
        ({}, [], ["passed", "passed", "passed"], 0),
        ({"fail_on": "different"}, [], ["passed", "failed", "failed"], 4),
        ({}, ["--fail-on", "any"], ["passed", "failed", "failed"], 4),
        (
            {"fail_on": "different", "tolerances": {"absolute": 0.5}},
            [],
            ["passed", "passed", "failed"],
            4,
        ),
        (
            {"fail_on": "any", "tolerances": {"measures": {"*": {"absolute": 1}}}},
            [],
            ["passed", "passed", "passed"],
            0,
        ),
    ],
)
def test_outcomes_and_exit_codes(
    sweep: Path,
    blocks: dict[str, Any],
    arguments: list[str],
    expected: list[str],
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_config(sweep, **blocks)
    assert run_cli(["compare", "--config", path, "--json", *arguments]) == code
    assert outcomes(capsys) == {f"sweep_{n}": outcome for n, outcome in enumerate(expected)}


def test_outputs(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = sweep / "out"
    outputs = {
        "metrics": str(out / "metrics.parquet"),
        "differences": str(out / "{run_name}.csv"),
        "html": str(out / "{run_id}.html"),
        "junit": str(out / "junit.xml"),
    }
    path = write_config(sweep, outputs=outputs, fail_on="different")
    assert run_cli(["compare", "--config", path]) == 4
    text = capsys.readouterr().out.splitlines()
    assert text[0].startswith("suite: 1 passed, 2 failed, 0 errors against ")
    assert [line.split()[:2] for line in text[1:]] == [
        ["passed", "sweep_0"], ["failed", "sweep_1"], ["failed", "sweep_2"],
    ]  # fmt: skip
    metrics = pl.read_parquet(out / "metrics.parquet")
    assert metrics.select("run_id", "series_id").n_unique() == metrics.height == 9
    by_run = metrics.group_by("run_name", maintain_order=True).agg(pl.col("mae").mean())
    assert by_run.rows() == [("sweep_0", 0.0), ("sweep_1", 0.5), ("sweep_2", 1.0)]
    assert verify(str(out / "metrics.datapackage.json")).ok
    assert {"sweep_0.csv", "sweep_1.html", "sweep_2.datapackage.json"} <= set(names(out))
    suite = ElementTree.parse(out / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "2", "0")
    assert [case.get("name") for case in suite if case.find("failure") is not None] == [
        "sweep_1", "sweep_2",
    ]  # fmt: skip


def test_what_cannot_be_compared_is_an_error_and_the_others_are_compared(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sweep / "runs" / "sweep_1" / "manifest.json").unlink()
    out = sweep / "out"
    path = write_config(
        sweep,
        fail_on="any",
        outputs={"metrics": str(out / "m.csv"), "junit": str(out / "junit.xml")},
    )
    assert run_cli(["compare", "--config", path, "--json"]) == 1
    assert outcomes(capsys) == {"sweep_0": "passed", "sweep_1": "error", "sweep_2": "failed"}
    case = ElementTree.parse(out / "junit.xml").getroot()[0][1]
    error = case.find("error")
    assert error is not None
    assert "manifest.json is missing" in (error.get("message") or "")
    assert pl.read_csv(out / "m.csv", comment_prefix="#")["run_name"].n_unique() == 2


def test_the_baseline_is_not_compared_with_itself(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(sweep, comparisons=[str(sweep / "runs" / "*")])
    assert run_cli(["compare", "--config", path, "--json"]) == 0
    assert list(outcomes(capsys)) == ["sweep_0", "sweep_1", "sweep_2"]


def test_an_export_as_the_baseline_of_exports(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("base", "sweep_0", "sweep_1", "sweep_2"):
        export(config(sweep / "runs" / name, {"path": sweep / "gold" / f"{name}.csv"}))
    path = write_config(
        sweep,
        baseline=str(sweep / "gold" / "base.csv"),
        comparisons=[str(sweep / "gold" / "*.csv")],
        fail_on="different",
    )
    assert run_cli(["compare", "--config", path, "--json"]) == 4
    assert list(outcomes(capsys).values()) == ["passed", "failed", "failed"]


def test_two_comparisons_never_share_an_output(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = sweep / "out"
    path = write_config(sweep, outputs={"html": str(out / "report.html")})
    assert run_cli(["compare", "--config", path]) == 1
    assert "name the run by {run_id} or {run_name}" in capsys.readouterr().out


def test_a_sweep_on_s3(
    sweep: Path, rclone_s3: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"s3://{rclone_s3.bucket}/sweep"
    upload(sweep / "runs", f"{url}/runs", rclone_s3.options())
    path = write_config(
        sweep,
        storage={"lake": {"protocol": "s3", **rclone_s3.options().revealed()}},
        baseline={"url": f"{url}/runs/base", "storage": "lake"},
        comparisons=[{"url": f"{url}/runs/sweep_[12]", "storage": "lake"}],
        outputs={"metrics": f"{url}/metrics.parquet", "storage": "lake"},
    )
    assert run_cli(["compare", "--config", path, "--json", "--fail-on", "any"]) == 4
    assert outcomes(capsys) == {"sweep_1": "failed", "sweep_2": "failed"}
    assert verify(f"{url}/metrics.parquet", options=rclone_s3.options()).ok


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ({"comparisons": []}, "comparisons: expected at least one entry"),
        ({"comparison": ["x"]}, "comparison: unknown key; did you mean 'comparisons'?"),
        ({"tolerances": {"absolut": 1}}, "tolerances.absolut: unknown key"),
        ({"tolerances": {"absolute": -1}}, "tolerances.absolute: expected at least 0"),
        ({"alignment": "start"}, "alignment: expected auto, start_time, bin or timestamp"),
        ({"aggregation": {"flow": "avg"}}, "aggregation.flow: expected sum, mean"),
        ({"baseline": {"url": "x", "storage": "lake"}}, "baseline.storage: no storage 'lake'"),
        ({"outputs": {"metrics": "metrics.xlsx"}}, "should end in .csv, .ndjson or .parquet"),
        ({"fail_on": "never"}, "fail_on: expected different, missing or any"),
    ],
)
def test_configs_that_are_wrong(
    sweep: Path, blocks: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(sweep, **blocks)
    assert run_cli(["compare", "--config", path]) in (1, 2)
    assert message in capsys.readouterr().err


def test_patterns(tmp_path: Path) -> None:
    write_runs(tmp_path / "a", spec("run_1"), spec("run_2"))
    write_runs(tmp_path / "a" / "b", spec("run_3"))
    (tmp_path / "a" / "table.csv").write_text("x\n")

    def found(pattern: str) -> list[str]:
        urls = matching_urls(f"{tmp_path}/{pattern}")
        return [url.removeprefix(f"{tmp_path}/") for url in urls]

    assert found("a/run_*") == ["a/run_1", "a/run_2"]
    assert found("a/run_[2]") == ["a/run_2"]
    assert found("*/run_?") == ["a/run_1", "a/run_2"]
    assert found("**/run_*") == ["a/b/run_3", "a/run_1", "a/run_2"]
    assert found("a/*.csv") == ["a/table.csv"]
    assert found("a/run_1") == ["a/run_1"]
    with pytest.raises(NotFoundError, match="no run directory and no table"):
        found("a/nothing_*")


def test_a_pattern_that_matches_nothing_is_reported_and_the_rest_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_1"), spec("run_2"))
    plain = {
        "version": 1,
        "baseline": str(runs / "run_1"),
        "comparisons": [str(runs / "nix_*"), str(runs / "run_2")],
    }
    text = json.dumps(plain)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert run_cli(["compare", "--config", "-", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["comparisons"]
    assert [one["outcome"] for one in found] == ["error", "passed"]
    assert "matches this pattern" in found[0]["error"]


def test_a_series_of_bins_that_differ_in_number(tmp_path: Path) -> None:
    long = RunSpec("long", {"served@A@DEFAULT": [1.0] * 100_000})
    short = RunSpec("short", {"served@A@DEFAULT": [1.0] * 70_000})
    write_runs(tmp_path / "runs", long, short)
    path = write_config(
        tmp_path,
        baseline=str(tmp_path / "runs" / "long"),
        comparisons=[str(tmp_path / "runs" / "short"), str(tmp_path / "runs" / "[s]hort")],
        fail_on="any",
    )
    assert run_cli(["compare", "--config", path]) == 0
