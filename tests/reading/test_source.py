"""Which runs an export reads: lists of URLs, globs, times before the export, the latest ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import RunError
from connectors.flowtime.discover.source_root import SourceRoot
from connectors.storage import connect, escape_glob, split_glob
from pipeline.cli.main import run_cli
from pipeline.config import ExportConfig, parse_config, single_run_config
from pipeline.errors import ConfigError
from pipeline.exports.run import export
from pipeline.reading.source import find_runs
from tests.exporting import config, snapshot, spec, upload, write_runs
from tests.servers import S3Server

NOW = datetime(2025, 6, 15, 12, tzinfo=UTC)
Streams = pytest.CaptureFixture[str]


def found(settings: ExportConfig, now: datetime = NOW) -> list[str]:
    """Names of the runs that are found, in order."""
    return [run.name for run in find_runs(settings, now=now).runs]


def chosen(url: Any, **source: Any) -> ExportConfig:
    return ExportConfig.model_validate(
        {
            "version": 1,
            "source": {"url": url, **source},
            "sinks": [{"format": "csv", "path": "/nowhere/e.csv"}],
        }
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Runs at several depths, and one beside them."""
    for folder, name in (
        ("2025-01/runs", "a"), ("2025-02/runs", "b"), ("2026-01/runs", "c"),
        ("2025-01/other", "d"), ("2025-03/deep/er/runs", "e"), (".", "f"),
    ):  # fmt: skip
        write_runs(tmp_path / "sim" / folder, spec(name))
    write_runs(tmp_path / "elsewhere", spec("g"))
    return tmp_path


# --------------------------------------------------------------------------- lists and globs


@pytest.mark.parametrize(
    ("urls", "names"),
    [
        ("sim/2025-*/runs", "ab"),
        ("sim/2025-*", "abde"),
        ("sim/202[56]-01/runs", "ac"),
        ("sim/202[!6]-0?/runs", "ab"),
        ("sim/**/runs", "abce"),
        ("sim/2025-03/**/e", "e"),
        ("sim/**", "abcdef"),
        ("sim/*/runs/[ab]", "ab"),
        ("sim/?", "f"),
        ("sim/nothing-*", ""),
        (["sim/2025-01/runs", "sim/2026-*/runs"], "ac"),
        (["sim/2025-01", "sim/2025-01/runs/a", "sim/*/runs"], "abcd"),
        (["elsewhere", "sim/f"], "fg"),
        (["elsewhere"], "g"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "file://"])
def test_several_folders(tree: Path, urls: str | list[str], names: str, prefix: str) -> None:
    each = [urls] if isinstance(urls, str) else urls
    full = [f"{prefix}{tree}/{url}" for url in each]
    assert found(chosen(full[0] if isinstance(urls, str) else full)) == list(names)


def test_relative_globs(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert found(chosen("*/2025-*/runs")) == ["a", "b"]
    assert found(chosen("./sim/*/runs/")) == ["a", "b", "c"]


def test_folders_that_no_glob_matches_are_not_opened(tree: Path) -> None:
    closed = tree / "sim" / "2026-01"
    write_runs(tree / "sim" / "2026-01", spec("broken"))
    (closed / "broken" / "run.json").write_text("{")
    assert found(chosen(f"{tree}/sim/2025-*/runs")) == ["a", "b"]
    with pytest.raises(RunError, match="broken"):
        found(chosen(f"{tree}/sim/2026-*"))


def test_globs_on_a_server(tree: Path, rclone_s3: S3Server) -> None:
    options = rclone_s3.options()
    bucket = f"s3://{rclone_s3.bucket}/globs"
    upload(tree / "sim", bucket, options)

    def names(url: Any) -> list[str]:
        settings = ExportConfig.model_validate(
            {
                "version": 1,
                "storage": {"lake": {"protocol": "s3", **options.options}},
                "source": {"url": url, "storage": "lake"},
                "sinks": [{"format": "csv", "path": "e.csv"}],
            }
        )
        return found(settings)

    assert names(f"{bucket}/2025-*/runs") == ["a", "b"]
    assert names([f"{bucket}/2026-01", f"{bucket}/2025-0[12]/**/[bd]"]) == ["b", "c", "d"]


def test_a_name_with_brackets_is_taken_literally_where_it_is_given_literally(
    tmp_path: Path,
) -> None:
    runs = write_runs(tmp_path / "[x]*?", spec("run_a"), spec("run_b"))
    assert found(chosen(escape_glob(str(runs)))) == ["run_a", "run_b"]
    run = str(runs / "run_a")
    assert found(single_run_config(run, ["csv"], f"{tmp_path}/e.csv")) == ["run_a"]
    assert run_cli(["export", run, "--format", "csv", "--out", f"{tmp_path}/e.csv"]) == 0


@given(st.text(st.sampled_from("ab*?[]!/.-"), min_size=1, max_size=12))
def test_escaping_is_undone_by_splitting(text: str) -> None:
    fixed, pattern = split_glob(escape_glob(text))
    assert (fixed, pattern) == (text, ())


@pytest.mark.parametrize(
    ("pattern", "path", "covers", "leads"),
    [
        ((), "r", True, True),
        ((), "r/x/y", True, True),
        ((), "q", False, False),
        (("a*",), "r", False, True),
        (("a*",), "r/ab", True, True),
        (("a*",), "r/ab/deep", True, True),
        (("a*",), "r/b", False, False),
        (("a*", "x"), "r/ab", False, True),
        (("a*", "x"), "r/ab/y", False, False),
        (("**", "x"), "r/a/b", False, True),
        (("**", "x"), "r/a/x/c", True, True),
        (("**", "x"), "r/x", True, True),
    ],
)
def test_roots(pattern: tuple[str, ...], path: str, covers: bool, leads: bool) -> None:
    root = SourceRoot("r", pattern)
    assert (root.covers(path), root.leads_to(path)) == (covers, leads)


def test_one_export_of_several_folders(tree: Path) -> None:
    out = tree / "out" / "e.parquet"
    urls = [f"{tree}/sim/2025-*/runs", f"{tree}/elsewhere"]
    settings = config("ignored", {"path": out}, source={"url": urls})
    report = export(settings)
    assert (report.runs, report.source) == (3, f"{tree}/sim/2025-*/runs, {tree}/elsewhere")
    rows = duckdb.sql(f"SELECT run_id, count(*) FROM '{out}' GROUP BY ALL ORDER BY ALL").fetchall()
    assert rows == [("a", 12), ("b", 12), ("g", 12)]
    before = snapshot(tree / "out")
    assert [target.status for target in export(settings).targets] == ["unchanged"]
    assert snapshot(tree / "out") == before
    write_runs(tree / "sim" / "2025-09" / "runs", spec("h"))
    assert export(settings).runs == 4


@pytest.mark.parametrize("url", ["sim/2025-*/runs", ["elsewhere", "sim"]])
def test_no_sink_writes_into_what_is_read(tree: Path, url: str | list[str]) -> None:
    full = f"{tree}/{url}" if isinstance(url, str) else [f"{tree}/{one}" for one in url]
    inside = f"{tree}/sim/2025-01/runs/e.csv"
    with pytest.raises(ConfigError, match="which the source reads"):
        export(config("ignored", {"path": inside}, source={"url": full}))
    own = f"{tree}/sim/2025-01/runs/a/gold/e.csv"
    assert not Path(own).exists()
    export(config("ignored", {"path": "{run_url}/gold/e.csv"}, source={"url": full}))
    assert Path(own).exists()


def test_beside_what_a_glob_matches_a_sink_may_write(tree: Path) -> None:
    settings = config(
        "ignored", {"path": f"{tree}/sim/gold/e.csv"}, source={"url": f"{tree}/sim/2025-*"}
    )
    assert export(settings).runs == 4


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ([], "expected at least one URL"),
        ([1], "expected a list of URLs, found a list"),
        (3, "expected a URL or a list of URLs, found 3"),
        (["runs", ""], "URL 2 of the list: expected 1 to 2048 characters"),
        (["runs", "zip://x"], "URL 2 of the list: zip:// names an archive"),
        (["runs", "s3://lake/x"], "the URLs are of different storages"),
        ("s3://la*e/x", "the part after s3:// cannot be a glob"),
        ("runs/[a", "the [ in '[a' is not closed"),
        ("runs/*/../x", "after a glob there can be no . or .."),
        ("~no-such-user/*", "no home folder is known"),
    ],
)
def test_what_is_wrong_with_urls(url: Any, complaint: str) -> None:
    text = f"version: 1\nsource:\n  url: {json.dumps(url)}\nsinks: [{{format: csv, path: e.csv}}]\n"
    with pytest.raises(ConfigError) as caught:
        parse_config(text, filename="c.yaml")
    assert str(caught.value).startswith("c.yaml:3:8: source.url: ")
    assert complaint in str(caught.value)


def test_web_servers_have_no_globs() -> None:
    assert split_glob("https://host/runs?x=[1]*") == ("https://host/runs?x=[1]*", ())
    assert connect("https://host/runs?x=1")[1] == "https://host/runs?x=1"


# --------------------------------------------------------------------------- by time and number


@pytest.fixture
def aged(tmp_path: Path) -> Path:
    """One run for each of ten days before NOW, at noon; the ids do not follow the days."""
    specs = [
        spec(f"run_{(day * 7) % 10}", created=f"{NOW - timedelta(days=day):%Y-%m-%dT%H:%M:%SZ}")
        for day in range(10)
    ]
    return write_runs(tmp_path / "runs", *specs)


def ids(days: list[int]) -> list[str]:
    return sorted(f"run_{(day * 7) % 10}" for day in days)


@pytest.mark.parametrize(
    ("created", "days"),
    [
        ({"from": "-3d"}, [0, 1, 2, 3]),
        ({"from": "-72h"}, [0, 1, 2, 3]),
        ({"from": "-71h 59m"}, [0, 1, 2]),
        ({"from": "-1w"}, list(range(8))),
        ({"to": "-1w"}, [8, 9]),
        ({"from": "-5d", "to": "-3d"}, [4, 5]),
        ({"from": "-1d 12h", "to": "2025-06-15T12:00:00Z"}, [1]),
        ({"from": "2025-06-10", "to": "-1d"}, [2, 3, 4, 5]),
    ],
)
def test_times_before_the_export(aged: Path, created: dict[str, str], days: list[int]) -> None:
    assert found(chosen(str(aged), created=created)) == ids(days)


def test_time_goes_on(aged: Path, tmp_path: Path) -> None:
    settings = config(aged, {"path": tmp_path / "e.parquet"}, source={"created": {"from": "-3d"}})
    assert export(settings, now=NOW).runs == 4
    later = NOW + timedelta(days=1, hours=23)
    report = export(settings, now=later)
    assert (report.runs, report.targets[0].status) == (2, "exported")
    rows = duckdb.sql(f"SELECT DISTINCT run_id FROM '{tmp_path}/e.parquet' ORDER BY 1").fetchall()
    assert [one for (one,) in rows] == ids([0, 1])
    again = export(settings, now=later + timedelta(minutes=1))
    assert again.targets[0].status == "unchanged"
    assert export(settings, now=NOW + timedelta(days=30)).runs == 0


@pytest.mark.parametrize(
    ("source", "days"),
    [
        ({"latest": 1}, [0]),
        ({"latest": 3}, [0, 1, 2]),
        ({"latest": 99}, list(range(10))),
        ({"latest": 2, "created": {"to": "-4d"}}, [5, 6]),
        ({"latest": 2, "exclude": ["run_0"]}, [1, 2]),
        ({"latest": 2, "include": ["run_[0-4]"]}, [0, 2]),
    ],
)
def test_the_latest_runs(aged: Path, source: dict[str, Any], days: list[int]) -> None:
    assert found(chosen(str(aged), **source)) == ids(days)


def test_the_latest_of_several_folders(aged: Path, tmp_path: Path) -> None:
    write_runs(tmp_path / "more", spec("new", created="2025-06-15T12:00:01Z"))
    settings = chosen([str(aged), f"{tmp_path}/more"], latest=2)
    assert found(settings) == ["new", *ids([0])]


def test_of_two_that_were_created_at_once_the_id_decides(tmp_path: Path) -> None:
    runs = write_runs(tmp_path, *(spec(name) for name in ("b", "c", "a")))
    assert found(chosen(str(runs), latest=2)) == ["b", "c"]


def test_a_run_that_says_no_time_is_broken(aged: Path) -> None:
    write_runs(aged, spec("timeless", created=None))
    with pytest.raises(RunError, match=r"createdUtc is missing, so source\.created and source\.l"):
        found(chosen(str(aged), latest=2))
    source = find_runs(chosen(str(aged), latest=2, on_error="skip"), now=NOW)
    assert [run.name for run in source.runs] == ids([0, 1])
    assert [run.url for run in source.left_out] == [f"{aged}/timeless"]


def test_a_new_run_takes_the_place_of_the_oldest(aged: Path, tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    settings = config(aged, {"path": path}, source={"latest": 2})
    assert export(settings, now=NOW).runs == 2
    write_runs(aged, spec("zz", created="2025-06-16T00:00:00Z"))
    assert export(settings, now=NOW).targets[0].status == "exported"
    rows = duckdb.sql(f"SELECT DISTINCT run_id FROM '{path}' ORDER BY 1").fetchall()
    assert rows == [(ids([0])[0],), ("zz",)]


def test_plan_shows_what_is_chosen(aged: Path, tmp_path: Path, capsys: Streams) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        f"version: 1\nsource:\n  url: {aged}\n  created: {{from: -36500d, to: 2025-06-14}}\n"
        "  latest: 2\n"
        f"sinks: [{{format: csv, path: {tmp_path}/e.csv}}]\n"
    )
    assert run_cli(["plan", str(file), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["runs"] == 2
    assert plan["selection"]["created_to"] == "2025-06-14T00:00:00Z"
    assert plan["selection"]["created_from"] < "1930"
    assert plan["selection"]["latest"] == 2
    assert run_cli(["plan", str(file)]) == 0
    assert "choose runs: created from 19" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("created: {from: -7x}", "expected a date or an instant such as 2025-01-31"),
        ("created: {from: '-'}", "expected a date or an instant"),
        ("created: {from: 7d}", "or a time before the export such as -7d or -36h"),
        ("created: {from: -0d}", "expected a date or an instant"),
        ("created: {from: -999999d}", "expected a date or an instant"),
        ("created: {from: -7}", "expected a date or an instant"),
        ("created: {from: -1d, to: -2d}", "from so long ago is not before to"),
        ("created: {from: 2025-01-02, to: 2025-01-02}", "is not before to"),
        ("latest: 0", "expected at least 1, found 0"),
        ("latest: -1", "expected at least 1"),
        ("latest: true", "expected a whole number, found true"),
        ("latest: 1.5", "expected a whole number"),
        ("latest: newest", "expected a whole number, found text 'newest'"),
    ],
)
def test_what_is_wrong_with_a_selection(source: str, complaint: str) -> None:
    text = f"version: 1\nsource:\n  url: runs\n  {source}\nsinks: [{{format: csv, path: e.csv}}]\n"
    with pytest.raises(ConfigError) as caught:
        parse_config(text, filename="c.yaml")
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("c.yaml:4:")
